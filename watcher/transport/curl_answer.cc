// See curl_answer.h.

#include "watcher/transport/curl_answer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

constexpr curl_off_t kMaxRetryAfterSeconds = 86400;

}  // namespace

HttpResult CurlResult(const CurlAnswer& answer, const CurlRequest& request,
                      CURLcode code) {
  using Ending = CurlAnswer::Ending;
  HttpResult result;
  result.http_status = answer.status;
  curl_off_t seconds = 0;
  curl_easy_getinfo(request.easy.get(), CURLINFO_RETRY_AFTER, &seconds);
  if (answer.status != 0 && seconds > 0) {
    result.retry_after_ms = std::min(seconds, kMaxRetryAfterSeconds) * 1000;
  }
  switch (answer.ending) {
    case Ending::kNone:
      if (code != CURLE_OK) {
        result.transport = CurlError(code, answer.error, request);
      }
      break;
    case Ending::kRefused:
      result.transport = absl::AbortedError("refused");
      break;
    case Ending::kBody:
      result.transport = absl::ResourceExhaustedError(absl::StrCat(
          "the answer is longer than ", answer.max_body, " bytes"));
      break;
    case Ending::kHeader:
      result.transport = absl::ResourceExhaustedError(
          absl::StrCat("the answer's header is longer than ",
                       CurlAnswer::kMaxHeaderBytes, " bytes"));
      break;
    case Ending::kSilent:
      result.transport = absl::DeadlineExceededError(
          answer.heard == CurlAnswer::TimePoint()
              ? "no answer within timeout"
              : "nothing more of the answer within timeout");
      break;
    case Ending::kEnough:
      break;
  }
  return result;
}

}  // namespace dynweight

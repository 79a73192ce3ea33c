// See curl_answer.h.

#include "watcher/transport/curl_answer.h"

#include <poll.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

constexpr curl_off_t kMaxRetryAfterSeconds = 86400;

bool SpokeHttp2(const CurlRequest& request) {
  long version = CURL_HTTP_VERSION_NONE;
  curl_easy_getinfo(request.easy.get(), CURLINFO_HTTP_VERSION, &version);
  return version == CURL_HTTP_VERSION_2_0;
}

}  // namespace

bool CurlAnswer::TakeLine(std::string_view line) {
  heard = std::chrono::steady_clock::now();
  header_bytes += line.size();
  if (header_bytes > kMaxHeaderBytes) {
    ending = Ending::kHeader;
    return false;
  }
  constexpr absl::string_view kGrpcStatus = "grpc-status:";
  absl::string_view field(line.data(), line.size());
  if (absl::StartsWithIgnoreCase(field, kGrpcStatus)) {
    field.remove_prefix(kGrpcStatus.size());
    if (!absl::SimpleAtoi(field, &grpc_status)) grpc_status = -1;
  }
  return true;
}

HttpResult CurlResult(const CurlAnswer& answer, const CurlRequest& request,
                      CURLcode code) {
  using Ending = CurlAnswer::Ending;
  HttpResult result;
  result.failure = answer.ending == Ending::kNone ? CurlFailure(code, request)
                                                  : HttpFailure::kAnswer;
  result.http_status = answer.status;
  result.grpc_status = answer.grpc_status;
  curl_off_t seconds = 0;
  curl_easy_getinfo(request.easy.get(), CURLINFO_RETRY_AFTER, &seconds);
  if (answer.status != 0 && seconds > 0) {
    result.retry_after_ms = std::min(seconds, kMaxRetryAfterSeconds) * 1000;
  }
  switch (answer.ending) {
    case Ending::kNone:
      if (code != CURLE_OK) {
        result.transport = CurlError(code, answer.error, request);
      } else if (request.http2 && !SpokeHttp2(request)) {
        result.transport = absl::UnavailableError(
            "the server speaks HTTP/1.1 there: it must offer HTTP/2 (ALPN h2)");
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

bool HasUnread(const CurlRequest& request) {
  curl_socket_t socket = CURL_SOCKET_BAD;
  curl_easy_getinfo(request.easy.get(), CURLINFO_ACTIVESOCKET, &socket);
  pollfd entry = {socket, POLLIN, 0};
  return socket != CURL_SOCKET_BAD && poll(&entry, 1, 0) == 1;
}

}  // namespace dynweight

// See http_refusal.h.

#include "watcher/nacos/http_refusal.h"

#include "absl/strings/str_cat.h"
#include "watcher/text/json_text.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

// Both of Nacos and of the framework that it is made with.
std::string MessageOf(std::string_view body) {
  const absl::StatusOr<JsonDocument> document = ParseJson(body);
  if (!document.ok()) return std::string(body);
  for (const char* name : {"message", "error"}) {
    JsonReader reader("answer");
    const std::string_view text =
        reader.String(reader.Root(document->get()), name, body.size());
    if (reader.ok() && !text.empty()) return std::string(text);
  }
  return std::string(body);
}

}  // namespace

bool IsAbsentApi(int http_status) {
  return http_status == 404 || http_status == 405 || http_status == 410 ||
         http_status == 501;
}

bool IsDenied(int http_status) {
  return http_status == 401 || http_status == 403;
}

bool IsServerFailure(int http_status) {
  return http_status == 429 || (http_status >= 500 && http_status != 501);
}

std::string DescribeRefusal(int http_status, std::string_view body) {
  const std::string message = MessageOf(body);
  if (message.empty()) return absl::StrCat("HTTP ", http_status);
  return absl::StrCat("HTTP ", http_status, ": ",
                      JsonString(message, kQuotedRefusalBytes));
}

}  // namespace dynweight

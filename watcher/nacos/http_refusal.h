// What a server of Nacos means by an answer other than 200.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_HTTP_REFUSAL_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_HTTP_REFUSAL_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace dynweight {

// What is read of a server's message, and what of it is shown.
inline constexpr size_t kMaxRefusalBytes = 4096;
inline constexpr size_t kQuotedRefusalBytes = 200;

// It doesn't serve that path: it has another version of the API, or this one
// is switched off.
bool IsAbsentApi(int http_status);

// It wants a login, or another one.
bool IsDenied(int http_status);

// It can't answer now, and another server may: it is starting, down, or full.
bool IsServerFailure(int http_status);

// "HTTP 503: \"server is STARTING now\"": the status and, of JSON its message,
// of any other text its beginning; on one line, escaped.
std::string DescribeRefusal(int http_status, std::string_view body);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_HTTP_REFUSAL_H_

// What has come of an answer, and what that makes of its request.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_ANSWER_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_ANSWER_H_

#include <curl/curl.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "watcher/transport/curl_request.h"
#include "watcher/transport/http_transport.h"

namespace dynweight {

struct CurlAnswer {
  using TimePoint = std::chrono::steady_clock::time_point;
  // Why we ended it ourselves.
  enum class Ending { kNone, kRefused, kBody, kHeader, kEnough, kSilent };

  static constexpr size_t kMaxHeaderBytes = 64 << 10;

  size_t max_body = 0;
  TimePoint heard;       // its last byte; the epoch: none yet
  int status = 0;        // of the final header
  int grpc_status = -1;  // of a header field or a trailer
  size_t header_bytes = 0;
  size_t body_bytes = 0;
  Ending ending = Ending::kNone;
  std::string error_body;

  // Takes a line of the header or of trailers; false: that was too much.
  bool TakeLine(std::string_view line);

  char error[CURL_ERROR_SIZE] = "";
};

// How the request went that ended with `code`.
HttpResult CurlResult(const CurlAnswer& answer, const CurlRequest& request,
                      CURLcode code);

// Whether something has come on its connection that was not read yet.
bool HasUnread(const CurlRequest& request);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_ANSWER_H_

// For tests: an HttpHandler that keeps what it is told.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_RECORDING_HANDLER_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_RECORDING_HANDLER_H_

#include <functional>
#include <string>
#include <string_view>

#include "watcher/transport/curl_transport.h"

namespace dynweight {

struct RecordingHandler : public HttpHandler {
  void OnStatus(int http_status, std::string_view type) override {
    status = http_status;
    content_type = std::string(type);
    if (on_status) on_status();
  }
  bool OnBody(std::string_view data) override {
    body += data;
    return !on_body || on_body();
  }
  void OnDone(const HttpResult& r, std::string_view e) override {
    result = r;
    error_body = std::string(e);
    ++done;
    if (on_done) on_done();
  }

  int status = 0;
  std::string content_type;
  std::string body;
  HttpResult result;
  std::string error_body;
  int done = 0;
  std::function<void()> on_status;
  std::function<bool()> on_body;
  std::function<void()> on_done;
};

// Polls until `condition` holds. A test that waits in vain is ended by its
// own time limit.
inline void PollUntil(CurlTransport* transport,
                      const std::function<bool()>& condition) {
  while (!condition()) transport->Poll(1000);
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_RECORDING_HANDLER_H_

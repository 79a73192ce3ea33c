// One request whose answer is taken as a whole.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_HTTP_FETCH_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_HTTP_FETCH_H_

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "watcher/transport/http_transport.h"

namespace dynweight {

// Not thread-safe. The destructor cancels.
class HttpFetch : private HttpHandler {
 public:
  // The body of a 200, or what is kept of another status's. May call Begin().
  using Done =
      std::function<void(const HttpResult& result, const std::string& body)>;

  explicit HttpFetch(HttpTransport* transport) : transport_(transport) {}
  ~HttpFetch() override { Cancel(); }
  HttpFetch(const HttpFetch&) = delete;
  HttpFetch& operator=(const HttpFetch&) = delete;

  // `request` bounds the body. One at a time.
  void Begin(const HttpRequest& request, Done done) {
    Cancel();
    body_.clear();
    done_ = std::move(done);
    active_ = true;
    id_ = transport_->Start(request, this);
  }
  // `done` is not called.
  void Cancel() {
    if (!std::exchange(active_, false)) return;
    transport_->Cancel(id_);
  }
  bool active() const { return active_; }

 private:
  void OnStatus(int, std::string_view) override {}
  bool OnBody(std::string_view data) override {
    body_ += data;
    return true;
  }
  void OnDone(const HttpResult& result, std::string_view error_body) override {
    active_ = false;
    if (result.http_status != 200) body_ = std::string(error_body);
    const Done done = std::move(done_);
    const std::string body = std::move(body_);
    done(result, body);
  }

  HttpTransport* const transport_;
  HttpTransport::Id id_ = 0;
  bool active_ = false;
  std::string body_;
  Done done_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_HTTP_FETCH_H_

// A connection to a server of Nacos over gRPC, on which it pushes.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_GRPC_CONNECTION_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_GRPC_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "watcher/discovery/discovery.h"
#include "watcher/nacos/grpc_message.h"
#include "watcher/nacos/http_fetch.h"
#include "watcher/text/json_value.h"
#include "watcher/transport/http_transport.h"

namespace dynweight {

// The URL of a server's gRPC port: scheme and host of `base`, its port and
// 1,000 more. Unimplemented: that is no port.
absl::StatusOr<std::string> GrpcUrl(const std::string& base);

// Opened by a call that any server answers and a stream that says who we are;
// after that calls go out, several at a time, and the server's own requests
// come in by the stream:
//
//   Open() ─► ServerCheck ─► stream, ConnectionSetup ─► SetupAck ─► ready
//                 │                    │  of servers before 3.0 after a while │
//                 └────────────────────┴──── ended() ◄───────────────────────┘
//
// Not thread-safe. What is called may not delete it.
class GrpcConnection : private HttpHandler {
 public:
  struct Events {
    std::function<void()> ready;
    // A request of the server, nullptr if it is no JSON; the connection answers
    // it itself.
    std::function<void(const std::string& type, const cJSON* request)> pushed;
    // It has gone, or never was; once, and nothing is called after it.
    std::function<void(const absl::Status& error)> ended;
  };
  using Done = std::function<void(const absl::StatusOr<GrpcMessage>& answer)>;

  // `number`, not 0, is of this connection alone. `url` as GrpcUrl() gives it.
  // Pointers outlive it.
  GrpcConnection(uint64_t number, std::string url, int64_t timeout_ms,
                 HttpTransport* transport, const Credentials* credentials,
                 DiscoveryStats* stats, Events events);
  ~GrpcConnection() override;

  void Open(int64_t now_ms);
  // Ends everything; nothing is called any more.
  void Close();
  bool ready() const { return ready_; }
  int64_t DeadlineMs() const;
  void Tick(int64_t now_ms);
  // Once ready(). Unavailable: the connection does not answer; then ended() is
  // not called for that. A message of type "ErrorResponse" is an answer.
  void Call(const GrpcMessage& request, Done done);

 private:
  HttpRequest Request(const char* path, const std::string& body) const;
  void Begin(const GrpcMessage& request, bool opens, Done done);
  void OnCheck(const absl::StatusOr<GrpcMessage>& answer);
  void OpenStream();
  void OnStatus(int, std::string_view) override {}
  bool OnBody(std::string_view data) override;
  void OnDone(const HttpResult& result, std::string_view error_body) override;
  void OnPayload(std::string_view payload);
  void BeReady();
  void End(const absl::Status& error);

  const uint64_t number_;
  const std::string url_;
  const int64_t timeout_ms_;
  HttpTransport* const transport_;
  const Credentials* const credentials_;
  DiscoveryStats* const stats_;
  const Events events_;

  int64_t now_ms_ = 0;
  int64_t ready_at_ms_ = INT64_MAX;  // without an acknowledgement
  int64_t due_ms_ = INT64_MAX;       // to be ready
  bool ready_ = false, ended_ = false;
  bool acknowledges_ = false;  // the server says when it is set up
  HttpTransport::Id stream_ = 0;
  bool streaming_ = false;
  GrpcFraming framing_;
  std::vector<std::unique_ptr<HttpFetch>> calls_;  // idle ones are used again
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_GRPC_CONNECTION_H_

// Subscribes to all services of a registry by gRPC, over one connection.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_GRPC_SUBSCRIBER_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_GRPC_SUBSCRIBER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "watcher/discovery/discovery.h"
#include "watcher/nacos/grpc_connection.h"
#include "watcher/nacos/nacos_login.h"
#include "watcher/nacos/nacos_options.h"
#include "watcher/nacos/service_table.h"

namespace dynweight {

//   idle ─► login ─► connection ─► subscribing ─► subscribed ─┐ now and then,
//    ▲                                 ▲                      │ and to
//    │                                 └──────────────────────┘ confirm
//    └────────── failed(): nothing is tried before Begin() ◄── from anywhere
//
// A subscription is answered by what there is, so that subscribing again is a
// list; in between the server pushes. A service is subscribed once for all
// clusters, and its instances are told apart here: a connection has one
// subscription of a service. Not thread-safe; pointers outlive it.
class GrpcSubscriber {
 public:
  struct Events {
    // Every service was asked for. `began_ms`: when the first one was; `error`:
    // of the first service that is refused.
    std::function<void(int64_t began_ms, const absl::Status& error)> synced;
    // The server has pushed, which is in the table.
    std::function<void()> pushed;
    // The server was heard.
    std::function<void()> healthy;
    // The connection has ended, or there is none. May call Begin() and Stop().
    std::function<void(const absl::Status& error)> failed;
  };

  GrpcSubscriber(const NacosOptions& options, HttpTransport* transport,
                 DiscoveryDelegate* delegate, ServiceTable* table,
                 NacosLogin* login, DiscoveryStats* stats,
                 std::function<double()> random, Events events);

  // Connects to the server at `base`.
  void Begin(const std::string& base, int64_t now_ms);
  void Stop();
  bool active() const { return state_ != State::kIdle; }
  // Every service was asked for since Begin().
  bool synced() const { return synced_; }
  int64_t DeadlineMs() const;
  void Tick(int64_t now_ms);
  // All subscriptions again, soon.
  void RequestSync(int64_t now_ms);
  void WithdrawRequest() { requested_ = false; }

 private:
  enum class State : uint8_t {
    kIdle,
    kLogin,
    kConnecting,
    kSubscribing,
    kSubscribed
  };
  // One of the registry's services, and those of the table that are of it.
  struct Service {
    std::string group, name;
    std::vector<size_t> members;
    uint64_t made_ms = 0;  // what was said of it last, on this connection
  };

  void Login();
  void Connect();
  void OnReady();
  void Sync();
  void Go();
  void Subscribe(size_t service);
  // `token`: what was sent with the request.
  void OnAnswer(size_t service, const std::string& token,
                const absl::StatusOr<GrpcMessage>& answer);
  void OnRefused(size_t service, const std::string& token,
                 const GrpcMessage& answer);
  void OnPushed(const std::string& type, const cJSON* request);
  void Take(Service* service, const cJSON* info);
  void Refuse(const Service& service, const std::string& why);
  void EndSync();
  void CheckHealth();
  void Fail(const absl::Status& error);

  const NacosOptions options_;
  HttpTransport* const transport_;
  DiscoveryDelegate* const delegate_;
  ServiceTable* const table_;
  NacosLogin* const login_;
  DiscoveryStats* const stats_;
  const std::function<double()> random_;
  const Events events_;
  std::vector<Service> services_;
  std::map<std::string, size_t> by_name_;  // "group@@name"

  State state_ = State::kIdle;
  int64_t now_ms_ = 0;
  std::string base_, url_;
  std::unique_ptr<GrpcConnection> connection_;
  // Deleted by Tick(): they are on the stack when they end.
  std::vector<std::unique_ptr<GrpcConnection>> ended_;
  bool synced_ = false;
  bool requested_ = false;
  bool logged_in_ = false;  // in this sync
  int64_t sync_at_ms_ = INT64_MAX;
  int64_t health_at_ms_ = INT64_MAX;

  // The sync under way.
  int64_t began_ms_ = 0;
  std::deque<size_t> to_ask_;
  size_t asking_ = 0;
  int unregistered_ = 0;  // answers that the connection is not known yet
  absl::Status first_error_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_GRPC_SUBSCRIBER_H_

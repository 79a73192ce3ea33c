// Asks a registry for all services by HTTP, again and again.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_HTTP_POLLER_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_HTTP_POLLER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "watcher/discovery/discovery.h"
#include "watcher/nacos/http_fetch.h"
#include "watcher/nacos/nacos_login.h"
#include "watcher/nacos/nacos_options.h"
#include "watcher/nacos/service_answer.h"
#include "watcher/nacos/service_table.h"
#include "watcher/transport/backoff.h"

namespace dynweight {

//            next_at_        a token is wanted     token
//   waiting ─────────► round ─────────────────► login ─────► round
//      ▲                 │ ▲                      │
//      │   all asked,    │ └─ another version     │ refused,
//      ├── or a failure ─┘    of the API          │ no answer
//      └──────────────────────────────────────────┘
//
// One round asks for each service once, a few at a time, all of one server and
// by one version of the API: the newest that shows what v3's list does not, the
// protection threshold. What fails of one service is that service's; what fails
// of the server ends the round, and the delegate may turn to another. Not
// thread-safe; all pointers outlive it.
class HttpPoller {
 public:
  // A round has ended. `whole`: each service was asked for, of the server at
  // `base` and since `began_ms`. `error`: of the server, or the first of a
  // service.
  struct Round {
    bool whole = false;
    std::string base;
    int64_t began_ms = 0;
    absl::Status error;
  };

  // `random` gives uniform numbers of [0, 1). `ended` may call RequestRound()
  // and Stop().
  HttpPoller(const NacosOptions& options, HttpTransport* transport,
             DiscoveryDelegate* delegate, ServiceTable* table,
             NacosLogin* login, DiscoveryStats* stats,
             std::function<double()> random,
             std::function<void(const Round& round)> ended);

  void Start(int64_t now_ms);
  // Ends what is under way, until Start().
  void Stop();
  // Whether the lists do not show the protection threshold: those of v3, where
  // its API for administrators is refused.
  bool blind() const { return blind_; }
  bool running() const { return active_ || next_at_ != INT64_MAX; }
  int64_t DeadlineMs() const;
  void Tick(int64_t now_ms);
  // A round that begins after now, soon.
  void RequestRound(int64_t now_ms);
  void WithdrawRequest() { requested_ = false; }

 private:
  // One service at a time: what is asked of it, and its first list where more
  // are needed: one for each cluster, which say who is healthy.
  struct Lane {
    explicit Lane(HttpTransport* transport) : fetch(transport) {}
    size_t service = 0;
    std::optional<ServiceAnswer> all;
    std::vector<std::string> clusters;  // to be asked for, the last one next
    ServiceAnswer healthy;
    HttpFetch fetch;
  };

  void BeginRound();
  void Login();
  void OnLogin(const absl::Status& error);
  void Go();
  void Ask(Lane* lane);
  void OnAnswer(Lane* lane, const HttpResult& result, const std::string& body);
  void OnList(Lane* lane, const std::string& body);
  bool TakeHealthy(Lane* lane, const ServiceAnswer& answer);
  void OnRefused(Lane* lane, const HttpResult& result, const std::string& body);
  void OnAbsentApi(const HttpResult& result, const std::string& body);
  void OnDenied(Lane* lane, const std::string& text);
  void RefuseService(Lane* lane, const absl::Status& error);
  void EndRound();
  void FailRound(const absl::Status& error, bool server_failed,
                 int64_t retry_after_ms);
  void CancelLanes();
  std::string UrlOf(const Lane& lane) const;
  absl::Status ErrorOf(const Lane& lane, absl::StatusCode code,
                       const std::string& text) const;

  const NacosOptions options_;
  DiscoveryDelegate* const delegate_;
  ServiceTable* const table_;
  NacosLogin* const login_;
  DiscoveryStats* const stats_;
  const std::function<double()> random_;
  const std::function<void(const Round& round)> ended_;
  Backoff backoff_;

  int64_t now_ms_ = INT64_MIN;
  int64_t next_at_ = INT64_MAX;  // of a round; kNever: stopped
  bool requested_ = false;  // a round is wanted that begins after the present
  size_t version_ = 0;      // of the API; which answered last
  int failed_ = 0;          // rounds in a row
  bool blind_ = false;
  std::string last_base_;  // of the last round
  // A login that is of no avail is not tried again before.
  int64_t login_not_before_ms_ = INT64_MIN;

  // The round under way.
  bool active_ = false;
  std::string base_;
  int64_t began_ms_ = 0;
  bool logged_in_ = false;  // in this round
  size_t versions_asked_ = 0;
  std::deque<size_t> to_ask_;
  absl::Status first_error_;  // of a service
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_HTTP_POLLER_H_

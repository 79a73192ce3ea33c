// Everything that is followed in one cluster: its informers, which of its API
// servers is in use, and its view.

#ifndef DYNAMIC_WEIGHT_WATCHER_CLUSTER_WATCHER_H_
#define DYNAMIC_WEIGHT_WATCHER_CLUSTER_WATCHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/cluster_status.h"
#include "watcher/config/config.h"
#include "watcher/informer.h"
#include "watcher/state/cluster_view_json.h"
#include "watcher/text/log_queue.h"
#include "weightcalc/clock.h"

namespace dynweight {

// What happened to a view since it was last asked.
struct ClusterChanges {
  bool nodes = false;                // which ingress nodes there are
  std::vector<std::string> sources;  // with another count, or other instances;
                                     // a key may stand here twice
  bool observed = false;             // only how long ago it was said
  bool status = false;               // the status document is out of date
  bool status_at_once = false;       // ... and an operator waits for it
};

// Not thread-safe; lives on the watcher thread. All pointers outlive it.
class ClusterWatcher : private InformerDelegate {
 public:
  // Gives what the credential files say when that has changed; never waits.
  using NewCredentials =
      std::function<std::optional<absl::StatusOr<Credentials>>()>;

  // `sources` tell of all that is asked of the cluster. `view` is what is held
  // from before, and is kept up to date. Without
  // `new_credentials` those of the configuration are used as they are. `random`
  // gives uniform numbers of [0, 1): of several API servers each edge takes
  // another first, and another one when it fails.
  ClusterWatcher(
      const WatcherConfig& config, uint32_t cluster,
      const std::vector<DiscoveryMaker>& sources, ClusterView* view,
      const Clock* clock, LogQueue* log,
      NewCredentials new_credentials = nullptr,
      std::function<double()> random = [] { return 0.0; });

  void Start();
  // Before the transport delivers, and when DeadlineMs() has come.
  void Tick();
  int64_t DeadlineMs() const;

  ClusterChanges TakeChanges();
  // Every source was listed since Start().
  bool synced() const;
  // Whether some source is known and all that are not are refused by the
  // server: waiting for them helps nobody, and the others are as well as ever.
  bool rest_is_refused() const;
  ClusterStatus Status() const;

 private:
  // What is known of one API server. Monotonic milliseconds.
  struct Server {
    int64_t failed_ms = INT64_MIN;      // when it did last
    int64_t busy_until_ms = INT64_MIN;  // it wants to be left alone
  };

  const ClusterConfig& config() const override { return config_; }
  const ClusterView& view() const override { return *view_; }
  bool IsClosed(const std::string& source) const override;
  const Credentials* credentials() override { return &credentials_; }
  std::string ApiBase() override;
  void OnApiFailure(const std::string& base) override;
  void OnApiBusy(const std::string& base, int64_t retry_after_ms) override;
  void OnPods(const std::string& source, uint64_t pods) override;
  void OnNodes(std::vector<IngressNode> nodes) override;
  void OnInstances(const std::string& source, InstanceSet set) override;
  void OnRecovered() override;
  void OnStillTrue(const Quantity& quantity) override;
  void OnStatusChanged(bool at_once) override;
  void OnLog(LogLine::Level level, std::string_view text) override;

  void FindGates(const WatcherConfig& config, uint32_t cluster);
  void TakeCredentials();
  void OnCredentialsError(const absl::Status& error);
  int64_t ObservedMs() const;
  std::string OldViewText() const;
  void SplitRefused();
  void Count(const Informer& informer, ClusterStatus* status) const;
  // By chance one of 0 to n - 1.
  size_t OneOf(size_t n) const;
  void TurnToAnother();

  const ClusterConfig& config_;
  ClusterView* view_;
  const Clock* clock_;
  LogQueue* log_;
  int64_t old_view_due_ms_ = kNever;  // when an old view is to be told of
  NewCredentials new_credentials_;
  Credentials credentials_;        // the last good ones
  bool started_ = false;           // there are some
  std::string credentials_error_;  // of those that are not used; "" when well
  const std::function<double()> random_;
  std::vector<Server> servers_;  // one for each of config_.api
  size_t api_ = 0;               // index into config_.api: the one in use
  ClusterChanges changes_;
  // By source, the Ingresses of all lines that count it; of those alone all of
  // whose lines have one.
  std::map<std::string, std::set<std::string>> gates_;
  bool ingress_gone_ = false;  // since the last Tick()
  std::vector<std::unique_ptr<Informer>> informers_;
  ClusterStatus ended_;  // counts of informers that were split
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CLUSTER_WATCHER_H_

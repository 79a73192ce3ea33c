// Everything that is followed in one cluster: its feeds, which of its API
// servers is in use, and its view.

#ifndef DYNAMIC_WEIGHT_WATCHER_CLUSTER_WATCHER_H_
#define DYNAMIC_WEIGHT_WATCHER_CLUSTER_WATCHER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/change_log.h"
#include "watcher/clock.h"
#include "watcher/cluster_status.h"
#include "watcher/cluster_view.h"
#include "watcher/config.h"
#include "watcher/feed.h"

namespace dynweight {

// What happened to a view since it was last asked.
struct ClusterChanges {
  bool nodes = false;                // which ingress nodes there are
  std::vector<std::string> sources;  // PodSource keys with another count; a
                                     // key may stand here twice
  bool observed = false;             // only how long ago it was said
  bool status = false;               // the status document is out of date
  bool status_at_once = false;       // ... and an operator waits for it
};

// Not thread-safe; lives on the watcher thread. All pointers outlive it.
class ClusterWatcher : private FeedOwner {
 public:
  // Gives what the credential files say when that has changed; never waits.
  using NewCredentials =
      std::function<std::optional<absl::StatusOr<Credentials>>()>;

  // `view` is what is held from before, and is kept up to date. Without
  // `new_credentials` those of the configuration are used as they are.
  ClusterWatcher(const WatcherConfig& config, uint32_t cluster,
                 ClusterView* view, const Clock* clock, ChangeLog* log,
                 const ReflectorFactory& create_reflector,
                 NewCredentials new_credentials = nullptr);

  void Start();
  // Before the transport delivers, and when DeadlineMs() has come.
  void Tick();
  int64_t DeadlineMs() const;

  ClusterChanges TakeChanges();
  // Every source was listed since Start().
  bool synced() const;
  ClusterStatus Status() const;

 private:
  const ClusterConfig& config() const override { return config_; }
  const ClusterView& view() const override { return *view_; }
  const Credentials* credentials() override { return &credentials_; }
  std::string ApiBase() override;
  void OnApiFailure(const std::string& base) override;
  void OnPods(const std::string& source, uint64_t pods) override;
  void OnNodes(std::vector<IngressNode> nodes) override;
  void OnStillTrue(const Subscription::Want& want, bool nodes) override;
  void OnStatusChanged(bool at_once) override;
  void OnLog(LogLine::Level level, std::string_view text) override;

  void TakeCredentials();
  void OnCredentialsError(const absl::Status& error);
  int64_t ObservedMs() const;
  std::string OldViewText() const;

  const ClusterConfig& config_;
  ClusterView* view_;
  const Clock* clock_;
  ChangeLog* log_;
  size_t api_ = 0;  // index into config_.api
  int64_t old_view_due_ms_ = kNever;  // when an old view is to be told of
  NewCredentials new_credentials_;
  Credentials credentials_;        // the last good ones
  bool started_ = false;           // there are some
  std::string credentials_error_;  // of those that are not used; "" when well
  ClusterChanges changes_;
  std::vector<std::unique_ptr<Feed>> feeds_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CLUSTER_WATCHER_H_

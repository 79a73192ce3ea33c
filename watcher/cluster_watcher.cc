// See cluster_watcher.h.

#include "watcher/cluster_watcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/subscriptions.h"

namespace dynweight {

ClusterWatcher::ClusterWatcher(const WatcherConfig& config, uint32_t cluster,
                               ClusterView* view, const Clock* clock,
                               ChangeLog* log,
                               const ReflectorFactory& create_reflector)
    : config_(config.clusters[cluster]), view_(view), clock_(clock), log_(log) {
  if (config_.api.empty()) return;  // fixed addresses and no line
  for (Subscription& subscription : PlanSubscriptions(config, cluster)) {
    FeedOwner* owner = this;
    feeds_.push_back(std::make_unique<Feed>(std::move(subscription), owner,
                                            clock, create_reflector));
  }
}

void ClusterWatcher::Start() {
  for (const auto& feed : feeds_) feed->Start();
  OnStatusChanged(/*at_once=*/true);
}

void ClusterWatcher::Tick() {
  for (const auto& feed : feeds_) feed->Tick();
}

int64_t ClusterWatcher::DeadlineMs() const {
  int64_t deadline = kNever;
  for (const auto& feed : feeds_) {
    deadline = std::min(deadline, feed->DeadlineMs());
  }
  return deadline;
}

ClusterChanges ClusterWatcher::TakeChanges() {
  return std::exchange(changes_, {});
}

bool ClusterWatcher::synced() const {
  return std::all_of(feeds_.begin(), feeds_.end(),
                     [](const auto& feed) { return feed->listed(); });
}

ClusterStatus ClusterWatcher::Status() const {
  ClusterStatus status;
  if (!config_.api.empty()) status.api = config_.api[api_];
  status.mode = config_.mode == ClusterConfig::Mode::kWatch ? "watch" : "poll";
  status.synced = synced();
  bool first = true;
  for (const auto& feed : feeds_) {
    const SourceHealth& health = feed->health();
    // The cluster is known as well as the worst of its sources.
    status.last_success_ms =
        first ? health.last_success_ms()
              : std::min(status.last_success_ms, health.last_success_ms());
    first = false;
    if (health.failing()) {
      if (health.last_error_ms() >= status.last_error_ms) {
        status.last_error = health.last_error();
      }
      status.failing_since_ms =
          status.failing_since_ms == 0
              ? health.failing_since_ms()
              : std::min(status.failing_since_ms, health.failing_since_ms());
    }
    status.last_error_ms =
        std::max(status.last_error_ms, health.last_error_ms());
    const ReflectorStats& stats = feed->stats();
    status.requests += stats.requests;
    status.lists += stats.lists;
    status.watches += stats.watches;
    status.events += stats.events;
    status.relists += stats.relists;
    status.failures += stats.failures;
    status.bytes += stats.bytes;
    status.rejected += stats.rejected + feed->held_back();
    status.held_back += feed->held_back();
    status.resource_versions[feed->name()] = stats.resource_version;
  }
  return status;
}

std::string ClusterWatcher::ApiBase() { return config_.api[api_]; }

void ClusterWatcher::OnApiFailure(const std::string& base) {
  // All feeds find the same server dead; only the first turns to the next.
  if (base != config_.api[api_]) return;
  api_ = (api_ + 1) % config_.api.size();
}

void ClusterWatcher::OnPods(const std::string& source, uint64_t pods) {
  const auto [it, first] = view_->pods.try_emplace(source);
  if (first || it->second.pods != pods) changes_.sources.push_back(source);
  it->second = PodCount{pods, clock_->UnixMs()};
  changes_.observed = true;
}

void ClusterWatcher::OnNodes(std::vector<IngressNode> nodes) {
  if (!view_->nodes || view_->nodes->provisional ||
      view_->nodes->nodes != nodes) {
    changes_.nodes = true;
  }
  view_->node_source = config_.nodes.Key();
  view_->nodes = NodeSet{std::move(nodes), clock_->UnixMs(), false, 0};
  changes_.observed = true;
}

void ClusterWatcher::OnStillTrue(const Subscription::Want& want, bool nodes) {
  const int64_t now = clock_->UnixMs();
  if (nodes) {
    if (view_->nodes && !view_->nodes->provisional) {
      view_->nodes->observed_ms = now;
    }
  } else {
    const auto it = view_->pods.find(want.pod_source);
    if (it != view_->pods.end()) it->second.observed_ms = now;
  }
  changes_.observed = true;
}

void ClusterWatcher::OnStatusChanged(bool at_once) {
  changes_.status = true;
  changes_.status_at_once |= at_once;
}

void ClusterWatcher::OnLog(LogLine::Level level, std::string_view text) {
  log_->Add(level,
            absl::StrCat("cluster \"", config_.name,
                         "\": ", absl::string_view(text.data(), text.size())),
            clock_->MonotonicMs());
}

}  // namespace dynweight

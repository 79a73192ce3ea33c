// See cluster_watcher.h.

#include "watcher/cluster_watcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/subscriptions.h"

namespace dynweight {
namespace {

// What is held from before is told of when it is older.
constexpr int64_t kOldViewMs = 3600000;
// How often it is looked whether there are credentials by now; it is told of,
// too.
constexpr int64_t kLookMs = 500;

}  // namespace

ClusterWatcher::ClusterWatcher(const WatcherConfig& config, uint32_t cluster,
                               ClusterView* view, const Clock* clock,
                               ChangeLog* log,
                               const ReflectorFactory& create_reflector,
                               NewCredentials new_credentials)
    : config_(config.clusters[cluster]),
      view_(view),
      clock_(clock),
      log_(log),
      new_credentials_(std::move(new_credentials)),
      credentials_(config_.credentials) {
  if (config_.api.empty()) return;  // fixed addresses and no line
  for (Subscription& subscription : PlanSubscriptions(config, cluster)) {
    FeedOwner* owner = this;
    feeds_.push_back(std::make_unique<Feed>(std::move(subscription), owner,
                                            clock, create_reflector));
  }
}

void ClusterWatcher::Start() {
  if (new_credentials_ == nullptr) {
    started_ = true;
    for (const auto& feed : feeds_) feed->Start();
  }
  old_view_due_ms_ = clock_->MonotonicMs() + 2 * config_.timeout_ms;
  OnStatusChanged(/*at_once=*/true);
}

void ClusterWatcher::Tick() {
  TakeCredentials();
  if (started_) {
    for (const auto& feed : feeds_) feed->Tick();
  }
  if (clock_->MonotonicMs() < old_view_due_ms_) return;
  old_view_due_ms_ = kNever;
  const std::string old = OldViewText();
  if (!old.empty()) OnLog(LogLine::Level::kWarn, old);
}

void ClusterWatcher::TakeCredentials() {
  if (new_credentials_ == nullptr) return;
  std::optional<absl::StatusOr<Credentials>> fresh = new_credentials_();
  if (!fresh) return;
  if (!fresh->ok()) return OnCredentialsError(fresh->status());
  credentials_ = **std::move(fresh);
  if (!std::exchange(credentials_error_, std::string()).empty() && started_) {
    OnLog(LogLine::Level::kNotice, "credentials can be read again");
  }
  OnStatusChanged(/*at_once=*/true);
  if (std::exchange(started_, true)) return;
  for (const auto& feed : feeds_) feed->Start();
}

// The last good ones stay in use: what they say may be just being written.
void ClusterWatcher::OnCredentialsError(const absl::Status& error) {
  const std::string text(error.message());
  if (text == credentials_error_) return;
  credentials_error_ = text;
  if (!started_) {
    for (const auto& feed : feeds_) feed->Fail(error);
    return;
  }
  OnLog(LogLine::Level::kWarn,
        absl::StrCat("credentials: ", text,
                     "; the last good ones stay in use"));
  OnStatusChanged(/*at_once=*/true);
}

// When the oldest part of what is in force was said; 0: nothing is known.
int64_t ClusterWatcher::ObservedMs() const {
  int64_t oldest = kNever;
  const bool fixed = config_.nodes.kind == NodeSource::Kind::kAddresses;
  if (view_->nodes && !fixed) oldest = view_->nodes->observed_ms;
  for (const auto& [source, count] : view_->pods) {
    oldest = std::min(oldest, count.observed_ms);
  }
  return oldest == kNever ? 0 : std::max<int64_t>(oldest, 0);
}

// The warning that weights come from a former run and are old; else "".
std::string ClusterWatcher::OldViewText() const {
  const int64_t observed = ObservedMs();
  const int64_t age_ms = clock_->UnixMs() - observed;
  if (observed == 0 || synced() || age_ms < kOldViewMs) return std::string();
  return absl::StrCat(
      "weights hold at what a former run was told ", age_ms / 3600000,
      " h ago: the API has not answered in full since this one began");
}

int64_t ClusterWatcher::DeadlineMs() const {
  if (!started_) return clock_->MonotonicMs() + kLookMs;
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
  status.observed_ms = ObservedMs();
  std::string old = OldViewText();
  if (!old.empty()) status.warnings.push_back(std::move(old));
  if (started_ && !credentials_error_.empty()) {
    status.warnings.push_back(
        absl::StrCat("credentials: ", credentials_error_));
  }
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
    for (std::string& warning : feed->Warnings()) {
      status.warnings.push_back(std::move(warning));
    }
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

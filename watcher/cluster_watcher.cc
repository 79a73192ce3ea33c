// See cluster_watcher.h.

#include "watcher/cluster_watcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

// What is held from before is told of when it is older.
constexpr int64_t kOldViewMs = 3600000;
// How often it is looked whether there are credentials by now; it is told of,
// too.
constexpr int64_t kLookMs = 500;
// Most namespaces that a refused whole is followed by: each takes a connection.
constexpr size_t kMaxSplitNamespaces = 64;

}  // namespace

ClusterWatcher::ClusterWatcher(const WatcherConfig& config, uint32_t cluster,
                               const std::vector<DiscoveryMaker>& sources,
                               ClusterView* view, const Clock* clock,
                               LogQueue* log, NewCredentials new_credentials,
                               std::function<double()> random)
    : config_(config.clusters[cluster]),
      view_(view),
      clock_(clock),
      log_(log),
      new_credentials_(std::move(new_credentials)),
      credentials_(config_.credentials),
      random_(std::move(random)),
      servers_(config_.api.size()) {
  FindGates(config, cluster);
  if (config_.api.empty()) return;  // fixed addresses and no line
  api_ = OneOf(servers_.size());
  for (const DiscoveryMaker& source : sources) {
    InformerDelegate* owner = this;
    informers_.push_back(std::make_unique<Informer>(source, owner, clock));
  }
}

void ClusterWatcher::FindGates(const WatcherConfig& config, uint32_t cluster) {
  std::set<std::string> open;
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster) continue;
    if (line.ingress.empty()) {
      open.insert(line.source);
    } else {
      gates_[line.source].insert(line.ingress);
    }
  }
  for (const std::string& source : open) gates_.erase(source);
}

bool ClusterWatcher::IsClosed(const std::string& source) const {
  const auto gates = gates_.find(source);
  if (gates == gates_.end()) return false;
  return std::all_of(gates->second.begin(), gates->second.end(),
                     [this](const std::string& ingress) {
                       const auto it = view_->pods.find(ingress);
                       return it != view_->pods.end() && it->second.pods == 0;
                     });
}

void ClusterWatcher::Start() {
  if (new_credentials_ == nullptr) {
    started_ = true;
    for (const auto& informer : informers_) informer->Start();
  }
  old_view_due_ms_ = clock_->MonotonicMs() + 2 * config_.timeout_ms;
  OnStatusChanged(/*at_once=*/true);
}

void ClusterWatcher::Tick() {
  TakeCredentials();
  if (started_) {
    SplitRefused();
    if (std::exchange(ingress_gone_, false)) {
      for (const auto& informer : informers_) informer->LookAtClosed();
    }
    for (const auto& informer : informers_) informer->Tick();
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
  for (const auto& informer : informers_) informer->Start();
}

// The last good ones stay in use: what they say may be just being written.
void ClusterWatcher::OnCredentialsError(const absl::Status& error) {
  const std::string text(error.message());
  if (text == credentials_error_) return;
  credentials_error_ = text;
  if (!started_) {
    for (const auto& informer : informers_) informer->Fail(error);
    return;
  }
  OnLog(
      LogLine::Level::kWarn,
      absl::StrCat("credentials: ", text, "; the last good ones stay in use"));
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
  for (const auto& [source, set] : view_->instances) {
    oldest = std::min(oldest, set.observed_ms);
  }
  return oldest == kNever ? 0 : std::max<int64_t>(oldest, 0);
}

// The warning that weights come from a previous run and are old; else "".
std::string ClusterWatcher::OldViewText() const {
  const int64_t observed = ObservedMs();
  const int64_t age_ms = clock_->UnixMs() - observed;
  if (observed == 0 || synced() || age_ms < kOldViewMs) return std::string();
  return absl::StrCat(
      "weights hold at what a previous run knew ", age_ms / 3600000,
      " h ago: the API has not answered in full since this one began");
}

// What the server refuses for the whole cluster, or what is too much, it may
// give by namespace; and then one namespace's refusal is its own.
void ClusterWatcher::SplitRefused() {
  std::vector<std::unique_ptr<Informer>> parts;
  for (auto informer = informers_.begin(); informer != informers_.end();) {
    std::vector<DiscoveryMaker> split;
    if ((*informer)->refused()) split = (*informer)->Split();
    if (split.empty() || split.size() > kMaxSplitNamespaces) {
      ++informer;
      continue;
    }
    OnLog(LogLine::Level::kNotice,
          absl::StrCat((*informer)->name(), " is refused: each of ",
                       split.size(), " namespaces is asked for its own"));
    Count(**informer, &ended_);
    for (const DiscoveryMaker& source : split) {
      InformerDelegate* owner = this;
      parts.push_back(std::make_unique<Informer>(source, owner, clock_));
    }
    informer = informers_.erase(informer);
  }
  for (std::unique_ptr<Informer>& part : parts) {
    part->Start();
    informers_.push_back(std::move(part));
    OnStatusChanged(/*at_once=*/true);
  }
}

int64_t ClusterWatcher::DeadlineMs() const {
  if (!started_) return clock_->MonotonicMs() + kLookMs;
  if (ingress_gone_) return clock_->MonotonicMs();
  int64_t deadline = kNever;
  for (const auto& informer : informers_) {
    deadline = std::min(deadline, informer->DeadlineMs());
  }
  return deadline;
}

ClusterChanges ClusterWatcher::TakeChanges() {
  return std::exchange(changes_, {});
}

bool ClusterWatcher::synced() const {
  return std::all_of(informers_.begin(), informers_.end(),
                     [](const auto& informer) { return informer->listed(); });
}

bool ClusterWatcher::rest_is_refused() const {
  bool any_listed = false;
  for (const auto& informer : informers_) {
    if (!informer->listed() && !informer->refused()) return false;
    any_listed |= informer->listed();
  }
  return any_listed;
}

void ClusterWatcher::Count(const Informer& informer,
                           ClusterStatus* status) const {
  const DiscoveryStats& stats = informer.stats();
  status->requests += stats.requests;
  status->lists += stats.lists;
  status->watches += stats.watches;
  status->events += stats.events;
  status->relists += stats.relists;
  status->failures += stats.failures;
  status->bytes += stats.bytes;
  status->rejected += stats.rejected + informer.held_back();
  status->held_back += informer.held_back();
}

ClusterStatus ClusterWatcher::Status() const {
  ClusterStatus status = ended_;
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
  for (const auto& informer : informers_) {
    const SourceHealth& health = informer->health();
    // The cluster is known as well as the worst of its sources.
    status.last_success_ms =
        first ? health.last_success_ms()
              : std::min(status.last_success_ms, health.last_success_ms());
    first = false;
    if (status.last_error.empty()) status.last_error = health.last_error();
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
    Count(*informer, &status);
    status.resource_versions[informer->name()] =
        informer->stats().resource_version;
    for (std::string& warning : informer->Warnings()) {
      status.warnings.push_back(std::move(warning));
    }
  }
  return status;
}

std::string ClusterWatcher::ApiBase() { return config_.api[api_]; }

void ClusterWatcher::OnApiFailure(const std::string& base) {
  // All informers find the same server dead; only the first turns to the next.
  if (base != config_.api[api_]) return;
  servers_[api_].failed_ms = clock_->MonotonicMs();
  TurnToAnother();
}

void ClusterWatcher::OnApiBusy(const std::string& base,
                               int64_t retry_after_ms) {
  if (base != config_.api[api_]) return;
  servers_[api_].busy_until_ms = clock_->MonotonicMs() + retry_after_ms;
  TurnToAnother();
}

size_t ClusterWatcher::OneOf(size_t n) const {
  return std::min(n - 1,
                  static_cast<size_t>(random_() * static_cast<double>(n)));
}

// To the one that has not failed for the longest time, by chance among those
// that never did, and to none that wants to be left alone.
void ClusterWatcher::TurnToAnother() {
  const int64_t now = clock_->MonotonicMs();
  std::vector<size_t> best;
  for (size_t i = 0; i < servers_.size(); ++i) {
    if (i == api_ || servers_[i].busy_until_ms > now) continue;
    if (!best.empty()) {
      if (servers_[i].failed_ms > servers_[best[0]].failed_ms) continue;
      if (servers_[i].failed_ms < servers_[best[0]].failed_ms) best.clear();
    }
    best.push_back(i);
  }
  if (!best.empty()) api_ = best[OneOf(best.size())];
}

void ClusterWatcher::OnPods(const std::string& source, uint64_t pods) {
  const auto [it, first] = view_->pods.try_emplace(source);
  if (first || it->second.pods != pods) changes_.sources.push_back(source);
  it->second = PodCount{pods, clock_->UnixMs()};
  ingress_gone_ |= pods == 0 && !gates_.empty();
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

void ClusterWatcher::OnInstances(const std::string& source, InstanceSet set) {
  const auto [it, first] = view_->instances.try_emplace(source);
  const InstanceSet& previous = it->second;
  if (first || previous.provisional || previous.none != set.none ||
      previous.instances != set.instances) {
    changes_.sources.push_back(source);
  }
  set.observed_ms = clock_->UnixMs();
  it->second = std::move(set);
  changes_.observed = true;
}

void ClusterWatcher::OnStillTrue(const Quantity& quantity) {
  const int64_t now = clock_->UnixMs();
  if (quantity.kind == Quantity::Kind::kIngressNodes) {
    if (view_->nodes && !view_->nodes->provisional) {
      view_->nodes->observed_ms = now;
    }
  } else if (quantity.kind == Quantity::Kind::kInstances) {
    const auto it = view_->instances.find(quantity.source);
    if (it != view_->instances.end() && !it->second.provisional) {
      it->second.observed_ms = now;
    }
  } else {
    const auto it = view_->pods.find(quantity.source);
    if (it != view_->pods.end()) it->second.observed_ms = now;
  }
  changes_.observed = true;
}

// One source's back-off is no reason for another to wait.
void ClusterWatcher::OnRecovered() {
  for (const auto& informer : informers_) informer->Retry();
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

// List + watch of one collection of one API server: time, and when to list.
// When to watch is in reflector_watch.cc, how in list_fetch.h and
// watch_stream.h.

#include "watcher/kubernetes/reflector_impl.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "watcher/kubernetes/reflector.h"
#include "watcher/kubernetes/resource_version.h"

namespace dynweight {
namespace reflector_internal {

ReflectorImpl::ReflectorImpl(ReflectorOptions options, HttpTransport* transport,
                             ObjectSink* sink, DiscoveryDelegate* delegate,
                             std::function<double()> random)
    : options_(std::move(options)),
      collections_(options_.fallbacks),
      sink_(sink),
      delegate_(delegate),
      random_(std::move(random)),
      backoff_(options_.watch
                   ? kWatchBackoffCapMs
                   : std::max(options_.interval_ms, kPollBackoffCapMs),
               random_),
      list_(options_, transport, sink, &stats_,
            [this](const ListFetchResult& result) { OnList(result); }),
      watch_(
          options_, transport, sink, &stats_, [this] { OnWatchOpen(); },
          [this](bool bookmark, std::string_view line) {
            OnWatchEvent(bookmark, line);
          },
          [this](const WatchEnd& end) { OnWatchEnd(end); }) {
  collections_.insert(
      collections_.begin(),
      {options_.path, options_.label_selector, options_.field_selector});
}

// ---- time

void ReflectorImpl::Start(int64_t now_ms) {
  list_at_ = now_ms;
  Tick(now_ms);
}

int64_t ReflectorImpl::Deadline() const {
  const int64_t deadline = std::min({watch_at_, settled_at_, NextListMs()});
  if (!watch_.active()) return deadline;
  return std::min({deadline, WatchUnheardMs(), WatchProvenMs()});
}

void ReflectorImpl::Tick(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  if (watch_.active() && now_ms_ >= WatchUnheardMs()) EndUnheardWatch();
  if (now_ms_ >= WatchProvenMs()) {
    watch_proven_ = true;
    watch_failing_ = false;
    useless_watches_ = 0;
    MaybeHealthy();
  }
  if (now_ms_ >= settled_at_) TellList();
  if (now_ms_ >= watch_at_) BeginWatch();
  if (now_ms_ >= NextListMs()) BeginList();
}

void ReflectorImpl::RequestFreshList(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  list_wanted_ = true;
  // Only noted, as the delegate may call this from within OnList() or
  // OnEvent().
  if (wanted_at_ != kNever) return;
  const auto jitter_ms =
      static_cast<int64_t>(static_cast<double>(options_.spread_ms) * random_());
  wanted_at_ = now_ms_ + jitter_ms;
  if (wanted_began_ms_ > -kNever) {
    wanted_at_ =
        std::max(now_ms_, wanted_began_ms_ + options_.spread_ms) + jitter_ms;
  }
}

void ReflectorImpl::Retry(int64_t now_ms) {
  if (!unanswered_) return;
  now_ms_ = std::max(now_ms_, now_ms);
  // Only noted, as a sibling calls this from within its own answer.
  if (list_at_ != kNever) list_at_ = std::min(list_at_, now_ms_);
  if (watch_at_ != kNever) watch_at_ = std::min(watch_at_, now_ms_);
}

void ReflectorImpl::WithdrawList() {
  list_wanted_ = list_answers_request_ = false;
  wanted_at_ = kNever;
}

int64_t ReflectorImpl::UpToTwice(int64_t ms) const {
  return ms + static_cast<int64_t>(static_cast<double>(ms) * random_());
}

// ---- list

int64_t ReflectorImpl::NextListMs() const {
  if (list_.active()) return kNever;
  // A server on which lists fail is not asked sooner.
  if (list_failing_) return list_at_;
  int64_t next = std::min({list_at_, wanted_at_, periodic_at_});
  if (!options_.watch || list_of_ms_ < 0) return next;
  next = std::min({next, doubt_at_, heard_ms_ + quiet_ms_});
  if (buffered_) {
    next = std::min(next, list_ended_ms_ + options_.interval_ms);
  } else if (watch_.active() && !watch_.established()) {
    // Until it is answered nothing else tells of changes.
    next = std::min(next,
                    std::max(list_ended_ms_, watch_began_ms_) +
                        std::max(kShortWatchMs, std::min(options_.interval_ms,
                                                         options_.timeout_ms)));
  }
  return next;
}

// See ListQuery.
std::optional<std::string> ReflectorImpl::ListVersion() const {
  if (version_refused_ || version_suspect_) return std::nullopt;
  return version_.empty() ? "0" : version_;
}

void ReflectorImpl::BeginList() {
  if (periodic_at_ == kNever) periodic_at_ = now_ms_ + UpToTwice(kPeriodicMs);
  if (now_ms_ >= periodic_at_) {
    periodic_at_ = now_ms_ + UpToTwice(kPeriodicMs);
    // The cluster may have been upgraded.
    if (at_ > 0) watch_.Cancel();
    at_ = absent_ = 0;
  }
  if (list_wanted_) wanted_began_ms_ = now_ms_;
  list_at_ = wanted_at_ = doubt_at_ = kNever;
  list_began_ms_ = now_ms_;
  list_answers_request_ = std::exchange(list_wanted_, false);
  list_floor_ = version_;
  since_list_.Begin();
  list_.Begin(delegate_->ApiBase(), delegate_->credentials(), collection(),
              ListVersion());
}

void ReflectorImpl::OnList(const ListFetchResult& result) {
  if (!result.error.ok()) return FailList(result);
  const bool older =
      CompareResourceVersions(result.resource_version, list_floor_)
          .value_or(0) < 0;
  if (older && result.asked_version.has_value()) {
    // Not what was asked for: an older copy that something between has kept.
    sink_->BeginList();
    ++stats_.rejected;
    ListFetchResult failure = result;
    failure.error = RequestError(
        Verb::kList, list_.base(), *collection(),
        absl::UnavailableError("the answer is older than what was asked for; "
                               "does something between keep answers?"));
    failure.version_suspect = true;
    return FailList(failure);
  }
  CommitList(result);
}

// A list of what is newest is older than what was seen: the cluster was
// restored from a copy.
bool ReflectorImpl::WentBack(const ListFetchResult& list) const {
  return CompareResourceVersions(list.resource_version, list_floor_)
             .value_or(0) < 0;
}

// Makes what was committed as new as what was in force. False: that can't be
// done, or not be known.
bool ReflectorImpl::BringUpToDate(const ListFetchResult& list) {
  const std::optional<int> order =
      CompareResourceVersions(list.resource_version, version_);
  if (!order.has_value() || WentBack(list) || !since_list_.complete()) {
    return false;
  }
  for (const std::string& line : since_list_.Take()) {
    if (!watch_.ApplyAgain(line, list.resource_version).ok()) return false;
  }
  watch_.SkipUntil(list.resource_version);
  if (*order > 0) version_ = list.resource_version;
  return true;
}

void ReflectorImpl::CommitList(const ListFetchResult& list) {
  sink_->CommitList();
  const bool first = list_of_ms_ < 0;
  const bool up_to_date = BringUpToDate(list);
  if (!up_to_date) {
    // A watch from the list's version brings the rest.
    if (since_list_.any() && !WentBack(list)) settled_at_ = now_ms_ + kSettleMs;
    version_ = list.resource_version;
    watch_.SkipUntil("");
    watch_.Cancel();
  }
  since_list_.Begin();
  version_refused_ = version_suspect_ = list_failing_ = unanswered_ = false;
  versioned_failures_ = 0;
  absent_ = 0;
  stats_.resource_version = version_;
  if (stats_.lists++ > 0) ++stats_.relists;
  heard_ms_ = list_ended_ms_ = now_ms_;
  list_of_ms_ = list_began_ms_;
  quiet_ms_ = UpToTwice(kQuietMs);
  server_failed_ = false;
  asked_ms_.reset();
  if (list.asked_version != "0") asked_ms_ = list_began_ms_;
  GoOnAfterList();
  if (first) settled_at_ = kNever;
  if (settled_at_ == kNever) TellList();
  MaybeHealthy();
}

void ReflectorImpl::GoOnAfterList() {
  if (!options_.watch) {
    list_at_ = now_ms_ + options_.interval_ms;
    return;
  }
  if (watch_.active() || buffered_) return;
  watch_at_ = std::max(now_ms_, watch_not_before_ms_);
  if (watch_at_ == now_ms_) BeginWatch();
}

// The delegate may call RequestFreshList().
void ReflectorImpl::TellList() {
  settled_at_ = kNever;
  delegate_->OnList(std::exchange(asked_ms_, std::nullopt));
}

// Goes on to where the objects may be instead; false: they are nowhere.
bool ReflectorImpl::TryFallback() {
  absent_ |= uint64_t{1} << at_;
  for (size_t i = 0; i < collections_.size(); ++i) {
    if ((absent_ >> i & 1) != 0) continue;
    at_ = i;
    watch_.Cancel();
    return true;
  }
  at_ = absent_ = 0;
  return false;
}

// Whether the next list does without the version. A server that answers nothing
// but errors is not to be read by a quorum for that, unless it goes on and on.
void ReflectorImpl::SuspectVersion(const ListFetchResult& list) {
  version_refused_ |= list.version_refused;
  version_suspect_ = list.version_suspect;
  const bool versioned = list.asked_version.value_or("0") != "0";
  if (!versioned) versioned_failures_ = 0;
  if (versioned && list.http_status >= 500 &&
      ++versioned_failures_ >= kVersionedFailures) {
    versioned_failures_ = 0;
    version_suspect_ = true;
  }
}

void ReflectorImpl::FailList(const ListFetchResult& list) {
  list_wanted_ |= list_answers_request_;
  list_failing_ = true;
  unanswered_ = list.server_failed && list.retry_after_ms < 0;
  SuspectVersion(list);
  if (list.absent) {
    if (at_ == 0) absent_error_ = list.error;
    if (TryFallback()) {
      list_at_ = now_ms_;
      return;
    }
  }
  // Where the last place refuses, the first may be there by now.
  if (list.http_status != 0 && at_ > 0) at_ = absent_ = 0;
  if (list.retry_after_ms >= 0) {
    delegate_->OnApiBusy(list_.base(), list.retry_after_ms);
  }
  if (list.server_failed) delegate_->OnApiFailure(list_.base());
  int64_t wait_ms = list.http_status == 429
                        ? BusyWaitMs(list_.base(), list.retry_after_ms)
                        : FailureWaitMs(list_.base(), list.retry_after_ms);
  // Another server, if the delegate has turned to one, is asked without waiting
  // for the interval.
  if (!options_.watch && delegate_->ApiBase() == list_.base()) {
    wait_ms = std::max(wait_ms, options_.interval_ms);
  }
  if (unanswered_ && delegate_->Awaited()) {
    wait_ms = std::min(wait_ms, UpToTwice(kAwaitedCapMs));
  }
  list_at_ = now_ms_ + wait_ms;
  ReportFailure(list.absent ? absent_error_ : list.error);
}

}  // namespace reflector_internal

std::unique_ptr<Reflector> Reflector::Create(ReflectorOptions options,
                                             HttpTransport* transport,
                                             ObjectSink* sink,
                                             DiscoveryDelegate* delegate,
                                             std::function<double()> random) {
  return std::make_unique<reflector_internal::ReflectorImpl>(
      std::move(options), transport, sink, delegate, std::move(random));
}

}  // namespace dynweight

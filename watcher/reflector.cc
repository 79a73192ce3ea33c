// List + watch of one collection of one API server: when to list, when to
// watch. How is in list_fetch.h and watch_stream.h.

#include "watcher/reflector.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/backoff.h"
#include "watcher/events_since_list.h"
#include "watcher/list_fetch.h"
#include "watcher/list_watch_request.h"
#include "watcher/resource_version.h"
#include "watcher/watch_stream.h"

namespace dynweight {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kWatchBackoffCapMs = 30000;
constexpr int64_t kPollBackoffCapMs = 5000;  // or the interval if longer
constexpr int64_t kMaxRetryAfterMs = 300000;
// An API server may send a bookmark every minute, but need not: a watch that
// is silent for so long is renewed, lest something between has dropped it.
constexpr int64_t kSilenceMs = 150000;
// A watch that ends sooner was no watch.
constexpr int64_t kShortWatchMs = 1000;
// So many watches in a row that gave nothing, and a list tells what is wrong.
constexpr int kUselessWatches = 3;
// So many lists in a row that a version can't be told to be innocent of.
constexpr int kVersionedFailures = 3;
// A quiet watch counts as healthy when it lasted this long.
constexpr int64_t kProvenMs = 5000;
// Each of these up to twice as long by chance. The first is longer than a
// bookmark of a server that sends them takes.
constexpr int64_t kDoubtMs = 75000;
constexpr int64_t kQuietMs = 900000;
constexpr int64_t kPeriodicMs = 3600000;
constexpr int kMinWatchSeconds = 300;
constexpr int kMaxWatchSeconds = 600;
// How often a watch is tried again where watches are buffered.
constexpr int64_t kFirstBufferedMs = 30000;
constexpr int64_t kMaxBufferedMs = 600000;
// As DropGuard::kSettleMs: longer than what a list was behind takes to come.
constexpr int64_t kSettleMs = 1500;
class ReflectorImpl final : public Reflector {
 public:
  ReflectorImpl(ReflectorOptions options, HttpTransport* transport,
                ObjectSink* sink, ReflectorHost* host,
                std::function<double()> random);

  void Start(int64_t now_ms) override;
  int64_t Deadline() const override;
  void Tick(int64_t now_ms) override;
  void RequestConsistentList(int64_t now_ms) override;
  const ReflectorStats& stats() const override { return stats_; }

 private:
  int64_t NextListMs() const;
  std::optional<std::string> ListVersion() const;
  void BeginList();
  void OnList(const ListFetchResult& result);
  void CommitList(const ListFetchResult& list);
  bool WentBack(const ListFetchResult& list) const;
  bool BringUpToDate(const ListFetchResult& list);
  void GoOnAfterList();
  void TellList();
  void FailList(const ListFetchResult& list);
  void SuspectVersion(const ListFetchResult& list);
  bool TryFallback();

  void BeginWatch();
  void OnWatchOpen();
  void OnWatchEvent(bool bookmark, std::string_view line);
  // When the watch has been silent for too long.
  int64_t WatchUnheardMs() const;
  void EndUnheardWatch();
  void SetBuffered();
  void OnWatchEnd(const WatchEnd& end);
  void OnShortWatch(const absl::Status& why);
  void OnWatchUnanswered(const absl::Status& error, int64_t retry_after_ms);
  void OnWatchRefused(const ApiRefusal& refusal, const absl::Status& error,
                      bool server_failed);
  void FailWatch(const absl::Status& error, int64_t wait_ms);
  void WatchIn(int64_t wait_ms);

  // The back-off after a failure of `base`, or what it asks for if longer and
  // it is the one to be asked again.
  int64_t FailureWaitMs(const std::string& base, int64_t retry_after_ms);
  int64_t UpToTwice(int64_t ms) const;
  const Collection* collection() const { return &collections_[at_]; }
  void RelistIn(int64_t wait_ms);
  void ReportFailure(const absl::Status& error);
  absl::Status WatchError(const absl::Status& error) const;
  void MaybeHealthy();

  const ReflectorOptions options_;
  std::vector<Collection> collections_;  // the path and its fallbacks
  ObjectSink* const sink_;
  ReflectorHost* const host_;
  const std::function<double()> random_;
  ReflectorStats stats_;
  Backoff backoff_;
  int64_t now_ms_ = 0;

  size_t at_ = 0;         // index into collections_
  uint64_t absent_ = 0;   // bits of those that were not there, this time
  absl::Status absent_error_;  // what the first of them said
  std::string version_;   // what was seen last
  bool version_refused_ = false;  // the server no longer or not yet has it
  bool version_suspect_ = false;  // the next list does without it
  int versioned_failures_ = 0;    // in a row, of lists with a version
  int64_t heard_ms_ = 0;          // the last event, bookmark or list

  bool list_wanted_ = false;           // RequestConsistentList()
  bool list_answers_request_ = false;  // the list under way began after it
  int64_t list_began_ms_ = 0;
  int64_t list_ended_ms_ = 0;       // committed
  int64_t list_of_ms_ = -1;         // when the one that is committed began
  std::string list_floor_;          // what was seen when it began
  int64_t wanted_at_ = kNever;      // when one that is wanted begins
  int64_t wanted_began_ms_ = -kNever;  // when the last of these began
  int64_t list_at_ = kNever;        // when another begins
  int64_t doubt_at_ = kNever;       // unless something is heard until then
  int64_t quiet_ms_ = kQuietMs;     // after heard_ms_
  int64_t periodic_at_ = kNever;
  bool list_failing_ = false;
  EventsSinceList since_list_;
  int64_t settled_at_ = kNever;  // when the committed list may be told
  std::optional<int64_t> asked_ms_;  // of the list that is to be told

  int64_t watch_at_ = kNever;        // when the next watch begins
  int64_t watch_not_before_ms_ = 0;  // as a 429 asked
  int64_t watch_began_ms_ = 0;
  int64_t watch_heard_ms_ = 0;  // the last event or bookmark
  uint64_t watch_heard_ = 0;    // events and bookmarks of this watch
  bool watch_proven_ = false;   // it has lasted
  bool watch_failing_ = false;
  int useless_watches_ = 0;  // in a row: short, or without an answer
  bool server_failed_ = false;  // since something was heard
  bool buffered_ = false;
  int64_t buffered_wait_ms_ = kFirstBufferedMs;

  ListFetch list_;
  WatchStream watch_;
};

ReflectorImpl::ReflectorImpl(ReflectorOptions options, HttpTransport* transport,
                             ObjectSink* sink, ReflectorHost* host,
                             std::function<double()> random)
    : options_(std::move(options)),
      collections_(options_.fallbacks),
      sink_(sink),
      host_(host),
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
  int64_t deadline = std::min({watch_at_, settled_at_, NextListMs()});
  if (!watch_.active()) return deadline;
  deadline = std::min(deadline, WatchUnheardMs());
  if (watch_.established() && !watch_proven_) {
    deadline = std::min(deadline, watch_began_ms_ + kProvenMs);
  }
  return deadline;
}

void ReflectorImpl::Tick(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  if (watch_.active() && now_ms_ >= WatchUnheardMs()) EndUnheardWatch();
  if (watch_.established() && !watch_proven_ &&
      now_ms_ >= watch_began_ms_ + kProvenMs) {
    watch_proven_ = true;
    watch_failing_ = false;
    useless_watches_ = 0;
    MaybeHealthy();
  }
  if (now_ms_ >= settled_at_) TellList();
  if (now_ms_ >= watch_at_) BeginWatch();
  if (now_ms_ >= NextListMs()) BeginList();
}

void ReflectorImpl::RequestConsistentList(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  list_wanted_ = true;
  // Only noted, as the host may call this from within OnList() or OnEvent().
  if (wanted_at_ != kNever) return;
  const auto jitter_ms = static_cast<int64_t>(
      static_cast<double>(options_.spread_ms) * random_());
  wanted_at_ = now_ms_ + jitter_ms;
  if (wanted_began_ms_ > -kNever) {
    wanted_at_ = std::max(now_ms_, wanted_began_ms_ + options_.spread_ms) +
                 jitter_ms;
  }
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
    next = std::min(next, std::max(list_ended_ms_, watch_began_ms_) +
                              std::max(kShortWatchMs,
                                       std::min(options_.interval_ms,
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
  list_.Begin(host_->ApiBase(), host_->credentials(), collection(),
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
  version_refused_ = version_suspect_ = list_failing_ = false;
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

// The host may call RequestConsistentList().
void ReflectorImpl::TellList() {
  settled_at_ = kNever;
  host_->OnList(std::exchange(asked_ms_, std::nullopt));
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
  SuspectVersion(list);
  if (list.http_status == 404) {
    if (at_ == 0) absent_error_ = list.error;
    if (TryFallback()) {
      list_at_ = now_ms_;
      return;
    }
  }
  // Where the last place refuses, the first may be there by now.
  if (list.http_status != 0 && at_ > 0) at_ = absent_ = 0;
  if (list.retry_after_ms >= 0) {
    host_->OnApiBusy(list_.base(), list.retry_after_ms);
  }
  if (list.server_failed) host_->OnApiFailure(list_.base());
  int64_t wait_ms = FailureWaitMs(list_.base(), list.retry_after_ms);
  // Another server, if the host has turned to one, is asked without waiting
  // for the interval.
  if (!options_.watch && host_->ApiBase() == list_.base()) {
    wait_ms = std::max(wait_ms, options_.interval_ms);
  }
  list_at_ = now_ms_ + wait_ms;
  ReportFailure(list.http_status == 404 ? absent_error_ : list.error);
}

// ---- watch

void ReflectorImpl::BeginWatch() {
  watch_at_ = kNever;
  watch_heard_ = 0;
  watch_proven_ = false;
  watch_began_ms_ = watch_heard_ms_ = now_ms_;
  const int seconds =
      kMinWatchSeconds +
      static_cast<int>((kMaxWatchSeconds - kMinWatchSeconds + 1) * random_());
  watch_.Begin(host_->ApiBase(), host_->credentials(), collection(), version_,
               seconds);
}

void ReflectorImpl::OnWatchOpen() {
  if (server_failed_ && doubt_at_ == kNever) {
    doubt_at_ = now_ms_ + UpToTwice(kDoubtMs);
  }
  if (std::exchange(buffered_, false)) {
    buffered_wait_ms_ = kFirstBufferedMs;
    host_->OnTrouble("");
  }
}

void ReflectorImpl::OnWatchEvent(bool bookmark, std::string_view line) {
  ++watch_heard_;
  heard_ms_ = watch_heard_ms_ = now_ms_;
  doubt_at_ = kNever;
  server_failed_ = watch_failing_ = false;
  useless_watches_ = 0;
  if (list_.active() && !bookmark) since_list_.Add(line);
  // A list may have been ahead.
  if (CompareResourceVersions(watch_.resource_version(), version_).value_or(1) >
      0) {
    version_ = watch_.resource_version();
  }
  stats_.resource_version = version_;
  if (!bookmark && settled_at_ == kNever) host_->OnEvent();
  MaybeHealthy();
}

int64_t ReflectorImpl::WatchUnheardMs() const {
  if (watch_.established()) return watch_heard_ms_ + kSilenceMs;
  // A list tells whether the server is to blame.
  if (list_.active() && list_began_ms_ > watch_began_ms_) return kNever;
  // The connection has its own timeout, before that of the answer.
  return watch_began_ms_ + 2 * options_.timeout_ms;
}

void ReflectorImpl::EndUnheardWatch() {
  if (watch_.established()) {
    if (!watch_.partial()) return BeginWatch();
    const absl::Status error = WatchError(absl::DeadlineExceededError(
        absl::StrCat("neither event nor bookmark for ", kSilenceMs / 1000,
                     " s, only a part of one; does something between hold "
                     "answers back?")));
    watch_.Cancel();
    return FailWatch(error, FailureWaitMs(watch_.base(), -1));
  }
  watch_.Cancel();
  if (list_of_ms_ > watch_began_ms_) return SetBuffered();
  host_->OnApiFailure(watch_.base());
  server_failed_ = true;
  FailWatch(WatchError(absl::DeadlineExceededError("no answer within timeout")),
            FailureWaitMs(watch_.base(), -1));
}

// Lists are answered and watches are not: something between waits for the end
// of an answer before it passes it on.
void ReflectorImpl::SetBuffered() {
  watch_failing_ = false;
  useless_watches_ = 0;
  watch_at_ = now_ms_ + UpToTwice(buffered_wait_ms_);
  buffered_wait_ms_ = std::min(2 * buffered_wait_ms_, kMaxBufferedMs);
  if (!std::exchange(buffered_, true)) {
    const absl::Status trouble = WatchError(absl::UnavailableError(absl::StrCat(
        "lists are answered and watches are not: something between buffers "
        "answers (in nginx: proxy_buffering off); followed by a list each ",
        options_.interval_ms, " ms meanwhile")));
    host_->OnTrouble(std::string(trouble.message()));
  }
  MaybeHealthy();
}

void ReflectorImpl::OnWatchEnd(const WatchEnd& end) {
  if (end.refusal.has_value()) {
    return OnWatchRefused(*end.refusal, end.error, end.server_failed);
  }
  if (end.rejected) {
    return FailWatch(end.error, FailureWaitMs(watch_.base(), -1));
  }
  if (!end.established) {
    if (!end.server_failed) {
      return FailWatch(end.error, FailureWaitMs(watch_.base(), -1));
    }
    host_->OnApiFailure(watch_.base());
    return OnWatchUnanswered(end.error, -1);
  }
  if (now_ms_ - watch_began_ms_ < kShortWatchMs) return OnShortWatch(end.error);
  useless_watches_ = 0;
  watch_failing_ = false;
  MaybeHealthy();
  BeginWatch();
}

// Goes on after a while, lest a server that ends every watch is stormed.
void ReflectorImpl::OnShortWatch(const absl::Status& why) {
  const int64_t wait_ms = FailureWaitMs(watch_.base(), -1);
  if (watch_heard_ > 0 || ++useless_watches_ < kUselessWatches) {
    return WatchIn(wait_ms);
  }
  const absl::Status short_watch = WatchError(absl::UnavailableError(
      "it ended at once without an event; does something between forbid long "
      "answers?"));
  FailWatch(why.ok() ? short_watch : why, wait_ms);
}

// The server may be back in a moment, and then a watch can go on where the last
// one ended, without a list.
void ReflectorImpl::OnWatchUnanswered(const absl::Status& error,
                                      int64_t retry_after_ms) {
  server_failed_ = true;
  const int64_t wait_ms = FailureWaitMs(watch_.base(), retry_after_ms);
  if (++useless_watches_ >= kUselessWatches) return FailWatch(error, wait_ms);
  watch_failing_ = true;
  WatchIn(wait_ms);
  ReportFailure(error);
}

void ReflectorImpl::OnWatchRefused(const ApiRefusal& refusal,
                                   const absl::Status& error,
                                   bool server_failed) {
  if (refusal.retry_after_ms >= 0 &&
      refusal.kind != ApiRefusal::Kind::kTooLarge) {
    host_->OnApiBusy(watch_.base(), refusal.retry_after_ms);
  }
  if (server_failed) {
    host_->OnApiFailure(watch_.base());
    return OnWatchUnanswered(error, refusal.retry_after_ms);
  }
  switch (refusal.kind) {
    case ApiRefusal::Kind::kTooLarge:
      version_refused_ = true;
      [[fallthrough]];
    case ApiRefusal::Kind::kExpired: {
      // The version is still good for a list: "not older than". In the ordinary
      // course of things; a failure only if it comes again before a watch has
      // gone well.
      const int64_t wait_ms = FailureWaitMs(watch_.base(), -1);
      if (watch_failing_) return FailWatch(error, wait_ms);
      watch_failing_ = true;
      return RelistIn(wait_ms);
    }
    case ApiRefusal::Kind::kBusy:
      watch_failing_ = true;
      WatchIn(FailureWaitMs(watch_.base(), refusal.retry_after_ms));
      watch_not_before_ms_ = watch_at_;
      return ReportFailure(error);
    case ApiRefusal::Kind::kOther: {
      const int64_t wait_ms =
          FailureWaitMs(watch_.base(), refusal.retry_after_ms);
      // The API may have changed under us: the list looks for it.
      if (refusal.code == 404 && collections_.size() > 1 && !watch_failing_) {
        watch_failing_ = true;
        return RelistIn(wait_ms);
      }
      return FailWatch(error, wait_ms);
    }
  }
}

// Lists again, also where a watch alone is refused: lists every half minute
// are better than nothing.
void ReflectorImpl::FailWatch(const absl::Status& error, int64_t wait_ms) {
  watch_failing_ = true;
  RelistIn(wait_ms);
  ReportFailure(error);
}

void ReflectorImpl::WatchIn(int64_t wait_ms) { watch_at_ = now_ms_ + wait_ms; }

void ReflectorImpl::RelistIn(int64_t wait_ms) {
  // A list that is under way, or waits for its own failure, serves as well: a
  // watch begins when it is committed.
  if (list_.active() || list_failing_) return;
  list_at_ = now_ms_ + wait_ms;
}

// ---- health

int64_t ReflectorImpl::FailureWaitMs(const std::string& base,
                                     int64_t retry_after_ms) {
  const int64_t wait_ms = backoff_.Failed(now_ms_);
  if (host_->ApiBase() != base) return wait_ms;
  return std::max(wait_ms, std::min(retry_after_ms, kMaxRetryAfterMs));
}

void ReflectorImpl::ReportFailure(const absl::Status& error) {
  ++stats_.failures;
  host_->OnError(error);
}

absl::Status ReflectorImpl::WatchError(const absl::Status& error) const {
  return RequestError(Verb::kWatch, watch_.base(), *collection(), error);
}

void ReflectorImpl::MaybeHealthy() {
  if (list_failing_ || watch_failing_) return;
  backoff_.Healthy(now_ms_);
  host_->OnHealthy();
}

}  // namespace

std::unique_ptr<Reflector> Reflector::Create(ReflectorOptions options,
                                             HttpTransport* transport,
                                             ObjectSink* sink,
                                             ReflectorHost* host,
                                             std::function<double()> random) {
  return std::make_unique<ReflectorImpl>(std::move(options), transport, sink,
                                         host, std::move(random));
}

}  // namespace dynweight

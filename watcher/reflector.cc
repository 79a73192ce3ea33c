// List + watch of one collection of one API server: when to list, when to
// watch. How is in list_fetch.h and watch_stream.h.

#include "watcher/reflector.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/backoff.h"
#include "watcher/list_fetch.h"
#include "watcher/list_watch_request.h"
#include "watcher/watch_stream.h"

namespace dynweight {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kWatchBackoffCapMs = 30000;
constexpr int64_t kPollBackoffCapMs = 5000;  // or the interval if longer
constexpr int64_t kMaxRetryAfterMs = 300000;
// An API server may send a bookmark every minute, but need not: a watch that
// is silent for so long is renewed, which tells whether it was cut off.
constexpr int64_t kSilenceMs = 150000;
// A watch that ends sooner was no watch.
constexpr int64_t kShortWatchMs = 1000;
// A quiet watch counts as healthy when it lasted this long.
constexpr int64_t kProvenMs = 5000;
constexpr int64_t kConsistentListMs = 600000;
constexpr int kMinWatchSeconds = 300;
constexpr int kMaxWatchSeconds = 600;

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
  void BeginList();
  void OnList(const ListFetchResult& result);
  void CommitList(const ListFetchResult& list);
  void FailList(const ListFetchResult& list);

  void BeginWatch();
  void OnWatchEvent(bool bookmark);
  // When the watch has been silent for too long.
  int64_t WatchUnheardMs() const;
  void EndUnheardWatch();
  void EndFailedWatch(const std::string& why);
  void OnWatchEnd(const WatchEnd& end);
  void OnWatchRefused(const ApiRefusal& refusal, const absl::Status& error);
  void FailWatch(const absl::Status& error, int64_t retry_after_ms);

  int64_t NextConsistentListMs() const;
  // The back-off after a failure, or what the server asks for if longer.
  int64_t FailureWaitMs(int64_t retry_after_ms);
  void RelistIn(int64_t wait_ms);
  void ReportFailure(const absl::Status& error);
  absl::Status WatchError(const absl::Status& error) const;
  void MaybeHealthy();

  const ReflectorOptions options_;
  ObjectSink* const sink_;
  ReflectorHost* const host_;
  const std::function<double()> random_;
  ReflectorStats stats_;
  Backoff backoff_;
  int64_t now_ms_ = 0;

  std::string version_;                // where the next watch or list goes on
  bool version_refused_ = false;       // the server no longer or not yet has it
  bool consistent_wanted_ = false;     // RequestConsistentList()
  bool list_answers_request_ = false;  // the list under way began after it
  int64_t list_began_ms_ = 0;
  int64_t list_at_ = kNever;        // when the next list begins
  int64_t consistent_at_ = kNever;  // when one is to be consistent again
  bool list_failing_ = false;

  int64_t watch_at_ = kNever;        // when the next watch begins
  int64_t watch_not_before_ms_ = 0;  // as a 429 asked
  int64_t watch_began_ms_ = 0;
  int64_t watch_heard_ms_ = 0;  // the last event or bookmark
  uint64_t watch_heard_ = 0;    // events and bookmarks of this watch
  bool watch_proven_ = false;   // it has lasted
  bool watch_renewed_ = false;  // after a silence, and nothing heard since
  bool watch_failing_ = false;

  ListFetch list_;
  WatchStream watch_;
};

ReflectorImpl::ReflectorImpl(ReflectorOptions options, HttpTransport* transport,
                             ObjectSink* sink, ReflectorHost* host,
                             std::function<double()> random)
    : options_(std::move(options)),
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
          options_, transport, sink, &stats_,
          [this](bool bookmark) { OnWatchEvent(bookmark); },
          [this](const WatchEnd& end) { OnWatchEnd(end); }) {}

// ---- time

void ReflectorImpl::Start(int64_t now_ms) {
  list_at_ = now_ms;
  Tick(now_ms);
}

int64_t ReflectorImpl::Deadline() const {
  int64_t deadline = watch_at_;
  if (!list_.active()) deadline = std::min(deadline, list_at_);
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
    MaybeHealthy();
  }
  if (now_ms_ >= watch_at_) BeginWatch();
  if (!list_.active() && now_ms_ >= list_at_) BeginList();
}

void ReflectorImpl::RequestConsistentList(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  consistent_wanted_ = true;
  // Only noted, as the host may call this from within OnList() or OnEvent().
  // A server on which lists fail is not asked sooner.
  if (!list_failing_) list_at_ = std::min(list_at_, now_ms_);
}

int64_t ReflectorImpl::NextConsistentListMs() const {
  return now_ms_ +
         static_cast<int64_t>(kConsistentListMs * (0.9 + 0.2 * random_()));
}

// ---- list

void ReflectorImpl::BeginList() {
  list_at_ = kNever;
  list_began_ms_ = now_ms_;
  if (consistent_at_ == kNever) consistent_at_ = NextConsistentListMs();
  list_answers_request_ = std::exchange(consistent_wanted_, false);
  const bool consistent = list_answers_request_ || version_refused_ ||
                          !options_.cached_first_list ||
                          now_ms_ >= consistent_at_;
  std::optional<std::string> version;
  if (!consistent) version = version_.empty() ? "0" : version_;
  list_.Begin(host_->ApiBase(), host_->credentials(), std::move(version));
}

void ReflectorImpl::OnList(const ListFetchResult& result) {
  if (result.error.ok()) {
    CommitList(result);
  } else {
    FailList(result);
  }
}

void ReflectorImpl::CommitList(const ListFetchResult& list) {
  sink_->CommitList();
  version_ = list.resource_version;
  version_refused_ = false;
  list_failing_ = false;
  watch_renewed_ = false;
  stats_.resource_version = version_;
  if (stats_.lists++ > 0) ++stats_.relists;
  if (list.consistent) consistent_at_ = NextConsistentListMs();

  if (consistent_wanted_) {
    list_at_ = now_ms_;
  } else if (options_.watch) {
    list_at_ = consistent_at_;
  } else {
    list_at_ = now_ms_ + options_.interval_ms;
  }
  if (options_.watch) {
    watch_.Cancel();
    watch_at_ = std::max(now_ms_, watch_not_before_ms_);
    if (watch_at_ == now_ms_) BeginWatch();
  }
  // Last, as the host may call RequestConsistentList().
  std::optional<int64_t> asked_ms;
  if (list.consistent) asked_ms = list_began_ms_;
  host_->OnList(asked_ms);
  MaybeHealthy();
}

void ReflectorImpl::FailList(const ListFetchResult& list) {
  consistent_wanted_ |= list_answers_request_;
  version_refused_ |= list.version_refused;
  list_failing_ = true;
  if (list.server_failed) host_->OnApiFailure(list_.base());
  int64_t wait_ms = FailureWaitMs(list.retry_after_ms);
  // Another server, if the host has turned to one, is asked without waiting
  // for the interval.
  if (!options_.watch && host_->ApiBase() == list_.base()) {
    wait_ms = std::max(wait_ms, options_.interval_ms);
  }
  list_at_ = now_ms_ + wait_ms;
  ReportFailure(list.error);
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
  watch_.Begin(host_->ApiBase(), host_->credentials(), version_, seconds);
}

void ReflectorImpl::OnWatchEvent(bool bookmark) {
  ++watch_heard_;
  watch_heard_ms_ = now_ms_;
  watch_renewed_ = false;
  version_ = watch_.resource_version();
  stats_.resource_version = version_;
  watch_failing_ = false;
  if (!bookmark) host_->OnEvent();
  MaybeHealthy();
}

int64_t ReflectorImpl::WatchUnheardMs() const {
  // The connection has its own timeout, before that of the answer.
  if (!watch_.established()) return watch_began_ms_ + 2 * options_.timeout_ms;
  return watch_heard_ms_ + kSilenceMs;
}

void ReflectorImpl::EndUnheardWatch() {
  if (!watch_.established()) {
    host_->OnApiFailure(watch_.base());
    return EndFailedWatch("no answer within timeout");
  }
  if (watch_.partial()) {
    return EndFailedWatch(
        absl::StrCat("neither event nor bookmark for ", kSilenceMs / 1000,
                     " s, only a part of one; does something between hold "
                     "answers back?"));
  }
  // Something between may have dropped the connection without a word: another
  // watch brings what was missed. A second silence is most likely the truth,
  // but a list tells for certain.
  if (!std::exchange(watch_renewed_, true)) return BeginWatch();
  watch_renewed_ = false;
  watch_heard_ms_ = consistent_at_ = now_ms_;
  RelistIn(0);
}

void ReflectorImpl::EndFailedWatch(const std::string& why) {
  watch_.Cancel();
  FailWatch(WatchError(absl::DeadlineExceededError(why)), -1);
}

void ReflectorImpl::OnWatchEnd(const WatchEnd& end) {
  if (end.server_failed) host_->OnApiFailure(watch_.base());
  if (end.refusal.has_value()) return OnWatchRefused(*end.refusal, end.error);
  if (!end.error.ok()) return FailWatch(end.error, -1);

  const bool was_short = now_ms_ - watch_began_ms_ < kShortWatchMs;
  if (was_short && watch_heard_ == 0) {
    return FailWatch(WatchError(absl::UnavailableError(
                         "it ended at once without an event; does something "
                         "between forbid long answers?")),
                     -1);
  }
  if (!was_short) {
    watch_failing_ = false;
    MaybeHealthy();
  }
  // A server that ends every watch after its first event is followed, but not
  // stormed.
  watch_at_ = now_ms_ + (was_short ? FailureWaitMs(-1) : 0);
  if (watch_at_ == now_ms_) BeginWatch();
}

void ReflectorImpl::OnWatchRefused(const ApiRefusal& refusal,
                                   const absl::Status& error) {
  switch (refusal.kind) {
    case ApiRefusal::Kind::kExpired:
    case ApiRefusal::Kind::kTooLarge:
      version_refused_ = true;
      if (watch_failing_) return FailWatch(error, refusal.retry_after_ms);
      // In the ordinary course of things; a failure only if it comes again
      // before a watch has gone well.
      watch_failing_ = true;
      return RelistIn(FailureWaitMs(-1));
    case ApiRefusal::Kind::kBusy:
      watch_failing_ = true;
      watch_at_ = now_ms_ + FailureWaitMs(refusal.retry_after_ms);
      watch_not_before_ms_ = watch_at_;
      return ReportFailure(error);
    case ApiRefusal::Kind::kOther:
      return FailWatch(error, refusal.retry_after_ms);
  }
}

// Lists again, also where a watch alone is refused: lists every half minute
// are better than nothing. And a server that was restored from a copy gives
// itself away on a list only.
void ReflectorImpl::FailWatch(const absl::Status& error,
                              int64_t retry_after_ms) {
  watch_failing_ = true;
  RelistIn(FailureWaitMs(retry_after_ms));
  ReportFailure(error);
}

void ReflectorImpl::RelistIn(int64_t wait_ms) {
  // A list that is under way, or waits for its own failure, serves as well: a
  // watch begins when it is committed.
  if (list_.active() || list_failing_) return;
  list_at_ = now_ms_ + wait_ms;
}

// ---- health

int64_t ReflectorImpl::FailureWaitMs(int64_t retry_after_ms) {
  return std::max(backoff_.Failed(now_ms_),
                  std::min(retry_after_ms, kMaxRetryAfterMs));
}

void ReflectorImpl::ReportFailure(const absl::Status& error) {
  ++stats_.failures;
  host_->OnError(error);
}

absl::Status ReflectorImpl::WatchError(const absl::Status& error) const {
  return RequestError(Verb::kWatch, watch_.base(),
                      Collection{options_.path, "", ""}, error);
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

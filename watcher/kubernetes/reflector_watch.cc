// List + watch of one collection of one API server: when to watch, and what the
// host is told of how it goes. See reflector.h.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/reflector_impl.h"
#include "watcher/kubernetes/resource_version.h"

namespace dynweight::reflector_internal {

// ---- watch

void ReflectorImpl::BeginWatch() {
  watch_at_ = kNever;
  watch_heard_ = 0;
  watch_proven_ = false;
  watch_began_ms_ = watch_heard_ms_ = now_ms_;
  const int seconds =
      kMinWatchSeconds +
      static_cast<int>((kMaxWatchSeconds - kMinWatchSeconds + 1) * random_());
  watch_.Begin(delegate_->ApiBase(), delegate_->credentials(), collection(),
               version_, seconds);
}

void ReflectorImpl::OnWatchOpen() {
  // Whatever is heard from now on: a server that was restored from a copy takes
  // versions past those that are known, and tells of nothing that is gone.
  if (std::exchange(server_failed_, false) && doubt_at_ == kNever) {
    doubt_at_ = now_ms_ + kDoubtMs / 2 + UpToTwice(kDoubtMs) / 2;
  }
  if (std::exchange(buffered_, false)) {
    buffered_wait_ms_ = kFirstBufferedMs;
    delegate_->OnTrouble("");
  }
}

void ReflectorImpl::OnWatchEvent(bool bookmark, std::string_view line) {
  ++watch_heard_;
  heard_ms_ = watch_heard_ms_ = now_ms_;
  watch_failing_ = false;
  useless_watches_ = silences_ = 0;
  if (list_.active() && !bookmark) since_list_.Add(line);
  // A list may have been ahead.
  if (CompareResourceVersions(watch_.resource_version(), version_).value_or(1) >
      0) {
    version_ = watch_.resource_version();
  }
  stats_.resource_version = version_;
  if (!bookmark && settled_at_ == kNever) delegate_->OnEvent();
  MaybeHealthy();
}

int64_t ReflectorImpl::WatchUnheardMs() const {
  if (watch_.established()) return watch_heard_ms_ + kSilenceMs;
  // A list tells whether the server is to blame.
  if (list_.active() && list_began_ms_ > watch_began_ms_) return kNever;
  // The connection has its own timeout, before that of the answer.
  return watch_began_ms_ + 2 * options_.timeout_ms;
}

// When a watch is well though it brings nothing. In the middle of an event it
// is not quiet: what comes of that tells how it is.
int64_t ReflectorImpl::WatchProvenMs() const {
  if (!watch_.established() || watch_proven_ || watch_.partial()) return kNever;
  return watch_began_ms_ + kProvenMs;
}

void ReflectorImpl::EndUnheardWatch() {
  if (watch_.established()) {
    if (!watch_.partial()) {
      // Another watch brings what was missed, if something has dropped this
      // one. If it is silent, too, that is most likely the truth: a list tells,
      // but not for ever at the same rate.
      ++silences_;
      if (silences_ >= 2 && (silences_ & (silences_ - 1)) == 0) RelistIn(0);
      return BeginWatch();
    }
    const absl::Status error = WatchError(absl::DeadlineExceededError(
        absl::StrCat("neither event nor bookmark for ", kSilenceMs / 1000,
                     " s, only a part of one; does something between hold "
                     "answers back?")));
    watch_.Cancel();
    return FailWatch(error, FailureWaitMs(watch_.base(), -1));
  }
  watch_.Cancel();
  if (list_of_ms_ > watch_began_ms_) return SetBuffered();
  delegate_->OnApiFailure(watch_.base());
  server_failed_ = unanswered_ = true;
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
    delegate_->OnTrouble(std::string(trouble.message()));
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
    delegate_->OnApiFailure(watch_.base());
    return OnWatchUnanswered(end.error, -1);
  }
  // An event that never comes through whole is none, however long it takes.
  if (now_ms_ - watch_began_ms_ < kShortWatchMs ||
      (end.in_event && watch_heard_ == 0)) {
    return OnShortWatch(end.error);
  }
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
  const absl::Status short_watch = WatchError(
      absl::UnavailableError("it ended immediately without an event; does "
                             "something between forbid long "
                             "answers?"));
  FailWatch(why.ok() ? short_watch : why, wait_ms);
}

// The server may be back in a moment, and then a watch can go on where the last
// one ended, without a list.
void ReflectorImpl::OnWatchUnanswered(const absl::Status& error,
                                      int64_t retry_after_ms) {
  server_failed_ = true;
  unanswered_ = retry_after_ms < 0;
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
    delegate_->OnApiBusy(watch_.base(), refusal.retry_after_ms);
  }
  if (server_failed) {
    delegate_->OnApiFailure(watch_.base());
    return OnWatchUnanswered(error, refusal.retry_after_ms);
  }
  unanswered_ = false;
  switch (refusal.kind) {
    case ApiRefusal::Kind::kTooLarge:
      version_refused_ = true;
      [[fallthrough]];
    case ApiRefusal::Kind::kExpired: {
      // The version is still good for a list: "not older than". In the ordinary
      // course of things; a failure only if it comes again before a watch has
      // gone well.
      if (watch_failing_) {
        return FailWatch(error, FailureWaitMs(watch_.base(), -1));
      }
      watch_failing_ = true;
      // However long failures before have made the back-off.
      return RelistIn(UpToTwice(Backoff::kFirstMs));
    }
    case ApiRefusal::Kind::kBusy:
      watch_failing_ = true;
      WatchIn(BusyWaitMs(watch_.base(), refusal.retry_after_ms));
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
  if (delegate_->ApiBase() != base) return wait_ms;
  return std::max(wait_ms, std::min(retry_after_ms, kMaxRetryAfterMs));
}

// After a 429. The server says when to come again, and is not overloaded by who
// does: as client-go, which asks ten times as the server wants it before it
// backs off (k8s.io/client-go/rest/request.go).
int64_t ReflectorImpl::BusyWaitMs(const std::string& base,
                                  int64_t retry_after_ms) {
  if (retry_after_ms < 0 || delegate_->ApiBase() != base ||
      ++busy_answers_ > kBusyAnswers) {
    return FailureWaitMs(base, retry_after_ms);
  }
  // "0" is no leave to ask without a pause.
  const int64_t wait_ms =
      std::clamp(retry_after_ms, Backoff::kFirstMs, kMaxRetryAfterMs);
  const int64_t jitter_ms = std::min(wait_ms, kBusyJitterMs);
  return wait_ms +
         static_cast<int64_t>(static_cast<double>(jitter_ms) * random_());
}

void ReflectorImpl::ReportFailure(const absl::Status& error) {
  ++stats_.failures;
  delegate_->OnError(error);
}

absl::Status ReflectorImpl::WatchError(const absl::Status& error) const {
  return RequestError(Verb::kWatch, watch_.base(), *collection(), error);
}

void ReflectorImpl::MaybeHealthy() {
  if (list_failing_ || watch_failing_) return;
  unanswered_ = false;
  backoff_.Healthy(now_ms_);
  busy_answers_ = 0;
  delegate_->OnHealthy();
}

}  // namespace dynweight::reflector_internal

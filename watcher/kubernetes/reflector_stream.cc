// List + watch of one collection of one API server: a list that comes as the
// beginning of a watch (KEP-3157, as client-go's reflector does it). An API
// server makes it from its cache object by object, and neither queues nor
// refuses it as it does lists. See reflector.h.

#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/reflector_impl.h"

namespace dynweight::reflector_internal {

bool ReflectorImpl::MayStreamList() const {
  return options_.watch && options_.stream_lists && !stream_refused_ &&
         !plain_next_ && !buffered_ && !watch_.active() &&
         ListVersion().has_value();
}

void ReflectorImpl::BeginStreamedList() {
  NoteWatchBegins();
  state_bytes_ = 0;
  watch_.BeginWithState(delegate_->ApiBase(), delegate_->credentials(),
                        collection(), *ListVersion(), WatchSeconds());
}

absl::Status ReflectorImpl::OnState(const std::string& version) {
  const absl::Status older = CheckAge(version, watch_.base());
  if (!older.ok()) {
    version_suspect_ = true;
    return older;
  }
  ListFetchResult list;
  list.resource_version = version;
  list.asked_version = ListVersion();
  ++watch_heard_;
  watch_heard_ms_ = now_ms_;
  watch_failing_ = false;
  useless_watches_ = silences_ = 0;
  CommitList(list, /*streamed=*/true);
  return absl::OkStatus();
}

void ReflectorImpl::OnStateEnd(const WatchEnd& end) {
  using Kind = ApiRefusal::Kind;
  GiveUpState();
  if (end.server_failed ||
      (end.refusal.has_value() && end.refusal->kind == Kind::kBusy)) {
    ListFetchResult failure;
    failure.error = end.error;
    failure.asked_version = ListVersion();
    failure.server_failed = end.server_failed;
    if (end.refusal.has_value()) {
      failure.http_status = end.refusal->code;
      failure.retry_after_ms = end.refusal->retry_after_ms;
    }
    return FailList(failure, watch_.base());
  }
  if (!end.refusal.has_value()) return;
  switch (end.refusal->kind) {
    case Kind::kExpired:
    case Kind::kTooLarge:
      version_refused_ = true;
      break;
    default:
      // That it may not be read, or is not there, a list tells better.
      stream_refused_ = end.refusal->code != 401 && end.refusal->code != 403 &&
                        end.refusal->code != 404;
  }
}

// Of servers older than Kubernetes 1.19, to which it is a watch like any other,
// the end never comes.
void ReflectorImpl::EndUnheardState() {
  const bool progress =
      std::exchange(state_bytes_, watch_.state_bytes()) < watch_.state_bytes();
  if (progress &&
      now_ms_ < watch_began_ms_ + kStateTotalTimeouts * options_.timeout_ms) {
    watch_heard_ms_ = now_ms_;
    return;
  }
  stream_refused_ |= watch_.established();
  watch_.Cancel();
  GiveUpState();
}

void ReflectorImpl::GiveUpState() {
  sink_->BeginList();
  plain_next_ = true;
  list_wanted_ |= list_answers_request_;
  list_at_ = now_ms_;
}

}  // namespace dynweight::reflector_internal

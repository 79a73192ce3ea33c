// See guard.h.

#include "watcher/guard.h"

#include <algorithm>

namespace dynweight {

DropGuard::Verdict DropGuard::Observe(uint64_t size, int64_t now_ms,
                                      int64_t asked_ms) {
  if (!policy_.on || !accepted_ || !IsDrop(size, now_ms)) {
    pending_since_.reset();
    Accept(size, now_ms);
    return Verdict::kApply;
  }
  if (pending_since_ && asked_ms >= ConfirmAtMs()) {
    pending_since_.reset();
    accepted_ = size;
    peak_until_ = INT64_MIN;  // confirmed: nothing to measure against but this
    return Verdict::kConfirm;
  }
  if (!pending_since_) pending_since_ = now_ms;
  return Verdict::kHold;
}

bool DropGuard::IsDrop(uint64_t size, int64_t now_ms) const {
  uint64_t from = *accepted_;
  if (now_ms < peak_until_) from = std::max(from, peak_);
  if (size >= from) return false;
  if (size == 0) return true;
  const uint64_t percent = std::min<uint64_t>(policy_.drop_percent, 100);
  // floor(from * percent / 100) without overflow.
  const uint64_t allowed = from / 100 * percent + from % 100 * percent / 100;
  return from - size > allowed;
}

void DropGuard::Accept(uint64_t size, int64_t now_ms) {
  if (accepted_ && size < *accepted_ &&
      (now_ms >= peak_until_ || *accepted_ > peak_)) {
    peak_ = *accepted_;
    peak_until_ = now_ms + policy_.confirm_ms;
  }
  accepted_ = size;
}

}  // namespace dynweight

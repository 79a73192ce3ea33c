// See guard.h.

#include "watcher/guard.h"

#include <algorithm>

namespace dynweight {
namespace {

// Falls that change all the time can follow each other closely; two are then
// remembered as one, the larger for as long as the later.
constexpr size_t kMaxFormer = 8;

}  // namespace

DropGuard::Verdict DropGuard::Observe(uint64_t size, int64_t now_ms,
                                      int64_t asked_ms) {
  if (!policy_.on || !accepted_ || size >= *accepted_) {
    return Accept(size, now_ms);
  }
  const uint64_t from = Reference(now_ms);
  if (IsDrop(size, from)) return HoldDrop(size, from, now_ms, asked_ms);
  return Settle(size, now_ms);
}

int64_t DropGuard::ConfirmAtMs() const {
  return drop_ ? drop_->since_ms + policy_.confirm_ms : kNever;
}

int64_t DropGuard::SettleAtMs() const {
  return fall_ ? std::min(fall_->changed_ms + kSettleMs, SettleByMs()) : kNever;
}

int64_t DropGuard::SettleByMs() const {
  return fall_ ? fall_->since_ms + policy_.confirm_ms : kNever;
}

uint64_t DropGuard::Reference(int64_t now_ms) const {
  uint64_t from = drop_ ? drop_->from : *accepted_;
  for (const Former& former : former_) {
    if (now_ms < former.until_ms) from = std::max(from, former.size);
  }
  return from;
}

bool DropGuard::IsDrop(uint64_t size, uint64_t from) const {
  if (size == 0) return from > 0;
  const uint64_t percent = std::min<uint64_t>(policy_.drop_percent, 100);
  // floor(from * percent / 100) without overflow.
  const uint64_t allowed = from / 100 * percent + from % 100 * percent / 100;
  return from - size > allowed;
}

DropGuard::Verdict DropGuard::HoldDrop(uint64_t size, uint64_t from,
                                       int64_t now_ms, int64_t asked_ms) {
  fall_.reset();
  if (!drop_) {
    drop_ = Drop{now_ms, from};
  } else if (asked_ms >= ConfirmAtMs()) {
    drop_.reset();
    former_.clear();  // confirmed: nothing to measure against but this
    accepted_ = size;
    return Verdict::kConfirm;
  }
  return Verdict::kHold;
}

DropGuard::Verdict DropGuard::Settle(uint64_t size, int64_t now_ms) {
  drop_.reset();
  if (!fall_) {
    fall_ = Fall{now_ms, size, now_ms};
  } else if (fall_->size != size) {
    fall_->size = size;
    fall_->changed_ms = now_ms;
  }
  return now_ms < SettleAtMs() ? Verdict::kSettle : Accept(size, now_ms);
}

DropGuard::Verdict DropGuard::Accept(uint64_t size, int64_t now_ms) {
  drop_.reset();
  fall_.reset();
  if (accepted_ && size < *accepted_) {
    former_.push_back({*accepted_, now_ms + policy_.confirm_ms});
  }
  accepted_ = size;
  former_.erase(std::remove_if(former_.begin(), former_.end(),
                               [&](const Former& former) {
                                 return former.size <= size ||
                                        former.until_ms <= now_ms;
                               }),
                former_.end());
  if (former_.size() > kMaxFormer) {
    former_[1].size = former_[0].size;
    former_.erase(former_.begin());
  }
  return Verdict::kApply;
}

}  // namespace dynweight

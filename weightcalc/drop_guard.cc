// See drop_guard.h.

#include "weightcalc/drop_guard.h"

#include <algorithm>

namespace dynweight {
namespace {

// Falls that change all the time can follow each other closely; two are then
// remembered as one, the larger for as long as the later.
constexpr size_t kMaxFormer = 8;

}  // namespace

DropGuard::Verdict DropGuard::Observe(uint64_t size, int64_t now_ms,
                                      int64_t asked_ms, uint64_t departed) {
  Depart(size, departed);
  if (!policy_.on || !accepted_ || size >= *accepted_) {
    return Accept(size, now_ms);
  }
  if (!away_) away_ = Away{now_ms, size, now_ms, false, false, *accepted_};
  if (away_->size != size) {
    away_->size = size;
    away_->changed_ms = now_ms;
  }
  const uint64_t from = Reference(now_ms);
  away_->beyond = IsDrop(size, from);
  if (away_->beyond && !away_->held) {
    away_->held = true;
    away_->from = from;
  }
  if (away_->held && asked_ms >= ConfirmAtMs()) {
    away_.reset();
    previous_.clear();  // confirmed: nothing to measure against but this
    accepted_ = size;
    return Verdict::kConfirm;
  }
  if (away_->beyond) return Verdict::kHold;
  return now_ms < SettleAtMs() ? Verdict::kSettle : Accept(size, now_ms);
}

int64_t DropGuard::ConfirmAtMs() const {
  return pending() ? away_->since_ms + policy_.confirm_ms : kNever;
}

int64_t DropGuard::SettleAtMs() const {
  if (!away_ || away_->beyond) return kNever;
  return std::min(away_->changed_ms + StillMs(), SettleByMs());
}

int64_t DropGuard::SettleByMs() const {
  return away_ && !away_->held ? away_->since_ms + policy_.confirm_ms : kNever;
}

int64_t DropGuard::StillMs() const {
  return std::min(kSettleMs, policy_.confirm_ms);
}

// Never below `size`: what has come meanwhile makes up for what left.
void DropGuard::Depart(uint64_t size, uint64_t departed) {
  if (departed == 0 || !accepted_ || size >= *accepted_) return;
  departed = std::min(departed, *accepted_ - size);
  *accepted_ -= departed;
  if (away_) away_->from -= departed;
  for (Previous& previous : previous_) previous.size -= departed;
}

uint64_t DropGuard::Reference(int64_t now_ms) const {
  uint64_t from = pending() ? away_->from : *accepted_;
  for (const Previous& previous : previous_) {
    if (now_ms < previous.until_ms) from = std::max(from, previous.size);
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

DropGuard::Verdict DropGuard::Accept(uint64_t size, int64_t now_ms) {
  away_.reset();
  if (accepted_ && size < *accepted_) {
    previous_.push_back({*accepted_, now_ms + policy_.confirm_ms});
  }
  accepted_ = size;
  previous_.erase(std::remove_if(previous_.begin(), previous_.end(),
                                 [&](const Previous& previous) {
                                   return previous.size <= size ||
                                          previous.until_ms <= now_ms;
                                 }),
                  previous_.end());
  if (previous_.size() > kMaxFormer) {
    previous_[1].size = previous_[0].size;
    previous_.erase(previous_.begin());
  }
  return Verdict::kApply;
}

}  // namespace dynweight

// Keeps a sudden drop from counting until it is confirmed. A control plane
// that loses sight of its kubelets marks every pod NotReady while all of them
// still serve; weights must not follow that.

#ifndef DYNAMIC_WEIGHT_WATCHER_GUARD_H_
#define DYNAMIC_WEIGHT_WATCHER_GUARD_H_

#include <cstdint>
#include <optional>

#include "watcher/clock.h"
#include "watcher/config.h"

namespace dynweight {

// The guard of one quantity: an application's ready pods, or a cluster's
// nodes. It sees sizes only; its owner keeps the value that is in force.
//
// A drop is a loss of more than policy.drop_percent, or of everything, within
// confirm_ms: single steps down count together, so that a mass failure that
// arrives one event at a time is caught too. It is held back until a
// consistent list that was asked for at least confirm_ms after the drop was
// first seen says so as well; that list's value is then taken, whatever was
// seen in between. An answer that is no drop any more ends the matter.
//
// A pure function of what it is told: no clock, no I/O. Not thread-safe.
class DropGuard {
 public:
  enum class Verdict : uint8_t {
    kApply,    // in force
    kConfirm,  // in force, and a drop that was held back until now
    kHold,     // not in force: a drop to be confirmed
  };

  // For answers that confirm nothing: watch events, lists from a cache.
  static constexpr int64_t kNotConsistent = INT64_MIN;

  // `held` is the size in force from before, if any is known.
  DropGuard(const GuardPolicy& policy, std::optional<uint64_t> held)
      : policy_(policy), accepted_(held) {}

  // The cluster says `size`. `asked_ms`: when the consistent list that says
  // it was asked for.
  Verdict Observe(uint64_t size, int64_t now_ms,
                  int64_t asked_ms = kNotConsistent);

  // A drop is waiting to be confirmed.
  bool pending() const { return pending_since_.has_value(); }

  // From when on a consistent list can confirm it; kNever when none waits.
  int64_t ConfirmAtMs() const {
    return pending_since_ ? *pending_since_ + policy_.confirm_ms : kNever;
  }

 private:
  bool IsDrop(uint64_t size, int64_t now_ms) const;
  void Accept(uint64_t size, int64_t now_ms);

  GuardPolicy policy_;
  std::optional<uint64_t> accepted_;  // nothing: never known
  std::optional<int64_t> pending_since_;
  // What a series of steps down began with, and how long it counts.
  uint64_t peak_ = 0;
  int64_t peak_until_ = INT64_MIN;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_GUARD_H_

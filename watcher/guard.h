// Keeps a sudden drop from counting until it is confirmed. A control plane
// that loses sight of its kubelets marks every pod NotReady while all of them
// still serve; weights must not follow that.

#ifndef DYNAMIC_WEIGHT_WATCHER_GUARD_H_
#define DYNAMIC_WEIGHT_WATCHER_GUARD_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "watcher/clock.h"
#include "watcher/config.h"

namespace dynweight {

// The guard of one quantity: an application's ready pods, or a cluster's
// nodes. It sees sizes only; its owner keeps the value that is in force.
//
// A rise counts at once. A fall counts when it has settled: when the size has
// stood still for kSettleMs, or after confirm_ms if it never does. A mass
// failure is told pod by pod, and its first events look like a rolling
// release; by the time they would count it has shown what it is. Meanwhile
// the former weight sends some requests too many to a cluster whose own
// ingress knows which pods are gone.
//
// A drop is a loss of more than policy.drop_percent, or of everything,
// against the highest size that was in force within the last confirm_ms:
// falls that came one by one count together. It is held back until a
// consistent list that was asked for at least confirm_ms after the drop was
// first seen says so as well; that list's value is then taken, whatever was
// seen in between. An answer that is no drop any more ends the matter; while
// it is below what is in force it has to settle, since a recovery is told pod
// by pod, too.
//
// A pure function of what it is told: no clock, no I/O. Not thread-safe.
class DropGuard {
 public:
  enum class Verdict : uint8_t {
    kApply,    // in force
    kConfirm,  // in force, and a drop that was held back until now
    kSettle,   // not in force: a fall; observe it again at SettleAtMs()
    kHold,     // not in force: a drop to be confirmed
  };

  // Longer than a mass failure takes to be told, and for what a server gathers
  // before it tells; short beside what a pod takes to go.
  static constexpr int64_t kSettleMs = 1500;

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
  bool pending() const { return drop_.has_value(); }
  // What was said last is not in force.
  bool holding() const { return pending() || fall_.has_value(); }

  // From when on a consistent list can confirm the drop; kNever when none
  // waits.
  int64_t ConfirmAtMs() const;
  // When the fall counts if nothing changes; kNever when none settles.
  int64_t SettleAtMs() const;
  // When a fall counts that changes all the time; kNever when none settles.
  int64_t SettleByMs() const;

 private:
  struct Drop {
    int64_t since_ms;
    uint64_t from;  // what it is measured against, for as long as it waits
  };
  struct Fall {
    int64_t since_ms;
    uint64_t size;
    int64_t changed_ms;
  };
  // A size that was in force.
  struct Former {
    uint64_t size;
    int64_t until_ms;  // as long as drops are measured against it
  };

  uint64_t Reference(int64_t now_ms) const;
  bool IsDrop(uint64_t size, uint64_t from) const;
  Verdict HoldDrop(uint64_t size, uint64_t from, int64_t now_ms,
                   int64_t asked_ms);
  Verdict Settle(uint64_t size, int64_t now_ms);
  Verdict Accept(uint64_t size, int64_t now_ms);

  GuardPolicy policy_;
  std::optional<uint64_t> accepted_;  // nothing: never known
  std::optional<Drop> drop_;
  std::optional<Fall> fall_;
  std::vector<Former> former_;  // larger than *accepted_; sizes go down,
                                // times go up
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_GUARD_H_

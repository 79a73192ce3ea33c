// Keeps a sudden drop from counting until it is confirmed. A control plane
// that loses sight of its kubelets marks every pod NotReady while all of them
// still serve; weights must not follow that.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_DROP_GUARD_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_DROP_GUARD_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "weightcalc/clock.h"
#include "weightcalc/peer_set.h"

namespace dynweight {

// The guard of one quantity: an application's ready pods, or a cluster's
// nodes. It sees sizes only; its owner keeps the value that is in force.
//
//                 smaller, within the limit
//   +----------+ ---------------------------> +----------+
//   | IN FORCE |                              | SETTLING |
//   +----------+ <--------------------------- +----------+
//      |    ^     still for kSettleMs, or          |
//      |    |     away for confirm_ms              | beyond the limit
//      |    |                                      v
//      |    |  a list of after confirm_ms;     +------+
//      |    +--------------------------------- | HELD |
//      |       within the limit and still      +------+
//      |       for kSettleMs                      ^
//      +------------------------------------------+
//                 beyond the limit
//
//   From everywhere: a size that is not smaller is IN FORCE at once.
//
// There is one time: since when the value in force is not true any more. Only
// a value that comes into force ends it, so a size that goes to and fro about
// the limit is HELD all the time, and a list that was asked for at least
// confirm_ms after that time decides, on whichever side of the limit it is.
//
// A rise is in force at once. A fall settles: a mass failure is told pod by
// pod, and its first events look like a rolling release; by the time they
// would count it has shown what it is. Meanwhile the previous weight sends some
// requests too many to a cluster whose own ingress knows which pods are gone.
//
// The limit is a loss of policy.drop_percent, and any loss of everything,
// against the highest size that was in force within the last confirm_ms:
// falls that came one by one count together.
//
// What left because its owner meant it (`departed`) is neither stabilized nor
// guarded: the value in force, and what falls are measured against, are so much
// smaller at once; the rest of the fall goes the way drawn above.
//
// So without a list the value in force never falls by more than the limit
// within confirm_ms, and it is the truth at the latest confirm_ms and one list
// after the truth last changed.
//
// A pure function of what it is told: no clock, no I/O. Not thread-safe.
class DropGuard {
 public:
  enum class Verdict : uint8_t {
    kApply,    // in force
    kConfirm,  // in force, by a list that decided over what was held back
    kSettle,   // not in force: a fall; observe it again at SettleAtMs()
    kHold,     // not in force: beyond the limit, a list must confirm it
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
  // it was asked for. `departed`: how many of what is in force left since the
  // last call because their owner meant it.
  Verdict Observe(uint64_t size, int64_t now_ms,
                  int64_t asked_ms = kNotConsistent, uint64_t departed = 0);

  // The size in force; nothing: none was ever known.
  const std::optional<uint64_t>& in_force() const { return accepted_; }
  // HELD: a drop is waiting to be confirmed.
  bool pending() const { return away_.has_value() && away_->held; }
  // What was said last is not in force.
  bool holding() const { return away_.has_value(); }

  // From when on a consistent list can confirm the drop; kNever when none
  // waits.
  int64_t ConfirmAtMs() const;
  // When the fall counts if nothing changes; kNever when none settles.
  int64_t SettleAtMs() const;
  // When a fall counts that changes all the time; kNever when none settles.
  int64_t SettleByMs() const;

 private:
  // Since the value in force was last true.
  struct Away {
    int64_t since_ms;
    uint64_t size;       // as said last
    int64_t changed_ms;  // when it became that
    bool held;
    bool beyond;    // the size is, the limit
    uint64_t from;  // what a held one is measured against
  };
  // A size that was in force.
  struct Previous {
    uint64_t size;
    int64_t until_ms;  // as long as drops are measured against it
  };

  void Depart(uint64_t size, uint64_t departed);
  uint64_t Reference(int64_t now_ms) const;
  bool IsDrop(uint64_t size, uint64_t from) const;
  int64_t StillMs() const;
  Verdict Accept(uint64_t size, int64_t now_ms);

  GuardPolicy policy_;
  std::optional<uint64_t> accepted_;  // nothing: never known
  std::optional<Away> away_;          // nothing: IN FORCE
  std::vector<Previous> previous_;    // larger than *accepted_; sizes go down,
                                      // times go up
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_DROP_GUARD_H_

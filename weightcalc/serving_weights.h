// What each peer of a table is to get now: its weight, unless passive health or
// its probes have taken it out.
//
// A peer that is out gets nothing. If it is an ingress node, the pods behind it
// are still there: its weight goes to the other nodes of its line, so that the
// line as a whole keeps its share and one pod gets what one KVM gets. Where no
// other node of the line serves, and of a server, the weight goes to nobody:
// what is left is shared by weight among all that serve.
//
// The weights that result are in proportion to each other and not to those of
// the table: where a line's weight does not divide by the nodes left, all are
// scaled up.
//
// Not thread-safe: each worker owns one per table.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_SERVING_WEIGHTS_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_SERVING_WEIGHTS_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "weightcalc/clock.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

class ServingWeights {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // For tables of `capacity` slots, in which the lines' ranges lie apart from
  // each other, in their order. Without `redistribute` the others of a line
  // keep their own weights, for a method that names the successor itself.
  // Throws std::bad_alloc.
  ServingWeights(uint32_t capacity, std::vector<SlotRange> lines,
                 bool redistribute = true);

  // Takes over the table's weights and health as they are at `now_ms`, in
  // health's time. `policy(slot)` gives a slot's HealthPolicy. O(capacity);
  // only health that changes meanwhile may be missed.
  template <typename PolicyOf>
  void Update(const PeerTable& table, int64_t now_ms, PolicyOf&& policy) {
    out_ = 0;
    whole_ = healthy_ = 0;
    due_ = kNone;
    next_probe_ms_ = kNever;
    for (uint32_t i = 0; i < capacity_; i++) {
      const uint32_t w = table.weight(i);
      const PeerHealth& health = table.health(i);
      weights_[i] = w;
      if (w == 0) continue;
      whole_ += w;
      healthy_ += w;
      if (health.ProbedOut()) {  // until a probe says otherwise
        TakeOut(i);
        continue;
      }
      if (health.fails() == 0) continue;
      const HealthPolicy p = policy(i);
      if (!health.Failed(p)) continue;
      if (health.Out(now_ms, p)) {
        next_probe_ms_ = std::min(next_probe_ms_, health.due_ms(p));
      } else if (redistribute_) {
        if (due_ == kNone) due_ = i;
      } else {
        continue;
      }
      TakeOut(i);
    }
    if (out_ != 0 && redistribute_) Redistribute(table);
  }

  // The same without a look at health: what is left when all are out.
  void UpdateWithoutHealth(const PeerTable& table);

  uint32_t weight(uint32_t slot) const { return weights_[slot]; }

  // How many peers of some weight are out.
  uint32_t out() const { return out_; }

  // Whether those that are in have less than `percent` of the weight; at the
  // last Update().
  bool FewerThan(uint64_t percent) const {
    return healthy_ * 100 < whole_ * percent;
  }

  // One of them that is due for a probe, or kNone. It has no weight: if it came
  // and went with each probe, the others' sequence would begin anew each time.
  // (Without `redistribute` it serves: its keys find it.)
  uint32_t due() const { return due_; }

  // When the first of the others is due: Update() then names it.
  int64_t next_probe_ms() const { return next_probe_ms_; }

  // The slots among which the weight of a peer that is out is shared: those of
  // its line, as long as one of them serves; else none.
  SlotRange Successors(uint32_t slot) const;

 private:
  // Weights are scaled by a power of two up to this: rounding then takes less
  // than a thousandth of the smallest.
  static constexpr uint64_t kMostScale = 1024;

  void Redistribute(const PeerTable& table);
  void TakeOut(uint32_t slot) {
    healthy_ -= weights_[slot];
    weights_[slot] = 0;
    out_++;
  }

  const uint32_t capacity_;
  const std::vector<SlotRange> lines_;
  const bool redistribute_;
  std::unique_ptr<uint32_t[]> weights_;
  uint32_t out_ = 0;
  uint64_t whole_ = 0;    // weight in the table
  uint64_t healthy_ = 0;  // of it, that of peers that are in
  uint32_t due_ = kNone;
  int64_t next_probe_ms_ = kNever;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_SERVING_WEIGHTS_H_

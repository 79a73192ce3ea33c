// What each peer of a table is to get now: its weight, unless passive health,
// its probes or outlier detection have taken it out.
//
// A peer that is out gets nothing. If it is an ingress node, the pods behind it
// are still there: its weight goes to the other nodes of its line, so that the
// line as a whole keeps its share and one pod gets what one KVM gets. Where no
// other node of the line serves, and of a server, the weight goes to nobody:
// what is left is shared by weight among all that serve.
//
// Where the lines have priorities, each priority's weights are scaled to what
// it is to have of the requests (see priority_load.h). One that is to have none
// stands by: its peers weigh nothing here, and serve when nobody else is left.
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
#include "weightcalc/priority_load.h"
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

  // Before the first Update(): of each slot, which priority it has, from 0, the
  // first, on without a gap; there are two at least. Throws std::bad_alloc.
  void SetPriorities(std::vector<uint8_t> priority_of,
                     uint32_t overprovisioning_percent);

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
      if (health.Ejected(now_ms)) {
        next_probe_ms_ = std::min(next_probe_ms_, health.ejected_until_ms());
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
    if (!loads_.empty()) Divide(table);
    if (out_ != 0 && redistribute_) Redistribute(table);
    if (!loads_.empty()) Spread(table);
  }

  // The same without a look at health: what is left when all are out.
  void UpdateWithoutHealth(const PeerTable& table);

  uint32_t weight(uint32_t slot) const { return weights_[slot]; }

  // How many peers of some weight are out.
  uint32_t out() const { return out_; }

  // Whether those that are in have less than `percent` of the weight; at the
  // last Update(). With priorities never while they can bear all requests.
  bool FewerThan(uint64_t percent) const {
    return priorities_health_ < 100 && healthy_ * 100 < whole_ * percent;
  }

  // What each priority has of the requests; empty: there is but one.
  const std::vector<PriorityLoad>& loads() const { return loads_; }

  // How many peers stand by; and the weight of one of them among those of its
  // priority, 0 for all others.
  uint32_t standing_by() const { return standing_by_; }
  uint32_t StandbyWeight(uint32_t slot, uint32_t priority) const {
    return priority_of_[slot] == priority ? standby_[slot] : 0;
  }

  // `weight` of the table as it is weighed here: what a peer that is out would
  // have.
  uint32_t Scaled(uint32_t slot, uint32_t weight) const {
    if (!scaled_) return weight;
    const Scale& scale = scales_[priority_of_[slot]];
    return ScaleBy(scale, weight);
  }

  // One of them that is due for a probe, or kNone. It has no weight: if it came
  // and went with each probe, the others' sequence would begin anew each time.
  // (Without `redistribute` it serves: its keys find it.)
  uint32_t due() const { return due_; }

  // When the first of the others is due, or an ejection ends: Update() then
  // names it.
  int64_t next_probe_ms() const { return next_probe_ms_; }

  // The slots among which the weight of a peer that is out is shared: those of
  // its line, as long as one of them serves; else none.
  SlotRange Successors(uint32_t slot) const;

 private:
  // Weights are scaled by a power of two up to this: rounding then takes less
  // than a thousandth of the smallest.
  static constexpr uint64_t kMostScale = 1024;

  // What all weights come to where priorities are scaled: rounding then takes
  // nothing that shows, and sums stay far from their limit.
  static constexpr uint64_t kScaledTotal = uint64_t{1} << 28;

  // numerator / denominator
  struct Scale {
    uint64_t numerator = 1;
    uint64_t denominator = 1;
  };

  static uint32_t ScaleBy(const Scale& scale, uint32_t weight) {
    if (weight == 0) return 0;
    const auto scaled = static_cast<unsigned __int128>(weight) *
                        scale.numerator / scale.denominator;
    return static_cast<uint32_t>(
        std::clamp<unsigned __int128>(scaled, 1, kScaledTotal));
  }

  void Divide(const PeerTable& table);
  void Spread(const PeerTable& table);
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

  // Of priorities; empty where there is one.
  std::vector<uint8_t> priority_of_;
  std::vector<PriorityLoad> loads_;
  std::vector<Scale> scales_;
  std::vector<uint32_t> standby_;
  uint32_t standing_by_ = 0;
  uint32_t overprovisioning_ = kDefaultOverprovisioning;
  uint32_t priorities_health_ = 0;
  bool scaled_ = false;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_SERVING_WEIGHTS_H_

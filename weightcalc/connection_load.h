// What running connections say about a peer: whether it has more than its share
// of them, and which of two has fewer.
//
// Pure reads of a table that others write at the same time: the answer is as
// good as the moment. O(workers), no lock. `weight(slot)` is what a peer is to
// get, `total_weight` the sum of all those; see serving_weights.h.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_CONNECTION_LOAD_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_CONNECTION_LOAD_H_

#include <algorithm>
#include <cstdint>

#include "weightcalc/hash.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/pick_sequence.h"

namespace dynweight {

// Below this many connections nothing can be said of how loaded a peer is.
inline constexpr uint64_t kFewConnections = 4;

// Whether a peer of `active` connections is behind: it has more than its share
// by `weight` of all `running` ones and the one to come, and an eighth of it.
// By simulation the shares of peers that answer equally fast stay within a
// tenth of what their weights promise, and of thirty peers one that is ten
// times slower gets less than a hundredth. A stricter limit gives the slow one
// little less and the others shares that are off by a third.
inline bool PassesShare(uint64_t active, uint64_t running, uint64_t weight,
                        uint64_t total_weight) {
  // A sum of weights has up to 50 bits.
  using Wide = unsigned __int128;
  return running >= kFewConnections &&
         Wide{8} * active * total_weight >= Wide{9} * (running + 1) * weight;
}

// The peer that pick number `number` of the sequence falls to, unless it is
// behind: so all get their shares, few requests or many. Of a peer that is
// behind and another one, drawn by weight, the one with fewer connections per
// weight, the one to come included (Mitzenmacher, "The Power of Two Choices in
// Randomized Load Balancing", 2001); of equals the other one. kNone when every
// weight is 0.
template <typename WeightOf>
uint32_t PickLessLoaded(const PickIndex& index, const PeerTable& table,
                        uint64_t number, WeightOf&& weight) {
  const uint32_t first = index.Pick(number);
  if (first == PickIndex::kNone) return first;
  const uint64_t first_active = table.Active(first);
  const uint64_t first_weight = weight(first);
  if (!PassesShare(first_active, table.ActiveTotal(), first_weight,
                   index.total())) {
    return first;
  }
  uint32_t second = first;
  // A few draws find another one, unless one peer has nearly all the weight.
  for (int i = 0; i < 4 && second == first; i++) {
    number = Mix64(number);
    second = index.Pick(number);
  }
  // Crosswise: no division, and a weight that has become 0 loses.
  return second != first &&
                 (uint64_t{table.Active(second)} + 1) * first_weight <=
                     (first_active + 1) * weight(second)
             ? second
             : first;
}

// Whether one more connection would give `slot` more than `percent` of its
// share of all connections, rounded up, and more than kFewConnections
// (Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads",
// SODA 2018). `percent`: more than 100; `total_weight`: more than 0.
inline bool IsOverloaded(const PeerTable& table, uint32_t slot, uint64_t weight,
                         uint64_t total_weight, uint32_t percent) {
  const uint64_t active = table.Active(slot);
  if (active < kFewConnections) return false;
  // active >= ceil(percent / 100 * (total + 1) * weight / total_weight)
  using Wide = unsigned __int128;
  return Wide{100} * active * total_weight >=
         Wide{percent} * (uint64_t{table.ActiveTotal()} + 1) * weight;
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_CONNECTION_LOAD_H_

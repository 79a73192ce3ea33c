// What running connections say about a peer: the better of two, and too many.
//
// Pure reads of a table that others write at the same time: the answer is as
// good as the moment. O(workers), no lock.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_LOAD_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_LOAD_H_

#include <cstdint>

#include "weightcalc/mix.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/pick_sequence.h"

namespace dynweight {

// Of two peers drawn by weight, one by pick number `number` of the sequence and
// one by chance, that with fewer connections per weight, the one to come
// included (Mitzenmacher, "The Power of Two Choices in Randomized Load
// Balancing", 2001). kNone when every weight is 0.
inline uint32_t PickLessLoaded(const PickIndex& index, const PeerTable& table,
                               uint64_t number) {
  const uint32_t first = index.Pick(number);
  uint32_t second = first;
  // A few draws find another one, unless one peer has nearly all the weight.
  for (int i = 0; i < 4 && second == first; i++) {
    number = Mix64(number);
    second = index.Pick(number);
  }
  if (second == first) return first;
  // Crosswise: no division, and a weight that has become 0 loses.
  const uint64_t first_load =
      (uint64_t{table.Active(first)} + 1) * table.weight(second);
  const uint64_t second_load =
      (uint64_t{table.Active(second)} + 1) * table.weight(first);
  return second_load < first_load ? second : first;
}

// Whether one more connection would give `slot` more than 5/4 of its share of
// all connections, rounded up (Mirrokni, Thorup, Zadimoghaddam, "Consistent
// Hashing with Bounded Loads", SODA 2018). `total_weight`: of all peers, more
// than 0.
inline bool IsOverloaded(const PeerTable& table, uint32_t slot,
                         uint64_t total_weight) {
  // active >= ceil(5/4 * (total + 1) * weight / total_weight); a sum of
  // weights has up to 50 bits.
  using Wide = unsigned __int128;
  return Wide{4} * table.Active(slot) * total_weight >=
         Wide{5} * (uint64_t{table.ActiveTotal()} + 1) * table.weight(slot);
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_LOAD_H_

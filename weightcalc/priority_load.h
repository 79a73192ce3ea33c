// How the requests of an upstream are divided among its priorities, after
// Envoy's priority levels (LoadBalancerBase::recalculatePerPriorityState): the
// first has all of them for as long as its health times an overprovisioning
// factor is 100 %, and from then on in proportion; the next has what is left,
// as far as its own health goes. Where all together are not 100 %, each has its
// part of what there is.
//
// Thread-safe: plain values.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_PRIORITY_LOAD_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_PRIORITY_LOAD_H_

#include <algorithm>
#include <cstdint>

#include "absl/types/span.h"

namespace dynweight {

// Percent.
inline constexpr uint32_t kDefaultOverprovisioning = 140;

struct PriorityLoad {
  uint64_t weight = 0;   // of its peers
  uint64_t healthy = 0;  // of it, that of those that are in
  uint32_t percent = 0;  // of the requests
};

// Fills in `percent`, of the first priority to the last: together 100, or 0
// where nobody is healthy. Returns what their health comes to, at most 100: if
// less, there are not enough peers left anywhere. Sums of weight are below
// 2^50.
inline uint32_t DividePriorities(uint32_t overprovisioning_percent,
                                 absl::Span<PriorityLoad> priorities) {
  const auto health = [&](const PriorityLoad& load) -> uint32_t {
    if (load.weight == 0) return 0;
    return static_cast<uint32_t>(std::min<uint64_t>(
        100, load.healthy * overprovisioning_percent / load.weight));
  };
  uint32_t sum = 0;
  for (const PriorityLoad& load : priorities) sum += health(load);
  const uint32_t all = std::min(sum, uint32_t{100});
  uint32_t left = all == 0 ? 0 : 100;
  PriorityLoad* first = nullptr;
  for (PriorityLoad& load : priorities) {
    load.percent =
        all == 0 ? 0 : std::min(left, (health(load) * 100 + all / 2) / all);
    left -= load.percent;
    if (first == nullptr && load.percent != 0) first = &load;
  }
  if (first != nullptr) first->percent += left;  // what rounding left
  return all;
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_PRIORITY_LOAD_H_

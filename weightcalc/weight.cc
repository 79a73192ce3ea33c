// The weight formula; see weight.h.

#include "weightcalc/weight.h"

#include <algorithm>

namespace dynweight {
namespace {

uint64_t Product(uint64_t a, uint64_t b, uint64_t divisor) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(
      std::min<unsigned __int128>(product / divisor, kMaxFullWeight));
}

}  // namespace

uint64_t IngressNodeWeight(uint64_t pods, uint64_t ingress_nodes, uint32_t base,
                           EmptyPolicy empty) {
  if (ingress_nodes == 0) return 0;
  if (pods == 0 && empty == EmptyPolicy::kDrain) return 0;
  return std::max<uint64_t>(1, Product(pods, base, ingress_nodes));
}

uint64_t ServerWeight(uint64_t weight, uint32_t base) {
  return Product(weight, base, 1);
}

uint64_t InstanceWeight(uint32_t weight_milli, uint32_t base) {
  if (weight_milli == 0) return 0;
  return std::max<uint64_t>(1, Product(weight_milli, base, 1000));
}

uint64_t WeightScale(uint64_t largest) {
  uint64_t scale = 1;
  while (largest / scale + (largest % scale != 0) > kMaxWeight) scale *= 2;
  return scale;
}

uint32_t ScaledWeight(uint64_t weight, uint64_t scale) {
  if (weight == 0) return 0;
  const uint64_t rest = weight % scale;
  const uint64_t scaled = weight / scale + (rest >= scale - rest ? 1 : 0);
  return static_cast<uint32_t>(std::clamp<uint64_t>(scaled, 1, kMaxWeight));
}

}  // namespace dynweight

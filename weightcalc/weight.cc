// The weight formula; see weight.h.

#include "weightcalc/weight.h"

#include <algorithm>

namespace dynweight {
namespace {

uint64_t SaturatingProduct(uint64_t a, uint64_t b) {
  uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

uint32_t Clamp(uint64_t weight) {
  return static_cast<uint32_t>(std::min<uint64_t>(weight, kMaxWeight));
}

}  // namespace

uint32_t IngressNodeWeight(uint64_t pods, uint64_t ingress_nodes, uint32_t base,
                           EmptyPolicy empty) {
  if (ingress_nodes == 0) return 0;
  if (pods == 0 && empty == EmptyPolicy::kDrain) return 0;
  const uint64_t share = SaturatingProduct(pods, base) / ingress_nodes;
  return std::max<uint32_t>(1, Clamp(share));
}

uint32_t ServerWeight(uint64_t weight, uint32_t base) {
  return Clamp(SaturatingProduct(weight, base));
}

}  // namespace dynweight

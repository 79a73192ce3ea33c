// The weight formula: what one ingress node weighs in the edge's upstream.
//
// One pod and one KVM must receive the same traffic. A KVM weighs `base`; the
// pods of an application in a cluster together weigh pods * base, shared by
// the cluster's ingress nodes:
//
//     weight = max(1, floor(pods * base / ingress_nodes))
//
// Pure functions of their arguments: thread-safe, no allocation, no errors.
// Integers only; no intermediate value overflows.
//
// A peer table holds weights up to kMaxWeight. Where the formula gives more for
// one of its peers, the weights of all are divided by the same scale, so that
// they keep their proportion.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_WEIGHT_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_WEIGHT_H_

#include <cstdint>

namespace dynweight {

// The largest weight a peer can have. 8,000 peers of it still sum to less
// than 2^43, and a weight always fits nginx's ngx_int_t.
inline constexpr uint32_t kMaxWeight = 1u << 30;

// The weight of one pod and of one KVM unless `dynamic_weight_base` says
// otherwise.
inline constexpr uint32_t kDefaultBase = 10;
inline constexpr uint32_t kMaxBase = 1000000;

// What zero ready pods mean.
enum class EmptyPolicy : uint8_t {
  kKeep,   // weight 1: the formula as it stands (the default)
  kDrain,  // weight 0: the cluster gets no request for this application
};

// The largest weight before scaling; with 2^53 pods the formula passes it.
inline constexpr uint64_t kMaxFullWeight = uint64_t{1} << 62;

// Weight of each of `ingress_nodes` nodes that together serve `pods` ready
// pods. Returns 0 when there is no node, or when there is no pod and `empty`
// is kDrain; otherwise a value in [1, kMaxFullWeight].
uint64_t IngressNodeWeight(uint64_t pods, uint64_t ingress_nodes, uint32_t base,
                           EmptyPolicy empty);

// Weight of a KVM, a `server` line with parameter weight=`weight` (>= 1).
// Returns a value in [0, kMaxFullWeight]; 0 only for weight 0.
uint64_t ServerWeight(uint64_t weight, uint32_t base);

// Weight of an instance that is to get `weight_milli` thousandths of one pod's
// share. Returns a value in [0, kMaxFullWeight]; 0 only for weight_milli 0.
uint64_t InstanceWeight(uint32_t weight_milli, uint32_t base);

// What the weights of a table are to be divided by, of which `largest` is the
// largest: the least power of two that makes it fit. 1 where it fits as it is.
uint64_t WeightScale(uint64_t largest);

// `weight` over `scale`, rounded; only 0 becomes 0. At most kMaxWeight.
uint32_t ScaledWeight(uint64_t weight, uint64_t scale);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_WEIGHT_H_

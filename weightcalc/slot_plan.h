// Which ingress node, or which instance, has which slot.
//
// An `ingress_nodes` or `instances` line owns a range of slots of its
// upstream's table. PlanSlots() compares the peers that should be there with
// those that are and says what to write: peers that stay keep their slot
// (connections, health and counters with it), peers that left are drained, new
// peers take free slots. A drained slot is used again only when its last
// request has ended, unless no other slot is left.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_SLOT_PLAN_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_SLOT_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "weightcalc/ingress_node.h"
#include "weightcalc/instance.h"
#include "weightcalc/peer_table.h"

namespace dynweight {

// A line's slots: [first, first + count) of a table.
struct SlotRange {
  uint32_t first = 0;
  uint32_t count = 0;
};

// One write to a table. Cheap to apply: copies only.
struct SlotWrite {
  uint32_t slot = 0;
  bool assign = false;    // SetPeer(identity) first
  uint32_t weight = 0;    // then SetWeight
  PeerIdentity identity;  // when `assign`
  // The peer joins, or comes back to, others that carry weight already: its
  // share may grow slowly. Never so when all of a line come at once.
  bool joins = false;
  bool clear = false;  // ClearPeer(), instead of all that
  bool zoned = false;  // then SetZone(zone)
  ZoneName zone{};
  // What is known of it from probes, when `assign` or when it comes back; 0:
  // nothing.
  uint32_t probe = 0;
};

// What a line's slots should look like, as writes from what they are now, in
// the order of the slots. The order of `nodes` does not matter; of several
// with one address the first by name counts; nodes beyond range.count are left
// out (the first by address are used, so that every edge uses the same).
// `weight` is for each of them. Peers that stay under the same weight cause
// no write; an empty result means the table is right already.
//
// A node stays when a slot holds its address under `port` and under its name;
// a node without a name stays whatever the slot calls it. (Clouds hand an
// address out again: under a new name it is a new node, with fresh counters.)
// A zone is no part of that: it is written where it has changed.
// A node that comes back while its slot is drained stays too. A slot that a
// killed writer left half-written counts as empty. Reads `table`
// only; call it from the writer's side with no unapplied plan for this range
// outstanding. O(slots log slots).
std::vector<SlotWrite> PlanSlots(const PeerTable& table, SlotRange range,
                                 uint16_t port,
                                 absl::Span<const IngressNode> nodes,
                                 uint32_t weight);

// The same with a weight for each node: what `weight_of` says, which is also
// told the weight that the node has now; 0 when it joins.
using WeightOf =
    absl::FunctionRef<uint32_t(const PeerIdentity&, uint32_t present)>;
std::vector<SlotWrite> PlanSlots(const PeerTable& table, SlotRange range,
                                 uint16_t port,
                                 absl::Span<const IngressNode> nodes,
                                 WeightOf weight_of);

// The same for instances, each under its own port: of one address there may be
// several. Those that drain (weight_milli 0) have no slot but the one that they
// leave. One that has left, and has no request, is forgotten with the next
// change: pods of each release have addresses of their own, and a slot for each
// would fill the status with peers that are no more. `weight_of` is also told
// the instance's weight_milli.
using InstanceWeightOf = absl::FunctionRef<uint32_t(
    const PeerIdentity&, uint32_t weight_milli, uint32_t present)>;
std::vector<SlotWrite> PlanSlots(const PeerTable& table, SlotRange range,
                                 absl::Span<const Instance> instances,
                                 InstanceWeightOf weight_of);

// Applies writes to the table; the caller publishes. For the one writer. Peers
// that join start slowly at `now_ms`, milliseconds of the monotonic clock; 0:
// they do not.
void ApplySlotWrites(PeerTable table, absl::Span<const SlotWrite> writes,
                     int64_t now_ms = 0);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_SLOT_PLAN_H_

// From views to slot writes: what each line's slots should hold. The watcher
// thread uses it for every change, the master once when it carries the last
// view into a new cycle.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_WEIGHT_COMPUTATION_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_WEIGHT_COMPUTATION_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "weightcalc/cluster_view.h"
#include "weightcalc/peer_set.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/tuning.h"
#include "weightcalc/weight.h"

namespace dynweight {

// The arithmetic behind a line's weight. Of an `instances` line the instances
// are both: `pods` are those that serve, and they are counted as nodes, too.
struct LineWeight {
  uint64_t pods = 0;
  uint64_t ingress_nodes = 0;  // live in the cluster
  uint64_t used_nodes = 0;     // what is divided by: at most the line's slots,
                               // without drained ones
  uint64_t weight = 0;         // of each node, or of an instance that is to get
                               // one pod's share; before tuning and scaling
  uint64_t drained_nodes = 0;  // by tuning, of those that have a slot
  bool frozen = false;         // by tuning: all this is what it was then
  bool provisional = false;    // nodes or pods are held from before: their
                               // source has not answered yet
  bool no_ingress = false;     // so that its pods don't count
  uint64_t scale = 1;          // what the weights of the table are divided by

  // Of each node, before tuning, as the table has it.
  uint32_t in_force() const { return ScaledWeight(weight, scale); }

  uint64_t assigned_nodes() const { return used_nodes + drained_nodes; }

  // Whether nothing differs but that it is frozen or provisional.
  bool same_but_held(const LineWeight& other) const {
    return pods == other.pods && ingress_nodes == other.ingress_nodes &&
           used_nodes == other.used_nodes &&
           drained_nodes == other.drained_nodes && weight == other.weight &&
           no_ingress == other.no_ingress && scale == other.scale;
  }

  friend bool operator==(const LineWeight& a, const LineWeight& b) {
    return a.same_but_held(b) && a.frozen == b.frozen &&
           a.provisional == b.provisional;
  }
};

// Nothing when the view does not know the line's nodes or pods, or instances:
// the line's slots then stay as they are. An empty set of nodes or instances
// counts as not known: nothing the API says may empty an upstream. A line whose
// Ingress is gone has no pods; one whose Ingress nobody knows of has. A drained
// node is not live: the others take its share; unless all are drained. A
// drained instance leaves its share to whoever serves. Where no instance serves
// the last ones have the least weight, or with empty=drain none.
std::optional<LineWeight> ComputeLineWeight(
    const LineConfig& line, const ClusterView& view,
    const Tuning::Selection& rules = {});

// What a line's slots should hold, by its kind. Nodes and instances are those
// of the view, or of what is held, and last as long.
struct LineTarget {
  absl::Span<const IngressNode> nodes;
  absl::Span<const Instance> instances;
  LineWeight weight;
};

// What a line holds while it is frozen.
struct HeldTarget {
  std::vector<IngressNode> nodes;
  std::vector<Instance> instances;
  LineWeight weight;
};

// What the view says, or, while the rules freeze the line, what it said when
// they began to: `held` is for this function alone to keep. Nothing when
// neither is known.
std::optional<LineTarget> TargetOf(const LineConfig& line,
                                   const ClusterView& view,
                                   const Tuning::Selection& rules,
                                   std::optional<HeldTarget>* held);

// What a line that was frozen under a predecessor holds: the nodes or instances
// that its slots show, and the weight that it left. A slot of weight 0 is that
// of one which had gone, unless a rule drains it.
HeldTarget ResumeFreeze(const LineConfig& line, const LineWeight& weight,
                        const Tuning::Selection& rules, const PeerTable& table);

// The largest weight of the target's nodes, tuned. The scale of the table is
// that of the largest of its lines and servers.
uint64_t LargestWeight(const LineConfig& line, const LineTarget& target,
                       const Tuning::Selection& rules);

// The target, tuned and divided by its weight's scale, as writes to the line's
// table; empty when nothing is to change. `previous_scale` is the scale of the
// weights that the table has.
std::vector<SlotWrite> PlanLine(const LineConfig& line,
                                const LineTarget& target,
                                const Tuning::Selection& rules,
                                const PeerTable& table,
                                uint64_t previous_scale = 1);

// The weight of a server, tuned.
uint64_t TunedWeight(const ServerConfig& server,
                     const Tuning::Selection& rules);

// The same, divided by the table's scale, as a write if it is to change.
std::optional<SlotWrite> PlanServer(const ServerConfig& server,
                                    const Tuning::Selection& rules,
                                    const PeerTable& table, uint64_t scale = 1);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_WEIGHT_COMPUTATION_H_

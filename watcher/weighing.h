// From views to slot writes: what each line's slots should hold. The watcher
// thread uses it for every change, the master once when it carries the last
// view into a new cycle.

#ifndef DYNAMIC_WEIGHT_WATCHER_WEIGHING_H_
#define DYNAMIC_WEIGHT_WATCHER_WEIGHING_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "watcher/cluster_view.h"
#include "watcher/config.h"
#include "weightcalc/peer_table.h"

namespace dynweight {

// The arithmetic behind a line's weight.
struct LineWeight {
  uint64_t pods = 0;
  uint64_t ingress_nodes = 0;  // live in the cluster
  uint64_t used_nodes = 0;     // at most the line's slots; what is divided by
  uint32_t weight = 0;         // of each node

  friend bool operator==(const LineWeight& a, const LineWeight& b) {
    return a.pods == b.pods && a.ingress_nodes == b.ingress_nodes &&
           a.used_nodes == b.used_nodes && a.weight == b.weight;
  }
};

// Nothing when the view does not know the line's nodes or pods: the line's
// slots then stay as they are. An empty set of nodes counts as not known:
// nothing the API says may empty an upstream.
std::optional<LineWeight> WeighLine(const LineConfig& line,
                                    const ClusterView& view);

// WeighLine() as writes to the line's table; empty when nothing is to change.
std::vector<SlotWrite> PlanLine(const LineConfig& line, const ClusterView& view,
                                const PeerTable& table);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_WEIGHING_H_

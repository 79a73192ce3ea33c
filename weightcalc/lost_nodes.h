// Ingress nodes that are lost by NotReady alone, and when they stay in use
// nevertheless.
//
// A node that is NotReady has a kubelet that does not report; whether it still
// serves, only passive health can tell. When more than half of a cluster's
// nodes are in that state it says more about the control plane than about the
// nodes, and sending the cluster's whole share to the few that are left would
// fell them, too: then all are in use. (Envoy's panic threshold.) A node whose
// object is gone, or that its owner excludes, is not lost but away.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_LOST_NODES_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_LOST_NODES_H_

#include <cstddef>
#include <set>
#include <vector>

#include "weightcalc/ip_address.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

// Knows which nodes were live and are not gone since. Not thread-safe.
class LostNodes {
 public:
  // `in_use`: from before.
  explicit LostNodes(const std::vector<IngressNode>& in_use);

  // The nodes to use, sorted, distinct. `live` and `unready` are what the
  // cluster says now, sorted and distinct; `departed` left because their owner
  // meant it, so that a node of that address begins anew.
  std::vector<IngressNode> Usable(std::vector<IngressNode> live,
                                  const std::vector<IngressNode>& unready,
                                  const std::vector<IpAddress>& departed);

  // How many of the last Usable() are not ready; 0 most of the time.
  size_t kept() const { return kept_; }

 private:
  std::set<IpAddress> known_;  // were live, and are now live or unready
  size_t kept_ = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_LOST_NODES_H_

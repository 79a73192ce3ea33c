// See lost_nodes.h.

#include "weightcalc/lost_nodes.h"

#include <utility>

#include "weightcalc/ingress_node.h"

namespace dynweight {

LostNodes::LostNodes(const std::vector<IngressNode>& in_use) {
  for (const IngressNode& node : in_use) known_.insert(node.address);
}

std::vector<IngressNode> LostNodes::Usable(
    std::vector<IngressNode> live, const std::vector<IngressNode>& unready,
    const std::vector<IpAddress>& departed) {
  for (const IpAddress& address : departed) known_.erase(address);
  std::set<IpAddress> known;
  for (const IngressNode& node : live) known.insert(node.address);
  std::vector<IngressNode> lost;
  for (const IngressNode& node : unready) {
    if (known_.count(node.address) == 0) continue;
    if (known.insert(node.address).second) lost.push_back(node);
  }
  known_ = std::move(known);
  kept_ = lost.size() > live.size() ? lost.size() : 0;
  if (kept_ != 0) {
    live.insert(live.end(), lost.begin(), lost.end());
    SortNodes(&live);
  }
  return live;
}

}  // namespace dynweight

// What is known of a cluster.

#include "weightcalc/cluster_view.h"

namespace dynweight {

const PodCount* CountOf(const ClusterView& view, const LineConfig& line,
                        bool* provisional) {
  *provisional = false;
  const auto known = view.pods.find(line.source);
  if (known != view.pods.end()) return &known->second;
  for (const ViewLine& held : view.lines) {
    if (held.assumed.has_value() && !held.instances &&
        held.upstream == line.upstream && held.source == line.source) {
      *provisional = true;
      return &*held.assumed;
    }
  }
  return nullptr;
}

bool LacksIngress(const ClusterView& view, const LineConfig& line,
                  bool* provisional) {
  *provisional = false;
  if (line.ingress.empty()) return false;
  const auto known = view.pods.find(line.ingress);
  if (known != view.pods.end()) return known->second.pods == 0;
  *provisional = true;
  for (const ViewLine& held : view.lines) {
    if (held.no_ingress && held.upstream == line.upstream &&
        held.source == line.source) {
      return true;
    }
  }
  return false;
}

}  // namespace dynweight

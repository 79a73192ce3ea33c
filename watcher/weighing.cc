// From views to slot writes.

#include "watcher/weighing.h"

#include <algorithm>

#include "weightcalc/weight.h"

namespace dynweight {

std::optional<LineWeight> WeighLine(const LineConfig& line,
                                    const ClusterView& view) {
  if (!view.nodes.has_value() || view.nodes->nodes.empty()) return std::nullopt;
  const auto app = view.pods.find(line.source.Key());
  if (app == view.pods.end()) return std::nullopt;

  LineWeight result;
  result.pods = app->second.pods;
  result.ingress_nodes = view.nodes->nodes.size();
  // The cluster's whole share goes to the nodes that have a slot.
  result.used_nodes =
      std::min<uint64_t>(result.ingress_nodes, line.range.count);
  result.weight =
      IngressNodeWeight(result.pods, result.used_nodes, line.base, line.empty);
  return result;
}

std::vector<SlotWrite> PlanLine(const LineConfig& line, const ClusterView& view,
                                const PeerTable& table) {
  const std::optional<LineWeight> line_weight = WeighLine(line, view);
  if (!line_weight.has_value()) return {};
  return PlanSlots(table, line.range, line.port, view.nodes->nodes,
                   line_weight->weight);
}

}  // namespace dynweight

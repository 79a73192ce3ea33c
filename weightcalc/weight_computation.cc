// From views to slot writes.

#include "weightcalc/weight_computation.h"

#include <algorithm>

namespace dynweight {
namespace {

// How many of the first `count` nodes the rules drain one by one; 0 when they
// drain all of them: there is no other node to take a share.
uint64_t DrainedNodes(const LineConfig& line,
                      const std::vector<IngressNode>& nodes, size_t count,
                      const Tuning::Selection& rules) {
  if (rules.empty()) return 0;
  uint64_t drained = 0;
  for (size_t i = 0; i < count; ++i) {
    PeerIdentity identity;
    identity.address = nodes[i].address;
    identity.port = line.port;
    identity.set_node(nodes[i].name);
    if (EffectOn(rules, AsTunedPeer(identity)).drain != nullptr) ++drained;
  }
  return drained == count ? 0 : drained;
}

}  // namespace

std::optional<LineWeight> ComputeLineWeight(const LineConfig& line,
                                            const ClusterView& view,
                                            const Tuning::Selection& rules) {
  if (!view.nodes.has_value() || view.nodes->nodes.empty()) return std::nullopt;
  bool assumed;
  const PodCount* count = CountOf(view, line, &assumed);
  if (count == nullptr) return std::nullopt;

  LineWeight result;
  result.pods = count->pods;
  result.provisional = assumed || view.nodes->provisional;
  result.ingress_nodes = view.nodes->nodes.size() + view.nodes->cut;
  // The cluster's whole share goes to the nodes that have a slot.
  const auto assigned =
      std::min<uint64_t>(view.nodes->nodes.size(), line.range.count);
  result.drained_nodes = DrainedNodes(line, view.nodes->nodes, assigned, rules);
  result.used_nodes = assigned - result.drained_nodes;
  result.weight =
      IngressNodeWeight(result.pods, result.used_nodes, line.base, line.empty);
  return result;
}

std::optional<LineTarget> TargetOf(const LineConfig& line,
                                   const ClusterView& view,
                                   const Tuning::Selection& rules,
                                   std::optional<HeldTarget>* held) {
  const bool freeze = LineFreeze(rules) != nullptr;
  if (!freeze) held->reset();
  if (!held->has_value()) {
    const std::optional<LineWeight> weight =
        ComputeLineWeight(line, view, rules);
    if (!weight.has_value()) return std::nullopt;
    if (!freeze) return LineTarget{view.nodes->nodes, *weight};
    *held = HeldTarget{view.nodes->nodes, *weight};
    (*held)->weight.frozen = true;
  }
  return LineTarget{(*held)->nodes, (*held)->weight};
}

HeldTarget ResumeFreeze(const LineConfig& line, const LineWeight& weight,
                        const Tuning::Selection& rules,
                        const PeerTable& table) {
  HeldTarget target;
  target.weight = weight;
  target.weight.frozen = true;
  for (uint32_t i = 0; i < line.range.count; ++i) {
    const uint32_t slot = line.range.first + i;
    Peer peer;
    if (!table.Read(slot, &peer) || peer.identity.port != line.port) continue;
    if (table.weight(slot) == 0 && weight.weight != 0 &&
        EffectOn(rules, AsTunedPeer(peer.identity)).drain == nullptr) {
      continue;
    }
    target.nodes.push_back(
        {peer.identity.address, std::string(peer.identity.node.data())});
  }
  return target;
}

uint64_t LargestWeight(const LineConfig& line, const LineTarget& target,
                       const Tuning::Selection& rules) {
  if (rules.empty()) return target.weight.weight;
  uint64_t largest = 0;
  for (const IngressNode& node : target.nodes) {
    PeerIdentity identity;
    identity.address = node.address;
    identity.port = line.port;
    identity.set_node(node.name);
    largest = std::max(
        largest,
        EffectOn(rules, AsTunedPeer(identity)).OnNode(target.weight.weight));
  }
  return largest;
}

std::vector<SlotWrite> PlanLine(const LineConfig& line,
                                const LineTarget& target,
                                const Tuning::Selection& rules,
                                const PeerTable& table,
                                uint64_t previous_scale) {
  const uint64_t scale = target.weight.scale;
  if (rules.empty()) {
    return PlanSlots(table, line.range, line.port, target.nodes,
                     target.weight.in_force());
  }
  return PlanSlots(
      table, line.range, line.port, target.nodes,
      [&](const PeerIdentity& identity, uint32_t present) {
        const TuningEffect effect = EffectOn(rules, AsTunedPeer(identity));
        // Frozen alone, in a line that is not: the weight it has,
        // if any.
        if (effect.freeze != nullptr && !target.weight.frozen &&
            effect.drain == nullptr && effect.weight == nullptr &&
            present != 0) {
          return ScaledWeight(present * previous_scale, scale);
        }
        return ScaledWeight(effect.OnNode(target.weight.weight), scale);
      });
}

uint64_t TunedWeight(const ServerConfig& server,
                     const Tuning::Selection& rules) {
  return rules.empty()
             ? server.weight
             : EffectOn(rules, AsTunedPeer(server)).OnServer(server.weight);
}

std::optional<SlotWrite> PlanServer(const ServerConfig& server,
                                    const Tuning::Selection& rules,
                                    const PeerTable& table, uint64_t scale) {
  const uint32_t weight = ScaledWeight(TunedWeight(server, rules), scale);
  if (table.weight(server.slot) == weight) return std::nullopt;
  return SlotWrite{server.slot, false, weight, PeerIdentity()};
}

}  // namespace dynweight

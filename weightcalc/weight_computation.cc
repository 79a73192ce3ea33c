// From views to slot writes.

#include "weightcalc/weight_computation.h"

#include <algorithm>
#include <string>
#include <utility>

namespace dynweight {
namespace {

PeerIdentity IdentityOf(const IpAddress& address, uint16_t port,
                        const std::string& name) {
  PeerIdentity identity;
  identity.address = address;
  identity.port = port;
  identity.set_node(name);
  return identity;
}

PeerIdentity IdentityOf(const LineConfig& line, const IngressNode& node) {
  return IdentityOf(node.address, line.port, node.name);
}

PeerIdentity IdentityOf(const LineConfig&, const Instance& instance) {
  return IdentityOf(instance.address, instance.port, instance.name);
}

// How many of the first `count` nodes or instances the rules drain one by one;
// 0 when they drain all of them: there is no other one to take a share.
template <typename Peer>
uint64_t DrainedOf(const LineConfig& line, const std::vector<Peer>& peers,
                   size_t count, const Tuning::Selection& rules) {
  if (rules.empty()) return 0;
  uint64_t drained = 0;
  for (size_t i = 0; i < count; ++i) {
    const PeerIdentity identity = IdentityOf(line, peers[i]);
    if (EffectOn(rules, AsTunedPeer(identity)).drain != nullptr) ++drained;
  }
  return drained == count ? 0 : drained;
}

// The set that the line is made of; nullptr: not known.
const InstanceSet* InstancesOf(const LineConfig& line,
                               const ClusterView& view) {
  const auto it = view.instances.find(line.source);
  if (it == view.instances.end() || it->second.instances.empty()) {
    return nullptr;
  }
  return &it->second;
}

std::optional<LineWeight> WeighInstances(const LineConfig& line,
                                         const ClusterView& view,
                                         const Tuning::Selection& rules) {
  const InstanceSet* set = InstancesOf(line, view);
  if (set == nullptr) return std::nullopt;
  LineWeight result;
  result.ingress_nodes = set->instances.size() + set->cut;
  result.pods = set->none ? 0 : result.ingress_nodes;
  result.provisional = set->provisional;
  const auto assigned =
      std::min<uint64_t>(set->instances.size(), line.range.count);
  result.drained_nodes = DrainedOf(line, set->instances, assigned, rules);
  result.used_nodes = assigned - result.drained_nodes;
  result.weight = set->none
                      ? IngressNodeWeight(0, assigned, line.base, line.empty)
                      : InstanceWeight(1000, line.base);
  return result;
}

// Before tuning and scaling. Without an instance that serves, the last ones are
// equal.
uint64_t WeightOfInstance(const LineConfig& line, const LineWeight& weight,
                          uint32_t weight_milli) {
  return weight.pods == 0 ? weight.weight
                          : InstanceWeight(weight_milli, line.base);
}

// What a slot's weight says of its instance. A rule that changed it hides it.
uint32_t MilliOf(const LineConfig& line, const LineWeight& weight,
                 const TuningEffect& effect, uint32_t in_slot) {
  if (weight.pods == 0 || effect.drain != nullptr || effect.weight != nullptr ||
      effect.scale != nullptr || effect.min != nullptr ||
      effect.max != nullptr) {
    return 1000;
  }
  const uint64_t full = in_slot * weight.scale;
  return static_cast<uint32_t>(std::clamp<uint64_t>(
      (full * 1000 + line.base - 1) / line.base, 1, UINT32_MAX));
}

}  // namespace

std::optional<LineWeight> ComputeLineWeight(const LineConfig& line,
                                            const ClusterView& view,
                                            const Tuning::Selection& rules) {
  if (line.instances()) return WeighInstances(line, view, rules);
  if (!view.nodes.has_value() || view.nodes->nodes.empty()) return std::nullopt;
  bool assumed;
  const PodCount* count = CountOf(view, line, &assumed);
  if (count == nullptr) return std::nullopt;

  LineWeight result;
  bool ingress_unknown;
  result.no_ingress = LacksIngress(view, line, &ingress_unknown);
  result.pods = result.no_ingress ? 0 : count->pods;
  result.provisional = assumed || ingress_unknown || view.nodes->provisional;
  result.ingress_nodes = view.nodes->nodes.size() + view.nodes->cut;
  // The cluster's whole share goes to the nodes that have a slot.
  const auto assigned =
      std::min<uint64_t>(view.nodes->nodes.size(), line.range.count);
  result.drained_nodes = DrainedOf(line, view.nodes->nodes, assigned, rules);
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
    LineTarget target;
    target.weight = *weight;
    if (line.instances()) {
      target.instances = InstancesOf(line, view)->instances;
    } else {
      target.nodes = view.nodes->nodes;
    }
    if (!freeze) return target;
    *held = HeldTarget{{target.nodes.begin(), target.nodes.end()},
                       {target.instances.begin(), target.instances.end()},
                       *weight};
    (*held)->weight.frozen = true;
  }
  return LineTarget{(*held)->nodes, (*held)->instances, (*held)->weight};
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
    if (!table.Read(slot, &peer)) continue;
    const PeerIdentity& identity = peer.identity;
    if (!line.instances() && identity.port != line.port) continue;
    const TuningEffect effect = EffectOn(rules, AsTunedPeer(identity));
    if (table.weight(slot) == 0 && weight.weight != 0 &&
        effect.drain == nullptr) {
      continue;
    }
    std::string name = identity.node.data();
    if (line.instances()) {
      target.instances.push_back(
          {identity.address, identity.port, std::move(name),
           MilliOf(line, weight, effect, table.weight(slot)),
           table.zone(slot).data()});
    } else {
      target.nodes.push_back({identity.address, std::move(name)});
    }
  }
  SortInstances(&target.instances);
  return target;
}

uint64_t LargestWeight(const LineConfig& line, const LineTarget& target,
                       const Tuning::Selection& rules) {
  uint64_t largest = 0;
  for (const Instance& instance : target.instances) {
    largest = std::max(largest,
                       EffectOn(rules, AsTunedPeer(IdentityOf(line, instance)))
                           .OnNode(WeightOfInstance(line, target.weight,
                                                    instance.weight_milli)));
  }
  if (line.instances()) return largest;
  if (rules.empty()) return target.weight.weight;
  for (const IngressNode& node : target.nodes) {
    largest =
        std::max(largest, EffectOn(rules, AsTunedPeer(IdentityOf(line, node)))
                              .OnNode(target.weight.weight));
  }
  return largest;
}

std::vector<SlotWrite> PlanLine(const LineConfig& line,
                                const LineTarget& target,
                                const Tuning::Selection& rules,
                                const PeerTable& table,
                                uint64_t previous_scale) {
  const uint64_t scale = target.weight.scale;
  const auto tuned = [&](const PeerIdentity& identity, uint64_t given,
                         uint32_t present) {
    if (rules.empty()) return ScaledWeight(given, scale);
    const TuningEffect effect = EffectOn(rules, AsTunedPeer(identity));
    // Frozen alone, in a line that is not: the weight it has, if any.
    if (effect.freeze != nullptr && !target.weight.frozen &&
        effect.drain == nullptr && effect.weight == nullptr && present != 0) {
      return ScaledWeight(present * previous_scale, scale);
    }
    return ScaledWeight(effect.OnNode(given), scale);
  };
  if (line.instances()) {
    return PlanSlots(table, line.range, target.instances,
                     [&](const PeerIdentity& identity, uint32_t weight_milli,
                         uint32_t present) {
                       return tuned(
                           identity,
                           WeightOfInstance(line, target.weight, weight_milli),
                           present);
                     });
  }
  return PlanSlots(table, line.range, line.port, target.nodes,
                   [&](const PeerIdentity& identity, uint32_t present) {
                     return tuned(identity, target.weight.weight, present);
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

// Who has which slot; see slot_plan.h.

#include "weightcalc/slot_plan.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "weightcalc/weight.h"

namespace dynweight {
namespace {

// A slot as it is, and what the plan makes of it.
struct SlotState {
  uint32_t slot = 0;
  bool occupied = false;  // by a occupant that can be read
  PeerIdentity occupant;
  uint32_t weight = 0;
  bool stays = false;
  uint32_t weight_milli = 0;  // of an instance that does
  ZoneName zone{};            // that it has
  ZoneName wanted_zone{};

  // Tenants by address; of two with one address the one in use first.
  friend bool operator<(const SlotState& a, const SlotState& b) {
    return std::make_tuple(a.occupant.address, a.weight == 0, a.slot) <
           std::make_tuple(b.occupant.address, b.weight == 0, b.slot);
  }
};

std::vector<SlotState> ReadSlots(const PeerTable& table, SlotRange range) {
  std::vector<SlotState> states(range.count);
  for (uint32_t i = 0; i < range.count; i++) {
    Peer peer;
    states[i].slot = range.first + i;
    states[i].occupied = table.Read(states[i].slot, &peer);
    if (states[i].occupied) states[i].occupant = peer.identity;
    states[i].weight = table.weight(states[i].slot);
    states[i].zone = states[i].wanted_zone = table.zone(states[i].slot);
  }
  return states;
}

// Who should be seated.
struct Candidate {
  PeerIdentity identity;
  uint32_t weight_milli = 0;  // of instances
  ZoneName zone{};
};

// The first `most` of them by address, port and name; of several with one
// address and port the first.
void Choose(size_t most, std::vector<Candidate>* candidates) {
  const auto before = [](const Candidate& a, const Candidate& b) {
    const PeerIdentity& x = a.identity;
    const PeerIdentity& y = b.identity;
    return std::tie(x.address, x.port, x.node) <
           std::tie(y.address, y.port, y.node);
  };
  // A view's are in order already.
  if (!std::is_sorted(candidates->begin(), candidates->end(), before)) {
    std::sort(candidates->begin(), candidates->end(), before);
  }
  candidates->erase(std::unique(candidates->begin(), candidates->end(),
                                [](const Candidate& a, const Candidate& b) {
                                  return a.identity.address ==
                                             b.identity.address &&
                                         a.identity.port == b.identity.port;
                                }),
                    candidates->end());
  if (candidates->size() > most) candidates->resize(most);
}

void AddCandidate(const IpAddress& address, uint16_t port,
                  const std::string& name, uint32_t weight_milli,
                  std::string_view zone, std::vector<Candidate>* candidates) {
  Candidate& candidate = candidates->emplace_back();
  candidate.identity.address = address;
  candidate.identity.port = port;
  candidate.identity.set_node(name);
  candidate.weight_milli = weight_milli;
  candidate.zone = MakeZoneName(zone);
}

bool Stays(const PeerIdentity& wanted, const SlotState& state) {
  return state.occupied && !state.stays && state.occupant.port == wanted.port &&
         (wanted.node[0] == '\0' || state.occupant.node == wanted.node);
}

// The states that may be given away, best first: those without a running
// request, of them the empty ones, then the drained ones.
std::vector<const SlotState*> FreeSlots(const PeerTable& table,
                                        const std::vector<SlotState>& states) {
  using Rank = std::tuple<uint32_t, bool, bool, uint32_t>;
  std::vector<std::pair<Rank, const SlotState*>> ranked;
  for (const SlotState& state : states) {
    if (state.stays) continue;
    ranked.emplace_back(Rank(table.Active(state.slot), state.occupied,
                             state.weight != 0, state.slot),
                        &state);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<const SlotState*> free;
  free.reserve(ranked.size());
  for (const auto& [rank, state] : ranked) free.push_back(state);
  return free;
}

// What the range should look like with these in it.
// `forget`: those that drained under a former plan leave their slots.
std::vector<SlotWrite> PlanFor(const PeerTable& table, SlotRange range,
                               std::vector<Candidate> wanted, bool forget,
                               InstanceWeightOf weight_of) {
  const auto weigh = [&](const PeerIdentity& identity, uint32_t weight_milli,
                         uint32_t present) {
    // As SetWeight() would.
    return std::min(weight_of(identity, weight_milli, present), kMaxWeight);
  };
  std::vector<SlotState> states = ReadSlots(table, range);
  std::sort(states.begin(), states.end());

  std::vector<const Candidate*> joining;
  Choose(range.count, &wanted);
  for (const Candidate& candidate : wanted) {
    const PeerIdentity& identity = candidate.identity;
    auto state =
        std::lower_bound(states.begin(), states.end(), identity.address,
                         [](const SlotState& s, const IpAddress& a) {
                           return s.occupant.address < a;
                         });
    while (state != states.end() &&
           state->occupant.address == identity.address &&
           !Stays(identity, *state)) {
      ++state;
    }
    if (state != states.end() && state->occupant.address == identity.address) {
      state->stays = true;
      state->weight_milli = candidate.weight_milli;
      state->wanted_zone = candidate.zone;
    } else {
      joining.push_back(&candidate);
    }
  }

  const bool others = std::any_of(
      states.begin(), states.end(),
      [](const SlotState& state) { return state.stays && state.weight != 0; });
  std::vector<SlotWrite> writes;
  writes.reserve(range.count);  // nearly always none or all of them
  const auto write_weight = [&](const SlotState& state, uint32_t target) {
    const bool zoned = state.zone != state.wanted_zone;
    if (state.weight == target && !zoned) return;
    writes.push_back({state.slot, false, target, PeerIdentity(),
                      others && state.weight == 0 && target != 0, false, zoned,
                      state.wanted_zone, 0});
  };
  for (const SlotState& state : states) {
    if (state.stays) {
      write_weight(state,
                   weigh(state.occupant, state.weight_milli, state.weight));
    }
  }

  // There are no more that join than free states: Choose() saw to it.
  const std::vector<const SlotState*> free = FreeSlots(table, states);
  for (size_t i = 0; i < free.size(); i++) {
    if (i < joining.size()) {
      const uint32_t weight =
          weigh(joining[i]->identity, joining[i]->weight_milli, 0);
      writes.push_back({free[i]->slot, true, weight, joining[i]->identity,
                        others && weight != 0, false, true, joining[i]->zone,
                        0});
    } else if (forget && free[i]->occupied && free[i]->weight == 0 &&
               table.Active(free[i]->slot) == 0) {
      SlotWrite& write = writes.emplace_back();
      write.slot = free[i]->slot;
      write.clear = true;
    } else {
      write_weight(*free[i], 0);
    }
  }
  std::sort(
      writes.begin(), writes.end(),
      [](const SlotWrite& a, const SlotWrite& b) { return a.slot < b.slot; });
  return writes;
}

}  // namespace

std::vector<SlotWrite> PlanSlots(const PeerTable& table, SlotRange range,
                                 uint16_t port,
                                 absl::Span<const IngressNode> nodes,
                                 uint32_t weight) {
  return PlanSlots(table, range, port, nodes,
                   [weight](const PeerIdentity&, uint32_t) { return weight; });
}

std::vector<SlotWrite> PlanSlots(const PeerTable& table, SlotRange range,
                                 uint16_t port,
                                 absl::Span<const IngressNode> nodes,
                                 WeightOf weight_of) {
  std::vector<Candidate> wanted;
  wanted.reserve(nodes.size());
  for (const IngressNode& node : nodes) {
    AddCandidate(node.address, port, node.name, 0, "", &wanted);
  }
  return PlanFor(table, range, std::move(wanted), /*forget=*/false,
                 [&](const PeerIdentity& identity, uint32_t, uint32_t present) {
                   return weight_of(identity, present);
                 });
}

std::vector<SlotWrite> PlanSlots(const PeerTable& table, SlotRange range,
                                 absl::Span<const Instance> instances,
                                 InstanceWeightOf weight_of) {
  std::vector<Candidate> wanted;
  wanted.reserve(instances.size());
  for (const Instance& instance : instances) {
    if (instance.weight_milli == 0) continue;
    AddCandidate(instance.address, instance.port, instance.name,
                 instance.weight_milli, instance.zone, &wanted);
  }
  return PlanFor(table, range, std::move(wanted), /*forget=*/true, weight_of);
}

void ApplySlotWrites(PeerTable table, absl::Span<const SlotWrite> writes,
                     int64_t now_ms) {
  for (const SlotWrite& write : writes) {
    if (write.clear) {
      table.SetWeight(write.slot, 0);
      table.ClearPeer(write.slot);
      continue;
    }
    if (write.assign) table.SetPeer(write.slot, write.identity);
    if (write.probe != 0) {
      (void)table.health(write.slot).SetProbe(write.probe, now_ms);
    }
    table.SetWeight(write.slot, write.weight);
    if (write.zoned) table.SetZone(write.slot, write.zone);
    if (write.joins && now_ms > 0) table.health(write.slot).StartSlowly(now_ms);
  }
}

}  // namespace dynweight

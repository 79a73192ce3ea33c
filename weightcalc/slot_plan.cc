// Which ingress node has which slot; see slot_plan.h.

#include "weightcalc/slot_plan.h"

#include <algorithm>
#include <tuple>

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
  }
  return states;
}

// The identities that should be seated, by address.
std::vector<PeerIdentity> Wanted(absl::Span<const IngressNode> nodes,
                                 uint16_t port, size_t most) {
  std::vector<const IngressNode*> sorted;
  sorted.reserve(nodes.size());
  for (const IngressNode& node : nodes) sorted.push_back(&node);
  std::sort(sorted.begin(), sorted.end(),
            [](const IngressNode* a, const IngressNode* b) {
              return std::tie(a->address, a->name) <
                     std::tie(b->address, b->name);
            });
  std::vector<PeerIdentity> wanted;
  wanted.reserve(std::min(nodes.size(), most));
  for (const IngressNode* node : sorted) {
    if (!wanted.empty() && wanted.back().address == node->address) continue;
    if (wanted.size() == most) break;
    PeerIdentity& identity = wanted.emplace_back();
    identity.address = node->address;
    identity.port = port;
    identity.set_node(node->name);
  }
  return wanted;
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
  const auto weigh = [&](const PeerIdentity& identity, uint32_t present) {
    // As SetWeight() would.
    return std::min(weight_of(identity, present), kMaxWeight);
  };
  std::vector<SlotState> states = ReadSlots(table, range);
  std::sort(states.begin(), states.end());

  std::vector<const PeerIdentity*> joining;
  const std::vector<PeerIdentity> wanted = Wanted(nodes, port, range.count);
  for (const PeerIdentity& identity : wanted) {
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
    } else {
      joining.push_back(&identity);
    }
  }

  const bool others = std::any_of(
      states.begin(), states.end(),
      [](const SlotState& state) { return state.stays && state.weight != 0; });
  std::vector<SlotWrite> writes;
  writes.reserve(range.count);  // nearly always none or all of them
  const auto write_weight = [&](const SlotState& state, uint32_t target) {
    if (state.weight == target) return;
    writes.push_back({state.slot, false, target, PeerIdentity(),
                      others && state.weight == 0 && target != 0});
  };
  for (const SlotState& state : states) {
    if (state.stays) write_weight(state, weigh(state.occupant, state.weight));
  }

  // There are no more joining nodes than free states: Wanted() saw to it.
  const std::vector<const SlotState*> free = FreeSlots(table, states);
  for (size_t i = 0; i < free.size(); i++) {
    if (i < joining.size()) {
      const uint32_t weight = weigh(*joining[i], 0);
      writes.push_back(
          {free[i]->slot, true, weight, *joining[i], others && weight != 0});
    } else {
      write_weight(*free[i], 0);
    }
  }
  std::sort(
      writes.begin(), writes.end(),
      [](const SlotWrite& a, const SlotWrite& b) { return a.slot < b.slot; });
  return writes;
}

void ApplySlotWrites(PeerTable table, absl::Span<const SlotWrite> writes,
                     int64_t now_ms) {
  for (const SlotWrite& write : writes) {
    if (write.assign) table.SetPeer(write.slot, write.identity);
    table.SetWeight(write.slot, write.weight);
    if (write.joins && now_ms > 0) table.health(write.slot).StartSlowly(now_ms);
  }
}

}  // namespace dynweight

// Which ingress node sits in which slot; see slot_plan.h.

#include "weightcalc/slot_plan.h"

#include <algorithm>
#include <tuple>

#include "weightcalc/weight.h"

namespace dynweight {
namespace {

// A slot as it is, and what the plan makes of it.
struct Seat {
  uint32_t slot = 0;
  bool occupied = false;  // by a tenant that can be read
  PeerIdentity tenant;
  uint32_t weight = 0;
  bool stays = false;

  // Tenants by address; of two with one address the one in use first.
  friend bool operator<(const Seat& a, const Seat& b) {
    return std::make_tuple(a.tenant.address, a.weight == 0, a.slot) <
           std::make_tuple(b.tenant.address, b.weight == 0, b.slot);
  }
};

std::vector<Seat> ReadSeats(const PeerTable& table, SlotRange range) {
  std::vector<Seat> seats(range.count);
  for (uint32_t i = 0; i < range.count; i++) {
    Peer peer;
    seats[i].slot = range.first + i;
    seats[i].occupied = table.Read(seats[i].slot, &peer);
    if (seats[i].occupied) seats[i].tenant = peer.identity;
    seats[i].weight = table.weight(seats[i].slot);
  }
  return seats;
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

bool Stays(const PeerIdentity& wanted, const Seat& seat) {
  return seat.occupied && !seat.stays && seat.tenant.port == wanted.port &&
         (wanted.node[0] == '\0' || seat.tenant.node == wanted.node);
}

// The seats that may be given away, best first: those without a running
// request, of them the empty ones, then the drained ones.
std::vector<const Seat*> FreeSeats(const PeerTable& table,
                                   const std::vector<Seat>& seats) {
  using Rank = std::tuple<uint32_t, bool, bool, uint32_t>;
  std::vector<std::pair<Rank, const Seat*>> ranked;
  for (const Seat& seat : seats) {
    if (seat.stays) continue;
    ranked.emplace_back(Rank(table.Active(seat.slot), seat.occupied,
                             seat.weight != 0, seat.slot),
                        &seat);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<const Seat*> free;
  free.reserve(ranked.size());
  for (const auto& [rank, seat] : ranked) free.push_back(seat);
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
  std::vector<Seat> seats = ReadSeats(table, range);
  std::sort(seats.begin(), seats.end());

  std::vector<const PeerIdentity*> joining;
  const std::vector<PeerIdentity> wanted = Wanted(nodes, port, range.count);
  for (const PeerIdentity& identity : wanted) {
    auto seat = std::lower_bound(
        seats.begin(), seats.end(), identity.address,
        [](const Seat& s, const IpAddress& a) { return s.tenant.address < a; });
    while (seat != seats.end() && seat->tenant.address == identity.address &&
           !Stays(identity, *seat)) {
      ++seat;
    }
    if (seat != seats.end() && seat->tenant.address == identity.address) {
      seat->stays = true;
    } else {
      joining.push_back(&identity);
    }
  }

  const bool others = std::any_of(
      seats.begin(), seats.end(),
      [](const Seat& seat) { return seat.stays && seat.weight != 0; });
  std::vector<SlotWrite> writes;
  writes.reserve(range.count);  // nearly always none or all of them
  const auto write_weight = [&](const Seat& seat, uint32_t target) {
    if (seat.weight == target) return;
    writes.push_back({seat.slot, false, target, PeerIdentity(),
                      others && seat.weight == 0 && target != 0});
  };
  for (const Seat& seat : seats) {
    if (seat.stays) write_weight(seat, weigh(seat.tenant, seat.weight));
  }

  // There are no more joining nodes than free seats: Wanted() saw to it.
  const std::vector<const Seat*> free = FreeSeats(table, seats);
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
    if (write.seat) table.SetPeer(write.slot, write.identity);
    table.SetWeight(write.slot, write.weight);
    if (write.joins && now_ms > 0) table.health(write.slot).StartSlowly(now_ms);
  }
}

}  // namespace dynweight

// Who owns which arc; see consistent_hash.h.

#include "weightcalc/consistent_hash.h"

#include <algorithm>

namespace dynweight {
namespace {

// A peer's share strays by the arcs that it loses to others where they
// overlap: with 120 arcs, and half of the circle covered when every slot is
// taken, by some 4%.
constexpr uint32_t kMostArcs = 120;
constexpr uint32_t kFewestArcs = 1;
constexpr uint32_t kMostCells = 1u << 20;

// The circle is cut for so many peers: a configuration of some more slots, or
// some less, cuts it in the same way, and moves no keys.
uint32_t RoomFor(uint32_t slots) {
  uint32_t power = 1;
  while (power < slots) power *= 2;
  return power;
}

}  // namespace

uint32_t ConsistentHash::ArcsOf(uint32_t slots) {
  return std::clamp(kMostCells / 2 / RoomFor(slots), kFewestArcs, kMostArcs);
}

uint32_t ConsistentHash::CellsOf(uint32_t slots) {
  return RoomFor(slots) * ArcsOf(slots) * 2;
}

// One entry more than can be used, always empty: Owner() stops there.
size_t ConsistentHash::EntriesOf(uint32_t slots) {
  return size_t{CellsOf(slots)} + kOverflow + 1;
}

size_t ConsistentHash::Bytes(uint32_t slots) {
  return sizeof(ConsistentHash) + slots * sizeof(uint64_t) +
         EntriesOf(slots) * sizeof(Entry);
}

ConsistentHash::ConsistentHash(uint32_t slots)
    : slots_(slots),
      arcs_(ArcsOf(slots)),
      cells_(CellsOf(slots)),
      end_(cells_ + kOverflow),
      identities_(new uint64_t[slots]()),
      entries_(new Entry[EntriesOf(slots)]) {
  std::fill_n(entries_.get(), EntriesOf(slots), Entry{kEmpty, 0});
}

// Of several that contest a cell the first owns it: by a hash of peer and cell,
// so that none is favoured everywhere; nothing depends on the slots' numbers.
bool ConsistentHash::Before(uint32_t cell_a, uint32_t slot_a, uint32_t cell_b,
                            uint32_t slot_b) const {
  if (cell_a != cell_b) return cell_a < cell_b;
  const uint64_t rank_a = Mix64(identities_[slot_a] ^ cell_a);
  const uint64_t rank_b = Mix64(identities_[slot_b] ^ cell_b);
  return rank_a != rank_b ? rank_a < rank_b : slot_a < slot_b;
}

void ConsistentHash::Replace(uint32_t slot, uint64_t identity) {
  if (identities_[slot] != 0) {
    for (uint32_t i = 0; i < arcs_; i++) {
      Remove(CellOf(identities_[slot], i), slot);
    }
  }
  identities_[slot] = identity;
  if (identity == 0) return;
  for (uint32_t i = 0; i < arcs_; i++) Insert(CellOf(identity, i), slot);
}

void ConsistentHash::Insert(uint32_t cell, uint32_t slot) {
  uint32_t i = cell;
  while (!entries_[i].empty() &&
         Before(CellAt(i), entries_[i].slot, cell, slot)) {
    i++;
  }
  uint32_t empty = i;
  while (!entries_[empty].empty()) {
    if (entries_[empty].distance == kMostDistance) return;
    empty++;
  }
  if (empty == end_ || i - cell > kMostDistance) return;
  for (; empty != i; empty--) {
    entries_[empty] = entries_[empty - 1];
    entries_[empty].distance++;
  }
  entries_[i] = Entry{slot, i - cell};
}

void ConsistentHash::Remove(uint32_t cell, uint32_t slot) {
  uint32_t i = cell;
  while (!entries_[i].empty() && CellAt(i) <= cell &&
         (CellAt(i) != cell || entries_[i].slot != slot)) {
    i++;
  }
  if (entries_[i].empty() || CellAt(i) != cell || entries_[i].slot != slot) {
    return;
  }
  // What stands behind its place moves up.
  for (; !entries_[i + 1].empty() && entries_[i + 1].distance != 0; i++) {
    entries_[i] = entries_[i + 1];
    entries_[i].distance--;
  }
  entries_[i] = Entry{kEmpty, 0};
}

}  // namespace dynweight

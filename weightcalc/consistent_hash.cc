// Who owns which arc; see consistent_hash.h.

#include "weightcalc/consistent_hash.h"

#include <algorithm>

namespace dynweight {
namespace {

// A peer's share strays by the arcs that it loses to others where they
// overlap: with 256 arcs, and half of the circle covered when every slot is
// taken, by some 3%.
constexpr uint32_t kMostArcs = 256;
constexpr uint32_t kFewestArcs = 1;
constexpr uint32_t kMostEntries = 1u << 20;  // two words each

uint32_t PowerOfTwoAbove(uint32_t x) {
  uint32_t power = 1;
  while (power < x) power *= 2;
  return power;
}

}  // namespace

ConsistentHash::ConsistentHash(uint32_t slots) : slots_(slots) {
  const uint32_t room = PowerOfTwoAbove(slots);
  arcs_ = std::clamp(kMostEntries / 2 / room, kFewestArcs, kMostArcs);
  const uint32_t cells = room * arcs_ * 2;
  shift_ = 32;
  for (uint32_t n = cells; n > 1; n /= 2) shift_--;
  end_ = cells + kOverflow;
  identities_.reset(new uint64_t[slots]());
  // One more, always empty: Owner() stops there.
  entries_.reset(new Entry[end_ + 1]);
  std::fill_n(entries_.get(), end_ + 1, Entry{0, kNone});
}

// Of several that contest a cell the first owns it: by a hash of peer and cell,
// so that none is favoured everywhere; nothing depends on the slots' numbers.
bool ConsistentHash::Before(const Entry& a, const Entry& b) const {
  if (a.cell != b.cell) return a.cell < b.cell;
  const uint64_t rank_a = Mix64(identities_[a.slot] ^ a.cell);
  const uint64_t rank_b = Mix64(identities_[b.slot] ^ b.cell);
  return rank_a != rank_b ? rank_a < rank_b : a.slot < b.slot;
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
  const Entry entry = {cell, slot};
  uint32_t i = cell;
  while (entries_[i].slot != kNone && Before(entries_[i], entry)) i++;
  uint32_t empty = i;
  while (entries_[empty].slot != kNone) empty++;
  if (empty == end_) return;
  std::copy_backward(&entries_[i], &entries_[empty], &entries_[empty + 1]);
  entries_[i] = entry;
}

void ConsistentHash::Remove(uint32_t cell, uint32_t slot) {
  uint32_t i = cell;
  while (entries_[i].slot != kNone && entries_[i].cell <= cell &&
         (entries_[i].cell != cell || entries_[i].slot != slot)) {
    i++;
  }
  if (entries_[i].cell != cell || entries_[i].slot != slot) return;
  // What stands behind its place moves up.
  for (; entries_[i + 1].slot != kNone && entries_[i + 1].cell <= i; i++) {
    entries_[i] = entries_[i + 1];
  }
  entries_[i].slot = kNone;
}

}  // namespace dynweight

// Weighted consistent hashing in O(1): from a key to a peer that stays the
// same for as long as it can.
//
// Each peer owns a number of arcs of a circle, all of one length, at places
// that follow from its identity alone; between the arcs lie gaps. A key throws
// darts: dart number t of a key has a place on the circle and a height, both
// hashes of the key and t. The first dart wins that hits an arc below the
// weight of its owner. This is consistent weighted sampling by rejection
// (Shrivastava, "Simple and Efficient Weighted Minwise Hashing", NIPS 2016;
// Christiani, "DartMinHash", 2020), so
//
//   - a peer gets keys in proportion to its weight;
//   - where a weight grows, keys move to that peer alone; where it falls, or
//     the peer leaves, its keys alone move (and, where its neighbour on a
//     contested arc is heavier, few others): what moves is what must move;
//   - there is no state but the peers and weights of now: every worker, every
//     edge and the same edge after a restart send a key to the same peer;
//   - a weight is not stored here at all: Next() asks for the present one at
//     each dart. Only peers that come or go cost work, see Advance().
//
// Heights reach to the power of two above the largest weight, and those of a
// lower reach are a part of them, in the same order, so that a new largest
// weight moves nothing else either.
//
// Not thread-safe: each worker owns one per table.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_CONSISTENT_HASH_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_CONSISTENT_HASH_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "weightcalc/hash.h"

namespace dynweight {

// The darts of one key, in their order.
class Darts {
 public:
  static constexpr uint32_t kMostDarts = 1024;

  struct Dart {
    uint32_t place;
    uint32_t height;  // below 2^levels
  };

  explicit Darts(uint64_t key) : key_(Mix64(key)) {}

  bool left() const { return total_ < kMostDarts; }

  // The next dart of those below 2^levels, levels at most 31. A key's darts of
  // fewer levels are its darts of more levels without those that are too high,
  // provided that all are thrown with the same `levels`.
  Dart Next(uint32_t levels) {
    // Half of the area below 2^l lies above 2^(l - 1): one coin a level.
    total_++;
    uint32_t level = levels;
    while (level != 0 && !Coin(level)) level--;
    const uint64_t hash =
        Mix64(key_ ^ (uint64_t{level} << 32 | thrown_[level]++));
    const auto low = static_cast<uint32_t>(hash);
    const uint32_t floor = level == 0 ? 0 : uint32_t{1} << (level - 1);
    return {static_cast<uint32_t>(hash >> 32),
            level == 0 ? 0 : floor | (low & (floor - 1))};
  }

 private:
  bool Coin(uint32_t level) {
    const uint32_t n = tossed_[level]++;
    if (n % 64 == 0) {
      coins_[level] = Mix64(~key_ ^ (uint64_t{level} << 32 | uint64_t{n} / 64));
    }
    return coins_[level] >> (n % 64) & 1;
  }

  const uint64_t key_;
  uint32_t total_ = 0;
  std::array<uint16_t, 32> thrown_{};
  std::array<uint16_t, 32> tossed_{};
  std::array<uint64_t, 32> coins_;  // set before use
};

// The least number of levels whose heights reach over `weight`.
inline uint32_t DartLevels(uint32_t weight) {
  uint32_t levels = 0;
  while (levels < 31 && uint64_t{1} << levels < weight) levels++;
  return levels;
}

class ConsistentHash {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Room for `slots` peers (1 to 2^20): Bytes() of memory. Throws
  // std::bad_alloc.
  explicit ConsistentHash(uint32_t slots);

  // 1 KB for each slot of the next power of two, and no more than 8 MB up to
  // 2^19 slots. That many whether or not somebody occupies it: an arc has its
  // place and its length for good, so that a peer that comes moves no keys but
  // its own.
  static size_t Bytes(uint32_t slots);

  // What happened to the table may have changed who is where: Advance() has
  // work for one more round.
  void Invalidate() { pending_ = slots_; }
  bool settled() const { return pending_ == 0; }

  // Looks at up to `slots` slots, going on where the last call stopped, and
  // takes in up to `changes` peers that came or went. `identity(i)` is the
  // hash of who occupies slot i, 0 when nobody does. Bounded, so that it may
  // stand in a request's path: until the round is over, newcomers get no keys
  // and the keys of a slot go to whoever occupies it.
  template <typename ReadIdentity>
  void Advance(uint32_t slots, uint32_t changes, ReadIdentity&& identity) {
    while (pending_ != 0 && slots-- != 0) {
      const uint64_t now = identity(cursor_);
      if (now != identities_[cursor_]) {
        if (changes-- == 0) return;
        Replace(cursor_, now);
      }
      pending_--;
      cursor_ = cursor_ + 1 < slots_ ? cursor_ + 1 : 0;
    }
  }

  // The slot of the next dart that hits, thrown below 2^levels, levels being
  // DartLevels() of the largest weight; `weight(i)` is the weight of slot i.
  // kNone when all darts are thrown, which happens to one key in a hundred
  // where the largest weight is sixty times the mean one, and to none where it
  // is ten times. Costs as many look-ups as the largest weight is times the
  // mean one, a few times over.
  template <typename ReadWeight>
  uint32_t Next(Darts* darts, uint32_t levels, ReadWeight&& weight) const {
    while (darts->left()) {
      const Darts::Dart dart = darts->Next(levels);
      const uint32_t slot = Owner(dart.place);
      if (slot != kNone && dart.height < weight(slot)) return slot;
    }
    return kNone;
  }

  // The owner of the arc at `place`, or kNone in a gap. O(1) expected.
  uint32_t Owner(uint32_t place) const {
    const uint32_t cell = Scale(place);
    uint32_t i = cell;
    while (!entries_[i].empty() && CellAt(i) < cell) i++;
    return !entries_[i].empty() && CellAt(i) == cell ? entries_[i].slot : kNone;
  }

 private:
  // Sorted by cell, and where peers contest a cell by rank: linear probing in
  // an array of as many places as cells, whose order does not depend on the
  // order of insertion ("Robin Hood hashing", Celis 1986). A place says how far
  // behind its cell it is, and who has the arc.
  struct Entry {
    uint32_t slot : 21;
    uint32_t distance : 11;

    bool empty() const { return slot == kEmpty; }
  };
  static_assert(sizeof(Entry) == 4);
  static constexpr uint32_t kEmpty = (1u << 21) - 1;
  static constexpr uint32_t kMostDistance = (1u << 11) - 1;

  // Rare beyond belief at a load of one half: arcs that find no place behind
  // the last cell are left out.
  static constexpr uint32_t kOverflow = 64;

  static uint32_t ArcsOf(uint32_t slots);
  static uint32_t CellsOf(uint32_t slots);
  static size_t EntriesOf(uint32_t slots);

  void Replace(uint32_t slot, uint64_t identity);
  void Insert(uint32_t cell, uint32_t slot);
  void Remove(uint32_t cell, uint32_t slot);
  uint32_t Scale(uint32_t place) const {
    return static_cast<uint32_t>(uint64_t{place} * cells_ >> 32);
  }
  uint32_t CellAt(uint32_t i) const { return i - entries_[i].distance; }
  uint32_t CellOf(uint64_t identity, uint32_t arc) const {
    return Scale(static_cast<uint32_t>(Mix64(identity + arc) >> 32));
  }
  bool Before(uint32_t cell_a, uint32_t slot_a, uint32_t cell_b,
              uint32_t slot_b) const;

  const uint32_t slots_;
  const uint32_t arcs_;  // of each peer
  const uint32_t cells_;
  const uint32_t end_;  // of entries_, behind the overflow
  uint32_t cursor_ = 0;
  uint32_t pending_ = 0;
  std::unique_ptr<uint64_t[]> identities_;
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_CONSISTENT_HASH_H_

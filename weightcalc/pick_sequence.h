// The pick: from the number of a request to a peer, in O(1).
//
// The peers lie side by side on a circle of W cells, W the sum of the weights
// with their common divisor taken out, each on as many cells as its weight.
// Pick number k takes the cell k * m mod W, with m coprime to W and m / W near
// the golden ratio's fractional part: a rank-1 lattice (Niederreiter, "Random
// Number Generation and Quasi-Monte Carlo Methods", 1992, chapter 5). So
//
//   - any W picks in a row visit every cell once: over them each peer gets
//     exactly its weight, whatever the start. Where all weights are equal, the
//     peers take strict turns.
//   - in between the cells are visited as evenly as they can be. Of the m near
//     the golden ratio the one is taken whose continued fraction m / W has the
//     smallest sum of partial quotients, which bounds the discrepancy (ibid.,
//     theorem 5.17). For thousands of weight sets of 2 to 100,000 peers no
//     peer was ever more than 3.7 requests from its exact share, at any prefix
//     from any start, with weights up to 60, nor more than 4.8 with weights up
//     to 1,000.
//   - there is no state but k: a change of weights needs no reset and makes no
//     burst, and any number of processes share one sequence by sharing k.
//
// Where W is small, which is where few peers make a wait of one request felt,
// the cells are laid out by deadline instead and visited in their order: the
// j-th pick of a peer of weight w falls between j * W / w and (j + 1) * W / w,
// rounded outwards. Earliest deadline first meets them all (Baruah, Cohen,
// Plaxton, Varvel, "Proportionate Progress", Algorithmica 15, 1996), so that no
// peer is ever a whole request from its exact share, counted from the start of
// a period. A pick does the same there, with m = 1.
//
// The cell's owner is found by Chen and Asau's guide table method ("On
// generating random variates from an empirical distribution", AIIE Transactions
// 6, 1974).

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_PICK_SEQUENCE_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_PICK_SEQUENCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

namespace dynweight {

// Maps pick numbers to indices in proportion to weights. Built once for a
// capacity; Build() reuses the memory and never allocates. Not thread-safe:
// each worker owns one per table.
class PickIndex {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Room for `capacity` weights (below 2^31). Throws std::bad_alloc.
  explicit PickIndex(uint32_t capacity);

  // Takes over weights[0..n), n <= capacity; `read(i)` returns weight i, at
  // most kMaxWeight. It is called exactly once for each i. O(n), and up
  // to 1024 * log(n) more where the cells are laid out by deadline.
  template <typename ReadWeight>
  void Build(uint32_t n, ReadWeight&& read) {
    total_ = 0;
    nonzero_ = 0;
    largest_ = 0;
    for (uint32_t i = 0; i < n; i++) {
      const uint32_t w = read(i);
      if (w == 0) continue;
      if (w > largest_) largest_ = w;
      intervals_[nonzero_++] = {w, i};
      total_ += w;
    }
    size_ = n;
    Finish();
  }

  // The index that pick number `k` falls to, or kNone when every weight is 0.
  // An index of weight 0 is never returned. Any 64-bit number is a good one:
  // consecutive numbers for the sequence, a hash for a weighted random pick.
  // O(1) expected.
  uint32_t Pick(uint64_t k) const {
    const uint32_t cell = CellOf(Modulo(k));
    const Interval* interval = &intervals_[guide_[cell >> guide_shift_]];
    // One step in three is wanted: as arithmetic it costs nothing, as a branch
    // it would be mispredicted. More than one is rare.
    interval += interval->last < cell;
    while (interval->last < cell) interval++;
    return interval->index;
  }

  uint64_t total() const { return total_; }
  uint32_t largest() const { return largest_; }  // of the weights
  uint32_t size() const { return size_; }
  uint32_t nonzero() const { return nonzero_; }  // how many weights are not 0
  uint64_t period() const { return period_; }    // W above; 1 without weights

 private:
  // The cells that belong to an index: those beyond the interval before, up to
  // `last` included. Indices of weight 0 have none, so that the many empty
  // slots of a table cost a pick nothing.
  struct Interval {
    // The weight, until Finish() has seen the total. UINT32_MAX where the cells
    // are laid out by deadline: the guide knows the owner of each.
    uint32_t last;
    uint32_t index;
  };

  // x mod period_, by Barrett's method: the quotient is at most one too small.
  uint64_t Modulo(uint64_t x) const {
    const auto quotient = static_cast<uint64_t>(
        static_cast<unsigned __int128>(x) * reciprocal_ >> 64);
    const uint64_t rest = x - quotient * period_;
    return rest - (rest >= period_ ? period_ : 0);
  }

  // x * stride mod period_ for an x below period_: the upper half of the
  // product of period_ and the fraction x * stride / period_. The fraction is
  // rounded to 2^-64, and half a cell is added so that it does not matter which
  // way: with a period of up to 2^32 no x adds up to another half.
  uint32_t CellOf(uint64_t x) const {
    return static_cast<uint32_t>(
        static_cast<unsigned __int128>(x * stride_ + half_cell_) * period_ >>
        64);
  }

  // Periods up to this are laid out by deadline.
  static constexpr uint32_t kMaxLaidOut = 1024;

  // What LayOut() works with: an interval's next pick, and where it waits.
  struct Job {
    uint32_t number;
    uint32_t deadline;
    uint32_t next;  // in the list of those with its release
  };

  void LayOut();
  void Reduce();
  uint64_t ChooseStride() const;
  void Guide();
  void Finish();

  uint32_t size_ = 0;
  uint32_t nonzero_ = 0;
  uint32_t largest_ = 0;
  uint64_t total_ = 0;
  uint64_t period_ = 0;      // at most 2^32
  uint64_t reciprocal_ = 0;  // floor((2^64 - 1) / period_)
  uint64_t stride_ = 0;      // m / period_ of 2^64, rounded
  uint64_t half_cell_ = 0;   // 1 / (2 * period_) of 2^64, rounded down
  std::unique_ptr<Interval[]> intervals_;
  // Entry g holds the interval that owns cell g << guide_shift_, in the order
  // in which cells are visited where they are laid out by deadline.
  std::unique_ptr<uint32_t[]> guide_;
  std::unique_ptr<uint32_t[]> released_;  // lists of jobs, by cell
  std::unique_ptr<uint32_t[]> heap_;      // of jobs, by deadline
  std::unique_ptr<Job[]> jobs_;
  uint32_t guide_shift_ = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_PICK_SEQUENCE_H_

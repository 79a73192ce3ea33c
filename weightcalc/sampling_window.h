// How many requests each peer of a table got lately: marks of the peers'
// counters, so that the difference to the present ones is what came since.
//
// Two marks are kept, and the older one is measured from. Roll() once a minute
// makes that 60 to 120 seconds; Restart() after a change of weights forgets
// what was served under the previous ones.
//
// Numbers for people to look at: a reader that meets the writer may see some
// peers since the older mark and others since the newer one.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_SAMPLING_WINDOW_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_SAMPLING_WINDOW_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "weightcalc/peer_table.h"

namespace dynweight {

// A pointer to the shared memory: copy it freely. One writer (worker 0's event
// loop; the master before any worker runs); any process reads at any time.
class SamplingWindow {
 public:
  // Bytes for a table of `capacity` slots, a multiple of 64.
  static size_t Bytes(uint32_t capacity);

  // Formats `memory` (64-byte aligned) with marks of 0 at time `now_ms`.
  static SamplingWindow Create(void* memory, uint32_t capacity, int64_t now_ms);

  uint32_t capacity() const { return header_->capacity; }

  // ---- For the one writer. A large table is marked piece by piece: slots
  // [first, first + count) in each call; Finish() after the last piece.

  // The newer mark becomes the older one, and the counters the newer.
  void Roll(const PeerTable& table, uint32_t first, uint32_t count);
  // The counters become both marks.
  void Restart(const PeerTable& table, uint32_t first, uint32_t count);
  // `now_ms`: Unix milliseconds.
  void Finish(bool restarted, int64_t now_ms);

  // ---- For every process.

  // When the window began, Unix milliseconds.
  int64_t began_ms() const {
    return header_->began_ms[0].load(std::memory_order_relaxed);
  }

  // Of `requests`, the slot's present counter, those that came in the window.
  uint64_t Since(uint32_t slot, uint64_t requests) const {
    const uint64_t mark = marks_[slot][0].load(std::memory_order_relaxed);
    // A lower counter is that of a peer that came since.
    return requests >= mark ? requests - mark : requests;
  }

 private:
  struct alignas(64) Header {
    uint32_t capacity;
    std::atomic<int64_t> began_ms[2];  // of the older and the newer mark
  };
  using Marks = std::atomic<uint64_t>[2];

  explicit SamplingWindow(void* memory);

  Header* header_ = nullptr;
  Marks* marks_ = nullptr;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_SAMPLING_WINDOW_H_

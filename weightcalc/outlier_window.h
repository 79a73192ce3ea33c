// How a peer has answered of late: attempts and errors of a window that moves
// on in slices. What an error is, and when it makes a peer an outlier, is after
// Envoy's failure percentage (config.cluster.v3.OutlierDetection), but within a
// window of time and not an interval, so that errors are found out in the
// middle of one.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_OUTLIER_WINDOW_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_OUTLIER_WINDOW_H_

#include <algorithm>
#include <array>
#include <cstdint>

namespace dynweight {

// What dynamic_weight_outlier says.
struct OutlierPolicy {
  uint32_t errors_percent = 50;  // of the attempts; 1 to 100
  uint32_t requests = 20;        // attempts below which nothing is said; from 1
  int64_t window_ms = 10000;     // from 1000
  int64_t eject_ms = 30000;      // for the first time; see EjectMs()
  uint32_t most_percent = 30;    // of the weight that is ejected together

  // For the nth time, from 1: n times as long, up to ten.
  int64_t EjectMs(uint32_t times) const {
    return eject_ms * std::clamp<int64_t>(times, 1, 10);
  }
};

// Of one peer. Plain values; not thread-safe. Attempts and errors are counters
// that wrap at 2^64, as they stand when they are given.
class OutlierWindow {
 public:
  // The window moves on once in so many parts of it: what begins to fail is
  // judged by so much of what was well before.
  static constexpr uint32_t kSlices = 5;

  // Begins anew: what was before does not count.
  void Reset(uint64_t attempts, uint64_t errors) {
    slices_ = {};
    attempts_ = attempts;
    errors_ = errors;
  }

  // `slices` have passed since the last call, and the counters stand so.
  void Advance(uint64_t slices, uint64_t attempts, uint64_t errors) {
    for (uint64_t i = 0; i < std::min<uint64_t>(slices, kSlices); ++i) {
      now_ = (now_ + 1) % kSlices;
      slices_[now_] = {};
    }
    slices_[now_].attempts += attempts - attempts_;
    slices_[now_].errors += errors - errors_;
    attempts_ = attempts;
    errors_ = errors;
  }

  uint64_t attempts() const { return Sum(&Slice::attempts); }
  uint64_t errors() const { return Sum(&Slice::errors); }

  bool IsOutlier(const OutlierPolicy& policy) const {
    const uint64_t all = attempts();
    return all >= policy.requests &&
           errors() * 100 >= all * policy.errors_percent;
  }

 private:
  struct Slice {
    uint64_t attempts = 0;
    uint64_t errors = 0;
  };

  uint64_t Sum(uint64_t Slice::*member) const {
    uint64_t sum = 0;
    for (const Slice& slice : slices_) sum += slice.*member;
    return sum;
  }

  std::array<Slice, kSlices> slices_{};
  uint32_t now_ = 0;
  uint64_t attempts_ = 0;  // the counters, as they stood last
  uint64_t errors_ = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_OUTLIER_WINDOW_H_

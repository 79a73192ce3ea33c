// Time, so that tests can say what it is.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_CLOCK_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace dynweight {

// A deadline that never comes.
inline constexpr int64_t kNever = INT64_MAX;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Milliseconds that never go back: for deadlines.
  virtual int64_t MonotonicMs() const = 0;
  // Unix milliseconds: for what people read.
  virtual int64_t UnixMs() const = 0;
};

class SystemClock : public Clock {
 public:
  int64_t MonotonicMs() const override {
    return SinceEpoch(std::chrono::steady_clock::now());
  }
  int64_t UnixMs() const override {
    return SinceEpoch(std::chrono::system_clock::now());
  }

 private:
  template <typename TimePoint>
  static int64_t SinceEpoch(TimePoint time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               time.time_since_epoch())
        .count();
  }
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_CLOCK_H_

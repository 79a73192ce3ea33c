// A clock that tests set.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_MANUAL_CLOCK_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_MANUAL_CLOCK_H_

#include <cstdint>

#include "weightcalc/clock.h"

namespace dynweight {

struct ManualClock : public Clock {
  static constexpr int64_t kUnixStart = 1700000000000;

  int64_t MonotonicMs() const override { return now; }
  int64_t UnixMs() const override { return kUnixStart + now; }

  int64_t now = 1000;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_MANUAL_CLOCK_H_

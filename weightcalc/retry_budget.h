// How many retries of an upstream may run at once, so that peers that fail do
// not get a multiple of its requests just then. After the retry budget of
// Envoy's circuit breakers (config.cluster.v3.CircuitBreakers), with requests
// in their first attempt as the base: retries allow no further ones.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_RETRY_BUDGET_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_RETRY_BUDGET_H_

#include <algorithm>
#include <cstdint>

namespace dynweight {

// A value; thread-safe.
struct RetryBudget {
  static constexpr uint32_t kUnlimited = UINT32_MAX;

  uint32_t percent = kUnlimited;  // of the requests in their first attempt
  uint32_t min = 3;               // so many at once are always allowed

  bool limited() const { return percent != kUnlimited; }

  // Whether one more may run beside `retries`, while `first` requests are in
  // their first attempt.
  bool Allows(uint32_t first, uint32_t retries) const {
    if (!limited()) return true;
    return retries < std::max<uint64_t>(min, uint64_t{first} * percent / 100);
  }
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_RETRY_BUDGET_H_

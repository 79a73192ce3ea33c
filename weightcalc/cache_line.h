// Parts of shared memory begin on cache lines of their own.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_CACHE_LINE_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_CACHE_LINE_H_

#include <cstdint>

namespace dynweight {

inline constexpr uint64_t kCacheLineBytes = 64;

// `bytes`, rounded up to whole lines.
inline constexpr uint64_t WholeCacheLines(uint64_t bytes) {
  return (bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_CACHE_LINE_H_

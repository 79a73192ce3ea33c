// Hashes that are the same in every process, on every host and in every
// release: edges of a fleet must agree on them. Not for untrusted keys of hash
// tables. Pure functions, thread-safe.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_HASH_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_HASH_H_

#include <cstdint>
#include <string_view>

namespace dynweight {

// The finalizer of splitmix64 (Steele, Lea, Flood, "Fast Splittable
// Pseudorandom Number Generators", OOPSLA 2014): a bijection in which each bit
// of the result depends on each bit of `x`.
inline constexpr uint64_t Mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

// FNV-1a of 64 bits, mixed; `seed` chains several strings.
inline constexpr uint64_t HashBytes(std::string_view bytes, uint64_t seed = 0) {
  uint64_t hash = seed ^ 0xCBF29CE484222325u;
  for (const char c : bytes) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  }
  return Mix64(hash ^ bytes.size());
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_HASH_H_

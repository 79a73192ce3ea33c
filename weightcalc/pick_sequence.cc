// The thresholds and the guide table behind a pick; see pick_sequence.h.

#include "weightcalc/pick_sequence.h"

#include <algorithm>

namespace dynweight {
namespace {

// One to two guide cells for each interval: a pick then looks at 1.25 to 1.5
// intervals on average, whatever their number. More cells would save steps but
// cost cache.
uint32_t GuideBits(uint32_t intervals) {
  uint32_t bits = 1;
  while ((uint64_t{1} << bits) < intervals) bits++;
  return bits;
}

}  // namespace

PickIndex::PickIndex(uint32_t capacity)
    : intervals_(new Interval[std::max<uint32_t>(capacity, 1)]),
      guide_(new uint32_t[size_t{1} << GuideBits(capacity)]) {
  Finish();
}

void PickIndex::Finish() {
  const uint32_t bits = GuideBits(nonzero_);
  guide_shift_ = 64 - bits;
  const int64_t cells = int64_t{1} << bits;
  const uint32_t cell_shift = 32 - bits;  // of a point cut to 32 bits

  // Floating point is exact enough and far cheaper than a 96-bit division: the
  // error is below 2^-18 of a 32-bit point, and rounding keeps the order.
  const double scale =
      total_ == 0 ? 0 : 4294967296.0 / static_cast<double>(total_);
  uint64_t sum = 0;
  // Points are signed here: conversion from floating point is then one
  // instruction.
  int64_t begin = 0;  // the first point of the interval at hand
  int64_t cell = 0;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < nonzero_; i++) {
    sum += intervals_[i].last;
    const auto end = static_cast<int64_t>(static_cast<double>(sum) * scale);
    if (end <= begin) continue;  // too small a share to own a point
    intervals_[kept] = {static_cast<uint32_t>(end - 1), intervals_[i].index};
    for (; cell < cells && cell << cell_shift < end; cell++) {
      guide_[cell] = kept;
    }
    begin = end;
    kept++;
  }
  if (kept == 0) intervals_[kept++].index = kNone;
  // Rounding may have left the last point unowned.
  intervals_[kept - 1].last = UINT32_MAX;
  for (; cell < cells; cell++) guide_[cell] = kept - 1;
}

}  // namespace dynweight

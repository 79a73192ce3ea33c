// The cells and the ways to them behind a pick; see pick_sequence.h.

#include "weightcalc/pick_sequence.h"

#include <algorithm>
#include <numeric>

namespace dynweight {
namespace {

constexpr uint64_t kMaxPeriod = uint64_t{1} << 32;

// How many strides next to the golden ratio are compared. With 64 the farthest
// that any peer of weight 1 to 60 strayed, in thousands of sets, fell from 59
// requests (8 strides) and 5 (16) to below 3.7; more gain little.
constexpr int kStrides = 64;

// One to two guide entries for each interval: a pick then looks at 1.25 to 1.5
// intervals on average, whatever their number. More entries would save steps
// but cost cache.
uint32_t GuideShift(uint64_t period, uint32_t intervals) {
  uint32_t shift = 0;
  while (period >> (shift + 1) >= intervals) shift++;
  return shift;
}

// Those, and one for each cell that is laid out by deadline.
uint32_t GuideEntries(uint32_t intervals, uint32_t cells) {
  return std::max(2 * intervals, cells);
}

// The sum of the partial quotients of stride / period, or `limit` when it is
// no less or when the two have a common divisor.
uint64_t PartialQuotients(uint64_t stride, uint64_t period, uint64_t limit) {
  uint64_t a = stride;
  uint64_t b = period;
  uint64_t sum = 0;
  while (a != 0) {
    sum += b / a;
    if (sum >= limit) return limit;
    b %= a;
    std::swap(a, b);
  }
  return b == 1 ? sum : limit;
}

}  // namespace

PickIndex::PickIndex(uint32_t capacity)
    : intervals_(new Interval[std::max<uint32_t>(capacity, 1)]),
      guide_(new uint32_t[GuideEntries(capacity, kMaxLaidOut)]),
      released_(new uint32_t[kMaxLaidOut]),
      heap_(new uint32_t[std::min(capacity, kMaxLaidOut)]),
      jobs_(new Job[std::min(capacity, kMaxLaidOut)]) {
  Finish();
}

// Takes out what all weights have in common, which shortens the period; and
// where the period would pass 2^32, whatever does not fit (weights above 2^32
// over the number of peers then lose low bits, never all of them).
void PickIndex::Reduce() {
  uint32_t divisor = intervals_[0].last;
  for (uint32_t i = 1; i < nonzero_ && divisor != 1; i++) {
    divisor = std::gcd(divisor, intervals_[i].last);
  }
  uint32_t shift = 0;
  // Rounding up adds no more than one to each weight.
  while ((total_ / divisor >> shift) + nonzero_ > kMaxPeriod) shift++;
  if (divisor == 1 && shift == 0) {
    period_ = total_;
    return;
  }
  period_ = 0;
  for (uint32_t i = 0; i < nonzero_; i++) {
    uint32_t& weight = intervals_[i].last;
    weight = std::max<uint32_t>(weight / divisor >> shift, 1);
    period_ += weight;
  }
}

uint64_t PickIndex::ChooseStride() const {
  constexpr double kGoldenRatio = 0.6180339887498949;
  const auto center =
      static_cast<uint64_t>(static_cast<double>(period_) * kGoldenRatio + 0.5);
  uint64_t chosen = 1;
  uint64_t best = period_ + 1;  // what 1 / period_ has, or more
  for (int i = 0; i < kStrides; i++) {
    const uint64_t away = (i + 1) / 2;
    if (away >= center || center + away >= period_) break;
    const uint64_t stride = i % 2 == 0 ? center + away : center - away;
    const uint64_t sum = PartialQuotients(stride, period_, best);
    if (sum < best) {
      best = sum;
      chosen = stride;
    }
  }
  return chosen;
}

// O(period * log(intervals)).
void PickIndex::LayOut() {
  const auto period = static_cast<uint32_t>(period_);
  std::fill_n(released_.get(), period, kNone);
  const auto release = [&](uint32_t i, uint32_t not_before) {
    const uint32_t weight = intervals_[i].last;
    Job& job = jobs_[i];
    if (job.number == weight) return;
    const uint32_t cell = std::max(job.number * period / weight, not_before);
    job.number++;
    job.deadline = (job.number * period + weight - 1) / weight;
    job.next = released_[cell];
    released_[cell] = i;
  };
  for (uint32_t i = 0; i < nonzero_; i++) {
    jobs_[i].number = 0;
    release(i, 0);
  }
  const auto later = [this](uint32_t a, uint32_t b) {
    return jobs_[a].deadline != jobs_[b].deadline
               ? jobs_[a].deadline > jobs_[b].deadline
               : a > b;
  };
  uint32_t waiting = 0;
  for (uint32_t cell = 0; cell < period; cell++) {
    for (uint32_t i = released_[cell]; i != kNone; i = jobs_[i].next) {
      heap_[waiting++] = i;
      std::push_heap(heap_.get(), heap_.get() + waiting, later);
    }
    // There is one: the weights add up to the period.
    std::pop_heap(heap_.get(), heap_.get() + waiting--, later);
    const uint32_t i = heap_[waiting];
    guide_[cell] = i;
    release(i, cell + 1);
  }
  guide_shift_ = 0;
  for (uint32_t i = 0; i < nonzero_; i++) intervals_[i].last = UINT32_MAX;
}

void PickIndex::Guide() {
  guide_shift_ = GuideShift(period_, nonzero_);
  uint64_t end = 0;
  uint32_t entry = 0;
  for (uint32_t i = 0; i < nonzero_; i++) {
    end += intervals_[i].last;
    intervals_[i].last = static_cast<uint32_t>(end - 1);
    for (; uint64_t{entry} << guide_shift_ < end; entry++) guide_[entry] = i;
  }
}

// Pick() makes no difference between the two kinds of period, nor for none.
void PickIndex::Finish() {
  uint64_t stride = 1;
  if (nonzero_ == 0) {
    period_ = 1;
    intervals_[0] = {UINT32_MAX, kNone};
    guide_[0] = 0;
    guide_shift_ = 0;
  } else {
    Reduce();
    if (period_ <= kMaxLaidOut) {
      LayOut();
    } else {
      stride = ChooseStride();
      Guide();
    }
  }
  reciprocal_ = UINT64_MAX / period_;
  half_cell_ = (uint64_t{1} << 63) / period_;
  const auto dividend = static_cast<unsigned __int128>(stride) << 64;
  // All of 2^64, which is 0, where the only cell is number 0.
  stride_ = static_cast<uint64_t>((dividend + period_ / 2) / period_);
}

}  // namespace dynweight

// What each peer is to get while some are out; see serving_weights.h.

#include "weightcalc/serving_weights.h"

#include <utility>

#include "weightcalc/weight.h"

namespace dynweight {

ServingWeights::ServingWeights(uint32_t capacity, std::vector<SlotRange> lines,
                               bool redistribute)
    : capacity_(capacity),
      lines_(std::move(lines)),
      redistribute_(redistribute),
      weights_(new uint32_t[capacity]()) {}

void ServingWeights::UpdateWithoutHealth(const PeerTable& table) {
  out_ = 0;
  due_ = kNone;
  next_probe_ms_ = kNever;
  for (uint32_t i = 0; i < capacity_; i++) weights_[i] = table.weight(i);
}

void ServingWeights::Redistribute(const PeerTable& table) {
  // Of each line: what it weighs in the table, and those of it that serve.
  struct Sum {
    uint64_t whole = 0;
    uint64_t serving = 0;
  };
  std::vector<Sum> sums(lines_.size());
  uint64_t total = 0;
  for (uint32_t i = 0; i < capacity_; i++) total += weights_[i];
  bool partly = false;
  for (size_t l = 0; l < lines_.size(); l++) {
    for (uint32_t i = 0; i < lines_[l].count; i++) {
      const uint32_t slot = lines_[l].first + i;
      sums[l].serving += weights_[slot];
      sums[l].whole +=
          weights_[slot] != 0 ? weights_[slot] : table.weight(slot);
    }
    if (sums[l].serving == 0 || sums[l].serving == sums[l].whole) continue;
    partly = true;
    total += sums[l].whole - sums[l].serving;
  }
  if (!partly) return;

  uint64_t scale = 1;
  while (scale < kMostScale && total * scale * 2 <= kMaxWeight) scale *= 2;
  for (uint32_t i = 0; i < capacity_; i++) {
    weights_[i] = static_cast<uint32_t>(weights_[i] * scale);
  }
  for (size_t l = 0; l < lines_.size(); l++) {
    if (sums[l].serving == 0 || sums[l].serving == sums[l].whole) continue;
    for (uint32_t i = 0; i < lines_[l].count; i++) {
      uint32_t& w = weights_[lines_[l].first + i];
      w = static_cast<uint32_t>(std::min<unsigned __int128>(
          kMaxWeight,
          static_cast<unsigned __int128>(w) * sums[l].whole / sums[l].serving));
    }
  }
}

SlotRange ServingWeights::Successors(uint32_t slot) const {
  auto line = std::upper_bound(
      lines_.begin(), lines_.end(), slot,
      [](uint32_t s, const SlotRange& range) { return s < range.first; });
  if (line == lines_.begin()) return {};
  --line;
  if (slot - line->first >= line->count) return {};
  for (uint32_t i = 0; i < line->count; i++) {
    if (weights_[line->first + i] != 0) return *line;
  }
  return {};
}

}  // namespace dynweight

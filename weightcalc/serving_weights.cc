// What each peer is to get while some are out; see serving_weights.h.

#include "weightcalc/serving_weights.h"

#include <algorithm>
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
  if (loads_.empty()) return;
  // As Envoy in its panic: all of all priorities, by their weights.
  Divide(table);
  scaled_ = false;
  standing_by_ = 0;
  std::fill(standby_.begin(), standby_.end(), 0);
  uint64_t total = 0;
  for (const PriorityLoad& load : loads_) total += load.weight;
  for (PriorityLoad& load : loads_) {
    load.percent =
        total == 0
            ? 0
            : static_cast<uint32_t>((load.weight * 100 + total / 2) / total);
  }
}

void ServingWeights::SetPriorities(std::vector<uint8_t> priority_of,
                                   uint32_t overprovisioning_percent) {
  priority_of_ = std::move(priority_of);
  const uint8_t last =
      *std::max_element(priority_of_.begin(), priority_of_.end());
  loads_.resize(size_t{last} + 1);
  scales_.resize(loads_.size());
  standby_.resize(capacity_);
  overprovisioning_ = overprovisioning_percent;
}

// Whoever weighs something here is in.
void ServingWeights::Divide(const PeerTable& table) {
  for (PriorityLoad& load : loads_) load = PriorityLoad();
  for (uint32_t i = 0; i < capacity_; i++) {
    PriorityLoad& load = loads_[priority_of_[i]];
    const uint64_t weight = weights_[i] != 0 ? weights_[i] : table.weight(i);
    load.weight += weight;
    if (weights_[i] != 0) load.healthy += weight;
  }
  priorities_health_ =
      DividePriorities(overprovisioning_, absl::MakeSpan(loads_));
}

void ServingWeights::Spread(const PeerTable& table) {
  // What each priority weighs: with keys, those whose key goes on to a node
  // beside them, too.
  std::vector<uint64_t> sums(loads_.size());
  standing_by_ = 0;
  for (uint32_t i = 0; i < capacity_; i++) {
    const uint8_t priority = priority_of_[i];
    uint32_t weight = weights_[i];
    if (weight == 0 && !redistribute_ && Successors(i).count != 0) {
      weight = table.weight(i);
    }
    sums[priority] += weight;
    standby_[i] = 0;
  }
  size_t serving = 0;
  for (const PriorityLoad& load : loads_) serving += load.percent != 0 ? 1 : 0;
  scaled_ = serving > 1;
  for (size_t p = 0; p < loads_.size(); p++) {
    scales_[p] = {loads_[p].percent * kScaledTotal / 100,
                  std::max<uint64_t>(sums[p], 1)};
  }
  for (uint32_t i = 0; i < capacity_; i++) {
    if (weights_[i] == 0) continue;
    if (loads_[priority_of_[i]].percent == 0) {
      standby_[i] = std::exchange(weights_[i], 0);
      standing_by_++;
    } else if (scaled_) {
      weights_[i] = ScaleBy(scales_[priority_of_[i]], weights_[i]);
    }
  }
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

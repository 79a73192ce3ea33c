// Tests of pick_sequence.h.

#include "weightcalc/pick_sequence.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

// Requests from the exact share. The first figure holds for the weight sets
// and starts of PickQuality, and for short runs of any; about one set of 8
// peers in twenty goes beyond it within 200,000 picks, to 4.9 at the most that
// was seen.
constexpr double kMostAstray = 4;
constexpr double kMostAstrayOfAnyWeights = 5.5;

void Build(const std::vector<uint32_t>& weights, PickIndex* index) {
  index->Build(weights.size(), [&](uint32_t i) { return weights[i]; });
}

PickIndex IndexOf(const std::vector<uint32_t>& weights) {
  PickIndex index(weights.size());
  Build(weights, &index);
  return index;
}

std::vector<uint32_t> MixedWeights(size_t n) {
  std::mt19937 random(n);
  std::vector<uint32_t> weights(n);
  for (auto& w : weights) w = 1 + random() % 60;
  return weights;
}

// Whether every index gets the points of its share, as Pick() sees them, by
// walking over all interval ends: exact for every point, not for samples.
void ExpectExactIntervals(const std::vector<uint32_t>& weights) {
  const PickIndex index = IndexOf(weights);
  const long double total = index.total();
  long double sum = 0;
  for (uint32_t i = 0; i < weights.size(); i++) {
    const long double begin = sum / total * 4294967296.0L;
    sum += weights[i];
    const long double end = sum / total * 4294967296.0L;
    if (end - begin < 4) continue;
    const auto first = static_cast<uint64_t>(begin) + 1;
    const auto last = static_cast<uint64_t>(end) - 2;
    EXPECT_EQ(index.Pick(first << 32), i);
    EXPECT_EQ(index.Pick(last << 32 | UINT32_MAX), i);
  }
}

TEST(PickPoint, IsTheGoldenRatiosKroneckerSequence) {
  EXPECT_EQ(PickPoint(0), 0u);
  EXPECT_EQ(PickPoint(1), 0x9E3779B97F4A7C15u);
  // Wraps without a seam, as the counter of picks does.
  EXPECT_EQ(PickPoint(UINT64_MAX) + PickPoint(1), PickPoint(0));
}

TEST(PickIndex, IsEmptyBeforeTheFirstBuild) {
  const PickIndex index(16);
  EXPECT_EQ(index.Pick(0), PickIndex::kNone);
  EXPECT_EQ(index.Pick(UINT64_MAX), PickIndex::kNone);
  EXPECT_EQ(index.total(), 0u);
}

TEST(PickIndex, PicksNoneWhenEveryWeightIsZero) {
  for (size_t n : {0, 1, 2, 1000}) {
    const PickIndex index = IndexOf(std::vector<uint32_t>(n, 0));
    EXPECT_EQ(index.size(), n);
    EXPECT_EQ(index.nonzero(), 0u);
    for (uint64_t k = 0; k < 1000; k++) {
      ASSERT_EQ(index.Pick(PickPoint(k)), PickIndex::kNone);
    }
    EXPECT_EQ(index.Pick(UINT64_MAX), PickIndex::kNone);
  }
}

TEST(PickIndex, OnePeerGetsEverything) {
  const PickIndex index = IndexOf({7});
  EXPECT_EQ(index.Pick(0), 0u);
  EXPECT_EQ(index.Pick(UINT64_MAX), 0u);
}

TEST(PickIndex, CountsWhatItWasBuiltFrom) {
  const PickIndex index = IndexOf({0, 5, 0, 3, 2, 0});
  EXPECT_EQ(index.size(), 6u);
  EXPECT_EQ(index.nonzero(), 3u);
  EXPECT_EQ(index.total(), 10u);
}

TEST(PickIndex, ReadsEachWeightOnce) {
  std::vector<int> reads(100);
  PickIndex index(100);
  index.Build(100, [&](uint32_t i) {
    reads[i]++;
    return i;
  });
  EXPECT_EQ(reads, std::vector<int>(100, 1));
}

TEST(PickIndex, NeverPicksAWeightOfZero) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; round++) {
    std::vector<uint32_t> weights(1 + random() % 40);
    for (auto& w : weights) w = random() % 3 == 0 ? 1 + random() % 60 : 0;
    weights[random() % weights.size()] = 1;
    const PickIndex index = IndexOf(weights);
    EXPECT_NE(weights[index.Pick(0)], 0u);
    EXPECT_NE(weights[index.Pick(UINT64_MAX)], 0u);
    for (uint64_t k = 0; k < 500; k++) {
      ASSERT_NE(weights[index.Pick(PickPoint(k))], 0u);
    }
  }
}

TEST(PickIndex, GivesEveryIndexThePointsOfItsShare) {
  for (size_t n : {1, 2, 3, 8, 100, 1000, 8000, 100000}) {
    ExpectExactIntervals(MixedWeights(n));
  }
}

TEST(PickIndex, GivesTheLargestWeightsThePointsOfTheirShare) {
  ExpectExactIntervals(std::vector<uint32_t>(8000, kMaxWeight));
  ExpectExactIntervals({kMaxWeight, 1, kMaxWeight, 60, 0, kMaxWeight});
}

TEST(PickIndex, ReachesEveryShareOf2ToTheMinus31) {
  // The light one first, in the middle and last; 2^31 - 1 beside it.
  const uint32_t big = kMaxWeight;
  for (const auto& weights : std::vector<std::vector<uint32_t>>{
           {1, big, big - 1}, {big, 1, big - 1}, {big, big - 1, 1}}) {
    const PickIndex index = IndexOf(weights);
    ASSERT_EQ(index.total(), uint64_t{1} << 31);
    uint64_t before = 0;  // of the light one, in units of 2^-31
    for (uint32_t i = 0; weights[i] != 1; i++) before += weights[i];
    const uint32_t light =
        std::find(weights.begin(), weights.end(), 1u) - weights.begin();
    EXPECT_EQ(index.Pick(before << 33), light);
  }
}

TEST(PickIndex, SurvivesSharesTooSmallToOwnAPoint) {
  std::vector<uint32_t> weights(5000, kMaxWeight);
  weights.front() = weights[2500] = weights.back() = 1;
  const PickIndex index = IndexOf(weights);
  EXPECT_EQ(index.Pick(0), 1u);
  EXPECT_GE(index.Pick(UINT64_MAX), 4998u);
  EXPECT_EQ(index.nonzero(), 5000u);
}

TEST(PickIndex, RebuildsInPlaceForOtherSizesAndWeights) {
  PickIndex index(1000);
  std::mt19937 random(2);
  for (int round = 0; round < 100; round++) {
    std::vector<uint32_t> weights(random() % 1001);
    for (auto& w : weights) w = random() % 5;
    Build(weights, &index);
    const PickIndex fresh = IndexOf(weights);
    for (uint64_t k = 0; k < 1000; k++) {
      ASSERT_EQ(index.Pick(PickPoint(k)), fresh.Pick(PickPoint(k)));
    }
  }
}

constexpr uint64_t kPicks = 200000;

// The farthest that any peer is from its exact share at any prefix. Between
// two picks of a peer its lead only shrinks: it is greatest right after a
// pick of it and least right before the next one or at the end, so that
// looking at the picked peer alone misses nothing.
double FarthestAstray(const std::vector<uint32_t>& weights, uint64_t start) {
  const PickIndex index = IndexOf(weights);
  std::vector<double> share(weights.size());
  for (size_t i = 0; i < share.size(); i++) {
    share[i] = static_cast<double>(weights[i]) / index.total();
  }
  std::vector<uint64_t> count(weights.size());
  double farthest = 0;
  for (uint64_t k = 0; k < kPicks; k++) {
    const uint32_t i = index.Pick(PickPoint(start + k));
    farthest = std::max(farthest, share[i] * k - count[i]);
    count[i]++;
    farthest = std::max(farthest, count[i] - share[i] * (k + 1));
  }
  for (size_t i = 0; i < share.size(); i++) {
    farthest = std::max(farthest, share[i] * kPicks - count[i]);
  }
  return farthest;
}

class PickQuality : public testing::TestWithParam<uint64_t> {};

TEST_P(PickQuality, NoPeerStraysFromItsShareAtAnyPrefix) {
  for (size_t n : {8, 100, 1000, 8000}) {
    EXPECT_LE(FarthestAstray(MixedWeights(n), GetParam()), kMostAstray)
        << n << " peers";
  }
  EXPECT_LE(FarthestAstray({5, 3, 2}, GetParam()), kMostAstray);
}

TEST_P(PickQuality, NoPeerStraysInAnyThousandConsecutivePicks) {
  const std::vector<uint32_t> weights = {5, 3, 2};
  const PickIndex index = IndexOf(weights);
  constexpr uint64_t kWindow = 1000;
  std::vector<double> count(weights.size());
  for (uint64_t k = 0; k < kPicks; k++) {
    count[index.Pick(PickPoint(GetParam() + k))]++;
    if (k < kWindow) continue;
    count[index.Pick(PickPoint(GetParam() + k - kWindow))]--;
    for (size_t i = 0; i < weights.size(); i++) {
      ASSERT_NEAR(count[i], weights[i] * kWindow / 10.0, kMostAstray)
          << "peer " << i << ", window that ends with pick " << k;
    }
  }
}

TEST(PickSequence, AnyWeightsFromAnyStartStayNearTheirShares) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 200; round++) {
    std::vector<uint32_t> weights(round % 2 == 0 ? 8 : 100);
    for (auto& w : weights) w = 1 + random() % 60;
    const uint64_t start = round % 3 == 0 ? 0 : random();
    EXPECT_LE(FarthestAstray(weights, start), kMostAstrayOfAnyWeights)
        << weights.size() << " peers from " << start;
  }
}

INSTANTIATE_TEST_SUITE_P(Offsets, PickQuality,
                         testing::Values(0, 1, 12345, 1000000007,
                                         (uint64_t{1} << 32) - 100000,
                                         0x123456789ABCDEFu, uint64_t{1} << 63,
                                         UINT64_MAX - 100000));

}  // namespace
}  // namespace dynweight

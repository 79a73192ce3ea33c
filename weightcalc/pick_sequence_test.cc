// Tests of pick_sequence.h.

#include "weightcalc/pick_sequence.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

// Requests from the exact share, at any prefix from any start; the second for
// weights of up to 1,000, of which one set in 400 passes the first.
constexpr double kMostAstray = 4;
constexpr double kMostAstrayOfLargeWeights = 5;

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
      ASSERT_EQ(index.Pick(k), PickIndex::kNone);
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
  EXPECT_EQ(index.largest(), 5u);
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
      ASSERT_NE(weights[index.Pick(k)], 0u);
    }
  }
}

// Counts the picks of each index over one period from `start`.
std::vector<uint64_t> CountPeriod(const PickIndex& index, uint64_t start) {
  std::vector<uint64_t> count(index.size());
  for (uint64_t k = 0; k < index.period(); k++) count[index.Pick(start + k)]++;
  return count;
}

TEST(PickIndex, GivesEachIndexExactlyItsWeightOverAPeriodFromAnyStart) {
  for (size_t n : {1, 2, 3, 8, 100, 1000, 8000, 100000}) {
    const std::vector<uint32_t> weights = MixedWeights(n);
    const PickIndex index = IndexOf(weights);
    const uint64_t divisor = index.total() / index.period();
    for (uint64_t start : {uint64_t{0}, uint64_t{1} << 40 | 12345}) {
      const std::vector<uint64_t> count = CountPeriod(index, start);
      for (size_t i = 0; i < n; i++) {
        ASSERT_EQ(count[i] * divisor, weights[i]) << "index " << i;
      }
    }
  }
}

TEST(PickIndex, LetsEqualPeersTakeStrictTurns) {
  for (uint32_t n : {1, 2, 3, 8, 20, 97}) {
    const PickIndex index = IndexOf(std::vector<uint32_t>(n, 10));
    EXPECT_EQ(index.period(), n);
    EXPECT_THAT(CountPeriod(index, 77), testing::Each(1));
  }
}

TEST(PickIndex, TakesOutTheCommonDivisor) {
  EXPECT_EQ(IndexOf({10, 40, 75}).period(), 25u);
  EXPECT_EQ(IndexOf({0, 12, 0, 18}).period(), 5u);
  EXPECT_EQ(IndexOf({7, 8}).period(), 15u);
}

TEST(PickIndex, KeepsSharesWhereWeightsPassThePeriodsLimit) {
  std::vector<uint32_t> weights(5000, kMaxWeight);
  weights.front() = weights[2500] = weights.back() = 1;
  const PickIndex index = IndexOf(weights);
  EXPECT_EQ(index.nonzero(), 5000u);
  EXPECT_LE(index.period(), uint64_t{1} << 32);
  std::vector<double> count(weights.size());
  constexpr uint64_t kRounds = 200;
  for (uint64_t k = 0; k < 4997 * kRounds; k++) count[index.Pick(k)]++;
  for (size_t i = 0; i < weights.size(); i++) {
    ASSERT_NEAR(count[i], weights[i] == 1 ? 0 : kRounds, kMostAstray);
  }
}

TEST(PickIndex, ReachesTheLightestOfHeavyPeersOncePerPeriod) {
  const PickIndex index = IndexOf({1u << 23, 1, 1u << 23});
  ASSERT_EQ(index.period(), (uint64_t{1} << 24) + 1);
  EXPECT_THAT(CountPeriod(index, 5),
              testing::ElementsAre(1u << 23, 1, 1u << 23));
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
      ASSERT_EQ(index.Pick(k), fresh.Pick(k));
    }
  }
}

// The farthest that any peer is from its exact share at any prefix of a period,
// and so of the whole sequence. Between two picks of a peer its lead only
// shrinks: it is greatest right after a pick of it and least right before the
// next one, so that looking at the picked peer alone misses nothing.
double FarthestAstray(const std::vector<uint32_t>& weights, uint64_t start) {
  const PickIndex index = IndexOf(weights);
  std::vector<double> share(weights.size());
  for (size_t i = 0; i < share.size(); i++) {
    share[i] = static_cast<double>(weights[i]) / index.total();
  }
  std::vector<uint64_t> count(weights.size());
  double farthest = 0;
  for (uint64_t k = 0; k < index.period(); k++) {
    const uint32_t i = index.Pick(start + k);
    farthest = std::max(farthest, share[i] * k - count[i]);
    count[i]++;
    farthest = std::max(farthest, count[i] - share[i] * (k + 1));
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
  // A single KVM beside the ingress nodes of large clusters.
  EXPECT_LE(FarthestAstray({10, 1999, 1999, 1999, 31250, 31250}, GetParam()),
            kMostAstray);
}

// Windows of a thousand picks: 5:3:2 divides them without a rest.
TEST_P(PickQuality, AnyThousandConsecutivePicksAreSharedExactly) {
  const std::vector<uint32_t> weights = {5, 3, 2};
  const PickIndex index = IndexOf(weights);
  constexpr uint64_t kWindow = 1000;
  std::vector<uint64_t> count(weights.size());
  for (uint64_t k = 0; k < 100 * kWindow; k++) {
    count[index.Pick(GetParam() + k)]++;
    if (k + 1 < kWindow) continue;
    ASSERT_THAT(count, testing::ElementsAre(500, 300, 200))
        << "ends with " << k;
    count[index.Pick(GetParam() + k + 1 - kWindow)]--;
  }
}

TEST(PickSequence, OfAShortPeriodIsNeverAWholeRequestAstray) {
  std::mt19937 random(4);
  for (int round = 0; round < 2000; round++) {
    std::vector<uint32_t> weights(1 + random() % 60);
    for (auto& w : weights) w = 1 + random() % (1 + 900 / weights.size());
    const PickIndex index = IndexOf(weights);
    ASSERT_LE(index.period(), 1024u);
    EXPECT_LT(FarthestAstray(weights, 0), 1.0) << weights.size() << " peers";
    // From elsewhere in a period the two ends add up.
    EXPECT_LT(FarthestAstray(weights, random()), 2.0);
  }
}

class PickWeights : public testing::TestWithParam<uint32_t> {};

TEST_P(PickWeights, StayNearTheirSharesFromAnyStart) {
  std::mt19937_64 random(9);
  const double most =
      GetParam() <= 60 ? kMostAstray : kMostAstrayOfLargeWeights;
  for (int round = 0; round < 1000; round++) {
    std::vector<uint32_t> weights(2 + random() % (round % 2 == 0 ? 8 : 100));
    for (auto& w : weights) w = 1 + random() % GetParam();
    const uint64_t start = round % 3 == 0 ? 0 : random() >> 1;
    EXPECT_LE(FarthestAstray(weights, start), most)
        << weights.size() << " peers from " << start;
  }
}

INSTANTIATE_TEST_SUITE_P(UpTo, PickWeights, testing::Values(2, 60, 1000));

INSTANTIATE_TEST_SUITE_P(Starts, PickQuality,
                         testing::Values(0, 1, 12345, 1000000007,
                                         (uint64_t{1} << 32) - 1000,
                                         0x123456789ABCDEFu,
                                         uint64_t{1} << 63));

}  // namespace
}  // namespace dynweight

// Tests of weight.h.

#include "weightcalc/weight.h"

#include "gtest/gtest.h"

namespace dynweight {
namespace {

struct Case {
  uint64_t pods;
  uint64_t nodes;
  uint32_t base;
  uint64_t weight;
};

// max(1, floor(pods * base / nodes)), no node, no weight.
constexpr Case kCases[] = {
    {0, 0, 1, 0},
    {0, 0, 10, 0},
    {0, 0, 1000000, 0},
    {0, 1, 1, 1},
    {0, 1, 10, 1},
    {0, 3, 10, 1},
    {0, 40, 1000000, 1},
    {1, 0, 10, 0},
    {1, 1, 1, 1},
    {1, 1, 10, 10},
    {1, 1, 1000000, 1000000},
    {1, 3, 1, 1},
    {1, 3, 10, 3},
    {1, 3, 1000000, 333333},
    {1, 40, 1, 1},
    {1, 40, 10, 1},
    {1, 40, 1000000, 25000},
    {3, 0, 10, 0},
    {3, 1, 1, 3},
    {3, 1, 10, 30},
    {3, 1, 1000000, 3000000},
    {3, 3, 1, 1},
    {3, 3, 10, 10},
    {3, 3, 1000000, 1000000},
    {3, 40, 1, 1},
    {3, 40, 10, 1},
    {3, 40, 1000000, 75000},
    {7, 0, 10, 0},
    {7, 1, 1, 7},
    {7, 1, 10, 70},
    {7, 1, 1000000, 7000000},
    {7, 3, 1, 2},
    {7, 3, 10, 23},
    {7, 3, 1000000, 2333333},
    {7, 40, 1, 1},
    {7, 40, 10, 1},
    {7, 40, 1000000, 175000},
    {1000000, 0, 10, 0},
    {1000000, 1, 1, 1000000},
    {1000000, 1, 10, 10000000},
    {1000000, 1, 1000000, 1000000000000},
    {1000000, 3, 1, 333333},
    {1000000, 3, 10, 3333333},
    {1000000, 3, 1000000, 333333333333},
    {1000000, 40, 1, 25000},
    {1000000, 40, 10, 250000},
    {1000000, 40, 1000000, 25000000000},
    {UINT64_MAX, 0, 10, 0},
    {UINT64_MAX, 1, 1, kMaxFullWeight},
    {UINT64_MAX, 1, 10, kMaxFullWeight},
    {UINT64_MAX, 1, 1000000, kMaxFullWeight},
    {UINT64_MAX, 3, 1, kMaxFullWeight},
    {UINT64_MAX, 3, 10, kMaxFullWeight},
    {UINT64_MAX, 3, 1000000, kMaxFullWeight},
    {UINT64_MAX, 40, 1, 461168601842738790u},
    {UINT64_MAX, 40, 10, 4611686018427387903u},
    {UINT64_MAX, 40, 1000000, kMaxFullWeight},
    {UINT64_MAX, UINT64_MAX, 1, 1},
    {1, UINT64_MAX, 1, 1},
    // The article's example.
    {12, 3, 10, 40},
    {7, 2, 10, 35},
    {30, 4, 10, 75},
    // The edge of kMaxWeight.
    {kMaxWeight, 1, 1, kMaxWeight},
    {kMaxWeight - 1, 1, 1, kMaxWeight - 1},
    {kMaxWeight + 1ull, 1, 1, kMaxWeight + 1ull},
};

class WeightFormula : public testing::TestWithParam<Case> {};

TEST_P(WeightFormula, SharesThePodsAmongTheNodes) {
  const Case& c = GetParam();
  EXPECT_EQ(IngressNodeWeight(c.pods, c.nodes, c.base, EmptyPolicy::kKeep),
            c.weight)
      << c.pods << " pods, " << c.nodes << " nodes, base " << c.base;
}

TEST_P(WeightFormula, DrainDiffersForZeroPodsOnly) {
  const Case& c = GetParam();
  EXPECT_EQ(IngressNodeWeight(c.pods, c.nodes, c.base, EmptyPolicy::kDrain),
            c.pods == 0 ? 0 : c.weight)
      << c.pods << " pods, " << c.nodes << " nodes, base " << c.base;
}

INSTANTIATE_TEST_SUITE_P(Table, WeightFormula, testing::ValuesIn(kCases));

TEST(ServerWeight, IsItsParameterTimesBase) {
  EXPECT_EQ(ServerWeight(1, kDefaultBase), 10u);
  EXPECT_EQ(ServerWeight(2, kDefaultBase), 20u);
  EXPECT_EQ(ServerWeight(7, kMaxBase), 7000000u);
}

TEST(ServerWeight, IsZeroOnlyForZero) {
  EXPECT_EQ(ServerWeight(0, kMaxBase), 0u);
  EXPECT_EQ(ServerWeight(1, 1), 1u);
}

TEST(ServerWeight, Saturates) {
  EXPECT_EQ(ServerWeight(UINT64_MAX, kMaxBase), kMaxFullWeight);
  EXPECT_EQ(ServerWeight(kMaxWeight, kMaxBase),
            uint64_t{kMaxWeight} * kMaxBase);
  EXPECT_EQ(ServerWeight(UINT64_MAX, 1), kMaxFullWeight);
}

TEST(ServerWeight, OneKvmWeighsAsMuchAsOnePod) {
  for (uint32_t base : {1u, 10u, kMaxBase}) {
    EXPECT_EQ(ServerWeight(1, base),
              IngressNodeWeight(1, 1, base, EmptyPolicy::kKeep));
  }
}

TEST(WeightScale, IsOneForWhatFits) {
  for (const uint64_t largest :
       {uint64_t{0}, uint64_t{1}, uint64_t{kMaxWeight}}) {
    EXPECT_EQ(WeightScale(largest), 1u);
    EXPECT_EQ(ScaledWeight(largest, 1), largest);
  }
}

TEST(WeightScale, MakesTheLargestFitAndKeepsProportions) {
  // 9000 and 3000 pods on a node each, and 3000 KVMs' worth.
  const uint64_t nine =
      IngressNodeWeight(9000, 1, kMaxBase, EmptyPolicy::kKeep);
  const uint64_t three = ServerWeight(3000, kMaxBase);
  const uint64_t scale = WeightScale(nine);
  EXPECT_EQ(scale, 16u);
  EXPECT_EQ(ScaledWeight(nine, scale), 562500000u);
  EXPECT_EQ(ScaledWeight(three, scale), 187500000u);
  EXPECT_EQ(ScaledWeight(ServerWeight(1, kMaxBase), scale), 62500u);
}

TEST(WeightScale, OnlyZeroBecomesZero) {
  const uint64_t scale = WeightScale(kMaxFullWeight);
  EXPECT_EQ(ScaledWeight(kMaxFullWeight, scale), kMaxWeight);
  EXPECT_EQ(ScaledWeight(1, scale), 1u);
  EXPECT_EQ(ScaledWeight(0, scale), 0u);
}

}  // namespace
}  // namespace dynweight

// Tests of serving_weights.h.

#include "weightcalc/serving_weights.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "weightcalc/peer_table_tester.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

using testing::ElementsAre;

// Two servers, a line of three slots and one of two.
class ServingWeightsTest : public testing::Test {
 protected:
  static constexpr uint32_t kSlots = 7;

  void Assign(const std::vector<uint32_t>& weights) {
    for (uint32_t i = 0; i < weights.size(); i++) {
      table_->SetPeer(i, MadeUpPeer(i + 1));
      table_->SetWeight(i, weights[i]);
    }
  }
  void TakeOut(uint32_t slot) { table_->health(slot).OnFailure(now_, policy_); }
  std::vector<uint32_t> Weights() {
    serving_.Update(*table_, now_, [&](uint32_t) { return policy_; });
    std::vector<uint32_t> weights;
    for (uint32_t i = 0; i < kSlots; i++) weights.push_back(serving_.weight(i));
    return weights;
  }

  int64_t now_ = 1000000;
  HealthPolicy policy_;
  SharedTable table_{kSlots, 1};
  ServingWeights serving_{kSlots, {{2, 3}, {5, 2}}};
};

TEST_F(ServingWeightsTest, AreTheTablesWhileAllServe) {
  Assign({10, 20, 500, 500, 0, 30, 30});
  EXPECT_THAT(Weights(), ElementsAre(10, 20, 500, 500, 0, 30, 30));
  EXPECT_EQ(serving_.out(), 0u);
  EXPECT_EQ(serving_.next_probe_ms(), kNever);
}

TEST_F(ServingWeightsTest, AServerThatIsOutLeavesItsWeightToNobody) {
  Assign({10, 20, 500, 500, 0, 30, 30});
  TakeOut(0);
  EXPECT_THAT(Weights(), ElementsAre(0, 20, 500, 500, 0, 30, 30));
  EXPECT_EQ(serving_.out(), 1u);
  EXPECT_EQ(serving_.Successors(0).count, 0u);
}

TEST_F(ServingWeightsTest, WhoIsEjectedIsOutUntilItEnds) {
  Assign({10, 20, 500, 500, 0, 30, 30});
  table_->health(2).SetEjection({now_ + 100, 100, 1});
  EXPECT_THAT(Weights(),
              ElementsAre(10240, 20480, 0, 1024000, 0, 30720, 30720));
  EXPECT_EQ(serving_.out(), 1u);
  EXPECT_EQ(serving_.next_probe_ms(), now_ + 100);
  now_ += 100;
  EXPECT_THAT(Weights(), ElementsAre(10, 20, 500, 500, 0, 30, 30));
  EXPECT_EQ(serving_.next_probe_ms(), kNever);
}

// The servers and the first line before the second one.
class PrioritiesTest : public ServingWeightsTest {
 protected:
  PrioritiesTest() {
    serving_.SetPriorities({0, 0, 0, 0, 0, 1, 1}, kDefaultOverprovisioning);
  }
  // Percent of the requests, of the slots of each priority.
  std::vector<uint64_t> Shares() {
    const std::vector<uint32_t> weights = Weights();
    const uint64_t first = uint64_t{weights[0]} + weights[1] + weights[2] +
                           weights[3] + weights[4];
    const uint64_t second = uint64_t{weights[5]} + weights[6];
    if (first + second == 0) return {0, 0};
    return {(first * 1000 / (first + second) + 5) / 10,
            (second * 1000 / (first + second) + 5) / 10};
  }
};

TEST_F(PrioritiesTest, TheSecondStandsBy) {
  Assign({10, 20, 30, 30, 10, 30, 30});
  EXPECT_THAT(Weights(), ElementsAre(10, 20, 30, 30, 10, 0, 0));
  EXPECT_EQ(serving_.standing_by(), 2u);
  EXPECT_EQ(serving_.StandbyWeight(5, 1), 30u);
  EXPECT_EQ(serving_.StandbyWeight(0, 0), 0u);
  EXPECT_EQ(serving_.StandbyWeight(5, 0), 0u);
  EXPECT_EQ(serving_.loads()[0].percent, 100u);
  TakeOut(2);  // 70 of 100 are in: 98 %
  EXPECT_THAT(Shares(), ElementsAre(98, 2));
  EXPECT_EQ(serving_.standing_by(), 0u);
}

TEST_F(PrioritiesTest, TheSecondServesAsTheFirstFails) {
  Assign({10, 10, 40, 40, 0, 30, 90});
  TakeOut(2);
  TakeOut(1);
  const std::vector<uint32_t> weights = Weights();
  EXPECT_THAT(Shares(), ElementsAre(70, 30));
  // Within each by weight; the line's other node has what it had.
  EXPECT_NEAR(weights[3], 8.0 * weights[0], 16);
  EXPECT_NEAR(weights[6], 3.0 * weights[5], 6);
  EXPECT_FALSE(serving_.FewerThan(100));  // together they bear it
}

TEST_F(PrioritiesTest, TheSecondServesAlone) {
  Assign({10, 20, 30, 30, 10, 30, 30});
  for (const uint32_t slot : {0u, 1u, 2u, 3u, 4u}) TakeOut(slot);
  EXPECT_THAT(Weights(), ElementsAre(0, 0, 0, 0, 0, 30, 30));
  EXPECT_EQ(serving_.standing_by(), 0u);
  EXPECT_EQ(serving_.loads()[0].percent, 0u);
  EXPECT_EQ(serving_.loads()[1].percent, 100u);
}

TEST_F(PrioritiesTest, AFirstWithoutPodsLeavesItToTheSecond) {
  Assign({0, 0, 0, 0, 0, 30, 30});
  EXPECT_THAT(Weights(), ElementsAre(0, 0, 0, 0, 0, 30, 30));
}

TEST_F(PrioritiesTest, TooFewInAllPanic) {
  Assign({40, 0, 0, 0, 60, 25, 75});
  TakeOut(4);
  TakeOut(6);
  Weights();  // 40 % and 25 % of them: 56 and 35
  EXPECT_FALSE(serving_.FewerThan(30));
  EXPECT_TRUE(serving_.FewerThan(40));
  EXPECT_THAT(Shares(), ElementsAre(62, 38));
  serving_.UpdateWithoutHealth(*table_);
  EXPECT_EQ(serving_.weight(4), 60u);
  EXPECT_EQ(serving_.weight(6), 75u);
  EXPECT_EQ(serving_.standing_by(), 0u);
  EXPECT_EQ(serving_.loads()[0].percent, 50u);
}

TEST_F(PrioritiesTest, LargeWeightsKeepTheirProportion) {
  Assign({kMaxWeight / 8, 0, kMaxWeight / 8, 0, kMaxWeight / 4, 1, 1000});
  TakeOut(4);  // half of what the first weighs
  EXPECT_THAT(Shares(), ElementsAre(70, 30));
  const std::vector<uint32_t> weights = Weights();
  EXPECT_NEAR(weights[6], 1000.0 * weights[5], 1000);
}

TEST_F(ServingWeightsTest, HowMuchOfTheWeightIsIn) {
  Assign({10, 20, 500, 500, 0, 30, 30});
  Weights();
  EXPECT_FALSE(serving_.FewerThan(100));
  TakeOut(2);
  Weights();
  EXPECT_TRUE(serving_.FewerThan(55)) << "590 of 1090, whatever others get now";
  EXPECT_FALSE(serving_.FewerThan(54));
  for (const uint32_t slot : {0, 1, 3, 5, 6}) TakeOut(slot);
  Weights();
  EXPECT_TRUE(serving_.FewerThan(1));
  EXPECT_FALSE(serving_.FewerThan(0)) << "never";
  Assign({0, 0, 0, 0, 0, 0, 0});
  Weights();
  EXPECT_FALSE(serving_.FewerThan(100)) << "nothing of nothing";
}

TEST_F(ServingWeightsTest, ANodeThatIsOutLeavesItsWeightToThoseOfItsLine) {
  Assign({10, 20, 500, 500, 0, 30, 30});
  TakeOut(2);
  // In proportion; scaled up, so that it would divide.
  const uint32_t scale = Weights()[0] / 10;
  EXPECT_THAT(Weights(), ElementsAre(10 * scale, 20 * scale, 0, 1000 * scale, 0,
                                     30 * scale, 30 * scale));
  EXPECT_EQ(serving_.Successors(2).first, 2u);
  EXPECT_EQ(serving_.Successors(2).count, 3u);
}

TEST_F(ServingWeightsTest, WhatDoesNotDivideIsOffByLittle) {
  Assign({1, 1, 1, 1, 1, 0, 0});
  TakeOut(3);
  const std::vector<uint32_t> weights = Weights();
  EXPECT_NEAR(weights[2], 1.5 * weights[0], 0.002 * weights[0]);
  EXPECT_EQ(weights[2], weights[4]);
}

TEST_F(ServingWeightsTest, ALineOfWhichNoneServesLeavesItsWeightToNobody) {
  Assign({10, 20, 500, 500, 0, 30, 30});
  TakeOut(2);
  TakeOut(3);
  EXPECT_THAT(Weights(), ElementsAre(10, 20, 0, 0, 0, 30, 30));
  EXPECT_EQ(serving_.Successors(2).count, 0u);
}

TEST_F(ServingWeightsTest, HugeWeightsStayInRange) {
  Assign({10, 20, kMaxWeight, kMaxWeight, kMaxWeight, 30, 30});
  TakeOut(2);
  const std::vector<uint32_t> weights = Weights();
  EXPECT_EQ(weights[3], kMaxWeight);
  EXPECT_EQ(weights[5], 30u);
}

TEST_F(ServingWeightsTest, APeerThatIsDueForAProbeIsNamed) {
  Assign({10, 20, 30, 0, 0, 0, 0});
  TakeOut(0);
  now_ += 3000;
  TakeOut(1);
  Weights();
  EXPECT_EQ(serving_.due(), ServingWeights::kNone);
  EXPECT_EQ(serving_.next_probe_ms(),
            now_ - 3000 + policy_.fail_timeout_ms + 1);
  now_ = serving_.next_probe_ms() - 1;
  Weights();
  EXPECT_EQ(serving_.due(), ServingWeights::kNone);
  now_++;
  EXPECT_THAT(Weights(), ElementsAre(0, 0, 30, 0, 0, 0, 0));
  EXPECT_EQ(serving_.due(), 0u);
  // While it is probed it is out for all others.
  EXPECT_EQ(table_->health(0).Admit(now_, policy_), Admission::kProbe);
  Weights();
  EXPECT_EQ(serving_.due(), ServingWeights::kNone);
}

TEST_F(ServingWeightsTest, WhereKeysFindItAPeerThatIsDueServes) {
  Assign({10, 20, 0, 0, 0, 0, 0});
  ServingWeights own(kSlots, {{2, 3}, {5, 2}}, false);
  TakeOut(0);
  now_ += policy_.fail_timeout_ms + 1;
  own.Update(*table_, now_, [&](uint32_t) { return policy_; });
  EXPECT_EQ(own.weight(0), 10u);
  EXPECT_EQ(own.due(), ServingWeights::kNone);
}

TEST_F(ServingWeightsTest, WithoutHealthAllServe) {
  Assign({10, 20, 500, 500, 0, 30, 30});
  for (uint32_t i = 0; i < kSlots; i++) TakeOut(i);
  Weights();
  EXPECT_EQ(serving_.out(), 6u);
  serving_.UpdateWithoutHealth(*table_);
  EXPECT_EQ(serving_.weight(2), 500u);
  EXPECT_EQ(serving_.weight(4), 0u);
}

TEST_F(ServingWeightsTest, AMethodMayNameTheSuccessorItself) {
  Assign({10, 20, 500, 500, 0, 30, 30});
  ServingWeights own(kSlots, {{2, 3}, {5, 2}}, false);
  TakeOut(2);
  own.Update(*table_, now_, [&](uint32_t) { return policy_; });
  EXPECT_EQ(own.weight(3), 500u);
  EXPECT_EQ(own.Successors(2).count, 3u);
}

}  // namespace
}  // namespace dynweight

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

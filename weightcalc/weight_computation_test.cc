// Tests of the way from views to slot writes.

#include "weightcalc/weight_computation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "weightcalc/weight_computation_fixture.h"

namespace dynweight {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST_F(WeighingTest, IsProvisionalWhileNodesOrPodsAreHeldFromBefore) {
  Know(12, 3);
  EXPECT_FALSE(ComputeLineWeight(line_, view_)->provisional);
  view_.nodes->provisional = true;
  EXPECT_TRUE(ComputeLineWeight(line_, view_)->provisional);
  view_.nodes->provisional = false;
  view_.pods.clear();
  view_.lines = {{"", "service=prod/orders", PodCount{6, 1}}};
  EXPECT_TRUE(ComputeLineWeight(line_, view_)->provisional);
  EXPECT_EQ(ComputeLineWeight(line_, view_)->weight, 20u);
  view_.lines[0].upstream = "another";
  EXPECT_FALSE(ComputeLineWeight(line_, view_).has_value());
}

TEST_F(WeighingTest, WeighsByTheFormula) {
  Know(12, 3);
  EXPECT_EQ(ComputeLineWeight(line_, view_), (LineWeight{12, 3, 3, 40}));
}

TEST_F(WeighingTest, TheLinesBaseCounts) {
  Know(12, 3);
  line_.base = 100;
  EXPECT_EQ(ComputeLineWeight(line_, view_)->weight, 400u);
}

TEST_F(WeighingTest, ZeroPodsWeighOneOrDrain) {
  Know(0, 3);
  EXPECT_EQ(ComputeLineWeight(line_, view_)->weight, 1u);
  line_.empty = EmptyPolicy::kDrain;
  EXPECT_EQ(ComputeLineWeight(line_, view_)->weight, 0u);
}

TEST_F(WeighingTest, PodsBehindNoIngressDontCount) {
  Know(12, 3);
  line_.ingress = "ingress=prod/orders";
  // Nobody has said yet: taken to be there.
  EXPECT_EQ(ComputeLineWeight(line_, view_)->weight, 40u);
  EXPECT_TRUE(ComputeLineWeight(line_, view_)->provisional);
  view_.pods["ingress=prod/orders"] = {1, 1};
  EXPECT_EQ(ComputeLineWeight(line_, view_), (LineWeight{12, 3, 3, 40}));
  view_.pods["ingress=prod/orders"] = {0, 1};
  EXPECT_EQ(ComputeLineWeight(line_, view_)->weight, 1u);
  EXPECT_EQ(ComputeLineWeight(line_, view_)->pods, 0u);
  EXPECT_TRUE(ComputeLineWeight(line_, view_)->no_ingress);
  line_.empty = EmptyPolicy::kDrain;
  EXPECT_EQ(ComputeLineWeight(line_, view_)->weight, 0u);
}

TEST_F(WeighingTest, MoreNodesThanSlotsShareTheWholeWeight) {
  Know(40, 20);
  line_.range.count = 4;
  EXPECT_EQ(ComputeLineWeight(line_, view_), (LineWeight{40, 20, 4, 100}));
  EXPECT_THAT(Plan(), SizeIs(4));
}

TEST_F(WeighingTest, WhatIsNotKnownChangesNothing) {
  EXPECT_FALSE(ComputeLineWeight(line_, view_).has_value());
  Know(12, 3);
  view_.nodes.reset();
  EXPECT_FALSE(ComputeLineWeight(line_, view_).has_value());
  Know(12, 3);
  view_.pods.clear();
  EXPECT_FALSE(ComputeLineWeight(line_, view_).has_value());
  EXPECT_THAT(Plan(), IsEmpty());
}

TEST_F(WeighingTest, AnEmptySetOfNodesLeavesTheSlotsAsTheyAre) {
  Know(12, 3);
  ApplySlotWrites(table_, Plan());
  view_.nodes->nodes.clear();
  EXPECT_FALSE(ComputeLineWeight(line_, view_).has_value());
  EXPECT_THAT(Plan(), IsEmpty());
}

TEST_F(WeighingTest, PlansOnlyWhatDiffers) {
  Know(12, 3);
  const std::vector<SlotWrite> writes = Plan();
  ASSERT_THAT(writes, SizeIs(3));
  for (const SlotWrite& write : writes) {
    EXPECT_TRUE(write.assign);
    EXPECT_EQ(write.weight, 40u);
    EXPECT_EQ(write.identity.port, 80);
    EXPECT_GE(write.slot, 4u);
    EXPECT_LT(write.slot, 20u);
  }
  ApplySlotWrites(table_, writes);
  EXPECT_THAT(Plan(), IsEmpty());
  view_.pods["service=prod/orders"].pods = 30;
  EXPECT_THAT(Plan(), SizeIs(3));
}

}  // namespace
}  // namespace dynweight

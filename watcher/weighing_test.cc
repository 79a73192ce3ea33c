// Tests of the way from views to slot writes.

#include "watcher/weighing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "weightcalc/forked_process.h"

namespace dynweight {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class WeighingTest : public testing::Test {
 protected:
  WeighingTest()
      : memory_(PeerTable::Bytes(32, 1)),
        table_(PeerTable::Create(memory_.get(), 32, 1)) {
    line_.source = PodSource::Parse("service=prod/orders").value();
    line_.port = 80;
    line_.range = {4, 16};
  }
  void Know(uint64_t pods, int nodes) {
    view_.pods["service=prod/orders"] = {pods, 1};
    NodeSet& set = view_.nodes.emplace();
    for (int i = 1; i <= nodes; i++) {
      set.nodes.push_back(
          {IpAddress::Parse(absl::StrCat("10.0.0.", i)).value(), ""});
    }
  }

  SharedMapping memory_;
  PeerTable table_;
  LineConfig line_;
  ClusterView view_;
};

TEST_F(WeighingTest, WeighsByTheFormula) {
  Know(12, 3);
  EXPECT_EQ(WeighLine(line_, view_), (LineWeight{12, 3, 3, 40}));
}

TEST_F(WeighingTest, TheLinesBaseCounts) {
  Know(12, 3);
  line_.base = 100;
  EXPECT_EQ(WeighLine(line_, view_)->weight, 400u);
}

TEST_F(WeighingTest, ZeroPodsWeighOneOrDrain) {
  Know(0, 3);
  EXPECT_EQ(WeighLine(line_, view_)->weight, 1u);
  line_.empty = EmptyPolicy::kDrain;
  EXPECT_EQ(WeighLine(line_, view_)->weight, 0u);
}

TEST_F(WeighingTest, MoreNodesThanSlotsShareTheWholeWeight) {
  Know(40, 20);
  line_.range.count = 4;
  EXPECT_EQ(WeighLine(line_, view_), (LineWeight{40, 20, 4, 100}));
  EXPECT_THAT(PlanLine(line_, view_, table_), SizeIs(4));
}

TEST_F(WeighingTest, WhatIsNotKnownChangesNothing) {
  EXPECT_FALSE(WeighLine(line_, view_).has_value());
  Know(12, 3);
  view_.nodes.reset();
  EXPECT_FALSE(WeighLine(line_, view_).has_value());
  Know(12, 3);
  view_.pods.clear();
  EXPECT_FALSE(WeighLine(line_, view_).has_value());
  EXPECT_THAT(PlanLine(line_, view_, table_), IsEmpty());
}

TEST_F(WeighingTest, AnEmptySetOfNodesLeavesTheSlotsAsTheyAre) {
  Know(12, 3);
  ApplySlotWrites(table_, PlanLine(line_, view_, table_));
  view_.nodes->nodes.clear();
  EXPECT_FALSE(WeighLine(line_, view_).has_value());
  EXPECT_THAT(PlanLine(line_, view_, table_), IsEmpty());
}

TEST_F(WeighingTest, PlansOnlyWhatDiffers) {
  Know(12, 3);
  const std::vector<SlotWrite> writes = PlanLine(line_, view_, table_);
  ASSERT_THAT(writes, SizeIs(3));
  for (const SlotWrite& write : writes) {
    EXPECT_TRUE(write.seat);
    EXPECT_EQ(write.weight, 40u);
    EXPECT_EQ(write.identity.port, 80);
    EXPECT_GE(write.slot, 4u);
    EXPECT_LT(write.slot, 20u);
  }
  ApplySlotWrites(table_, writes);
  EXPECT_THAT(PlanLine(line_, view_, table_), IsEmpty());
  view_.pods["service=prod/orders"].pods = 30;
  EXPECT_THAT(PlanLine(line_, view_, table_), SizeIs(3));
}

}  // namespace
}  // namespace dynweight

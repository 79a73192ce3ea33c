// Tests of slot_plan.h.

#include "weightcalc/slot_plan.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "weightcalc/peer_table_tester.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

constexpr uint16_t kPort = 80;
constexpr int64_t kNow = 1700000000;

IngressNode Node(int n) {
  return {*IpAddress::Parse("10.0.0." + std::to_string(n)),
          "node-" + std::to_string(n)};
}

std::vector<IngressNode> Nodes(const std::vector<int>& numbers) {
  std::vector<IngressNode> nodes;
  for (int n : numbers) nodes.push_back(Node(n));
  return nodes;
}

// A line with four slots in the middle of a table of eight.
class SlotPlanTest : public testing::Test {
 protected:
  static constexpr SlotRange kRange = {2, 4};

  std::vector<SlotWrite> Plan(const std::vector<IngressNode>& nodes,
                              uint32_t weight, uint16_t port = kPort) {
    return PlanSlots(*table_, kRange, port, nodes, weight);
  }

  // Plans, applies, publishes; what was written.
  std::vector<SlotWrite> Apply(const std::vector<IngressNode>& nodes,
                               uint32_t weight, uint16_t port = kPort) {
    const std::vector<SlotWrite> writes = Plan(nodes, weight, port);
    ApplySlotWrites(*table_, writes);
    table_->Publish();
    return writes;
  }

  // What may be picked: weight by address and port.
  std::map<std::string, uint32_t> Weights() {
    std::map<std::string, uint32_t> weights;
    for (uint32_t slot = 0; slot < table_->capacity(); slot++) {
      Peer peer;
      if (table_->weight(slot) == 0 || !table_->Read(slot, &peer)) continue;
      weights[peer.identity.address.ToString() + ":" +
              std::to_string(peer.identity.port)] += table_->weight(slot);
    }
    return weights;
  }

  uint32_t SlotOf(int n, uint16_t port = kPort) {
    for (uint32_t slot = 0; slot < table_->capacity(); slot++) {
      Peer peer;
      if (table_->Read(slot, &peer) && peer.identity.port == port &&
          peer.identity.address == Node(n).address) {
        return slot;
      }
    }
    return UINT32_MAX;
  }

  void Connect(uint32_t slot, int connections) {
    for (int i = 0; i < connections; i++) {
      table_->Acquire(slot, table_->generation(slot), 0);
    }
  }

  using Expected = std::map<std::string, uint32_t>;
  SharedTable table_{8, 1};
};

TEST_F(SlotPlanTest, NewNodesTakeTheLinesOwnSlots) {
  const auto writes = Apply(Nodes({1, 2}), 40);
  EXPECT_EQ(writes.size(), 2u);
  EXPECT_EQ(Weights(), (Expected{{"10.0.0.1:80", 40}, {"10.0.0.2:80", 40}}));
  EXPECT_EQ(SlotOf(1), kRange.first);
  EXPECT_EQ(SlotOf(2), kRange.first + 1);
  Peer peer;
  ASSERT_TRUE(table_->Read(SlotOf(2), &peer));
  EXPECT_STREQ(peer.identity.node.data(), "node-2");
}

TEST_F(SlotPlanTest, TouchesNoSlotOfAnotherLine) {
  Apply(Nodes({1, 2, 3, 4, 5, 6, 7, 8}), 40);
  Apply({}, 40);
  for (uint32_t slot : {0, 1, 6, 7}) {
    EXPECT_EQ(PeerTableTester::RawGeneration(*table_, slot), 0u);
  }
}

TEST_F(SlotPlanTest, NodesThatStayKeepSlotConnectionsHealthAndCounters) {
  Apply(Nodes({1, 2, 3}), 40);
  const uint32_t slot = SlotOf(2);
  const uint64_t generation = table_->generation(slot);
  Connect(slot, 3);
  table_->health(slot).OnFailure(kNow, HealthPolicy());
  table_->counters(slot).requests = 9;

  Apply(Nodes({2, 4}), 60);
  EXPECT_EQ(SlotOf(2), slot);
  EXPECT_EQ(table_->generation(slot), generation);
  EXPECT_EQ(table_->Active(slot), 3u);
  EXPECT_TRUE(table_->health(slot).Failed(HealthPolicy()));
  EXPECT_EQ(table_->counters(slot).requests, 9u);
  EXPECT_EQ(Weights(), (Expected{{"10.0.0.2:80", 60}, {"10.0.0.4:80", 60}}));
}

std::vector<bool> Joins(const std::vector<SlotWrite>& writes) {
  std::vector<bool> joins;
  for (const SlotWrite& write : writes) joins.push_back(write.joins);
  return joins;
}

TEST_F(SlotPlanTest, ANodeBesideOthersJoinsThem) {
  EXPECT_EQ(Joins(Apply(Nodes({1, 2}), 40)), (std::vector<bool>{false, false}));
  // The two that stay change their weight, the third joins.
  EXPECT_EQ(Joins(Apply(Nodes({1, 2, 3}), 26)),
            (std::vector<bool>{false, false, true}));
}

TEST_F(SlotPlanTest, ANodeThatComesBackToOthersJoinsThem) {
  Apply(Nodes({1, 2}), 40);
  Apply(Nodes({1}), 80);
  EXPECT_EQ(Joins(Apply(Nodes({1, 2}), 80)), (std::vector<bool>{true}));
}

TEST_F(SlotPlanTest, NoNodeJoinsWhereNoneStays) {
  Apply(Nodes({1, 2}), 40);
  EXPECT_EQ(Joins(Apply(Nodes({3, 4}), 40)),
            (std::vector<bool>{false, false, false, false}));
  Apply(Nodes({3, 4}), 0);
  EXPECT_EQ(Joins(Apply(Nodes({3, 4}), 40)), (std::vector<bool>{false, false}));
}

TEST_F(SlotPlanTest, PeersThatJoinStartSlowlyFromNowOn) {
  Apply(Nodes({1}), 40);
  const std::vector<SlotWrite> writes = Plan(Nodes({1, 2}), 20);
  ApplySlotWrites(*table_, writes, 5000);
  EXPECT_TRUE(table_->health(SlotOf(1)).Admits(5000, 1000, UINT32_MAX));
  EXPECT_FALSE(table_->health(SlotOf(2)).Admits(5000, 1000, 0));
  EXPECT_TRUE(table_->health(SlotOf(2)).Admits(6000, 1000, UINT32_MAX));
}

TEST_F(SlotPlanTest, ASecondPlanIsEmpty) {
  for (const auto& nodes : {Nodes({1, 2}), Nodes({2, 3, 4, 5, 6}), Nodes({7}),
                            Nodes({}), Nodes({1, 7})}) {
    for (uint32_t weight : {40u, 0u, UINT32_MAX}) {
      Apply(nodes, weight);
      EXPECT_TRUE(Plan(nodes, weight).empty());
    }
  }
}

TEST_F(SlotPlanTest, AChangedWeightIsOneWriteANodeAndSeatsNobody) {
  Apply(Nodes({1, 2}), 40);
  const auto writes = Apply(Nodes({1, 2}), 75);
  ASSERT_EQ(writes.size(), 2u);
  for (const auto& write : writes) {
    EXPECT_FALSE(write.assign);
    EXPECT_EQ(write.weight, 75u);
  }
}

TEST_F(SlotPlanTest, NodesThatLeaveAreDrainedNotCleared) {
  Apply(Nodes({1, 2}), 40);
  const uint32_t slot = SlotOf(1);
  Connect(slot, 1);
  const auto writes = Apply(Nodes({2}), 40);
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(writes[0].slot, slot);
  EXPECT_FALSE(writes[0].assign);
  EXPECT_EQ(writes[0].weight, 0u);
  EXPECT_EQ(table_->Active(slot), 1u);
}

TEST_F(SlotPlanTest, ANodeThatComesBackGetsItsDrainedSlot) {
  Apply(Nodes({1, 2}), 40);
  const uint32_t slot = SlotOf(1);
  const uint64_t generation = table_->generation(slot);
  Connect(slot, 1);
  Apply(Nodes({2}), 40);

  const auto writes = Apply(Nodes({1, 2}), 40);
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(writes[0].slot, slot);
  EXPECT_FALSE(writes[0].assign);
  EXPECT_EQ(table_->generation(slot), generation);
  EXPECT_EQ(table_->Active(slot), 1u);
}

TEST_F(SlotPlanTest, EmptySlotsAreTakenBeforeDrainedOnes) {
  Apply(Nodes({1, 2}), 40);
  Apply(Nodes({2}), 40);
  Apply(Nodes({2, 3, 4}), 40);
  EXPECT_NE(SlotOf(1), UINT32_MAX);
}

TEST_F(SlotPlanTest, ADrainedSlotWithRunningRequestsIsTakenLast) {
  Apply(Nodes({1, 2, 3}), 40);
  const uint32_t busy = SlotOf(1);
  const uint32_t idle = SlotOf(2);
  Connect(busy, 1);
  Apply(Nodes({3}), 40);  // 1 and 2 drain; one slot was never used

  Apply(Nodes({3, 4, 5}), 40);
  EXPECT_EQ(SlotOf(1), busy);
  EXPECT_EQ(SlotOf(2), UINT32_MAX);
  EXPECT_TRUE(SlotOf(4) == idle || SlotOf(5) == idle);

  Apply(Nodes({3, 4, 5, 6}), 40);  // no other slot is left
  EXPECT_EQ(SlotOf(1), UINT32_MAX);
  EXPECT_EQ(SlotOf(6), busy);
  EXPECT_EQ(table_->Active(busy), 0u);
}

TEST_F(SlotPlanTest, OfBusyDrainedSlotsTheLeastBusyIsTakenFirst) {
  Apply(Nodes({1, 2, 3, 4}), 40);
  for (int n : {1, 2, 3, 4}) Connect(SlotOf(n), 5 - n);
  const uint32_t least = SlotOf(4);
  Apply({}, 40);
  Apply(Nodes({5}), 40);
  EXPECT_EQ(SlotOf(5), least);
}

TEST_F(SlotPlanTest, ALeavingNodesSlotIsReusedAtOnceWhenNoneIsLeft) {
  Apply(Nodes({1, 2, 3, 4}), 40);
  const auto writes = Apply(Nodes({2, 3, 4, 5}), 40);
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_TRUE(writes[0].assign);
  EXPECT_EQ(Weights(), (Expected{{"10.0.0.2:80", 40},
                                 {"10.0.0.3:80", 40},
                                 {"10.0.0.4:80", 40},
                                 {"10.0.0.5:80", 40}}));
}

TEST_F(SlotPlanTest, MoreNodesThanSlotsUsesTheFirstByAddress) {
  Apply(Nodes({9, 8, 7, 6, 5, 4, 3}), 40);
  EXPECT_EQ(Weights(), (Expected{{"10.0.0.3:80", 40},
                                 {"10.0.0.4:80", 40},
                                 {"10.0.0.5:80", 40},
                                 {"10.0.0.6:80", 40}}));
}

TEST_F(SlotPlanTest, ADuplicateAddressTakesOneSlot) {
  auto nodes = Nodes({1, 1, 2});
  nodes[1].name = "another-name";
  Apply(nodes, 40);
  EXPECT_EQ(Weights(), (Expected{{"10.0.0.1:80", 40}, {"10.0.0.2:80", 40}}));
  EXPECT_TRUE(Plan(nodes, 40).empty());
}

TEST_F(SlotPlanTest, TheOrderOfNodesDoesNotMatter) {
  Apply(Nodes({2, 4}), 40);
  auto nodes = Nodes({1, 2, 3, 5, 6});
  const auto expected = Plan(nodes, 50);
  std::mt19937 random(1);
  for (int i = 0; i < 20; i++) {
    std::shuffle(nodes.begin(), nodes.end(), random);
    const auto writes = Plan(nodes, 50);
    ASSERT_EQ(writes.size(), expected.size());
    for (size_t w = 0; w < writes.size(); w++) {
      EXPECT_EQ(writes[w].slot, expected[w].slot);
      EXPECT_EQ(writes[w].assign, expected[w].assign);
      EXPECT_EQ(writes[w].weight, expected[w].weight);
      EXPECT_TRUE(Same(writes[w].identity, expected[w].identity));
    }
  }
}

TEST_F(SlotPlanTest, AnotherPortIsAnotherPeer) {
  Apply(Nodes({1, 2}), 40);
  const auto writes = Apply(Nodes({1, 2}), 40, 8080);
  EXPECT_EQ(std::count_if(writes.begin(), writes.end(),
                          [](const SlotWrite& w) { return w.assign; }),
            2);
  EXPECT_EQ(Weights(),
            (Expected{{"10.0.0.1:8080", 40}, {"10.0.0.2:8080", 40}}));
}

TEST_F(SlotPlanTest, AnotherNameIsAnotherNode) {
  Apply(Nodes({1}), 40);
  auto nodes = Nodes({1});
  nodes[0].name = "replacement";
  Apply(nodes, 40);
  EXPECT_EQ(Weights(), (Expected{{"10.0.0.1:80", 40}}));
  EXPECT_TRUE(Plan(nodes, 40).empty());
}

TEST_F(SlotPlanTest, ANodeWithoutANameStaysUnderAnyName) {
  Apply(Nodes({1}), 40);
  auto nodes = Nodes({1});
  nodes[0].name = "";
  EXPECT_TRUE(Plan(nodes, 40).empty());
}

TEST_F(SlotPlanTest, ANameThatIsCutIsNotTakenForAnother) {
  auto nodes = Nodes({1});
  nodes[0].name = std::string(200, 'n');
  Apply(nodes, 40);
  EXPECT_TRUE(Plan(nodes, 40).empty());
}

TEST_F(SlotPlanTest, WeightZeroDrainsEveryNodeAndKeepsItsSlot) {
  Apply(Nodes({1, 2}), 40);
  const auto writes = Apply(Nodes({1, 2}), 0);
  EXPECT_EQ(writes.size(), 2u);
  EXPECT_TRUE(Weights().empty());
  for (const auto& write : Apply(Nodes({1, 2}), 40)) EXPECT_FALSE(write.assign);
}

TEST_F(SlotPlanTest, AHalfWrittenSlotIsSeatedAgain) {
  for (size_t words = 0; words <= PeerTableTester::kIdentityWords; words++) {
    Apply(Nodes({1, 2, 3, 4}), 40);
    PeerTableTester::HalfWrite(*table_, SlotOf(2), MadeUpPeer(5), words);
    ASSERT_EQ(Weights().size(), 3u);
    const auto writes = Apply(Nodes({1, 2, 3, 4}), 40);
    ASSERT_EQ(writes.size(), 1u);
    EXPECT_TRUE(writes[0].assign);
    EXPECT_EQ(Weights().size(), 4u);
  }
}

TEST_F(SlotPlanTest, AHalfAppliedPlanIsCompletedByTheNext) {
  std::mt19937 random(1);
  const std::vector<std::vector<int>> sets = {
      {1, 2, 3, 4}, {3, 4, 5}, {1, 6}, {}, {2, 3, 5, 7}};
  for (int round = 0; round < 200; round++) {
    const auto nodes = Nodes(sets[random() % sets.size()]);
    const uint32_t weight = 1 + random() % 50;
    auto writes = Plan(nodes, weight);
    if (!writes.empty()) writes.resize(random() % writes.size());
    ApplySlotWrites(*table_, writes);
    Apply(nodes, weight);
    ASSERT_EQ(Weights().size(), nodes.size());
    for (const auto& [peer, w] : Weights()) ASSERT_EQ(w, weight);
    ASSERT_TRUE(Plan(nodes, weight).empty());
  }
}

TEST_F(SlotPlanTest, OfTwoSlotsWithOneAddressOneIsDrained) {
  PeerIdentity identity;
  identity.address = Node(1).address;
  identity.port = kPort;
  identity.set_node("node-1");
  ApplySlotWrites(*table_, {SlotWrite{3, true, 0, identity},
                            SlotWrite{4, true, 40, identity},
                            SlotWrite{5, true, 40, identity}});
  const auto writes = Apply(Nodes({1}), 40);
  ASSERT_EQ(writes.size(), 1u);
  EXPECT_EQ(writes[0].slot, 5u);
  EXPECT_EQ(writes[0].weight, 0u);
}

TEST(SlotPlan, HandlesALineOfManySlots) {
  constexpr uint32_t kCount = 2000;
  SharedTable table(kCount, 1);
  std::vector<IngressNode> nodes;
  for (uint32_t n = 0; n < 3000; n++) {
    nodes.push_back({MadeUpPeer(n).address, ""});
  }
  const auto writes = PlanSlots(*table, {0, kCount}, kPort, nodes, kMaxWeight);
  EXPECT_EQ(writes.size(), kCount);
  ApplySlotWrites(*table, writes);
  EXPECT_TRUE(PlanSlots(*table, {0, kCount}, kPort, nodes, kMaxWeight).empty());
}

}  // namespace
}  // namespace dynweight

// Tests of lines whose peers are the application's instances.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "weightcalc/weight_computation_fixture.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

Instance Pod(int n, uint16_t port = 8080, uint32_t weight_milli = 1000) {
  return {*IpAddress::Parse(absl::StrCat("10.0.0.", n)), port,
          absl::StrCat("orders-", n), weight_milli};
}

class InstancesTest : public WeighingTest {
 protected:
  InstancesTest() {
    line_.kind = LineConfig::Kind::kInstances;
    line_.source = "service=prod/orders port=http";
    line_.port = 0;
    line_.base = 10;
  }

  InstanceSet& Set() { return view_.instances[line_.source]; }
  void KnowInstances(std::vector<Instance> instances) {
    SortInstances(&instances);
    Set().instances = std::move(instances);
    Set().none = false;
  }
  void Apply(const Tuning::Selection& rules = {}) {
    ApplySlotWrites(table_, Plan(rules));
    table_.Publish();
  }
  // "10.0.0.1:8080" => weight, of those that serve.
  std::map<std::string, uint32_t> Weights() {
    std::map<std::string, uint32_t> weights;
    for (uint32_t slot = 0; slot < table_.capacity(); ++slot) {
      Peer peer;
      if (table_.weight(slot) == 0 || !table_.Read(slot, &peer)) continue;
      weights[absl::StrCat(peer.identity.address.ToString(), ":",
                           peer.identity.port)] = table_.weight(slot);
    }
    return weights;
  }
  uint32_t SlotOf(const Instance& instance) {
    for (uint32_t slot = 0; slot < table_.capacity(); ++slot) {
      Peer peer;
      if (table_.Read(slot, &peer) &&
          peer.identity.address == instance.address &&
          peer.identity.port == instance.port) {
        return slot;
      }
    }
    return UINT32_MAX;
  }
  Tuning::Selection Rules(TuningRule rule) {
    tuning_ = Tuning({std::move(rule)});
    tuning_.Advance(1);
    return tuning_.Select(line_.upstream, "bj");
  }

  Tuning tuning_;
};

TEST(InstanceWeight, IsAThousandthOfTheBaseForEachAndAtLeastOne) {
  EXPECT_EQ(InstanceWeight(1000, 10), 10u);
  EXPECT_EQ(InstanceWeight(500, 10), 5u);
  EXPECT_EQ(InstanceWeight(1999, 10), 19u);
  EXPECT_EQ(InstanceWeight(1, 10), 1u);
  EXPECT_EQ(InstanceWeight(0, 10), 0u);
  EXPECT_EQ(InstanceWeight(UINT32_MAX, kMaxBase), 4294967295000u);
}

TEST(SortInstances, KeepsOneOfAnAddressAndPort) {
  std::vector<Instance> instances = {Pod(2), Pod(1), Pod(1, 9090), Pod(1)};
  instances[3].name = "a";
  instances.push_back({IpAddress(), 80, "nowhere", 1000});
  instances.push_back(Pod(3, 0));
  SortInstances(&instances);
  ASSERT_THAT(instances, SizeIs(3));
  EXPECT_EQ(instances[0].name, "a");
  EXPECT_EQ(instances[1].port, 9090);
  EXPECT_EQ(instances[2], Pod(2));
}

TEST_F(InstancesTest, EachHasItsOwnPortAndWeight) {
  KnowInstances({Pod(1), Pod(2, 9090), Pod(3, 8080, 500)});
  Apply();
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.1:8080", 10),
                                              Pair("10.0.0.2:9090", 10),
                                              Pair("10.0.0.3:8080", 5)));
  const std::optional<LineWeight> weight = ComputeLineWeight(line_, view_);
  EXPECT_EQ(weight->pods, 3u);
  EXPECT_EQ(weight->ingress_nodes, 3u);
  EXPECT_EQ(weight->used_nodes, 3u);
  EXPECT_EQ(weight->weight, 10u);
  EXPECT_THAT(Plan(), IsEmpty());
}

TEST_F(InstancesTest, AreNotCountedByNodesOrPods) {
  Know(30, 3);
  EXPECT_EQ(ComputeLineWeight(line_, view_), std::nullopt);
  Set();  // asked and answered: there is none
  EXPECT_EQ(ComputeLineWeight(line_, view_), std::nullopt);
}

TEST_F(InstancesTest, OneAddressMayHaveSeveralPorts) {
  KnowInstances({Pod(1), Pod(1, 8081), Pod(1, 8082)});
  Apply();
  EXPECT_THAT(Weights(), SizeIs(3));
  const uint32_t slot = SlotOf(Pod(1, 8082));
  KnowInstances({Pod(1, 8082)});
  Apply();
  EXPECT_THAT(Weights(), ElementsAre(Pair("10.0.0.1:8082", 10)));
  EXPECT_EQ(SlotOf(Pod(1, 8082)), slot);
}

TEST_F(InstancesTest, KeepTheirSlotWhileAddressPortAndNameStay) {
  KnowInstances({Pod(1), Pod(2), Pod(3)});
  Apply();
  const uint32_t slot = SlotOf(Pod(2));
  const uint64_t generation = table_.generation(slot);
  KnowInstances({Pod(2), Pod(4)});
  Apply();
  EXPECT_EQ(SlotOf(Pod(2)), slot);
  EXPECT_EQ(table_.generation(slot), generation);

  // The address was handed out again: another pod.
  Instance next = Pod(2);
  next.name = "payments-1";
  KnowInstances({next, Pod(4)});
  Apply();
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.2:8080", 10),
                                              Pair("10.0.0.4:8080", 10)));
  Peer peer;
  for (uint32_t i = 0; i < table_.capacity(); ++i) {
    if (table_.weight(i) != 0 && table_.Read(i, &peer) &&
        peer.identity.address == next.address) {
      EXPECT_STREQ(peer.identity.node.data(), "payments-1");
    }
  }
}

TEST_F(InstancesTest, AnotherZoneIsNoOtherPeer) {
  Instance pod = Pod(1);
  pod.zone = "a";
  KnowInstances({pod, Pod(2)});
  Apply();
  const uint32_t slot = SlotOf(pod);
  const uint64_t generation = table_.generation(slot);
  EXPECT_STREQ(table_.zone(slot).data(), "a");
  EXPECT_STREQ(table_.zone(SlotOf(Pod(2))).data(), "");
  EXPECT_THAT(Plan(), IsEmpty());
  pod.zone = "b";
  KnowInstances({pod, Pod(2)});
  Apply();
  EXPECT_EQ(SlotOf(pod), slot);
  EXPECT_EQ(table_.generation(slot), generation);
  EXPECT_EQ(table_.weight(slot), 10u);
  EXPECT_STREQ(table_.zone(slot).data(), "b");
  KnowInstances({Pod(1), Pod(2)});
  Apply();
  EXPECT_STREQ(table_.zone(slot).data(), "");
  EXPECT_EQ(table_.generation(slot), generation);
}

TEST_F(InstancesTest, AnotherPortIsAnotherPeer) {
  KnowInstances({Pod(1)});
  Apply();
  KnowInstances({Pod(1, 9090)});
  const std::vector<SlotWrite> writes = Plan();
  ASSERT_THAT(writes, SizeIs(2));
  ApplySlotWrites(table_, writes);
  EXPECT_THAT(Weights(), ElementsAre(Pair("10.0.0.1:9090", 10)));
}

TEST_F(InstancesTest, OneThatDrainsKeepsItsSlotWhileItIsBusy) {
  line_.range = {4, 2};
  KnowInstances({Pod(1), Pod(2)});
  Apply();
  const uint32_t slot = SlotOf(Pod(1));
  const uint64_t generation = table_.generation(slot);
  table_.Acquire(slot, generation, 0);
  KnowInstances({Pod(1, 8080, 0), Pod(2)});
  Apply();
  EXPECT_THAT(Weights(), ElementsAre(Pair("10.0.0.2:8080", 10)));
  EXPECT_EQ(table_.generation(slot), generation);
  EXPECT_EQ(table_.Active(slot), 1u);

  // A rule that pins the line does not bring it back.
  TuningRule pin;
  pin.weight = 7;
  Apply(Rules(pin));
  EXPECT_THAT(Weights(), ElementsAre(Pair("10.0.0.2:8080", 7)));
}

TEST_F(InstancesTest, OneThatDrainsTakesNoSlotFromOneThatServes) {
  line_.range = {4, 2};
  KnowInstances({Pod(1, 8080, 0), Pod(2, 8080, 0), Pod(3), Pod(4)});
  Apply();
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.3:8080", 10),
                                              Pair("10.0.0.4:8080", 10)));
}

TEST_F(InstancesTest, OneThatHasLeftIsForgottenWithTheNextChange) {
  KnowInstances({Pod(1), Pod(2)});
  Apply();
  const uint32_t busy = SlotOf(Pod(1));
  const uint32_t idle = SlotOf(Pod(2));
  const uint64_t generation = table_.generation(busy);
  table_.Acquire(busy, generation, 0);
  KnowInstances({Pod(3)});
  Apply();
  EXPECT_NE(table_.generation(idle), 0u);
  KnowInstances({Pod(3), Pod(4)});
  Apply();
  // Pod 4 took the one, the other waits for its request.
  EXPECT_EQ(SlotOf(Pod(2)), UINT32_MAX);
  EXPECT_EQ(table_.generation(busy), generation);
  table_.Release(busy, generation, 0);
  KnowInstances({Pod(3)});
  Apply();
  EXPECT_EQ(table_.generation(busy), 0u);
  KnowInstances({Pod(3), Pod(5)});
  Apply();
  EXPECT_EQ(SlotOf(Pod(4)), UINT32_MAX);
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.3:8080", 10),
                                              Pair("10.0.0.5:8080", 10)));
  EXPECT_THAT(Plan(), IsEmpty());
}

TEST_F(InstancesTest, MoreThanSlotsAreLeftOut) {
  line_.range = {4, 2};
  KnowInstances({Pod(3), Pod(1), Pod(2)});
  Apply();
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.1:8080", 10),
                                              Pair("10.0.0.2:8080", 10)));
  const std::optional<LineWeight> weight = ComputeLineWeight(line_, view_);
  EXPECT_EQ(weight->ingress_nodes, 3u);
  EXPECT_EQ(weight->assigned_nodes(), 2u);
  EXPECT_EQ(weight->weight, 10u) << "no other one takes its share";
}

TEST_F(InstancesTest, TheLastOnesKeepTheLeastWeight) {
  KnowInstances({Pod(1), Pod(2, 8080, 500)});
  Apply();
  Set().none = true;
  Apply();
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.1:8080", 1),
                                              Pair("10.0.0.2:8080", 1)));
  EXPECT_EQ(ComputeLineWeight(line_, view_)->pods, 0u);
}

TEST_F(InstancesTest, OrNoneWhenTheLineSaysSo) {
  line_.empty = EmptyPolicy::kDrain;
  KnowInstances({Pod(1), Pod(2)});
  Apply();
  Set().none = true;
  Apply();
  EXPECT_THAT(Weights(), IsEmpty());
}

TEST_F(InstancesTest, TuningKnowsThemByAddressPortAndName) {
  KnowInstances({Pod(1), Pod(1, 9090), Pod(2)});
  TuningRule by_port;
  by_port.server = "10.0.0.1:9090";
  by_port.address = PeerAddress::Parse(by_port.server);
  by_port.drain = true;
  Apply(Rules(by_port));
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.1:8080", 10),
                                              Pair("10.0.0.2:8080", 10)));
  const std::optional<LineWeight> weight =
      ComputeLineWeight(line_, view_, Rules(by_port));
  EXPECT_EQ(weight->drained_nodes, 1u);
  EXPECT_EQ(weight->used_nodes, 2u);

  TuningRule by_name;
  by_name.node = "orders-2";
  by_name.scale = 3;
  Apply(Rules(by_name));
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.1:8080", 10),
                                              Pair("10.0.0.1:9090", 10),
                                              Pair("10.0.0.2:8080", 30)));
}

TEST_F(InstancesTest, AFrozenLineHoldsWhoeverComesOrGoes) {
  TuningRule freeze;
  freeze.freeze = true;
  KnowInstances({Pod(1), Pod(2, 9090, 500)});
  Apply(Rules(freeze));
  KnowInstances({Pod(3)});
  Apply(Rules(freeze));
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.1:8080", 10),
                                              Pair("10.0.0.2:9090", 5)));
}

TEST_F(InstancesTest, AFrozenLineIsReadFromItsSlots) {
  TuningRule freeze;
  freeze.freeze = true;
  KnowInstances({Pod(1), Pod(2, 9090, 500), Pod(3)});
  Apply();
  KnowInstances({Pod(1), Pod(2, 9090, 500)});
  Apply();
  const LineWeight weight = *ComputeLineWeight(line_, view_);
  held_ = ResumeFreeze(line_, weight, Rules(freeze), table_);
  EXPECT_THAT(held_->instances, ElementsAre(Pod(1), Pod(2, 9090, 500)));
  KnowInstances({Pod(7)});
  Apply(Rules(freeze));
  EXPECT_THAT(Weights(), UnorderedElementsAre(Pair("10.0.0.1:8080", 10),
                                              Pair("10.0.0.2:9090", 5)));
}

TEST_F(InstancesTest, WhatIsTooLargeIsDividedWithAll) {
  line_.base = kMaxBase;
  KnowInstances({Pod(1, 8080, 10000000), Pod(2)});
  auto target = TargetOf(line_, view_, {}, &held_);
  const uint64_t largest = LargestWeight(line_, *target, {});
  EXPECT_EQ(largest, 10000000000u);
  target->weight.scale = WeightScale(largest);
  ApplySlotWrites(table_, PlanLine(line_, *target, {}, table_));
  const auto weights = Weights();
  EXPECT_LE(weights.at("10.0.0.1:8080"), kMaxWeight);
  EXPECT_NEAR(weights.at("10.0.0.1:8080") / 10000.0,
              weights.at("10.0.0.2:8080"), 1);
}

TEST_F(InstancesTest, OneThatJoinsOthersStartsSlowly) {
  KnowInstances({Pod(1)});
  for (const SlotWrite& write : Plan()) EXPECT_FALSE(write.joins);
  Apply();
  KnowInstances({Pod(1), Pod(2)});
  const std::vector<SlotWrite> writes = Plan();
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_TRUE(writes[0].joins);
}

}  // namespace
}  // namespace dynweight

// Tests of what a configuration takes over of instances.

#include "watcher/state/held_instances.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "watcher/state/held_views.h"

namespace dynweight {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kNow = 1'000'000'000'000;
constexpr char kOrders[] = "service=prod/orders port=http";

class HeldInstancesTest : public ::testing::Test {
 protected:
  HeldInstancesTest() {
    ClusterConfig& cluster = config_.clusters.emplace_back();
    cluster.name = "bj";
    cluster.api = {"https://bj:6443"};
    AddLine(kOrders);
    Reload();
    InstanceSet& set = View().instances[kOrders];
    set.instances = {{*IpAddress::Parse("10.0.0.1"), 8080, "orders-1", 1000}};
    set.observed_ms = kNow;
  }

  void AddLine(std::string source) {
    LineConfig& line = config_.lines.emplace_back();
    line.kind = LineConfig::Kind::kInstances;
    line.upstream = "orders";
    line.source = std::move(source);
    line.range.count = 4;
  }
  ClusterView& View() { return held_.views[0]; }
  // Through the documents, as a reload or the state file takes it.
  void Reload() {
    now_ += 1000;
    std::vector<ClusterView> held = held_.views;
    held.insert(held.end(), held_.retained.begin(), held_.retained.end());
    for (ClusterView& view : held) {
      view = *DecodeClusterView(EncodeClusterView(view, ViewRoom::Of(99)));
    }
    held_ = TakeOver(config_, std::move(held), now_);
  }

  WatcherConfig config_;
  TakenOver held_;
  int64_t now_ = kNow;
};

TEST_F(HeldInstancesTest, TheSameSourceKeepsThem) {
  Reload();
  ASSERT_THAT(View().instances, SizeIs(1));
  EXPECT_THAT(View().instances.at(kOrders).instances, SizeIs(1));
  EXPECT_FALSE(View().instances.at(kOrders).provisional);
  EXPECT_EQ(View().instances.at(kOrders).observed_ms, kNow);
  EXPECT_THAT(held_.retained, IsEmpty());
}

TEST_F(HeldInstancesTest, ARenamedClusterKeepsThemProvisionally) {
  config_.clusters[0].name = "beijing";
  Reload();
  EXPECT_THAT(View().instances.at(kOrders).instances, SizeIs(1));
  EXPECT_TRUE(View().instances.at(kOrders).provisional);
  Reload();
  EXPECT_TRUE(View().instances.at(kOrders).provisional);
}

TEST_F(HeldInstancesTest, ARolledBackConfigurationFindsThem) {
  config_.lines[0].source = "service=prod/orders port=admin";
  Reload();
  EXPECT_THAT(View().instances, IsEmpty());
  config_.lines[0].source = kOrders;
  Reload();
  ASSERT_THAT(View().instances, SizeIs(1));
  EXPECT_TRUE(View().instances.at(kOrders).provisional);
}

TEST_F(HeldInstancesTest, AfterADayNobodyKnowsThem) {
  config_.lines.clear();
  Reload();
  now_ += kRetainMs + 1;
  Reload();
  AddLine(kOrders);
  Reload();
  EXPECT_THAT(View().instances, IsEmpty());
}

TEST_F(HeldInstancesTest, PodsOfTheSameServiceAreAnotherMatter) {
  View().pods["service=prod/orders"] = {12, kNow};
  View().lines.push_back({"orders", "service=prod/orders", std::nullopt});
  config_.lines[0].source = "service=prod/orders";
  Reload();
  EXPECT_THAT(View().instances, IsEmpty());
  EXPECT_EQ(View().lines[0].assumed, std::nullopt);
}

TEST_F(HeldInstancesTest, OfTwoWordsTheLaterCounts) {
  ClusterView earlier = View();
  earlier.instances[kOrders].observed_ms -= 5;
  earlier.instances[kOrders].instances.clear();
  MergeInstances(&earlier, &View());
  EXPECT_THAT(View().instances.at(kOrders).instances, SizeIs(1));
  earlier.instances[kOrders].observed_ms += 50;
  MergeInstances(&earlier, &View());
  EXPECT_THAT(View().instances.at(kOrders).instances, IsEmpty());
}

}  // namespace
}  // namespace dynweight

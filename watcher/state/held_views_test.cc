// Tests of what a configuration takes over from those before it.

#include "watcher/state/held_views.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/testing/ingress_nodes.h"

namespace dynweight {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kTakenOverMs = 1'000'000'000'000;

class TakeOverTest : public ::testing::Test {
 protected:
  TakeOverTest() {
    AddCluster("bj", "https://bj:6443", "nodes=role=ingress");
    AddLine("orders", "service=prod/orders");
    Know(0, {{"service=prod/orders", 100}});
  }

  void AddCluster(std::string name, std::string api, std::string nodes) {
    ClusterConfig& cluster = config_.clusters.emplace_back();
    cluster.name = std::move(name);
    cluster.api = {std::move(api)};
    cluster.nodes = NodeSource::Parse({nodes}).value();
  }
  void AddLine(std::string upstream, std::string_view source,
               uint32_t cluster = 0) {
    LineConfig& line = config_.lines.emplace_back();
    line.upstream = std::move(upstream);
    line.source = source;
    line.cluster = cluster;
    line.range.count = 4;
  }
  void SetSource(size_t line, std::string_view source) {
    config_.lines[line].source = source;
  }
  void SetNodes(const std::string& source) {
    config_.clusters[0].nodes = NodeSource::Parse({source}).value();
  }
  // The API answers: from now on this is in force.
  void Know(uint32_t cluster, std::vector<std::pair<std::string, int>> pods,
            std::string node = "10.0.0.1") {
    Reload();
    ClusterView& view = held_.views[cluster];
    view.node_source = config_.clusters[cluster].nodes.Key();
    view.nodes = NodeSet{{Node(node)}, now_};
    for (const auto& [key, count] : pods) {
      view.pods[key] = {static_cast<uint64_t>(count), now_};
    }
  }
  // A configuration takes over from the one before it, an hour later, through
  // documents, as in a real zone.
  void Reload() {
    now_ += 3600 * 1000;
    const auto retained = DecodeClusterViews(EncodeClusterViews(
        held_.retained, ViewRoom::Of(kMaxViewNodes), SIZE_MAX));
    ASSERT_TRUE(retained.ok()) << retained.status();
    std::vector<ClusterView> held = *retained;
    for (size_t i = 0; i < held_.views.size(); ++i) {
      const ViewRoom room = i < previous_.clusters.size()
                                ? RoomFor(previous_, static_cast<uint32_t>(i))
                                : ViewRoom::Of(kMaxViewNodes);
      const auto view =
          DecodeClusterView(EncodeClusterView(held_.views[i], room));
      ASSERT_TRUE(view.ok()) << view.status();
      held.push_back(*view);
    }
    held_ = TakeOver(config_, held, now_);
    previous_ = config_;
    // What a worker makes of the documents is the same.
    const std::vector<std::string> documents = Documents();
    held = held_.retained;
    for (const std::string& text : documents) {
      held.push_back(*DecodeClusterView(text));
    }
    held_ = TakeOver(config_, held, now_);
    EXPECT_EQ(Documents(), documents);
  }

  std::vector<std::string> Documents() const {
    std::vector<std::string> texts;
    for (size_t i = 0; i < held_.views.size(); ++i) {
      texts.push_back(EncodeClusterView(
          held_.views[i], RoomFor(config_, static_cast<uint32_t>(i))));
    }
    return texts;
  }

  // "100", "100?" when it is provisional, "-" when it is not known.
  std::string Pods(size_t line) const {
    bool provisional;
    const LineConfig& config = config_.lines[line];
    const PodCount* count =
        CountOf(held_.views[config.cluster], config, &provisional);
    if (count == nullptr) return "-";
    return absl::StrCat(count->pods, provisional ? "?" : "");
  }
  std::string Nodes(uint32_t cluster = 0) const {
    const auto& nodes = held_.views[cluster].nodes;
    if (!nodes) return "-";
    return nodes->nodes[0].address.ToString() + (nodes->provisional ? "?" : "");
  }

  WatcherConfig config_;
  WatcherConfig previous_;
  TakenOver held_;
  int64_t now_ = kTakenOverMs;
};

TEST_F(TakeOverTest, WhatIsAskedAgainIsKnown) {
  Reload();
  EXPECT_EQ(Pods(0), "100");
  EXPECT_EQ(Nodes(), "10.0.0.1");
  EXPECT_THAT(held_.retained, IsEmpty());
}

TEST_F(TakeOverTest, AnotherSourceCountsAsTheFormerUntilItIsKnown) {
  SetSource(0, "deployment=prod/orders");
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_FALSE(ViewComplete(config_, 0, held_.views[0]));
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  SetSource(0, "statefulset=prod/orders");
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  SetSource(0, "service=prod/orders");
  Reload();
  EXPECT_EQ(Pods(0), "100?") << "rolled back";
}

TEST_F(TakeOverTest, ARollBackFindsWhatNobodyAskedForMeanwhile) {
  SetSource(0, "deployment=prod/orders");
  Know(0, {{"deployment=prod/orders", 7}});
  EXPECT_EQ(Pods(0), "7");
  SetSource(0, "service=prod/orders");
  Reload();
  EXPECT_EQ(Pods(0), "100?");
}

TEST_F(TakeOverTest, OtherNodesAreTheFormerUntilTheyAreKnown) {
  SetNodes("service=ingress/controller");
  Reload();
  EXPECT_EQ(Nodes(), "10.0.0.1?");
  EXPECT_EQ(Pods(0), "100");
  SetNodes("nodes=role=ingress");
  Reload();
  EXPECT_EQ(Nodes(), "10.0.0.1?");
}

TEST_F(TakeOverTest, ARollBackFindsNodesThatNobodyAskedForMeanwhile) {
  SetNodes("service=ingress/controller");
  Know(0, {}, "10.0.0.2");
  EXPECT_EQ(Nodes(), "10.0.0.2");
  SetNodes("nodes=role=ingress");
  Reload();
  EXPECT_EQ(Nodes(), "10.0.0.1?");
}

TEST_F(TakeOverTest, FewerSlotsLoseNoNode) {
  held_.views[0].nodes->nodes = {Node("10.0.0.1"), Node("10.0.0.2")};
  config_.lines[0].range.count = 1;
  Reload();
  Reload();
  config_.lines[0].range.count = 4;
  Reload();
  EXPECT_EQ(Nodes(), "10.0.0.1");
  EXPECT_THAT(held_.views[0].nodes->nodes, SizeIs(2));
  EXPECT_EQ(held_.views[0].nodes->nodes[1], Node("10.0.0.2"));
}

TEST_F(TakeOverTest, AClusterThatLosesItsLinesLosesNoNode) {
  const WatcherConfig previous = config_;
  config_.lines.clear();
  Reload();
  Reload();
  config_ = previous;
  Reload();
  EXPECT_EQ(Nodes(), "10.0.0.1");
  EXPECT_EQ(Pods(0), "100?");
}

TEST_F(TakeOverTest, OfOneApiServerEachClusterKeepsItsOwnCount) {
  AddCluster("bj2", "https://bj:6443", "nodes=role=ingress");
  AddLine("users", "service=prod/users", 1);
  AddLine("orders", "deployment=prod/orders", 1);
  Know(1, {{"service=prod/users", 7}, {"deployment=prod/orders", 9}});
  config_.lines.pop_back();
  SetSource(0, "deployment=prod/orders");
  Reload();
  Reload();
  EXPECT_EQ(Pods(0), "100?");
}

TEST_F(TakeOverTest, FixedAddressesAreAlwaysThoseOfTheConfiguration) {
  SetNodes("addresses=10.0.0.9");
  Reload();
  EXPECT_EQ(Nodes(), "10.0.0.9");
  SetNodes("nodes=role=ingress");
  Reload();
  EXPECT_EQ(Nodes(), "10.0.0.1?");
}

TEST_F(TakeOverTest, ARenamedClusterIsKnownByItsApi) {
  config_.clusters[0].name = "beijing";
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_EQ(Nodes(), "10.0.0.1?");
  config_.clusters[0].name = "bj";
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_EQ(Nodes(), "10.0.0.1?");
}

TEST_F(TakeOverTest, ARenamedClusterWithAnotherApiIsKnownByItsUpstreams) {
  config_.clusters[0].name = "beijing";
  config_.clusters[0].api = {"https://other:6443"};
  SetSource(0, "deployment=prod/orders");
  SetNodes("service=ingress/controller");
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_EQ(Nodes(), "10.0.0.1?");
}

TEST_F(TakeOverTest, ClustersThatChangeNamesKeepTheirNodes) {
  AddCluster("sh", "https://sh:6443", "nodes=role=ingress");
  AddLine("orders", "service=prod/orders", 1);
  Know(1, {{"service=prod/orders", 30}}, "10.0.1.1");
  std::swap(config_.clusters[0].name, config_.clusters[1].name);
  Reload();
  EXPECT_EQ(Nodes(0), "10.0.0.1?");
  EXPECT_EQ(Nodes(1), "10.0.1.1?");
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_EQ(Pods(1), "30?");
}

TEST_F(TakeOverTest, AnIngressThatWasGoneIsGoneUntilSomebodySaysOtherwise) {
  config_.lines[0].ingress = "ingress=prod/orders";
  const auto lacks = [this] {
    bool provisional;
    const bool gone =
        LacksIngress(held_.views[0], config_.lines[0], &provisional);
    return std::string(gone ? "gone" : "there") + (provisional ? "?" : "");
  };
  Reload();
  EXPECT_EQ(lacks(), "there?");
  Know(0, {{"service=prod/orders", 100}, {"ingress=prod/orders", 0}});
  EXPECT_EQ(lacks(), "gone");
  Reload();
  EXPECT_EQ(lacks(), "gone");
  // Renamed, while its API is silent.
  config_.clusters[0].name = "beijing";
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_EQ(lacks(), "gone?");
  Reload();
  EXPECT_EQ(lacks(), "gone?");
  Know(0, {{"service=prod/orders", 100}, {"ingress=prod/orders", 1}});
  EXPECT_EQ(lacks(), "there");
  config_.clusters[0].name = "bj";
  Reload();
  EXPECT_EQ(lacks(), "there?") << "the latest word counts";
}

TEST_F(TakeOverTest, AMovedApiServerIsTheSameCluster) {
  config_.clusters[0].api = {"https://moved:6443"};
  Reload();
  EXPECT_EQ(Pods(0), "100");
  EXPECT_EQ(Nodes(), "10.0.0.1");
}

TEST_F(TakeOverTest, ANewClusterOfTheSameApiIsNotTheOther) {
  AddCluster("bj-edge", "https://bj:6443", "nodes=role=edge");
  AddLine("orders", "service=prod/orders", 1);
  Reload();
  EXPECT_EQ(Nodes(0), "10.0.0.1");
  EXPECT_EQ(Nodes(1), "-");
}

TEST_F(TakeOverTest, ALineOfAnotherClusterCountsAsTheOneItReplaces) {
  AddCluster("sh", "https://sh:6443", "nodes=role=ingress");
  AddLine("users", "service=prod/users", 0);
  AddLine("users", "service=prod/users", 1);
  Know(1, {{"service=prod/users", 5}}, "10.0.1.1");
  held_.views[0].pods["service=prod/users"] = {3, now_};
  config_.lines[0].cluster = 1;
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_EQ(Nodes(1), "10.0.1.1");
}

TEST_F(TakeOverTest, OneCountStandsInForOneLine) {
  SetSource(0, "deployment=prod/orders");
  AddLine("orders", "statefulset=prod/orders");
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_EQ(Pods(1), "-");
}

TEST_F(TakeOverTest, ALineThatIsAddedCountsAsNoOther) {
  AddLine("orders", "deployment=prod/orders");
  Reload();
  EXPECT_EQ(Pods(0), "100");
  EXPECT_EQ(Pods(1), "-");
}

TEST_F(TakeOverTest, ARemovedClusterIsFoundAgain) {
  const WatcherConfig previous = config_;
  config_ = WatcherConfig();
  AddCluster("sh", "https://sh:6443", "nodes=role=ingress");
  AddLine("users", "service=prod/users");
  Reload();
  EXPECT_EQ(Pods(0), "-");
  EXPECT_EQ(Nodes(), "-");
  Reload();
  config_ = previous;
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_EQ(Nodes(), "10.0.0.1?");
}

TEST_F(TakeOverTest, ARemovedLineIsFoundAgainEvenWithAnotherSource) {
  const WatcherConfig previous = config_;
  config_.lines.clear();
  AddLine("users", "service=prod/users");
  Know(0, {{"service=prod/users", 1}});
  config_ = previous;
  SetSource(0, "deployment=prod/orders");
  Reload();
  EXPECT_EQ(Pods(0), "100?");
}

TEST_F(TakeOverTest, WhatNobodyAsksForIsDroppedAfterADay) {
  config_.lines.clear();
  AddLine("users", "service=prod/users");
  for (int hour = 0; hour < 20; ++hour) Reload();
  EXPECT_THAT(held_.retained, SizeIs(1));
  for (int hour = 0; hour < 6; ++hour) Reload();
  EXPECT_THAT(held_.retained, IsEmpty());
  EXPECT_EQ(Nodes(), "10.0.0.1") << "asked for all the time";
}

TEST_F(TakeOverTest, OfManyRetainedViewsTheLatestStay) {
  for (int i = 0; i < 400; ++i) {
    ClusterView view;
    view.cluster = absl::StrCat("c", i);
    view.since_ms = now_ - 1000 + i;
    view.pods["service=a/b"] = {1, 1};
    held_.retained.push_back(view);
  }
  Reload();
  EXPECT_THAT(held_.retained, SizeIs(kMaxRetainedViews));
  EXPECT_EQ(held_.retained.front().cluster, "c399");
}

TEST_F(TakeOverTest, TheLaterWordWinsInAnyOrder) {
  ClusterView later = held_.views[0];
  later.nodes = NodeSet{{Node("10.0.0.7")}, now_ + 1};
  later.pods["service=prod/orders"] = {30, now_ + 1};
  const ClusterView previous = held_.views[0];
  for (const bool later_first : {true, false}) {
    held_.views = {later_first ? later : previous,
                   later_first ? previous : later};
    Reload();
    EXPECT_EQ(Pods(0), "30");
    EXPECT_EQ(Nodes(), "10.0.0.7");
  }
}

TEST_F(TakeOverTest, AViewOfAFormerVersionIsKnownByItsName) {
  held_.views[0].api.clear();
  held_.views[0].lines.clear();
  Reload();
  EXPECT_EQ(Pods(0), "100");
  EXPECT_EQ(Nodes(), "10.0.0.1");
}

TEST_F(TakeOverTest, MendsWhatNoRealViewHolds) {
  std::vector<IngressNode>& nodes = held_.views[0].nodes->nodes;
  nodes = {Node("10.0.0.2"), Node("10.0.0.1"), Node("10.0.0.2"), IngressNode()};
  for (uint32_t i = 0; i < kMaxViewNodes; i++) {
    nodes.push_back(Node(absl::StrCat("10.1.", i / 256, ".", i % 256)));
  }
  held_ = TakeOver(config_, held_.views, now_);
  EXPECT_EQ(held_.views[0].nodes->nodes.size(), kMaxViewNodes);
  EXPECT_EQ(held_.views[0].nodes->nodes[0], Node("10.0.0.1"));
  EXPECT_EQ(held_.views[0].nodes->nodes[1], Node("10.0.0.2"));
}

TEST_F(TakeOverTest, ProvisionalViewsFitTheRoomOfTheConfiguration) {
  std::string values = "value0";
  for (int i = 1; i < 100; ++i) absl::StrAppend(&values, ",value", i);
  SetNodes(absl::StrCat("nodes=a in (", values, ")"));
  config_.lines[0].upstream = std::string(600, '"');
  Know(0, {{"service=prod/orders", 100}});
  SetNodes("nodes=a");
  SetSource(0, "service=a/b");
  Reload();
  EXPECT_EQ(Pods(0), "100?");
  EXPECT_LE(EncodeClusterView(held_.views[0], ViewRoom::Of(4)).size(),
            MaxEncodedViewBytes(config_, 0));
}

}  // namespace
}  // namespace dynweight

// Tests of views: made, taken over, written and read.

#include "watcher/state/cluster_view_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "absl/strings/str_cat.h"
#include "watcher/testing/ingress_nodes.h"
#include "watcher/text/json_text.h"

namespace dynweight {
namespace {

using testing::HasSubstr;

LineConfig Line(std::string_view source, uint32_t slots, uint32_t cluster = 0) {
  LineConfig line;
  line.cluster = cluster;
  line.source = std::string(source);
  line.range.count = slots;
  return line;
}

// Cluster 0 is "bj", found by a Service and used by two lines; cluster 1 is
// "sh" with a fixed list.
WatcherConfig TwoClusters() {
  WatcherConfig config;
  config.clusters.resize(2);
  config.clusters[0].name = "bj";
  config.clusters[0].nodes =
      NodeSource::Parse({"service=ingress/controller"}).value();
  config.clusters[1].name = "sh";
  config.clusters[1].nodes =
      NodeSource::Parse({"addresses=10.9.0.2,10.9.0.1"}).value();
  config.lines = {Line("service=prod/orders", 16),
                  Line("service=prod/users", 4),
                  Line("service=prod/orders", 8, 1)};
  return config;
}

ClusterView HeldView() {
  ClusterView held;
  held.cluster = "bj";
  held.node_source = "service=ingress/controller";
  held.nodes = NodeSet{{Node("10.0.0.1", "n1"), Node("10.0.0.2", "n2")}, 100};
  held.pods["service=prod/orders"] = {12, 101};
  held.pods["service=prod/former"] = {5, 102};
  return held;
}

std::string DecodeError(std::string_view text) {
  const absl::Status status = DecodeClusterView(text).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
  return std::string(status.message());
}

TEST(InitialView, KnowsFixedAddressesFromTheStart) {
  const ClusterView view = InitialView(TwoClusters().clusters[1], 77);
  EXPECT_EQ(view.cluster, "sh");
  EXPECT_EQ(view.node_source, "addresses=10.9.0.1,10.9.0.2");
  ASSERT_TRUE(view.nodes.has_value());
  EXPECT_EQ(view.nodes->observed_ms, 77);
  EXPECT_EQ(view.nodes->nodes[1], Node("10.9.0.2"));
}

TEST(InitialView, KnowsNothingElse) {
  const ClusterView view = InitialView(TwoClusters().clusters[0], 77);
  EXPECT_FALSE(view.nodes.has_value());
  EXPECT_TRUE(view.pods.empty());
}

TEST(ViewComplete, NeedsNodesAndEverySourceOfThisCluster) {
  const WatcherConfig config = TwoClusters();
  ClusterView view = HeldView();
  EXPECT_FALSE(ViewComplete(config, 0, view));
  view.pods["service=prod/users"] = {0, 1};
  EXPECT_TRUE(ViewComplete(config, 0, view));
  view.nodes->provisional = true;
  EXPECT_FALSE(ViewComplete(config, 0, view));
  view.nodes.reset();
  EXPECT_FALSE(ViewComplete(config, 0, view));
}

TEST(EncodeClusterView, WritesOneObject) {
  EXPECT_EQ(
      EncodeClusterView(HeldView(), ViewRoom::Of(99)),
      R"({"name":"bj","ingress_nodes":{"source":"service=ingress/controller",)"
      R"("observed":100,"total":2,"nodes":[{"address":"10.0.0.1","name":"n1"},)"
      R"({"address":"10.0.0.2","name":"n2"}]},"apps":{)"
      R"("service=prod/former":{"pods":5,"observed":102},)"
      R"("service=prod/orders":{"pods":12,"observed":101}}})");
}

TEST(EncodeClusterView, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(EncodeClusterView(InitialView(TwoClusters().clusters[0], 1),
                              ViewRoom::Of(9)),
            R"({"name":"bj","ingress_nodes":{)"
            R"("source":"service=ingress/controller"},"apps":{}})");
}

TEST(EncodeClusterView, WritesOnlyTheNodesThatCanHaveASlot) {
  const std::string text = EncodeClusterView(HeldView(), ViewRoom::Of(1));
  EXPECT_THAT(text, HasSubstr(R"("total":2,"nodes":[{"address":"10.0.0.1")"));
  EXPECT_EQ(DecodeClusterView(text)->nodes->nodes.size(), 1u);
}

TEST(EncodeClusterView, HostileNodeNamesAreHarmless) {
  ClusterView view = HeldView();
  view.nodes->nodes = {Node("10.0.0.1", "</script>\"\n\x80"),
                       Node("10.0.0.2", std::string(62, 'a') + "\xE4\xBA\xAC")};
  const std::string text = EncodeClusterView(view, ViewRoom::Of(9));
  EXPECT_THAT(text, HasSubstr(R"("\u003c/script\u003e\"\n)"
                              "\xEF\xBF\xBD\""));
  const ClusterView read = DecodeClusterView(text).value();
  EXPECT_EQ(read.nodes->nodes[0].name, "</script>\"\n\xEF\xBF\xBD");
  EXPECT_EQ(read.nodes->nodes[1].name, std::string(62, 'a'));
}

TEST(EncodeClusterView, NumbersOutOfRangeAreClamped) {
  ClusterView view = HeldView();
  view.nodes->observed_ms = std::numeric_limits<int64_t>::min();
  view.pods["service=prod/orders"] = {std::numeric_limits<uint64_t>::max(),
                                      std::numeric_limits<int64_t>::max()};
  const ClusterView read =
      DecodeClusterView(EncodeClusterView(view, ViewRoom::Of(9))).value();
  EXPECT_EQ(read.nodes->observed_ms, 0);
  EXPECT_EQ(read.pods.at("service=prod/orders").pods, kMaxJsonInteger);
}

TEST(DecodeClusterView, ReadsWhatWasWritten) {
  const ClusterView held = HeldView();
  const ClusterView read =
      DecodeClusterView(EncodeClusterView(held, ViewRoom::Of(99))).value();
  EXPECT_EQ(read.cluster, held.cluster);
  EXPECT_EQ(read.node_source, held.node_source);
  EXPECT_EQ(read.nodes->nodes, held.nodes->nodes);
  EXPECT_EQ(EncodeClusterView(read, ViewRoom::Of(99)),
            EncodeClusterView(held, ViewRoom::Of(99)));
}

TEST(DecodeClusterView, NodesNotKnownStayNotKnown) {
  const ClusterView view = InitialView(TwoClusters().clusters[0], 1);
  EXPECT_FALSE(DecodeClusterView(EncodeClusterView(view, ViewRoom::Of(9)))
                   ->nodes.has_value());
}

TEST(DecodeClusterView, PassesOverUnknownMembers) {
  const ClusterView view =
      DecodeClusterView(R"({"later":[1],"name":"bj","apps":{"a":{"pods":1,)"
                        R"("observed":2,"x":{}}},"ingress_nodes":{"y":1}})")
          .value();
  EXPECT_EQ(view.pods.at("a").pods, 1u);
}

TEST(DecodeClusterView, AMemberThatStandsTwiceIsAMistake) {
  EXPECT_FALSE(DecodeClusterView(R"({"name":"bj","name":"sh"})").ok());
  EXPECT_FALSE(DecodeClusterView(R"({"name":"bj","apps":{"a":)"
                                 R"({"pods":1,"pods":2,"observed":2}}})")
                   .ok());
}

TEST(DecodeClusterView, TheFirstOfTwoAppsOfOneNameCounts) {
  const ClusterView view =
      DecodeClusterView(R"({"name":"bj","apps":{"a":{"pods":1,"observed":2},)"
                        R"("a":{"pods":9,"observed":9}}})")
          .value();
  EXPECT_EQ(view.pods.at("a").pods, 1u);
}

TEST(DecodeClusterView, NodesAreSortedAndDistinct) {
  const ClusterView view =
      DecodeClusterView(
          R"({"name":"bj","ingress_nodes":{"observed":1,"nodes":[)"
          R"({"address":"10.0.0.2"},{"address":"10.0.0.1"},)"
          R"({"address":"10.0.0.2"}]}})")
          .value();
  EXPECT_EQ(view.nodes->nodes,
            (std::vector<IngressNode>{Node("10.0.0.1"), Node("10.0.0.2")}));
}

TEST(DecodeClusterView, NamesThePlaceOfAMistake) {
  EXPECT_THAT(DecodeError(R"({"name":"bj","apps":{"a":{"pods":-1}}})"),
              HasSubstr("view \"bj\": member \"pods\""));
}

TEST(DecodeClusterView, RefusesEverythingElse) {
  for (
      const char* text :
      {"",
       "{}",
       "[]",
       "null",
       "{\"name\":1}",
       "{\"name\":\"\"}",
       R"({"name":"a","ingress_nodes":[]})",
       R"({"name":"a","ingress_nodes":{"source":1}})",
       R"({"name":"a","ingress_nodes":{"nodes":[]}})",
       R"({"name":"a","ingress_nodes":{"observed":-1,"nodes":[]}})",
       R"({"name":"a","ingress_nodes":{"observed":1,"nodes":{}}})",
       R"({"name":"a","ingress_nodes":{"observed":1,"nodes":[1]}})",
       R"({"name":"a","ingress_nodes":{"observed":1,"nodes":[{}]}})",
       R"({"name":"a","ingress_nodes":{"observed":1,)"
       R"("nodes":[{"address":"x"}]}})",
       R"({"name":"a","ingress_nodes":{"observed":1,)"
       R"("nodes":[{"address":"10.0.0.1","name":2}]}})",
       R"({"name":"a","apps":[]})",
       R"({"name":"a","apps":{"b":1}})",
       R"({"name":"a","apps":{"b":{}}})",
       R"({"name":"a","apps":{"b":{"pods":1}}})",
       R"({"name":"a","apps":{"b":{"pods":1.5,"observed":1}}})",
       R"({"name":"a","apps":{"b":{"pods":9007199254740992,"observed":1}}})"}) {
    DecodeError(text);
  }
}

TEST(DecodeClusterView, RefusesATextThatIsCutOff) {
  const std::string text = EncodeClusterView(HeldView(), ViewRoom::Of(99));
  for (size_t n = 0; n < text.size(); n++) DecodeError(text.substr(0, n));
}

TEST(MaxUsableNodes, IsTheLargestSlotCountOfTheCluster) {
  const WatcherConfig config = TwoClusters();
  EXPECT_EQ(MaxUsableNodes(config, 0), 16u);
  EXPECT_EQ(MaxUsableNodes(config, 1), 8u);
}

std::string RandomBytes(std::mt19937* random, size_t most) {
  std::string bytes((*random)() % (most + 1), '\0');
  for (char& c : bytes) c = static_cast<char>((*random)());
  return bytes;
}

TEST(MaxEncodedViewBytes, BoundsEveryViewOfTheConfiguration) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; round++) {
    WatcherConfig config = TwoClusters();
    ClusterConfig& cluster = config.clusters[0];
    // Not even what the parser would refuse may exceed the bound.
    cluster.name = RandomBytes(&random, 40);
    cluster.nodes.name = RandomBytes(&random, 100);
    config.lines.clear();
    for (uint32_t i = random() % 20; i > 0; i--) {
      LineConfig line;
      line.source = RandomBytes(&random, 80);
      line.range.count = random() % 30;
      config.lines.push_back(line);
    }
    ClusterView view = InitialView(cluster, 1);
    view.nodes.emplace().observed_ms = std::numeric_limits<int64_t>::max();
    for (uint32_t i = random() % 40; i > 0; i--) {
      view.nodes->nodes.push_back(Node(
          "1111:2222:3333:4444:5555:6666:7777:8888",
          random() % 2 ? std::string(200, '<') : RandomBytes(&random, 90)));
    }
    for (const LineConfig& line : config.lines) {
      view.pods[line.source] = {std::numeric_limits<uint64_t>::max(),
                                std::numeric_limits<int64_t>::max()};
    }
    EXPECT_LE(EncodeClusterView(view, RoomFor(config, 0)).size(),
              MaxEncodedViewBytes(config, 0));
  }
}

TEST(MaxEncodedViewBytes, BoundsTheLongestListOfFixedAddresses) {
  WatcherConfig config = TwoClusters();
  std::string list = "addresses=";
  for (int i = 0; i < 1024; i++) {
    absl::StrAppend(&list, i == 0 ? "" : ",",
                    "1111:2222:3333:4444:5555:6666:7777:", 1000 + i);
  }
  config.clusters[1].nodes = NodeSource::Parse({list}).value();
  config.lines[2].range.count = 1024;
  const ClusterView view = InitialView(config.clusters[1], 1);
  const std::string text = EncodeClusterView(view, ViewRoom::Of(1024));
  EXPECT_LE(text.size(), MaxEncodedViewBytes(config, 1));
  EXPECT_EQ(DecodeClusterView(text)->node_source, view.node_source);
}

}  // namespace
}  // namespace dynweight

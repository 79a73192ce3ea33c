// Tests of instances in a view's document.

#include "watcher/state/instance_set_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "watcher/state/cluster_view_json.h"

namespace dynweight {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kKey[] = "service=prod/orders port=http";

Instance Pod(std::string_view address, uint16_t port, std::string name,
             uint32_t weight_milli = 1000) {
  return {*IpAddress::Parse(address), port, std::move(name), weight_milli};
}

ClusterView View() {
  ClusterView view;
  view.cluster = "bj";
  InstanceSet& set = view.instances[kKey];
  set.instances = {Pod("10.0.0.1", 8080, "orders-1"),
                   Pod("fd00::1", 8081, "orders-2", 500)};
  set.observed_ms = 77;
  view.lines.push_back({"orders", kKey, std::nullopt, true});
  return view;
}

WatcherConfig Config(uint32_t slots) {
  WatcherConfig config;
  config.clusters.resize(1);
  config.clusters[0].name = "bj";
  LineConfig line;
  line.kind = LineConfig::Kind::kInstances;
  line.upstream = "orders";
  line.source = kKey;
  line.range.count = slots;
  config.lines.push_back(line);
  return config;
}

TEST(InstanceSetJson, IsReadAsItWasWritten) {
  ClusterView view = View();
  view.instances["service=prod/gone"].none = true;
  view.instances["service=prod/gone"].provisional = true;
  const std::string text = EncodeClusterView(view, ViewRoom::Of(99));
  const ClusterView read = DecodeClusterView(text).value();
  EXPECT_EQ(EncodeClusterView(read, ViewRoom::Of(99)), text);
  EXPECT_EQ(read.instances.at(kKey).instances, view.instances[kKey].instances);
  EXPECT_EQ(read.instances.at(kKey).observed_ms, 77);
  EXPECT_FALSE(read.instances.at(kKey).none);
  EXPECT_TRUE(read.instances.at("service=prod/gone").none);
  EXPECT_TRUE(read.instances.at("service=prod/gone").provisional);
  EXPECT_TRUE(read.lines.at(0).instances);
}

TEST(InstanceSetJson, OnlyThoseThatCanHaveASlotAreWritten) {
  const std::string text = EncodeClusterView(View(), RoomFor(Config(1), 0));
  EXPECT_THAT(text, HasSubstr("orders-1"));
  EXPECT_THAT(text, Not(HasSubstr("orders-2")));
  const ClusterView read = DecodeClusterView(text).value();
  EXPECT_THAT(read.instances.at(kKey).instances, SizeIs(1));
  EXPECT_EQ(read.instances.at(kKey).cut, 1u);
}

TEST(InstanceSetJson, KeptTextsAreThoseOfSetsThatDidNotChange) {
  ClusterView view = View();
  view.instances["service=prod/other"].instances =
      view.instances[kKey].instances;
  const ViewRoom room = ViewRoom::Of(99);
  InstanceSetTexts kept;
  EXPECT_EQ(EncodeClusterView(view, room, &kept),
            EncodeClusterView(view, room));
  // Another set, one that changes, and one more.
  view.instances[kKey].instances.pop_back();
  kept.Forget(kKey);
  view.instances["service=prod/fresh"].none = true;
  kept.Forget("service=prod/fresh");
  EXPECT_EQ(EncodeClusterView(view, room, &kept),
            EncodeClusterView(view, room));
  // A time alone is no change.
  const std::string before = EncodeClusterView(view, room);
  view.instances[kKey].observed_ms += 1000;
  EXPECT_EQ(EncodeClusterView(view, room, &kept), before);
  kept.Clear();
  EXPECT_EQ(EncodeClusterView(view, room, &kept),
            EncodeClusterView(view, room));
}

TEST(InstanceSetJson, AFormerVersionsDocumentHasNone) {
  const ClusterView read =
      DecodeClusterView(R"({"name":"bj","ingress_nodes":{"source":""},)"
                        R"("apps":{"a":{"pods":1,"observed":2}}})")
          .value();
  EXPECT_TRUE(read.instances.empty());
  EXPECT_THAT(EncodeClusterView(read, ViewRoom::Of(9)),
              Not(HasSubstr("instances")));
}

TEST(InstanceSetJson, WrongOnesAreMistakes) {
  for (const char* instance :
       {R"({"address":"10.0.0","port":1,"name":"","weight_milli":1})",
        R"({"address":"10.0.0.1","port":0,"name":"","weight_milli":1})",
        R"({"address":"10.0.0.1","port":65536,"name":"","weight_milli":1})",
        R"({"address":"10.0.0.1","port":1,"name":"","weight_milli":0})",
        R"({"address":"10.0.0.1","port":1,"name":""})",
        R"({"address":"10.0.0.1","port":1.5,"name":"","weight_milli":1})",
        R"("10.0.0.1:80")"}) {
    const std::string text =
        std::string(R"({"name":"bj","instances":{"a":{"observed":1,)") +
        R"("instances":[)" + instance + "]}}}";
    EXPECT_FALSE(DecodeClusterView(text).ok()) << text;
  }
}

TEST(InstanceSetJson, FitsWhereItsSizeWasMeasured) {
  const WatcherConfig config = Config(16);
  ClusterView view = View();
  std::vector<Instance>& instances = view.instances[kKey].instances;
  instances.clear();
  for (int i = 1; i <= 32; ++i) {
    std::string name;
    for (int c = 0; c < 100; ++c) {
      name += static_cast<char>(c % 3 == 0 ? '<' : 0x80 + (i * c) % 128);
    }
    instances.push_back(
        Pod("fd00:1111:2222:3333:4444:5555:6666:" + std::to_string(1000 + i),
            65535, name, UINT32_MAX));
  }
  SaneInstances(&instances);
  view.instances[kKey].provisional = view.instances[kKey].none = true;
  view.instances[kKey].observed_ms = INT64_MAX;
  view.instances[kKey].cut = UINT64_MAX / 2;
  EXPECT_LE(EncodeClusterView(view, RoomFor(config, 0)).size(),
            MaxEncodedViewBytes(config, 0));
}

TEST(InstanceSetJson, ASlotTakesNoMoreThanAnIngressNodes) {
  WatcherConfig nodes = Config(16);
  nodes.lines[0].kind = LineConfig::Kind::kIngressNodes;
  const auto each = [](WatcherConfig config) {
    const size_t few = MaxEncodedViewBytes(config, 0);
    config.lines[0].range.count += 1000;
    return (MaxEncodedViewBytes(config, 0) - few) / 1000;
  };
  EXPECT_LE(each(Config(16)), each(nodes));
}

TEST(SaneInstances, NamesAreShortAndPlain) {
  std::vector<Instance> instances = {Pod("10.0.0.2", 80, std::string(99, 'n')),
                                     Pod("10.0.0.1", 80, "a\"<b>\n")};
  SaneInstances(&instances);
  ASSERT_THAT(instances, SizeIs(2));
  EXPECT_EQ(instances[0].name, "a??b??");
  EXPECT_THAT(instances[1].name, SizeIs(kMaxNodeNameBytes));
}

TEST(ViewComplete, NeedsTheInstancesOfEachLine) {
  const WatcherConfig config = Config(4);
  ClusterView view = View();
  EXPECT_TRUE(ViewComplete(config, 0, view));
  view.instances[kKey].provisional = true;
  EXPECT_FALSE(ViewComplete(config, 0, view));
  view.instances.clear();
  EXPECT_FALSE(ViewComplete(config, 0, view));
}

}  // namespace
}  // namespace dynweight

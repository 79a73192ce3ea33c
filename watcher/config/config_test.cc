// Tests of what a configuration asks of a cluster.

#include "watcher/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dynweight {
namespace {

using ::testing::SizeIs;

WatcherConfig TwoClusters() {
  WatcherConfig config;
  config.clusters.resize(2);
  for (uint32_t i = 0; i < 2; ++i) {
    LineConfig line;
    line.cluster = i;
    line.source = i == 0 ? "service=prod/orders" : "service=prod/carts";
    config.lines.push_back(line);
  }
  return config;
}

TEST(SourcesOf, OtherClustersLinesAreTheirOwn) {
  const KubernetesSources sources = SourcesOf(TwoClusters(), 1);
  ASSERT_THAT(sources.pods, SizeIs(1));
  EXPECT_EQ(sources.pods[0].name, "carts");
}

TEST(SourcesOf, ModeAndTimesAreTheClusters) {
  WatcherConfig config = TwoClusters();
  config.clusters[0].mode = ClusterConfig::Mode::kPoll;
  config.clusters[0].interval_ms = 700;
  config.clusters[0].timeout_ms = 300;
  config.clusters[0].guard.confirm_ms = 900;
  const ReflectorOptions options = SourcesOf(config, 0).options;
  EXPECT_FALSE(options.watch);
  EXPECT_EQ(options.interval_ms, 700);
  EXPECT_EQ(options.timeout_ms, 300);
  EXPECT_EQ(options.spread_ms, 900);
  EXPECT_TRUE(SourcesOf(config, 1).options.watch);
}

TEST(SourcesOf, NodesAreTheClusters) {
  WatcherConfig config = TwoClusters();
  config.clusters[1].nodes = NodeSource::Parse({"nodes=role=ingress"}).value();
  EXPECT_EQ(SourcesOf(config, 1).nodes.Key(), "nodes=role=ingress");
  EXPECT_EQ(SourcesOf(config, 0).nodes.Key(), "");
}

TEST(SourcesOf, InstancesAreReadFromTheirKeys) {
  WatcherConfig config = TwoClusters();
  LineConfig line;
  line.kind = LineConfig::Kind::kInstances;
  line.source =
      InstanceSourceKey(config.clusters[0], {"port=http", "service=prod/pay"})
          .value();
  config.lines.push_back(line);
  const KubernetesSources sources = SourcesOf(config, 0);
  ASSERT_THAT(sources.instances, SizeIs(1));
  EXPECT_EQ(sources.instances[0].service, "pay");
  EXPECT_EQ(sources.instances[0].port.name, "http");
  EXPECT_THAT(sources.pods, SizeIs(1));
}

TEST(SourcesOf, NodesAreNotAskedForWhereAllLinesAreOfInstances) {
  WatcherConfig config = TwoClusters();
  config.clusters[0].nodes = NodeSource::Parse({"nodes=role=ingress"}).value();
  EXPECT_TRUE(NeedsNodes(config, 0));
  config.lines[0].kind = LineConfig::Kind::kInstances;
  EXPECT_FALSE(NeedsNodes(config, 0));
  EXPECT_EQ(SourcesOf(config, 0).nodes.Key(), "");
}

TEST(NacosSourcesOf, AServiceOfSeveralLinesIsOne) {
  WatcherConfig config = TwoClusters();
  config.clusters[0].type = ClusterConfig::Type::kNacos;
  config.clusters[0].ns = "prod";
  config.clusters[0].mode = ClusterConfig::Mode::kPoll;
  config.clusters[0].interval_ms = 700;
  config.lines.clear();
  for (const char* key :
       {"service=orders", "service=pay group=a%20b", "service=orders"}) {
    LineConfig line;
    line.source = key;
    config.lines.push_back(line);
  }
  const NacosSources sources = NacosSourcesOf(config, 0);
  ASSERT_THAT(sources.services, SizeIs(2));
  EXPECT_EQ(sources.services[1].group, "a b");
  EXPECT_EQ(sources.options.ns, "prod");
  EXPECT_FALSE(sources.options.subscribe);
  EXPECT_EQ(sources.options.interval_ms, 700);
  EXPECT_THAT(NacosSourcesOf(config, 1).services, SizeIs(0));
}

}  // namespace
}  // namespace dynweight

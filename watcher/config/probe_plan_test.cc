// Tests of probe_plan.h.

#include "watcher/config/probe_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dynweight {
namespace {

using ::testing::SizeIs;

class ProbePlanTest : public ::testing::Test {
 protected:
  ProbePlanTest() {
    config_.clusters.resize(1);
    config_.clusters[0].name = "bj";
    AddServer("10.20.0.11:8080", 0);
    AddServer("[2001:db8::1]:81", 1);
    AddLine(LineConfig::Kind::kIngressNodes, {2, 8}, 80);
    AddLine(LineConfig::Kind::kInstances, {10, 4}, 0);
  }
  void AddServer(const std::string& address, uint32_t slot) {
    ServerConfig server;
    server.address = address;
    server.slot = slot;
    config_.servers.push_back(server);
  }
  void AddLine(LineConfig::Kind kind, SlotRange range, uint16_t port) {
    LineConfig line;
    line.kind = kind;
    line.range = range;
    line.port = port;
    config_.lines.push_back(line);
  }
  void AddProbe(const std::vector<std::string_view>& words, bool via_ingress,
                const std::string& upstream = "orders") {
    config_.upstream_probes.push_back(
        {upstream, {0}, *ProbeConfig::Parse(words), via_ingress});
  }

  WatcherConfig config_;
};

TEST_F(ProbePlanTest, AnUpstreamsProbeAsksServersAndInstances) {
  AddProbe({"http", "uri=/healthz"}, false);
  const ProbePlan plan = MakeProbePlan(config_);
  ASSERT_THAT(plan.probes, SizeIs(1));
  EXPECT_EQ(plan.probes[0].owner, "upstream \"orders\"");
  EXPECT_EQ(plan.probes[0].targets, 6u);
  ASSERT_THAT(plan.ranges, SizeIs(3));
  EXPECT_EQ(plan.ranges[0].address.ToString(), "10.20.0.11");
  EXPECT_EQ(plan.ranges[0].port, 8080);
  EXPECT_EQ(plan.ranges[1].address.ToString(), "2001:db8::1");
  EXPECT_EQ(plan.ranges[1].port, 81);
  EXPECT_EQ(plan.ranges[2].range.first, 10u);
  EXPECT_EQ(plan.ranges[2].port, 0) << "each instance has its own";
  EXPECT_EQ(ProbeTags(plan, 0, 14)[2], 0) << "the ingress nodes are not asked";
  EXPECT_NE(ProbeTags(plan, 0, 14)[0], 0);
}

TEST_F(ProbePlanTest, ThroughTheIngressNodesWhereThatIsWanted) {
  AddProbe({"http", "host=orders.example"}, true);
  const ProbePlan plan = MakeProbePlan(config_);
  EXPECT_EQ(plan.probes[0].targets, 14u);
  ASSERT_THAT(plan.ranges, SizeIs(4));
  EXPECT_EQ(plan.ranges[2].port, 80);
}

TEST_F(ProbePlanTest, ItsPortIsThatOfAll) {
  AddProbe({"tcp", "port=9000"}, true);
  for (const ProbedRange& range : MakeProbePlan(config_).ranges) {
    EXPECT_EQ(range.port, 9000);
  }
}

TEST_F(ProbePlanTest, WhoAsksTheSameSharesIt) {
  AddProbe({"http", "uri=/healthz"}, false);
  AddProbe({"http", "uri=/healthz"}, false, "carts");
  AddProbe({"http", "uri=/healthz", "interval=3s"}, false, "pay");
  const ProbePlan plan = MakeProbePlan(config_);
  ASSERT_THAT(plan.probes, SizeIs(2));
  EXPECT_EQ(plan.probes[0].targets, 12u);
  EXPECT_EQ(plan.probes[1].owner, "upstream \"pay\"");
}

TEST_F(ProbePlanTest, AnIngressNodeMayHaveTwo) {
  config_.clusters[0].probe = *ProbeConfig::Parse({"tcp"});
  const std::vector<uint16_t> one = ProbeTags(MakeProbePlan(config_), 0, 14);
  AddProbe({"http", "uri=/healthz"}, true);
  const ProbePlan plan = MakeProbePlan(config_);
  ASSERT_THAT(plan.probes, SizeIs(2));
  const std::vector<uint16_t> two = ProbeTags(plan, 0, 14);
  EXPECT_NE(one[2], 0);
  EXPECT_NE(two[2], one[2]);
  EXPECT_NE(two[2], two[0]);
  EXPECT_LE(two[2], ProbeResult::kMaxTag);
  EXPECT_EQ(one[0], 0);
}

TEST_F(ProbePlanTest, TheRateIsAQuarterMoreThanIsNeeded) {
  AddProbe({"tcp", "interval=1s", "timeout=1s"}, false);
  ProbePlan plan = MakeProbePlan(config_);
  EXPECT_EQ(plan.probes[0].Rate(), 10);
  plan.probes[0].targets = 800;
  EXPECT_EQ(plan.probes[0].Rate(), 1000);
  plan.probes[0].targets = 0;
  EXPECT_EQ(plan.probes[0].Rate(), 0);
}

}  // namespace
}  // namespace dynweight

#include "ngx_module/status/metrics.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ngx_module/status/document_reader_fixture.h"
#include "ngx_module/status/status_fixture.h"

namespace dynweight {
namespace {

class MetricsTest : public testing::Test {
 protected:
  void Make(std::string_view name) {
    ClusterStatus status;
    status.rejected = 5;
    status.held_back = 2;
    status.last_success_ms = 12'045;
    const uint32_t cluster = estate_.AddCluster(name, status);
    UpstreamModel& upstream = estate_.AddUpstream(name);
    estate_.AddServer(&upstream, false, name);
    estate_.AddLine(&upstream, false, cluster, 2, name);
    estate_.AddLine(&upstream, true, cluster, 2, name);
    LineRecord record;
    record.known = 1;
    record.pods = 10;
    Estate::Write(upstream.lines[0], record);
    estate_.Seal(&upstream);
    PeerTable table = TableOf(upstream, false);
    table.SetWeight(0, 10);
    table.SetPeer(1, Node(0x0A000001, name));
  }

  Estate estate_;
};

TEST_F(MetricsTest, OverridesAndTheErrorOfTheirFile) {
  Make("a");
  auto samples = ParseMetrics(Render(MakeMetrics(estate_.Query())).text);
  EXPECT_EQ(samples.count({"tuning_rules", {}}), 0u) << "no tuning file";
  estate_.Tune(R"({"file":"/t","taken_up":1,"error":"bad","rules":[)"
               "\n"
               R"({"line":2,"in_force":true,"peers":0},)"
               "\n"
               R"({"line":3,"in_force":false,"peers":0})"
               "\n]}",
               0);
  samples = ParseMetrics(Render(MakeMetrics(estate_.Query())).text);
  EXPECT_EQ(samples.at({"tuning_rules", {}}), "1");
  EXPECT_EQ(samples.at({"tuning_error", {}}), "1");
}

TEST_F(MetricsTest, HostileNamesComeBackAsTheyWere) {
  Make(kHostile);
  const auto samples = ParseMetrics(Render(MakeMetrics(estate_.Query())).text);
  const std::string name(kHostileUtf8);
  EXPECT_EQ(samples.count({"upstream_server_weight",
                           {{"upstream", name},
                            {"cluster", "-"},
                            {"server", name},
                            {"id", "0"}}}),
            1u);
  EXPECT_EQ(samples.count({"upstream_server_info",
                           {{"upstream", name},
                            {"cluster", name},
                            {"server", "10.0.0.1:80"},
                            {"id", "1"},
                            {"node", name}}}),
            1u);
  EXPECT_EQ(samples.count({"upstream_cluster_pods",
                           {{"upstream", name},
                            {"cluster", name},
                            {"source", name},
                            {"port", "80"},
                            {"backup", "false"}}}),
            1u);
  EXPECT_EQ(samples.count({"cluster_up", {{"cluster", name}}}), 1u);
}

TEST_F(MetricsTest, AMetricStandsTogetherUnderOneHead) {
  Make("a");
  const std::string text = Render(MakeMetrics(estate_.Query())).text;
  EXPECT_EQ(
      CountOf("# TYPE nginx_dynamic_weight_cluster_rejected_updates_total ",
              text),
      1u);
  const auto samples = ParseMetrics(text);
  EXPECT_EQ(samples.at({"cluster_rejected_updates_total",
                        {{"cluster", "a"}, {"reason", "invalid"}}}),
            "3");
  EXPECT_EQ(samples.at({"cluster_rejected_updates_total",
                        {{"cluster", "a"}, {"reason", "guard"}}}),
            "2");
  EXPECT_EQ(samples.at(
                {"cluster_last_success_timestamp_seconds", {{"cluster", "a"}}}),
            "12.045");
  EXPECT_EQ(samples.at({"info", {{"nginx", "1.22.1"}}}), "1");
}

TEST_F(MetricsTest, RetriesOfAnUpstream) {
  Make("a");
  UpstreamModel& upstream = estate_.model.upstreams[0];
  PeerTable table = TableOf(upstream, false);
  table.retry_counters().retries = 7;
  table.retry_counters().refused = 5;
  auto samples = ParseMetrics(Render(MakeMetrics(estate_.Query())).text);
  EXPECT_EQ(samples.at({"upstream_info",
                        {{"upstream", "a"}, {"method", "round_robin"}}}),
            "1");
  EXPECT_EQ(samples.at({"upstream_retries_total", {{"upstream", "a"}}}), "7");
  EXPECT_EQ(
      samples.count({"upstream_retries_refused_total", {{"upstream", "a"}}}),
      0u)
      << "no budget";
  upstream.retries = {20, 3};
  samples = ParseMetrics(Render(MakeMetrics(estate_.Query())).text);
  EXPECT_EQ(samples.at({"upstream_retries_refused_total", {{"upstream", "a"}}}),
            "5");
}

TEST_F(MetricsTest, WhatIsNotKnownIsLeftOut) {
  Make("a");
  const std::string text = Render(MakeMetrics(estate_.Query())).text;
  const auto count = [&text](std::string_view name) {
    return CountOf("\nnginx_dynamic_weight_" + std::string(name) + "{", text);
  };
  EXPECT_EQ(count("upstream_cluster_pods"), 1u) << "one line has no record";
  EXPECT_EQ(count("upstream_cluster_observed_share"), 0u) << "no request";
  EXPECT_EQ(count("upstream_cluster_target_share"), 2u);
  EXPECT_EQ(count("upstream_server_downtime_seconds_total"), 0u);
  EXPECT_EQ(count("upstream_server_response_seconds_total"), 2u);
}

TEST_F(MetricsTest, LeavesOutPeersThatAreNotAskedFor) {
  Make("a");
  StatusQuery query = estate_.Query();
  query.peers = AskedPeers::kNone;
  EXPECT_EQ(CountOf("upstream_server", Render(MakeMetrics(query)).text), 0u);
  query.peers = AskedPeers::kDown;
  EXPECT_EQ(CountOf("\nnginx_dynamic_weight_upstream_server_weight{",
                    Render(MakeMetrics(query)).text),
            1u)
      << "the node";
}

TEST_F(MetricsTest, AnAnswerLeavesNothingToTheNext) {
  Make("a");
  const std::string first = Render(MakeMetrics(estate_.Query())).text;
  StatusQuery nothing = estate_.Query();
  nothing.filter = "no such name";
  EXPECT_EQ(CountOf("upstream=", Render(MakeMetrics(nothing)).text), 0u);
  // Two at a time: only one is kept.
  auto held = MakeMetrics(estate_.Query());
  EXPECT_EQ(Render(MakeMetrics(estate_.Query())).text, first);
  EXPECT_EQ(Render(std::move(held)).text, first);
}

}  // namespace
}  // namespace dynweight

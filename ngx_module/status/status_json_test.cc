#include "ngx_module/status/status_json.h"

#include <cjson/cJSON.h>
#include <gtest/gtest.h>

#include <string>

#include "ngx_module/status/status_fixture.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

// One upstream of a server, a line with a record and one without.
class StatusJsonTest : public testing::Test {
 protected:
  // All names are `name`.
  void Make(std::string_view name) {
    ClusterStatus status;
    status.api = status.last_error = name;
    status.last_success_ms = Estate::kNow.unix_ms - 1500;
    status.warnings = {std::string(name)};
    const uint32_t cluster = estate_.AddCluster(name, status);
    UpstreamModel& upstream = estate_.AddUpstream(name);
    estate_.AddServer(&upstream, false, name);
    estate_.AddLine(&upstream, false, cluster, 2, name);
    estate_.AddLine(&upstream, true, cluster, 2, name);
    LineRecord record;
    record.known = 1;
    record.pods = 10;
    record.used_nodes = 3;
    record.weight = 33;
    record.reason.Set(name);
    Estate::Write(upstream.lines[0], record);
    estate_.Seal(&upstream);
    PeerTable table = TableOf(upstream, false);
    table.SetWeight(0, 10);
    table.SetPeer(1, Node(0x0A000001, name));
    table.SetWeight(1, 33);
    table.SetZone(1, MakeZoneName(name));
    Decision decision;
    decision.time_ms = 5;
    decision.first = 1;
    decision.new_weight = 33;
    decision.upstream.Set(name);
    decision.cluster.Set(name);
    decision.why.Set(name);
    estate_.Decide({decision});
  }

  const cJSON* Parse(const StatusQuery& query) {
    text_ = Render(MakeStatusJson(query)).text;
    absl::StatusOr<JsonDocument> document = ParseJson(text_);
    EXPECT_TRUE(document.ok()) << document.status() << "\n" << text_;
    if (document.ok()) document_ = *std::move(document);
    return document_.get();
  }

  static const cJSON* At(const cJSON* value, const char* name) {
    return cJSON_GetObjectItemCaseSensitive(value, name);
  }
  static std::string TextAt(const cJSON* value, const char* name) {
    const char* text = cJSON_GetStringValue(At(value, name));
    return text == nullptr ? "(none)" : text;
  }

  Estate estate_{"main"};
  std::string text_;
  JsonDocument document_;
};

TEST_F(StatusJsonTest, HostileNamesComeBackAsTheyWere) {
  Make(kHostile);
  const cJSON* root = Parse(estate_.Query());
  const std::string name(kHostileUtf8);
  EXPECT_EQ(text_.find('<'), std::string::npos) << "safe inside HTML";
  EXPECT_EQ(text_.find('\n'), text_.size() - 1) << "one line";

  const cJSON* cluster = At(At(root, "clusters"), name.c_str());
  ASSERT_NE(cluster, nullptr);
  EXPECT_EQ(TextAt(At(cluster, "watch"), "api"), name);
  const cJSON* upstream = At(At(root, "upstreams"), name.c_str());
  ASSERT_NE(upstream, nullptr);
  const cJSON* line = cJSON_GetArrayItem(At(upstream, "clusters"), 0);
  EXPECT_EQ(TextAt(line, "cluster"), name);
  EXPECT_EQ(TextAt(line, "source"), name);
  EXPECT_EQ(TextAt(line, "reason"), name);
  const cJSON* server = cJSON_GetArrayItem(At(upstream, "peers"), 0);
  EXPECT_EQ(TextAt(server, "server"), name);
  EXPECT_EQ(TextAt(server, "name"), name);
  EXPECT_EQ(At(server, "cluster"), nullptr);
  const cJSON* node = cJSON_GetArrayItem(At(upstream, "peers"), 1);
  EXPECT_EQ(TextAt(node, "node"), name);
  EXPECT_EQ(TextAt(node, "server"), "10.0.0.1:80");
  EXPECT_EQ(name.find(TextAt(node, "zone")), 0u) << "cut";
  const cJSON* decision = cJSON_GetArrayItem(At(root, "decisions"), 0);
  EXPECT_EQ(TextAt(decision, "why"), name);
}

TEST_F(StatusJsonTest, WhoDoesNotSayHasNoZone) {
  Make("a");
  Parse(estate_.Query());
  EXPECT_NE(text_.find("\"zone\":\"a\""), std::string::npos);
  TableOf(estate_.model.upstreams[0], false).SetZone(1, ZoneName{});
  Parse(estate_.Query());
  EXPECT_EQ(text_.find("\"zone\":\"a\""), std::string::npos);
}

TEST_F(StatusJsonTest, TellsTheArithmetic) {
  Make("a");
  const cJSON* root = Parse(estate_.Query());
  EXPECT_NE(text_.find(R"("age":1500,)"), std::string::npos);
  EXPECT_NE(text_.find(R"("raw":33.333,"weight":33,"scale":1,"clamped":false)"),
            std::string::npos);
  EXPECT_NE(text_.find(R"("pods":null,"ingress_nodes":null,"used_nodes":null,)"
                       R"("drained_nodes":null,"raw":null,"weight":null,)"
                       R"("scale":1,"clamped":false,"frozen":false)"),
            std::string::npos)
      << "of the line without a record";
  EXPECT_NE(text_.find(R"("window":90000,)"), std::string::npos);
  EXPECT_NE(text_.find(R"("old":null,"new":33,)"), std::string::npos);
  const cJSON* peers = At(At(At(root, "upstreams"), "a"), "peers");
  ASSERT_EQ(cJSON_GetArraySize(peers), 2);
  EXPECT_NEAR(At(cJSON_GetArrayItem(peers, 1), "target_share")->valuedouble,
              33.0 / 43, 1e-6);
}

TEST_F(StatusJsonTest, LeavesOutWhatIsNotAskedFor) {
  Make("a");
  StatusQuery query = estate_.Query();
  query.peers = AskedPeers::kNone;
  const cJSON* upstream = At(At(Parse(query), "upstreams"), "a");
  ASSERT_NE(upstream, nullptr);
  EXPECT_EQ(At(upstream, "peers"), nullptr);
  EXPECT_EQ(text_.find("\"view\""), std::string::npos);
  query.peers = AskedPeers::kDown;
  EXPECT_EQ(
      cJSON_GetArraySize(At(At(At(Parse(query), "upstreams"), "a"), "peers")),
      0);
  query.upstream = "b";
  const cJSON* root = Parse(query);
  EXPECT_EQ(cJSON_GetArraySize(At(root, "upstreams")), 0);
  EXPECT_EQ(cJSON_GetArraySize(At(root, "decisions")), 0);
}

TEST_F(StatusJsonTest, ADecisionKnowsTheBeginningOfALongName) {
  Make(std::string(100, 'x'));
  StatusQuery query = estate_.Query();
  query.upstream = std::string(100, 'x');
  EXPECT_EQ(cJSON_GetArraySize(At(Parse(query), "decisions")), 1);
}

TEST_F(StatusJsonTest, ThePeerNamesTheRuleThatDecides) {
  Make("a");
  estate_.Tune("{\"rules\":[\n{\"line\":2},\n{\"line\":4}\n]}", 2);
  const cJSON* root = Parse(estate_.Query());
  EXPECT_EQ(cJSON_GetArraySize(At(At(root, "tuning"), "rules")), 2);
  EXPECT_EQ(CountOf(",\"tuning\":{\"line\":4}}", text_), 2u);
  estate_.Tune("{\"rules\":[\n{\"line\":2}\n]}", 2);
  Parse(estate_.Query());
  EXPECT_EQ(CountOf("\"line\"", text_), 1u) << "a mark beyond the rules";
}

TEST_F(StatusJsonTest, TheLineTellsWhatRulesMakeOfItsPeers) {
  Make("a");
  Parse(estate_.Query());
  EXPECT_EQ(text_.find("\"tuned\""), std::string::npos) << "no tuning file";
  estate_.Tune("{\"rules\":[]}", 0);
  Parse(estate_.Query());
  EXPECT_EQ(text_.find("\"tuned\""), std::string::npos) << "no rule for them";
  estate_.Tune("{\"rules\":[\n{\"line\":2}\n]}", 1);
  PeerTable table = TableOf(estate_.model.upstreams[0], false);
  table.SetPeer(2, Node(0x0A000002, "b"));
  table.SetWeight(1, 40);
  table.SetWeight(2, 70);
  Parse(estate_.Query());
  EXPECT_EQ(CountOf(R"("tuned":{"peers":2,"least":40,"most":70})", text_), 1u);
  table.SetWeight(1, 0);
  Parse(estate_.Query());
  EXPECT_EQ(CountOf(R"("tuned":{"peers":2,"least":70,"most":70})", text_), 1u)
      << "who gets no request does not count";
  table.SetWeight(2, 0);
  Parse(estate_.Query());
  EXPECT_EQ(CountOf(R"("tuned":{"peers":2,"least":0,"most":0})", text_), 1u);
}

TEST_F(StatusJsonTest, ThatHealthIsIgnoredIsAProblem) {
  Make("a");
  estate_.model.upstreams[0].lines.pop_back();  // of which nothing is known
  StatusQuery query = estate_.Query();
  Parse(query);
  EXPECT_EQ(CountOf(R"("problem":false,"health_ignored":false)", text_), 1u);
  query.process.all_out = [](size_t) { return true; };
  Parse(query);
  EXPECT_EQ(CountOf(R"("problem":true,"health_ignored":true)", text_), 1u);
}

TEST_F(StatusJsonTest, TellsOfRetries) {
  Make("a");
  UpstreamModel& upstream = estate_.model.upstreams[0];
  PeerTable table = TableOf(upstream, false);
  table.BeginRetry(0);
  table.retry_counters().retries = 7;
  table.retry_counters().refused = 5;
  Parse(estate_.Query());
  EXPECT_EQ(CountOf(R"("retries":{"running":1,"total":7})", text_), 1u);
  upstream.retries = {20, 3};
  Parse(estate_.Query());
  EXPECT_EQ(CountOf(R"("retries":{"running":1,"total":7,"budget":20,"min":3,)"
                    R"("refused":5})",
                    text_),
            1u);
}

TEST_F(StatusJsonTest, TellsOfWhoIsEjected) {
  Make("a");
  UpstreamModel& upstream = estate_.model.upstreams[0];
  PeerTable table = TableOf(upstream, false);
  table.SetWeight(1, 10);
  table.health(1).SetEjection({Estate::kNow.monotonic_ms + 20000, 30000, 1});
  table.CountEjection();
  Parse(estate_.Query());
  EXPECT_EQ(text_.find("\"ejections\""), std::string::npos);
  upstream.ejects = true;
  Parse(estate_.Query());
  EXPECT_EQ(CountOf("\"ejections\":1,", text_), 1u);
  EXPECT_EQ(
      CountOf(R"("state":"ejected","reason":"it answered badly, for 30 s",)"
              R"("since":1779999990123,"until":1780000020123)",
              text_),
      1u);
}

TEST_F(StatusJsonTest, TellsWhatEachPriorityHas) {
  Make("a");
  UpstreamModel& upstream = estate_.model.upstreams[0];
  StatusQuery query = estate_.Query();
  Parse(query);
  EXPECT_EQ(text_.find("\"failover\""), std::string::npos);
  upstream.priorities = {0, 5};
  for (LineModel& line : upstream.lines) {
    line.priority = 5;
    line.rank = 1;
  }
  query.process.loads = [](size_t) {
    return std::vector<PriorityLoad>{{100, 50, 70}, {10, 10, 30}};
  };
  Parse(query);
  EXPECT_EQ(CountOf(R"("failover":{"overprovisioning":1.40,"priorities":[)"
                    R"({"priority":0,"weight":100,"healthy":50,"share":0.7)",
                    text_),
            1u)
      << text_;
}

TEST_F(StatusJsonTest, TellsOfItsOwnProbe) {
  Make("a");
  UpstreamModel& upstream = estate_.model.upstreams[0];
  PeerTable table = TableOf(upstream, false);
  table.SetWeight(1, 10);
  ProbeResult failing;
  failing.tag = 7;
  failing.result = ProbeResult::kFailing;
  failing.out = true;
  table.health(1).SetProbe(failing.Encode(), 1000);
  upstream.probe = "http /healthz";
  Parse(estate_.Query());
  EXPECT_EQ(CountOf(R"("probe":{"probe":"http /healthz","passing":0,)"
                    R"("failing":1,"unknown":0})",
                    text_),
            1u);
}

TEST_F(StatusJsonTest, WithoutAZoneThereAreClustersOnly) {
  StatusModel model;
  model.clusters.resize(1);
  model.clusters[0].name = "bj";
  StatusQuery query = estate_.Query();
  query.model = &model;
  Parse(query);
  EXPECT_NE(text_.find(R"("tuning":null,"clusters":{"bj":null},)"
                       R"("upstreams":{},"decisions":[]})"),
            std::string::npos);
}

}  // namespace
}  // namespace dynweight

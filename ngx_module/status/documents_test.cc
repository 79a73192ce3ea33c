// What the documents have in common: they agree, and come in bounded pieces.

#include <cjson/cJSON.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ngx_module/status/document.h"
#include "ngx_module/status/document_reader_fixture.h"
#include "ngx_module/status/metrics.h"
#include "ngx_module/status/page.h"
#include "ngx_module/status/status_fixture.h"
#include "ngx_module/status/status_json.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

// A step may pass the end of a piece by what it appends itself.
constexpr size_t kMaxPiece = 2 * Document::kPieceBytes;

const cJSON* At(const cJSON* value, const char* name) {
  return cJSON_GetObjectItemCaseSensitive(value, name);
}

std::string NumberAt(const cJSON* value, const char* name) {
  return std::to_string(static_cast<uint64_t>(At(value, name)->valuedouble));
}

std::string TextAt(const cJSON* value, const char* name) {
  return cJSON_GetStringValue(At(value, name));
}

const char* StateNumber(const std::string& name) {
  static const std::map<std::string, const char*> kNumbers = {{"up", "1"},
                                                              {"draining", "2"},
                                                              {"down", "3"},
                                                              {"unavail", "4"},
                                                              {"drained", "7"}};
  return kNumbers.at(name);
}

// An upstream's peers, as JSON has them, against its page and the metrics.
void ExpectAgreement(const cJSON* upstream, const std::string& page,
                     const std::map<Sample, std::string>& metrics) {
  const auto rows = TableRows(page, "peers");
  const cJSON* peers = At(upstream, "peers");
  ASSERT_EQ(rows.size(), static_cast<size_t>(cJSON_GetArraySize(peers)));
  std::map<std::string, int> states;
  size_t i = 0;
  for (const cJSON* peer = peers->child; peer != nullptr; peer = peer->next) {
    const std::vector<std::string>& row = rows[i++];
    const bool node = At(peer, "cluster") != nullptr;
    const std::string state = TextAt(peer, "state");
    ++states[state];
    const std::map<std::string, std::string> labels = {
        {"upstream", upstream->string},
        {"cluster", node ? TextAt(peer, "cluster") : "-"},
        {"server", TextAt(peer, "server")},
        {"id", NumberAt(peer, "id")}};
    const auto metric = [&](const char* name) {
      const auto found = metrics.find({name, labels});
      return found == metrics.end() ? "(none)" : found->second;
    };
    EXPECT_EQ(row[2], TextAt(peer, "server"));
    EXPECT_EQ(row[3], node ? TextAt(peer, "node") : "");
    EXPECT_EQ(row[4], state);
    EXPECT_EQ(metric("upstream_server_state"), StateNumber(state));
    EXPECT_EQ(row[5], NumberAt(peer, "weight"));
    EXPECT_EQ(metric("upstream_server_weight"), row[5]);
    EXPECT_EQ(row[6], NumberAt(peer, "active"));
    EXPECT_EQ(metric("upstream_server_active"), row[6]);
    EXPECT_EQ(row[7], NumberAt(peer, "requests"));
    EXPECT_EQ(metric("upstream_server_requests_total"), row[7]);
    EXPECT_EQ(row[8], NumberAt(At(peer, "responses"), "5xx"));
    EXPECT_EQ(row[9], NumberAt(peer, "fails"));
    EXPECT_EQ(metric("upstream_server_fails_total"), row[9]);
  }
  EXPECT_EQ(states.size(), 5u) << "the model has each state";
}

TEST(Documents, AgreeOnEachPeer) {
  constexpr size_t kUpstreams = 3;
  Estate estate;
  AddUpstreams(kUpstreams, &estate);
  const std::string text = Render(MakeStatusJson(estate.Query())).text;
  const auto json = ParseJson(text);
  ASSERT_TRUE(json.ok()) << json.status();
  const auto metrics = ParseMetrics(Render(MakeMetrics(estate.Query())).text);
  size_t met = 0;
  for (const cJSON* upstream = At(json->get(), "upstreams")->child;
       upstream != nullptr; upstream = upstream->next) {
    StatusQuery query = estate.Query();
    query.upstream = upstream->string;
    ExpectAgreement(upstream, Render(MakePage(query)).text, metrics);
    ++met;
  }
  EXPECT_EQ(met, kUpstreams);
}

TEST(Documents, AThousandUpstreamsOfSixtyPeers) {
  constexpr size_t kUpstreams = 1000;
  constexpr size_t kPeers = 60 * kUpstreams;
  Estate estate;
  AddUpstreams(kUpstreams, &estate);

  const Rendered json = Render(MakeStatusJson(estate.Query()));
  EXPECT_EQ(CountOf("\"server\":", json.text), kPeers);
  EXPECT_TRUE(ParseJson(json.text).ok());
  EXPECT_LE(json.largest, kMaxPiece);
  EXPECT_GE(json.pieces, json.text.size() / kMaxPiece);

  const Rendered metrics = Render(MakeMetrics(estate.Query()));
  EXPECT_EQ(
      CountOf("\nnginx_dynamic_weight_upstream_server_weight{", metrics.text),
      kPeers);
  EXPECT_EQ(metrics.text.back(), '\n');
  EXPECT_LE(metrics.largest, kMaxPiece);

  const Rendered page = Render(MakePage(estate.Query()));
  EXPECT_EQ(CountOf("<th scope=\"rowgroup\"", page.text), kUpstreams);
  EXPECT_EQ(page.text.substr(page.text.size() - 8), "</html>\n");
  EXPECT_LE(page.largest, kMaxPiece);
}

TEST(Documents, PiecesOfALargeUpstreamAreBounded) {
  Estate estate;
  UpstreamModel& upstream = estate.AddUpstream("large");
  for (int n = 0; n < 8000; ++n) {
    estate.AddServer(&upstream, false, "10.0.0.1:" + std::to_string(n));
  }
  estate.Seal(&upstream);
  StatusQuery query = estate.Query();
  query.upstream = "large";
  for (auto make : {MakeStatusJson, MakeMetrics, MakePage}) {
    const Rendered rendered = Render(make(query));
    EXPECT_GE(CountOf("10.0.0.1:", rendered.text), 8000u);
    EXPECT_LE(rendered.largest, kMaxPiece);
  }
}

TEST(Documents, PiecesOfManyClustersAreBounded) {
  Estate estate;
  ClusterStatus status;
  status.api = "https://kubernetes.example:6443";
  status.warnings = {std::string(200, 'w'), std::string(200, 'w')};
  for (int n = 0; n < 2000; ++n) {
    estate.AddCluster("cluster-" + std::to_string(n), status);
  }
  for (auto make : {MakeStatusJson, MakeMetrics, MakePage}) {
    const Rendered rendered = Render(make(estate.Query()));
    EXPECT_GE(CountOf("cluster-", rendered.text), 2000u);
    EXPECT_LE(rendered.largest, kMaxPiece);
  }
}

TEST(Documents, NothingIsConfigured) {
  StatusModel model;
  StatusQuery query;
  query.model = &model;
  EXPECT_TRUE(ParseJson(Render(MakeStatusJson(query)).text).ok());
  EXPECT_EQ(ParseMetrics(Render(MakeMetrics(query)).text).size(), 2u)
      << "info and ready";
  EXPECT_NE(Render(MakePage(query)).text.find("</html>"), std::string::npos);
}

}  // namespace
}  // namespace dynweight

#include "ngx_module/status/page.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "ngx_module/status/document_reader_fixture.h"
#include "ngx_module/status/status_fixture.h"
#include "watcher/text/text_escape.h"

namespace dynweight {
namespace {

class PageTest : public testing::Test {
 protected:
  // A server, a node and a decision; all names are `name`.
  UpstreamModel& Make(std::string_view name) {
    ClusterStatus status;
    status.api = status.mode = status.last_error = name;
    status.warnings = {std::string(name)};
    const uint32_t cluster = estate_.AddCluster(name, status);
    UpstreamModel& upstream = estate_.AddUpstream(name);
    estate_.AddServer(&upstream, false, name, /*down=*/true);
    estate_.AddLine(&upstream, false, cluster, 2, name);
    LineRecord record;
    record.known = 1;
    record.pods = 1;
    record.used_nodes = 2;
    record.weight = 5;
    record.reason.Set(name);
    Estate::Write(upstream.lines[0], record);
    estate_.Seal(&upstream);
    TableOf(upstream, false).SetPeer(1, Node(0x0A000001, name));
    Decision decision;
    decision.old_weight = 3;
    decision.new_weight = 5;
    decision.upstream.Set(name);
    decision.cluster.Set(name);
    decision.why.Set(name);
    estate_.Decide({decision});
    return upstream;
  }

  static std::string Text(const StatusQuery& query) {
    return Render(MakePage(query)).text;
  }

  Estate estate_;
};

// Well-formed UTF-8, and no control character but line breaks.
void ExpectPrintable(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    ASSERT_NE(length, 0u) << text.substr(0, 80);
    const auto byte = static_cast<uint8_t>(text[0]);
    ASSERT_TRUE((byte >= 0x20 && byte != 0x7F) || byte == '\n' || byte == '\t')
        << text.substr(0, 80);
    text.remove_prefix(length);
  }
}

TEST_F(PageTest, HostileNamesAreTextOnly) {
  Make(kHostile);
  for (const bool one : {false, true}) {
    StatusQuery query = estate_.Query();
    query.filter = one ? "" : kHostile;
    if (one) query.upstream = kHostile;
    const std::string page = Text(query);
    EXPECT_EQ(page.find("<hostile"), std::string::npos);
    EXPECT_EQ(page.find("a=\"b\""), std::string::npos) << "ends an attribute";
    EXPECT_EQ(page.find("c='d'"), std::string::npos);
    EXPECT_GE(
        CountOf("&lt;hostile a=&quot;b&quot; c=&#39;d&#39;&gt;&amp;amp;", page),
        10u);
    EXPECT_NE(page.find("?upstream=%3Chostile%20a%3D%22b%22%20c%3D%27d%27%3E"
                        "%26amp%3B%5C%0A%0D%09%01%7F%FF%C0%AF"),
              std::string::npos);
    ExpectPrintable(page);
  }
}

TEST_F(PageTest, TellsWhatAWeightIsComputedFrom) {
  Make("a");
  const std::string page = Text(estate_.Query());
  EXPECT_NE(page.find(">1 pod × 10 ÷ 2 nodes<"), std::string::npos);
  EXPECT_NE(page.find("<td class=\"n\">3 → 5<td>a\n"), std::string::npos);
}

TEST_F(PageTest, TheNonceIsWhereSomethingMayRun) {
  Make("a");
  const std::string page = Text(estate_.Query());
  EXPECT_EQ(CountOf("<script nonce=\"0123456789abcdef\">", page), 1u);
  EXPECT_EQ(CountOf("<style nonce=\"0123456789abcdef\">", page), 1u);
  EXPECT_EQ(CountOf("<script", page), 1u);
}

TEST_F(PageTest, PeersOfOneUpstreamOnly) {
  Make("a");
  EXPECT_TRUE(TableRows(Text(estate_.Query()), "peers").empty());
  StatusQuery query = estate_.Query();
  query.upstream = "a";
  const auto rows = TableRows(Text(query), "peers");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0][4], "down");
  EXPECT_EQ(rows[1][2], "10.0.0.1:80");
  EXPECT_EQ(rows[1][4], "drained");
  query.upstream = "b";
  const std::string page = Text(query);
  EXPECT_NE(page.find("<p>No upstream of this name has dynamic_weight.</p>"),
            std::string::npos);
  EXPECT_NE(page.find("<p id=\"more\">None.</p>"), std::string::npos);
}

// A line with `pods` that are known, or without any.
void KnowPods(UpstreamModel* upstream, uint64_t pods) {
  LineRecord record;
  record.known = 1;
  record.pods = pods;
  record.used_nodes = 1;
  record.weight = 10;
  Estate::Write(upstream->lines[0], record);
}

TEST_F(PageTest, ProblemsComeFirstWithoutScripts) {
  ClusterStatus up;
  up.synced = true;
  ClusterStatus stale = up;
  stale.failing_since_ms = 1;
  const uint32_t bj = estate_.AddCluster("bj", up);
  estate_.AddCluster("sh", stale);
  for (const char* name : {"fine", "unknown", "well"}) {
    UpstreamModel& upstream = estate_.AddUpstream(name);
    estate_.AddLine(&upstream, false, bj, 1);
    if (std::string_view(name) != "unknown") KnowPods(&upstream, 1);
    estate_.Seal(&upstream);
  }
  const std::string page = Text(estate_.Query());
  EXPECT_NE(
      page.find("<p id=\"verdict\" role=\"status\" class=\"bad\">1 cluster "
                "stale: sh · 1 upstream with problems: unknown</p>"),
      std::string::npos);
  const size_t unknown = page.find("?upstream=unknown");
  EXPECT_LT(unknown, page.find("?upstream=fine"));
  EXPECT_LT(page.find("?upstream=fine"), page.find("?upstream=well"));
  EXPECT_EQ(CountOf("<tbody class=\"problem\">", page), 1u);
}

TEST_F(PageTest, NothingIsWrong) {
  const uint32_t bj = estate_.AddCluster("bj", [] {
    ClusterStatus status;
    status.synced = true;
    return status;
  }());
  UpstreamModel& upstream = estate_.AddUpstream("orders");
  estate_.AddLine(&upstream, false, bj, 1);
  KnowPods(&upstream, 1);
  estate_.Seal(&upstream);
  EXPECT_NE(
      Text(estate_.Query()).find("<p id=\"verdict\" role=\"status\">OK</p>"),
      std::string::npos);
  KnowPods(&upstream, 0);
  EXPECT_NE(Text(estate_.Query()).find(">1 upstream with problems: orders</p>"),
            std::string::npos)
      << "no pod anywhere, and no server";
}

constexpr char kTuning[] =
    R"({"file":"/t","taken_up":1,"error":null,"error_at":null,"rules":[)"
    "\n"
    R"({"line":2,"in_force":true,"peers":3,"upstream":"a","weight":40,)"
    R"("reason":"<b> Li"},)"
    "\n"
    R"({"line":3,"in_force":true,"peers":0,"freeze":true,"expires":"2030-01-31"})"
    "\n]}";

TEST_F(PageTest, OverridesAreNamedThoughNothingIsWrong) {
  StatusQuery query = estate_.Query();
  EXPECT_NE(Text(query).find("<section id=\"overrides\" hidden>"),
            std::string::npos);
  estate_.Tune(kTuning, 0);
  const std::string page = Text(estate_.Query());
  EXPECT_NE(page.find("class=\"off\">2 runtime overrides in force</p>"),
            std::string::npos);
  EXPECT_NE(page.find("<section id=\"overrides\">"), std::string::npos);
  const auto rows = TableRows(page, "rules");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0],
            (std::vector<std::string>{"upstream a", "weight 40", "3", "removed",
                                      "&lt;b&gt; Li", "2"}));
  EXPECT_EQ(rows[1], (std::vector<std::string>{"everything", "freeze", "0",
                                               "2030-01-31", "", "3"}));
}

TEST_F(PageTest, ALineTellsWhatRulesMakeOfItsPeers) {
  Make("a");
  const std::string why = ">1 pod × 10 ÷ 2 nodes";
  EXPECT_NE(Text(estate_.Query()).find(why + "<"), std::string::npos);
  estate_.Tune(kTuning, 1);
  EXPECT_NE(Text(estate_.Query()).find(why + " · 1 by tuning: 0<"),
            std::string::npos);
  TableOf(estate_.model.upstreams[0], false).SetWeight(1, 40);
  EXPECT_NE(Text(estate_.Query()).find(why + " · 1 by tuning: 40<"),
            std::string::npos);
}

TEST_F(PageTest, ATuningFileThatIsNotLoadedIsWrong) {
  estate_.Tune(
      R"({"file":"/t","taken_up":1,"error":"/t:3: <no>","error_at":2,"rules":[)"
      "\n]}",
      0);
  const std::string page = Text(estate_.Query());
  EXPECT_NE(page.find("class=\"bad\">tuning file not loaded</p>"),
            std::string::npos);
  EXPECT_NE(page.find("/t:3: &lt;no&gt;"), std::string::npos);
}

TEST_F(PageTest, ListsTwoHundredPeersThatDoNotServe) {
  UpstreamModel& upstream = estate_.AddUpstream("many");
  for (int n = 0; n < 205; ++n) estate_.AddServer(&upstream, false, "x:1");
  estate_.Seal(&upstream);
  const std::string page = Text(estate_.Query());
  EXPECT_EQ(TableRows(page, "down").size(), 200u);
  EXPECT_NE(page.find("<p id=\"more\">and 5 more</p>"), std::string::npos);
}

}  // namespace
}  // namespace dynweight

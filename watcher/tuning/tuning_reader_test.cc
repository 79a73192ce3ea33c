// Tests of what a tuning file may say, and of what is said of its mistakes.

#include "watcher/tuning/tuning_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "watcher/testing/tuning_config.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST(TuningReader, ReadsEveryMember) {
  const auto rules = ReadTuningRules(R"(// a comment
{ "rules": [
  /* another */
  { "upstream": "orders", "cluster": "bj", "server": "10.0.0.1:80",
    "node": "n1", "scale": 0.5, "min": 3, "max": 400,
    "expires": "2026-12-01T18:00:00+08:00", "reason": "why" },
  { "upstream": "orders", "weight": 7 },
  { "server": "[fd00::1]:80", "drain": true },
  { "freeze": true }
] } // the end)",
                                     TuningConfig());
  ASSERT_TRUE(rules.ok()) << rules.status();
  ASSERT_THAT(*rules, SizeIs(4));
  const TuningRule& first = rules->at(0);
  EXPECT_EQ(first.line, 4u);
  EXPECT_EQ(first.upstream, "orders");
  EXPECT_EQ(first.cluster, "bj");
  EXPECT_EQ(first.server, "10.0.0.1:80");
  EXPECT_EQ(first.address->ip, *IpAddress::Parse("10.0.0.1"));
  EXPECT_EQ(first.address->port, 80);
  EXPECT_EQ(first.node, "n1");
  EXPECT_EQ(first.scale, 0.5);
  EXPECT_EQ(first.min, 3u);
  EXPECT_EQ(first.max, 400u);
  EXPECT_EQ(first.expires_ms, 1796119200000);
  EXPECT_EQ(first.reason, "why");
  EXPECT_EQ(rules->at(1).weight, 7u);
  EXPECT_EQ(rules->at(1).expires_ms, kNever);
  EXPECT_TRUE(rules->at(2).drain);
  EXPECT_EQ(rules->at(2).address->ip, *IpAddress::Parse("fd00::1"));
  EXPECT_TRUE(rules->at(3).freeze);
}

TEST(TuningReader, NoRulesAreGood) {
  for (const char* text :
       {"{}", "// nothing\n{ \"rules\": [] }",
        "{ \"rules\": [ // none\n/* at */ /* all */ ] }", "\xEF\xBB\xBF{}"}) {
    const auto rules = ReadTuningRules(text, TuningConfig());
    ASSERT_TRUE(rules.ok()) << text << rules.status();
    EXPECT_THAT(*rules, IsEmpty());
  }
}

TEST(TuningReader, TakesWhatIsGood) {
  for (const char* rule :
       {R"("server": "app.example:8080", "drain": true)",
        R"("server": "10.20.0.11:8080", "drain": false)",
        R"("server": "10.20.0.11", "weight": 1073741824)",
        R"("server": "10.9.9.9", "drain": true)",
        R"("server": "unix:/run/a.sock", "drain": true)",
        R"("upstream": "kvm", "drain": true)",
        R"("cluster": "sh", "min": 1, "max": 1)", R"("freeze": false)",
        R"("node": "//\"/*", "drain": true, "reason": "*/ // \\", )",
        R"("node": "n", "freeze": true, "expires": "2020-01-01T00:00:00Z")"}) {
    const auto rules = ReadTuningRules(
        std::string("{\"rules\":[{") + rule + "}]}", TuningConfig());
    EXPECT_TRUE(rules.ok()) << rule << rules.status();
  }
}

struct BadFile {
  const char* text;
  const char* begin;  // of the message
  const char* part;
};

class BadTuningFile : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadTuningFile, IsExplained) {
  const auto rules = ReadTuningRules(GetParam().text, TuningConfig());
  ASSERT_FALSE(rules.ok()) << GetParam().text;
  EXPECT_EQ(rules.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(rules.status().message()),
              StartsWith(GetParam().begin));
  EXPECT_THAT(std::string(rules.status().message()),
              HasSubstr(GetParam().part));
}

INSTANTIATE_TEST_SUITE_P(
    Syntax, BadTuningFile,
    ::testing::Values(
        BadFile{"", "1:1: ", "is empty: write {}"},
        BadFile{" \n\t", "", "is empty: write {}"},
        BadFile{"[]", "1:1: ", "write { \"rules\""},
        BadFile{"{\n  \"rules\": [", "2:13: ", ""},
        BadFile{"{\n \"rules\": [ { \"upstream\": \"ord", "2:27: ", ""},
        BadFile{"{}\n{}", "2:1: ", ""}, BadFile{"{ rules: [] }", "1:3: ", ""},
        BadFile{"{ \"rules\": [ {\n} x ] }", "2:3: ", ""},
        BadFile{"{ \"rules\": [],\n \"rules\": [] }", "2:2: ", "Duplicate key"},
        BadFile{"{ \"rules\": [[[[[[[[[[[[[[[[[[[[[[[[ ]}",
                "1:1: ", "deeper than 16"},
        BadFile{"/* never closed", "1:1: ", ""}));

INSTANTIATE_TEST_SUITE_P(
    Content, BadTuningFile,
    ::testing::Values(
        BadFile{"{\n  \"rule\": []\n}", "2:3: unknown key \"rule\"",
                "write \"rules\""},
        BadFile{"{ \"rules\": {} }", "1:12: ", "must be an array"},
        BadFile{"{ \"rules\": [\n 1 ] }", "2:2: ", "must be an object"},
        BadFile{"{ \"rules\": [\n { \"upstream\": \"orders\",\n"
                "   \"drian\": true } ] }",
                "3:4: unknown key \"drian\"", "drain, weight"},
        BadFile{"{\"rules\":[{\"upstream\":\"order\",\"drain\":true}]}",
                "1:23: unknown upstream \"order\"", "dynamic_weight"},
        BadFile{"{\"rules\":[{\"cluster\":\"gz\",\"drain\":true}]}",
                "1:22: unknown cluster \"gz\"", "dynamic_weight_cluster"},
        BadFile{"{\"rules\":[{\"upstream\":\"kvm\",\"cluster\":\"bj\","
                "\"drain\":true}]}",
                "1:39: upstream \"kvm\" has no ingress nodes", "\"bj\""},
        BadFile{"{\"rules\":[{\"server\":\"ap.example\",\"drain\":true}]}",
                "1:21: unknown server", "write an address"},
        BadFile{"{\"rules\":[{\"upstream\":\"orders\","
                "\"server\":\"app.example:8080\",\"drain\":true}]}",
                "1:41: unknown server", ""},
        BadFile{"{\"rules\":[{\"server\":\"10.0.0.1:99999\","
                "\"drain\":true}]}",
                "1:21: unknown server", ""},
        BadFile{"{\"rules\":[{\"node\":\"\",\"drain\":true}]}",
                "1:19: \"node\" must be a string", ""},
        BadFile{"{\"rules\":[{\"node\":7,\"drain\":true}]}",
                "1:19: \"node\" must be a string", ""},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"drain\":1}]}",
                "1:31: \"drain\" must be true or false", ""},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"weight\":0}]}",
                "1:32: ", "whole number from 1 to 1073741824"},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"weight\":1.5}]}",
                "1:32: ", "write \"drain\": true"},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"min\":-1}]}",
                "1:29: ", "\"min\" must be"},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"max\":\"9\"}]}",
                "1:29: ", "\"max\" must be"},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"weight\":1073741825}]}",
                "1:32: ", ""},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"scale\":0}]}",
                "1:31: ", "from 0.001 to 1000"},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"scale\":1001}]}", "1:31: ", ""},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"min\":5,\"max\":4}]}",
                "1:29: ", "\"min\" 5 is above \"max\" 4"},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"reason\":\"x\"}]}",
                "1:11: ", "does nothing"},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"drain\":true,\"weight\":3}]}",
                "1:11: ", "a rule for each"},
        BadFile{"{\"rules\":[{\"drain\":true}]}", "1:11: ", "for every peer"},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"freeze\":false}]}",
                "1:32: ", "exempts an upstream or a cluster"},
        BadFile{"{\"rules\":[{\"node\":\"n\",\"weight\":null}]}",
                "1:32: ", "whole number"},
        BadFile{"{\"rules\":[{\"upstream\":\"kvm\",\"node\":\"n\","
                "\"drain\":true}]}",
                "1:36: upstream \"kvm\" has no ingress nodes", "\"node\""},
        BadFile{"{\"rules\":[{\"upstream\":\"kvm\",\"freeze\":true}]}",
                "1:38: upstream \"kvm\" has no ingress nodes", "\"freeze\""},
        BadFile{"{\"rules\":[{\"cluster\":\"bj\","
                "\"server\":\"app.example:8080\",\"drain\":true}]}",
                "1:36: unknown server", ""},
        BadFile{"{\"rules\":[{\"scale\":2}]}", "1:11: ", "for every peer"}));

INSTANTIATE_TEST_SUITE_P(
    Expires, BadTuningFile,
    ::testing::Values(
        BadFile{"{\"rules\":[{\"freeze\":true,\"expires\":1700000000}]}",
                "1:36: \"expires\" must be a time", "+08:00"},
        BadFile{"{\"rules\":[{\"freeze\":true,\"expires\":\"tomorrow\"}]}",
                "1:36: ", ""},
        BadFile{"{\"rules\":[{\"freeze\":true,"
                "\"expires\":\"2026-12-01T18:00:00\"}]}",
                "1:36: ", "with its zone"},
        BadFile{"{\"rules\":[{\"freeze\":true,"
                "\"expires\":\"2026-13-01T18:00:00Z\"}]}",
                "1:36: ", ""},
        BadFile{"{\"rules\":[{\"freeze\":true,"
                "\"expires\":\"infinite-future-and\"}]}",
                "1:36: ", ""}));

TEST(TuningReader, SizesAndNumbersAreBounded) {
  std::string many = "{\"rules\":[";
  for (size_t i = 0; i < kMaxTuningRules; ++i) many += "{\"freeze\":true},\n";
  EXPECT_TRUE(
      ReadTuningRules(many + "{}]}", TuningConfig()).status().message() ==
      "257:1: more than 256 rules");
  const std::string spaces(kMaxTuningBytes, ' ');
  EXPECT_FALSE(ReadTuningRules(spaces + "{}", TuningConfig()).ok());
  const std::string reason(kMaxTuningReason + 1, 'x');
  EXPECT_FALSE(ReadTuningRules("{\"rules\":[{\"freeze\":true,\"reason\":\"" +
                                   reason + "\"}]}",
                               TuningConfig())
                   .ok());
}

// However a write is cut short, the beginning is either no good or says the
// same.
TEST(TuningReader, NoBeginningOfAFileIsAnotherFile) {
  const std::string text =
      "// who\n{ \"rules\": [ { \"node\": \"n\", \"weight\": 12, "
      "\"reason\": \"x\" }, { \"freeze\": true } ] }\n// end\n";
  for (size_t n = 0; n < text.size(); ++n) {
    const auto rules = ReadTuningRules(text.substr(0, n), TuningConfig());
    if (!rules.ok()) continue;
    ASSERT_THAT(*rules, SizeIs(2)) << n;
    EXPECT_EQ(rules->at(0).weight, 12u);
  }
}

}  // namespace
}  // namespace dynweight

// Tests of whether a control plane hears a member.

#include "watcher/karmada/member_clusters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

using EventType = ObjectSink::EventType;
using testing::HasSubstr;

std::string Cluster(const std::string& name, const std::string& condition) {
  return absl::StrCat(R"({"metadata":{"name":")", name,
                      R"("},"status":{"conditions":[)",
                      R"({"type":"CompleteAPIEnablements","status":"True"})",
                      condition.empty() ? "" : ",", condition, "]}}");
}

constexpr char kReadyMember[] = R"({"type":"Ready","status":"True"})";
constexpr char kNotReadyMember[] =
    R"({"type":"Ready","status":"False","reason":"ClusterNotReachable",)"
    R"("message":"cluster is not reachable"})";

class MemberClustersTest : public testing::Test {
 protected:
  MemberClustersTest() { clusters_.Interest("bj"); }
  void List(const std::vector<std::string>& objects) {
    clusters_.BeginList();
    for (const std::string& object : objects) {
      ASSERT_TRUE(clusters_.Stage(ParseJson(object).value().get()).ok());
    }
    clusters_.CommitList();
  }
  absl::Status Apply(EventType type, const std::string& object) {
    return clusters_.Apply(type, ParseJson(object).value().get());
  }

  MemberClusters clusters_;
};

TEST_F(MemberClustersTest, ReadyIsTheConditionReady) {
  EXPECT_FALSE(clusters_.listed());
  List({Cluster("bj", kReadyMember), Cluster("other", kNotReadyMember)});
  EXPECT_TRUE(clusters_.listed());
  EXPECT_EQ(clusters_.WhyNotReady("bj"), "");
  ASSERT_TRUE(Apply(EventType::kModified, Cluster("bj", kNotReadyMember)).ok());
  EXPECT_THAT(clusters_.WhyNotReady("bj"),
              HasSubstr("does not hear member cluster \"bj\" "
                        "(ClusterNotReachable: cluster is not reachable)"));
  ASSERT_TRUE(Apply(EventType::kModified, Cluster("bj", kReadyMember)).ok());
  EXPECT_EQ(clusters_.WhyNotReady("bj"), "");
}

TEST_F(MemberClustersTest, NothingElseIsReady) {
  List({Cluster("bj", "")});
  EXPECT_THAT(clusters_.WhyNotReady("bj"), HasSubstr("no condition Ready"));
  List({R"({"metadata":{"name":"bj"}})"});
  EXPECT_THAT(clusters_.WhyNotReady("bj"), HasSubstr("no condition Ready"));
  List({Cluster("bj", R"({"type":"Ready","status":"Unknown"})")});
  EXPECT_NE(clusters_.WhyNotReady("bj"), "");
  for (const bool first : {true, false}) {
    List({Cluster("bj",
                  first ? absl::StrCat(kReadyMember, ",", kNotReadyMember)
                        : absl::StrCat(kNotReadyMember, ",", kReadyMember))});
    EXPECT_NE(clusters_.WhyNotReady("bj"), "") << "said twice";
  }
}

TEST_F(MemberClustersTest, AMemberThatIsNoneIsNamed) {
  List({Cluster("other", kReadyMember)});
  EXPECT_THAT(clusters_.WhyNotReady("bj"),
              HasSubstr("no member cluster \"bj\""));
  ASSERT_TRUE(Apply(EventType::kAdded, Cluster("bj", kReadyMember)).ok());
  EXPECT_EQ(clusters_.WhyNotReady("bj"), "");
  ASSERT_TRUE(Apply(EventType::kDeleted, Cluster("bj", kReadyMember)).ok());
  EXPECT_THAT(clusters_.WhyNotReady("bj"),
              HasSubstr("no member cluster \"bj\""));
}

TEST_F(MemberClustersTest, WhatIsWrongIsRefusedAndWhatIsLongIsCut) {
  List({Cluster("bj", kReadyMember)});
  for (const char* condition :
       {"7", R"({"type":7})", R"({"type":"Ready","status":true})"}) {
    EXPECT_FALSE(Apply(EventType::kModified, Cluster("bj", condition)).ok());
    EXPECT_EQ(clusters_.WhyNotReady("bj"), "");
  }
  List({Cluster(
      "bj",
      absl::StrCat(R"({"type":"Ready","status":"False","reason":"R",)",
                   R"("message":"\u0007)", std::string(30000, 'm'), "\"}"))});
  EXPECT_LT(clusters_.WhyNotReady("bj").size(), 300u);
  EXPECT_THAT(clusters_.WhyNotReady("bj"), HasSubstr("R: ?mmm"));
}

}  // namespace
}  // namespace dynweight

// Tests of what a ResourceBinding says of a member.

#include "watcher/karmada/resource_bindings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

using EventType = ObjectSink::EventType;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Binding(const std::string& name, const std::string& members) {
  return absl::StrCat(
      R"({"kind":"ResourceBinding","metadata":{"namespace":"prod","name":")",
      name, R"("},"spec":{"clusters":[{"name":"bj","replicas":99}]},)",
      R"("status":{"aggregatedStatus":[)", members, "]}}");
}

std::string Member(const std::string& name, const std::string& status) {
  return absl::StrCat(R"({"applied":true,"clusterName":")", name,
                      R"(","health":"Unhealthy","status":)", status, "}");
}

class ResourceBindingsTest : public testing::Test {
 protected:
  absl::Status Stage(const std::string& object) {
    bindings_.BeginList();
    return bindings_.Stage(ParseJson(object).value().get());
  }
  void List(const std::string& object) {
    const absl::Status status = Stage(object);
    ASSERT_TRUE(status.ok()) << status;
    bindings_.CommitList();
  }
  void Modify(const std::string& object) {
    const absl::Status status =
        bindings_.Apply(EventType::kModified, ParseJson(object).value().get());
    ASSERT_TRUE(status.ok()) << status;
  }

  ResourceBindings bindings_;
  const size_t bj_ = bindings_.Interest("prod", "orders-deployment", "bj");
  const size_t sh_ = bindings_.Interest("prod", "orders-deployment", "sh");
  const size_t other_ = bindings_.Interest("prod", "users-deployment", "bj");
};

TEST_F(ResourceBindingsTest, CountsWhatTheMemberSaysAndNotWhatIsPlanned) {
  EXPECT_FALSE(bindings_.listed());
  List(Binding("orders-deployment",
               absl::StrCat(Member("bj", R"({"replicas":8,"readyReplicas":6})"),
                            ",", Member("sh", R"({"replicas":4})"))));
  EXPECT_TRUE(bindings_.listed());
  EXPECT_EQ(bindings_.Ready(bj_), 6u);
  EXPECT_EQ(bindings_.WhyUnknown(bj_), "");
  EXPECT_EQ(bindings_.Ready(sh_), 0u);
  EXPECT_EQ(bindings_.WhyUnknown(sh_), "") << "absent at 0";
  EXPECT_THAT(bindings_.TakeChanged(), ElementsAre(bj_, sh_, other_));
  EXPECT_THAT(bindings_.TakeChanged(), IsEmpty());
}

TEST_F(ResourceBindingsTest, SilenceIsNoZero) {
  List(Binding("orders-deployment",
               R"({"clusterName":"bj","applied":false,"appliedMessage":"x"})"));
  EXPECT_THAT(bindings_.WhyUnknown(bj_),
              HasSubstr("no status of member cluster \"bj\""));
  EXPECT_THAT(bindings_.WhyUnknown(sh_),
              HasSubstr("no status of member cluster \"sh\""));
  EXPECT_THAT(bindings_.WhyUnknown(other_),
              HasSubstr("no ResourceBinding users-deployment in prod"));
  for (const char* status : {"{}", R"({"status":null})",
                             R"({"status":{"aggregatedStatus":null}})"}) {
    std::string object = status;
    object.insert(
        1, absl::StrCat(R"("metadata":{"namespace":"prod","name":)",
                        R"("orders-deployment"})", object == "{}" ? "" : ","));
    List(object);
    EXPECT_NE(bindings_.WhyUnknown(bj_), "") << object;
  }
}

TEST_F(ResourceBindingsTest, AMemberThatLeavesIsNotKnownAnyMore) {
  const std::string status = R"({"replicas":8,"readyReplicas":8})";
  List(Binding("orders-deployment", Member("bj", status)));
  Modify(Binding("orders-deployment", Member("sh", status)));
  EXPECT_NE(bindings_.WhyUnknown(bj_), "");
  EXPECT_EQ(bindings_.Ready(sh_), 8u);
  EXPECT_EQ(bindings_.TakeDeparted(bj_), 0u) << "nobody said that they went";
  ASSERT_TRUE(
      bindings_
          .Apply(EventType::kDeleted,
                 ParseJson(Binding("orders-deployment", "")).value().get())
          .ok());
  EXPECT_THAT(bindings_.WhyUnknown(sh_), HasSubstr("no ResourceBinding"));
  EXPECT_EQ(bindings_.TakeDeparted(sh_), 0u);
}

TEST_F(ResourceBindingsTest, ReplicasThatFallWithTheReadyOnesWereMeantTo) {
  List(Binding("orders-deployment",
               Member("bj", R"({"replicas":8,"readyReplicas":8})")));
  Modify(Binding("orders-deployment",
                 Member("bj", R"({"replicas":8,"readyReplicas":5})")));
  EXPECT_EQ(bindings_.TakeDeparted(bj_), 0u);
  Modify(Binding("orders-deployment",
                 Member("bj", R"({"replicas":2,"readyReplicas":2})")));
  EXPECT_EQ(bindings_.TakeDeparted(bj_), 6u);
}

TEST_F(ResourceBindingsTest, TwoClustersMayBeOneMember) {
  const size_t again = bindings_.Interest("prod", "orders-deployment", "bj");
  EXPECT_NE(again, bj_);
  List(Binding("orders-deployment", Member("bj", R"({"readyReplicas":6})")));
  EXPECT_EQ(bindings_.Ready(again), 6u);
  EXPECT_EQ(bindings_.Ready(bj_), 6u);
}

TEST_F(ResourceBindingsTest, WhatIsWrongIsRefusedAndChangesNothing) {
  const std::string good = Member("bj", R"({"readyReplicas":6})");
  List(Binding("orders-deployment", good));
  std::string many = Member("m", "{}");
  for (size_t i = 0; i < kMaxBindingMembers; ++i)
    many += "," + Member("m", "{}");
  for (const std::string& members :
       {absl::StrCat(good, ",", good), std::string("7"), std::string("{}"),
        Member("", "{}"), Member("bj", "[]"),
        Member("bj", R"({"readyReplicas":-1})"),
        Member("bj", R"({"readyReplicas":1e300})"),
        Member("bj", R"({"readyReplicas":"6"})"),
        Member(std::string(300, 'a'), "{}"), many}) {
    EXPECT_FALSE(Stage(Binding("orders-deployment", members)).ok())
        << members.substr(0, 200);
    EXPECT_FALSE(
        bindings_
            .Apply(
                EventType::kModified,
                ParseJson(Binding("orders-deployment", members)).value().get())
            .ok());
    EXPECT_EQ(bindings_.Ready(bj_), 6u);
  }
  EXPECT_TRUE(Stage(Binding("nobodys", "7")).ok()) << "nobody asked for it";
}

}  // namespace
}  // namespace dynweight

// Tests of counting pods by ready replicas.

#include "watcher/kubernetes/replicas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

using EventType = ObjectSink::EventType;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

std::string Workload(std::string name, std::string status) {
  return absl::StrCat(R"({"metadata":{"namespace":"prod","name":")", name,
                      R"("},"status":)", status, "}");
}

class ReplicasTest : public testing::Test {
 protected:
  ReplicasTest() {
    replicas_->Interest("prod", "orders");
    replicas_->Interest("prod", "users");
  }
  absl::Status Apply(EventType type, std::string_view text) {
    return replicas_->Apply(type, ParseJson(text).value().get());
  }
  void List(const std::vector<std::string>& objects) {
    replicas_->BeginList();
    for (const std::string& object : objects) {
      const absl::Status status =
          replicas_->Stage(ParseJson(object).value().get());
      EXPECT_TRUE(status.ok()) << status;
    }
    replicas_->CommitList();
  }
  uint64_t Orders() { return replicas_->Ready("prod", "orders"); }

  std::unique_ptr<Replicas> replicas_ = Replicas::Create();
};

TEST_F(ReplicasTest, KnowsNothingBeforeTheFirstList) {
  EXPECT_FALSE(replicas_->listed());
  EXPECT_EQ(Orders(), 0u);
}

TEST_F(ReplicasTest, TakesReadyReplicas) {
  List({Workload("orders", R"({"replicas":9,"readyReplicas":7})"),
        Workload("other", R"({"readyReplicas":"never read"})")});
  EXPECT_TRUE(replicas_->listed());
  EXPECT_EQ(Orders(), 7u);
  EXPECT_EQ(replicas_->Ready("prod", "users"), 0u);
  EXPECT_EQ(replicas_->Ready("prod", "other"), 0u);
}

TEST_F(ReplicasTest, AbsentIsZero) {
  for (const char* status : {"{}", "null", R"({"readyReplicas":null})"}) {
    List({Workload("orders", status)});
    EXPECT_EQ(Orders(), 0u);
  }
}

TEST_F(ReplicasTest, RolloutsWriteTheGenerationAsAString) {
  List(
      {Workload("orders", R"({"observedGeneration":"12","readyReplicas":3})")});
  EXPECT_EQ(Orders(), 3u);
}

TEST_F(ReplicasTest, EventsChangeAndDelete) {
  List({Workload("orders", R"({"readyReplicas":3})")});
  replicas_->TakeChanged();
  EXPECT_TRUE(
      Apply(EventType::kModified, Workload("orders", R"({"readyReplicas":5})"))
          .ok());
  EXPECT_EQ(Orders(), 5u);
  EXPECT_THAT(replicas_->TakeChanged(), ElementsAre(Pair("prod", "orders")));
  EXPECT_TRUE(
      Apply(EventType::kDeleted, Workload("orders", R"({"readyReplicas":5})"))
          .ok());
  EXPECT_EQ(Orders(), 0u);
}

TEST_F(ReplicasTest, RelistForgetsWhatIsGoneAndReportsOnlyThat) {
  List({Workload("orders", R"({"readyReplicas":3})"),
        Workload("users", R"({"readyReplicas":2})")});
  EXPECT_EQ(replicas_->TakeChanged().size(), 2u);
  List({Workload("users", R"({"readyReplicas":2})")});
  EXPECT_EQ(Orders(), 0u);
  EXPECT_THAT(replicas_->TakeChanged(), ElementsAre(Pair("prod", "orders")));
}

TEST_F(ReplicasTest, StagedCountsAreInvisible) {
  List({Workload("orders", R"({"readyReplicas":3})")});
  replicas_->BeginList();
  EXPECT_TRUE(
      replicas_
          ->Stage(ParseJson(Workload("orders", R"({"readyReplicas":9})"))
                      .value()
                      .get())
          .ok());
  EXPECT_EQ(Orders(), 3u);
}

TEST_F(ReplicasTest, MistakenEventChangesNothing) {
  List({Workload("orders", R"({"readyReplicas":3})")});
  replicas_->TakeChanged();
  for (const char* count : {"-1", "1.5", "\"3\"", "1e300", "[]", "true"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Apply(
        EventType::kModified,
        Workload("orders", absl::StrCat(R"({"readyReplicas":)", count, "}")))))
        << count;
  }
  EXPECT_EQ(Orders(), 3u);
  EXPECT_THAT(replicas_->TakeChanged(), IsEmpty());
}

TEST_F(ReplicasTest, WhatFallsWithTheReplicasHasDeparted) {
  List({Workload("orders", R"({"replicas":20,"readyReplicas":20})")});
  EXPECT_TRUE(Apply(EventType::kModified,
                    Workload("orders", R"({"replicas":15,"readyReplicas":15})"))
                  .ok());
  EXPECT_EQ(replicas_->TakeDeparted("prod", "orders"), 5u);
  EXPECT_TRUE(Apply(EventType::kModified,
                    Workload("orders", R"({"replicas":14,"readyReplicas":10})"))
                  .ok());
  EXPECT_EQ(replicas_->TakeDeparted("prod", "orders"), 1u);
  EXPECT_EQ(replicas_->TakeDeparted("prod", "orders"), 0u);
}

TEST_F(ReplicasTest, WhatTurnsNotReadyHasNotUntilTheReplicasFall) {
  List({Workload("orders", R"({"replicas":20,"readyReplicas":20})")});
  EXPECT_TRUE(Apply(EventType::kModified,
                    Workload("orders", R"({"replicas":20,"readyReplicas":12})"))
                  .ok());
  EXPECT_EQ(replicas_->TakeDeparted("prod", "orders"), 0u);
  EXPECT_TRUE(Apply(EventType::kModified,
                    Workload("orders", R"({"replicas":17,"readyReplicas":12})"))
                  .ok());
  EXPECT_EQ(replicas_->TakeDeparted("prod", "orders"), 3u);
  replicas_->Accept("prod", "orders");
  EXPECT_TRUE(Apply(EventType::kModified,
                    Workload("orders", R"({"replicas":12,"readyReplicas":12})"))
                  .ok());
  EXPECT_EQ(replicas_->TakeDeparted("prod", "orders"), 0u);
}

TEST_F(ReplicasTest, NeitherAListNorADeletedObjectSaysThatAnythingDeparted) {
  List({Workload("orders", R"({"replicas":20,"readyReplicas":20})")});
  List({Workload("orders", R"({"replicas":9,"readyReplicas":9})")});
  EXPECT_EQ(replicas_->TakeDeparted("prod", "orders"), 0u);
  EXPECT_TRUE(Apply(EventType::kDeleted,
                    Workload("orders", R"({"replicas":9,"readyReplicas":9})"))
                  .ok());
  EXPECT_EQ(replicas_->TakeDeparted("prod", "orders"), 0u);
  EXPECT_EQ(replicas_->WhyNone("prod", "orders"),
            "no object orders in prod: is there one of this name?");
}

// Its owner deletes an Ingress; a list that lacks it says nothing of why.
TEST(PresenceTest, CountsObjectsAndADeletedOneWasMeantToGo) {
  const auto presence = Replicas::Create(Replicas::Counts::kPresence);
  presence->Interest("prod", "orders");
  const auto list = [&presence](bool there) {
    presence->BeginList();
    if (there) {
      ASSERT_TRUE(
          presence->Stage(ParseJson(Workload("orders", "{}")).value().get())
              .ok());
    }
    presence->CommitList();
  };
  const auto apply = [&presence](EventType type) {
    const auto object = ParseJson(Workload("orders", "null"));
    ASSERT_TRUE(presence->Apply(type, object.value().get()).ok());
  };
  list(true);
  EXPECT_EQ(presence->Ready("prod", "orders"), 1u);
  apply(EventType::kModified);
  EXPECT_EQ(presence->Ready("prod", "orders"), 1u);
  EXPECT_EQ(presence->TakeDeparted("prod", "orders"), 0u);
  apply(EventType::kDeleted);
  EXPECT_EQ(presence->Ready("prod", "orders"), 0u);
  EXPECT_EQ(presence->TakeDeparted("prod", "orders"), 1u);
  EXPECT_EQ(presence->WhyNone("prod", "orders"),
            "no object orders in prod: its lines count no pods");
  apply(EventType::kAdded);
  list(false);
  EXPECT_EQ(presence->Ready("prod", "orders"), 0u);
  EXPECT_EQ(presence->TakeDeparted("prod", "orders"), 0u) << "by a list";
}

}  // namespace
}  // namespace dynweight

// Tests of counting pods by label selector.

#include "watcher/kubernetes/pods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

using EventType = ObjectSink::EventType;
using testing::ElementsAre;
using testing::IsEmpty;

std::string PodJson(std::string name, std::string host,
                    std::string ready = "True", std::string phase = "Running",
                    std::string metadata = "") {
  return absl::StrCat(
      R"({"metadata":{"namespace":"prod","name":")", name, "\"", metadata,
      R"(},"spec":{"nodeName":"node-)", host, R"("},"status":{"phase":")",
      phase, R"(","hostIP":")", host,
      R"(","conditions":[{"type":"PodScheduled","status":"True"},)",
      R"({"type":"Ready","status":")", ready, R"("}]}})");
}

class PodsTest : public testing::Test {
 protected:
  absl::Status Apply(EventType type, std::string_view text) {
    return pods_->Apply(type, ParseJson(text).value().get());
  }
  void List(const std::vector<std::string>& objects) {
    pods_->BeginList();
    for (const std::string& object : objects) {
      const absl::Status status = pods_->Stage(ParseJson(object).value().get());
      EXPECT_TRUE(status.ok()) << status;
    }
    pods_->CommitList();
  }
  std::vector<std::string> Hosts() {
    std::vector<std::string> result;
    for (const IngressNode& node : pods_->Hosts()) {
      result.push_back(absl::StrCat(node.name, "@", node.address.ToString()));
    }
    return result;
  }

  std::unique_ptr<Pods> pods_ = Pods::Create();
};

TEST_F(PodsTest, KnowsNothingBeforeTheFirstList) {
  EXPECT_FALSE(pods_->listed());
  List({});
  EXPECT_TRUE(pods_->listed());
  EXPECT_EQ(pods_->Ready(), 0u);
}

TEST_F(PodsTest, CountsRunningReadyPodsThatStay) {
  List({PodJson("a", "10.0.0.1"), PodJson("b", "10.0.0.1", "False"),
        PodJson("c", "10.0.0.2", "True", "Succeeded"),
        PodJson("d", "10.0.0.2", "True", "Running",
                R"(,"deletionTimestamp":"2026-01-01T00:00:00Z")"),
        R"({"metadata":{"namespace":"prod","name":"e"}})",
        R"({"metadata":{"namespace":"prod","name":"f"},)"
        R"("status":{"phase":"Pending"}})"});
  EXPECT_EQ(pods_->Ready(), 1u);
  EXPECT_THAT(Hosts(), ElementsAre("node-10.0.0.1@10.0.0.1"));
}

TEST_F(PodsTest, HostsAreDistinctAndSorted) {
  List({PodJson("a", "10.0.0.2"), PodJson("b", "10.0.0.1"),
        PodJson("c", "10.0.0.2")});
  EXPECT_EQ(pods_->Ready(), 3u);
  EXPECT_THAT(Hosts(),
              ElementsAre("node-10.0.0.1@10.0.0.1", "node-10.0.0.2@10.0.0.2"));
}

TEST_F(PodsTest, PodWithoutAHostAddressCountsButIsNoHost) {
  List({PodJson("a", "")});
  EXPECT_EQ(pods_->Ready(), 1u);
  EXPECT_THAT(Hosts(), IsEmpty());
}

TEST_F(PodsTest, EventsAddChangeAndDelete) {
  List({PodJson("a", "10.0.0.1")});
  pods_->TakeChanged();
  EXPECT_TRUE(Apply(EventType::kAdded, PodJson("b", "10.0.0.2")).ok());
  EXPECT_EQ(pods_->Ready(), 2u);
  EXPECT_TRUE(pods_->TakeChanged());
  EXPECT_TRUE(
      Apply(EventType::kModified, PodJson("a", "10.0.0.1", "False")).ok());
  EXPECT_EQ(pods_->Ready(), 1u);
  EXPECT_TRUE(Apply(EventType::kDeleted, PodJson("b", "10.0.0.2")).ok());
  EXPECT_EQ(pods_->Ready(), 0u);
}

TEST_F(PodsTest, StagedPodsAreInvisible) {
  List({PodJson("a", "10.0.0.1")});
  pods_->TakeChanged();
  pods_->BeginList();
  EXPECT_TRUE(
      pods_->Stage(ParseJson(PodJson("b", "10.0.0.2")).value().get()).ok());
  EXPECT_EQ(pods_->Ready(), 1u);
  EXPECT_FALSE(pods_->TakeChanged());
}

TEST_F(PodsTest, RelistOfTheSameChangesNothing) {
  List({PodJson("a", "10.0.0.1")});
  pods_->TakeChanged();
  List({PodJson("a", "10.0.0.1")});
  EXPECT_FALSE(pods_->TakeChanged());
}

TEST_F(PodsTest, MistakenEventChangesNothing) {
  List({PodJson("a", "10.0.0.1")});
  pods_->TakeChanged();
  for (const char* text :
       {"{}", R"({"metadata":{"name":"a"}})",
        R"({"metadata":{"name":"a","namespace":"prod"},"status":1})",
        R"({"metadata":{"name":"a","namespace":"prod"},"status":{"phase":1}})",
        R"({"metadata":{"name":"a","namespace":"prod"},"spec":"x"})",
        R"({"metadata":{"name":"a","namespace":"prod"},)"
        R"("status":{"hostIP":[]}})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Apply(EventType::kModified, text)))
        << text;
  }
  EXPECT_EQ(pods_->Ready(), 1u);
  EXPECT_FALSE(pods_->TakeChanged());
}

constexpr char kDeleting[] = R"(,"deletionTimestamp":"2026-01-01T00:00:00Z")";

TEST_F(PodsTest, WhatIsBeingDeletedHasDepartedOnce) {
  List({PodJson("a", "10.0.0.1"), PodJson("b", "10.0.0.2")});
  const std::string going =
      PodJson("a", "10.0.0.1", "True", "Running", kDeleting);
  EXPECT_TRUE(Apply(EventType::kModified, going).ok());
  const Departed departed = pods_->TakeDeparted();
  EXPECT_EQ(departed.count, 1u);
  EXPECT_THAT(departed.addresses, ElementsAre(*IpAddress::Parse("10.0.0.1")));
  EXPECT_TRUE(Apply(EventType::kDeleted, going).ok());
  EXPECT_EQ(pods_->TakeDeparted().count, 0u);
  EXPECT_EQ(pods_->Ready(), 1u);
}

TEST_F(PodsTest, WhatTurnsNotReadyHasNotUntilItIsDeleted) {
  List({PodJson("a", "10.0.0.1"), PodJson("b", "10.0.0.2")});
  for (const char* name : {"a", "b"}) {
    EXPECT_TRUE(
        Apply(EventType::kModified, PodJson(name, "10.0.0.1", "False")).ok());
  }
  EXPECT_EQ(pods_->TakeDeparted().count, 0u);
  EXPECT_EQ(pods_->UnreadyHosts().size(), 1u);
  EXPECT_TRUE(Apply(EventType::kModified,
                    PodJson("a", "10.0.0.1", "False", "Running", kDeleting))
                  .ok());
  EXPECT_EQ(pods_->TakeDeparted().count, 1u);
  pods_->Accept();
  EXPECT_TRUE(Apply(EventType::kModified,
                    PodJson("b", "10.0.0.1", "False", "Running", kDeleting))
                  .ok());
  EXPECT_EQ(pods_->TakeDeparted().count, 0u);
}

TEST_F(PodsTest, WhatOnlyAListSaysHasNotDeparted) {
  List({PodJson("a", "10.0.0.1"), PodJson("b", "10.0.0.2")});
  List({PodJson("a", "10.0.0.1", "True", "Running", kDeleting)});
  EXPECT_EQ(pods_->TakeDeparted().count, 0u);
  EXPECT_EQ(pods_->Ready(), 0u);
}

TEST_F(PodsTest, WhyThereIsNone) {
  List({});
  EXPECT_EQ(pods_->WhyNone(), "no pod matches");
  List({PodJson("a", "10.0.0.1", "False"),
        PodJson("b", "10.0.0.1", "False", "Succeeded")});
  EXPECT_EQ(pods_->WhyNone(),
            "2 match, 1 not ready, 1 terminating or finished");
}

}  // namespace
}  // namespace dynweight

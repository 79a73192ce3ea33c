// Tests of what a cluster watcher makes of instances.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "watcher/testing/cluster_watcher_fixture.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kKey[] = "service=prod/orders port=http";
constexpr char kTerminatingSlice[] =
    R"({"ready":false,"serving":true,"terminating":true})";
constexpr char kReadyNow[] = R"({"ready":true})";

struct PodOf {
  int n;
  std::string conditions = kReadyNow;
};

std::string PodSlice(const std::vector<PodOf>& pods,
                     const std::string& port = "http") {
  std::vector<std::string> endpoints;
  for (const PodOf& pod : pods) {
    endpoints.push_back(absl::StrCat(R"({"addresses":["10.0.0.)", pod.n,
                                     R"("],"conditions":)", pod.conditions,
                                     R"(,"targetRef":{"uid":"u)", pod.n,
                                     R"(","name":"orders-)", pod.n, R"("}})"));
  }
  return absl::StrCat(R"({"metadata":{"name":"orders-1","namespace":"prod",)",
                      R"("labels":{"kubernetes.io/service-name":"orders"}},)",
                      R"("addressType":"IPv4","ports":[{"name":")", port,
                      R"(","port":8080}],"endpoints":[)",
                      absl::StrJoin(endpoints, ","), "]}");
}

std::vector<PodOf> Some(int first, int last) {
  std::vector<PodOf> pods;
  for (int n = first; n <= last; ++n) pods.push_back({n});
  return pods;
}

class ClusterWatcherInstancesTest : public ClusterWatcherTest {
 protected:
  ClusterWatcherInstancesTest() {
    config_.lines[0].kind = LineConfig::Kind::kInstances;
    config_.lines[0].source = kKey;
    config_.lines[0].port = 0;
  }

  // The numbers of the pods in force; -1: not known.
  std::vector<int> InForce() const {
    const auto it = view_.instances.find(kKey);
    if (it == view_.instances.end()) return {-1};
    std::vector<int> numbers;
    for (const Instance& instance : it->second.instances) {
      numbers.push_back(instance.address.bytes[3]);
    }
    return numbers;
  }
  bool None() const { return view_.instances.at(kKey).none; }
  std::string Warnings() const {
    return absl::StrJoin(watcher_->Status().warnings, "\n");
  }
};

TEST_F(ClusterWatcherInstancesTest, AreInForceAtOnce) {
  Start();
  EXPECT_THAT(InForce(), ElementsAre(-1));
  reflector_->List({PodSlice(Some(1, 3))});
  EXPECT_THAT(InForce(), ElementsAre(1, 2, 3));
  EXPECT_THAT(watcher_->TakeChanges().sources, ElementsAre(kKey));
  EXPECT_EQ(view_.instances.at(kKey).instances[0].port, 8080);
  EXPECT_EQ(view_.instances.at(kKey).instances[0].name, "orders-1");
  reflector_->Modify(PodSlice(Some(1, 4)));
  EXPECT_THAT(InForce(), ElementsAre(1, 2, 3, 4));
}

TEST_F(ClusterWatcherInstancesTest, ThoseThatTerminateLeaveAtOnce) {
  Start();
  reflector_->List({PodSlice(Some(1, 4))});
  reflector_->Modify(PodSlice({{1}, {2, kTerminatingSlice}, {3}, {4}, {5}}));
  EXPECT_THAT(InForce(), ElementsAre(1, 3, 4, 5));
  reflector_->Modify(PodSlice({{1}, {3}, {4}, {5}}));
  EXPECT_THAT(InForce(), ElementsAre(1, 3, 4, 5));
  // However many: their owner means it.
  reflector_->Modify(PodSlice({{1},
                               {3, kTerminatingSlice},
                               {4, kTerminatingSlice},
                               {5, kTerminatingSlice}}));
  EXPECT_THAT(InForce(), ElementsAre(1));
  EXPECT_EQ(reflector_->consistent_requests, 0);
}

TEST_F(ClusterWatcherInstancesTest, ThoseThatVanishAreHeldBack) {
  Start();
  reflector_->List({PodSlice(Some(1, 10))});
  reflector_->Modify(PodSlice(Some(8, 10)));
  EXPECT_THAT(InForce(), SizeIs(10));
  EXPECT_THAT(LogText(), HasSubstr("instances 10 -> 3 held back"));
  Pass(5000);
  EXPECT_EQ(reflector_->consistent_requests, 1);
  reflector_->List({PodSlice(Some(8, 10))}, /*consistent=*/true);
  EXPECT_THAT(InForce(), ElementsAre(8, 9, 10));
}

TEST_F(ClusterWatcherInstancesTest, NewOnesServeWhileALossIsHeldBack) {
  Start();
  reflector_->List({PodSlice(Some(1, 10))});
  reflector_->Modify(PodSlice(Some(10, 12)));
  EXPECT_THAT(InForce(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
  Pass(5000);
  reflector_->List({PodSlice(Some(10, 12))}, /*consistent=*/true);
  EXPECT_THAT(InForce(), ElementsAre(10, 11, 12));
}

TEST_F(ClusterWatcherInstancesTest, ALoneOneThatVanishesSettlesFirst) {
  Start();
  reflector_->List({PodSlice(Some(1, 4))});
  reflector_->Modify(PodSlice(Some(2, 4)));
  EXPECT_THAT(InForce(), ElementsAre(1, 2, 3, 4));
  Pass(DropGuard::kSettleMs);
  EXPECT_THAT(InForce(), ElementsAre(2, 3, 4));
}

TEST_F(ClusterWatcherInstancesTest, ForCertainNoneIsLeftTheLastStayKnown) {
  Start();
  reflector_->List({PodSlice(Some(1, 3))});
  reflector_->Modify(PodSlice({}));
  EXPECT_FALSE(None());
  Pass(5000);
  EXPECT_FALSE(None()) << "a list must confirm it";
  reflector_->List({PodSlice({})}, /*consistent=*/true);
  EXPECT_TRUE(None());
  EXPECT_THAT(InForce(), ElementsAre(1, 2, 3));
  EXPECT_THAT(Warnings(), HasSubstr("none serves"));
  reflector_->Modify(PodSlice(Some(7, 7)));
  EXPECT_FALSE(None());
  EXPECT_THAT(InForce(), ElementsAre(7));
  EXPECT_THAT(Warnings(), Not(HasSubstr("none serves")));
}

TEST_F(ClusterWatcherInstancesTest, ThereNeverWasOne) {
  Start();
  reflector_->List({});
  EXPECT_TRUE(None());
  EXPECT_THAT(InForce(), IsEmpty());
  EXPECT_THAT(Warnings(), HasSubstr("no EndpointSlice of a Service orders"));
}

TEST_F(ClusterWatcherInstancesTest, HoldWhileNobodyKnowsTheirPort) {
  Start();
  reflector_->List({PodSlice(Some(1, 3))});
  watcher_->TakeChanges();
  const int64_t observed = view_.instances.at(kKey).observed_ms;
  reflector_->Modify(PodSlice(Some(1, 2), "web"));
  Pass(20000);
  reflector_->delegate()->OnHealthy();
  EXPECT_THAT(InForce(), ElementsAre(1, 2, 3));
  EXPECT_THAT(watcher_->TakeChanges().sources, IsEmpty());
  EXPECT_EQ(view_.instances.at(kKey).observed_ms, observed);
  EXPECT_THAT(Warnings(),
              HasSubstr("none of its ports is named http: it has web 8080; "
                        "the last 3 hold"));
  reflector_->Modify(PodSlice(Some(1, 4)));
  EXPECT_THAT(InForce(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Warnings(), IsEmpty());
}

TEST_F(ClusterWatcherInstancesTest, ADoubtEndsWhatWaited) {
  Start();
  reflector_->List({PodSlice(Some(1, 10))});
  reflector_->Modify(PodSlice(Some(1, 1)));
  reflector_->Modify(PodSlice(Some(1, 1), "web"));
  Pass(5000);
  reflector_->List({PodSlice(Some(1, 1), "web")}, /*consistent=*/true);
  Pass(20000);
  EXPECT_THAT(InForce(), SizeIs(10));
  reflector_->Modify(PodSlice(Some(1, 10)));
  EXPECT_THAT(InForce(), SizeIs(10));
  EXPECT_THAT(Warnings(), IsEmpty());
}

TEST_F(ClusterWatcherInstancesTest, AreMeasuredAgainstWhatWasHeld) {
  InstanceSet& set = view_.instances[kKey];
  for (const PodOf& pod : Some(1, 10)) {
    set.instances.push_back({*IpAddress::Parse(absl::StrCat("10.0.0.", pod.n)),
                             8080, absl::StrCat("orders-", pod.n), 1000});
  }
  Start();
  reflector_->List({PodSlice(Some(1, 2))});
  EXPECT_THAT(InForce(), SizeIs(10));
}

TEST_F(ClusterWatcherInstancesTest, WhatStoodInForThemIsNoMeasure) {
  InstanceSet& set = view_.instances[kKey];
  set.provisional = true;
  for (int n = 1; n <= 10; ++n) {
    set.instances.push_back(
        {*IpAddress::Parse(absl::StrCat("10.0.1.", n)), 80, "", 1000});
  }
  Start();
  reflector_->List({PodSlice(Some(1, 2))});
  EXPECT_THAT(InForce(), ElementsAre(1, 2));
  EXPECT_FALSE(view_.instances.at(kKey).provisional);
}

TEST_F(ClusterWatcherInstancesTest, SeveralPortsOfAServiceAreReadFromOneWatch) {
  LineConfig line = config_.lines[0];
  line.source = "service=prod/orders port=9090";
  config_.lines.push_back(line);
  Start();
  EXPECT_THAT(reflectors_, SizeIs(1));
  reflector_->List({PodSlice(Some(1, 2))});
  EXPECT_EQ(view_.instances.at(kKey).instances[0].port, 8080);
  EXPECT_EQ(view_.instances.at(line.source).instances[0].port, 9090);
}

}  // namespace
}  // namespace dynweight

// Tests of a control plane as the source of its members' clusters, with the
// guards that what it says goes through.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "watcher/cluster_watcher.h"
#include "watcher/karmada/control_plane.h"
#include "watcher/testing/cluster_watcher_fixture.h"
#include "watcher/testing/manual_clock.h"

namespace dynweight {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kOrders[] = "binding=prod/orders-deployment";

std::string Binding(const std::string& members) {
  return absl::StrCat(R"({"metadata":{"namespace":"prod",)",
                      R"("name":"orders-deployment"},)",
                      R"("status":{"aggregatedStatus":[)", members, "]}}");
}

std::string Ready(const std::string& member, int ready, int all = 100) {
  return absl::StrCat(R"({"clusterName":")", member, R"(","status":{)",
                      R"("replicas":)", all, R"(,"readyReplicas":)", ready,
                      "}}");
}

std::string Both(int bj, int sh) {
  return Binding(absl::StrCat(Ready("bj", bj), ",", Ready("sh", sh)));
}

std::string Cluster(const std::string& name, bool ready) {
  return absl::StrCat(R"({"metadata":{"name":")", name, R"("},"status":{)",
                      R"("conditions":[{"type":"Ready","status":")",
                      ready ? "True" : "False", R"(","reason":"Why"}]}})");
}

class ControlPlaneTest : public testing::Test {
 protected:
  ControlPlaneTest() {
    config_.clusters.resize(3);
    config_.clusters[0].name = "karmada";
    config_.clusters[0].api = {"http://karmada"};
    for (uint32_t i = 1; i <= 2; ++i) {
      ClusterConfig& member = config_.clusters[i];
      member.name = i == 1 ? "b" : "s";
      member.member = i == 1 ? "bj" : "sh";
      member.via = 0;
      member.api = {"http://karmada/proxy"};
      member.nodes.kind = NodeSource::Kind::kAddresses;
      member.guard.confirm_ms = 3000;
      LineConfig line;
      line.cluster = i;
      line.source = kOrders;
      config_.lines.push_back(line);
    }
    views_.resize(3);
  }

  void Start() {
    const ReflectorFactory reflectors = [this](const ReflectorOptions& options,
                                               ObjectSink* sink,
                                               DiscoveryDelegate* delegate) {
      auto reflector =
          std::make_unique<PlayedReflector>(options, sink, delegate);
      ++made_;
      const bool clusters = absl::StrContains(options.path, "/clusters");
      (clusters ? clusters_ : bindings_) = reflector.get();
      options_ = options;
      return reflector;
    };
    const std::shared_ptr<ControlPlane> plane =
        ControlPlane::Create(KarmadaSourcesOf(config_, 0), reflectors);
    ASSERT_NE(plane, nullptr);
    for (uint32_t i = 0; i < 3; ++i) {
      watchers_.push_back(std::make_unique<ClusterWatcher>(
          config_, i, i == 0 ? plane->Sources() : plane->SourcesOf(i),
          &views_[i], &clock_, &log_));
    }
    for (const auto& watcher : watchers_) watcher->Start();
  }
  // Both are ready and have so many.
  void StartWith(int bj, int sh) {
    Start();
    clusters_->List({Cluster("bj", true), Cluster("sh", true)});
    bindings_->List({Both(bj, sh)});
  }
  void Pass(int64_t ms) {
    clock_.now += ms;
    for (const auto& watcher : watchers_) watcher->Tick();
  }
  int64_t Pods(uint32_t cluster) const {
    const auto it = views_[cluster].pods.find(kOrders);
    return it == views_[cluster].pods.end()
               ? -1
               : static_cast<int64_t>(it->second.pods);
  }
  std::string LastError(uint32_t cluster) const {
    return watchers_[cluster]->Status().last_error;
  }
  std::string Warnings(uint32_t cluster) const {
    std::string text;
    for (const std::string& warning : watchers_[cluster]->Status().warnings) {
      absl::StrAppend(&text, warning, "\n");
    }
    return text;
  }
  std::string LogText() {
    std::string text;
    for (const LogLine& line : log_.Take(clock_.now)) {
      absl::StrAppend(&text, line.text, "\n");
    }
    return text;
  }

  WatcherConfig config_;
  std::vector<ClusterView> views_;
  ManualClock clock_;
  LogQueue log_;
  int made_ = 0;
  PlayedReflector* bindings_ = nullptr;
  PlayedReflector* clusters_ = nullptr;
  ReflectorOptions options_;  // of the last one
  std::vector<std::unique_ptr<ClusterWatcher>> watchers_;
};

TEST_F(ControlPlaneTest, OneListOfEachCountsForAllMembers) {
  StartWith(6, 4);
  EXPECT_EQ(made_, 2);
  EXPECT_EQ(bindings_->path(),
            "/apis/work.karmada.io/v1alpha2/namespaces/prod/resourcebindings");
  EXPECT_EQ(clusters_->path(), "/apis/cluster.karmada.io/v1alpha1/clusters");
  EXPECT_EQ(options_.spread_ms, 3000) << "that of the members' guards";
  EXPECT_EQ(Pods(1), 6);
  EXPECT_EQ(Pods(2), 4);
  for (const auto& watcher : watchers_) EXPECT_TRUE(watcher->synced());
  bindings_->Modify(Both(7, 4));
  EXPECT_EQ(Pods(1), 7);
  EXPECT_EQ(Pods(2), 4);
  EXPECT_EQ(watchers_[0]->TakeChanges().sources.size(), 0u);
  EXPECT_THAT(watchers_[1]->TakeChanges().sources, testing::SizeIs(2));
  EXPECT_THAT(watchers_[2]->TakeChanges().sources, testing::SizeIs(1));
}

TEST_F(ControlPlaneTest, NothingCountsBeforeClustersAreKnown) {
  Start();
  bindings_->List({Both(6, 4)});
  EXPECT_EQ(Pods(1), -1);
  EXPECT_FALSE(watchers_[1]->synced());
  clusters_->List({Cluster("bj", true), Cluster("sh", false)});
  EXPECT_EQ(Pods(1), 6);
  EXPECT_EQ(Pods(2), -1) << "nobody knows how old that is";
  EXPECT_TRUE(watchers_[1]->synced());
  EXPECT_FALSE(watchers_[2]->synced());
  EXPECT_THAT(LastError(2), HasSubstr("does not hear member cluster \"sh\""));
}

TEST_F(ControlPlaneTest, OfAMemberThatIsNotHeardNothingCountsUntilItIs) {
  StartWith(6, 4);
  clusters_->Modify(Cluster("bj", false));
  EXPECT_THAT(LastError(1),
              HasSubstr("does not hear member cluster \"bj\" (Why: )"));
  EXPECT_EQ(LastError(2), "");
  EXPECT_EQ(LastError(0), "") << "the control plane itself is well";
  EXPECT_THAT(LogText(), HasSubstr("cluster \"b\": Karmada does not hear"));
  bindings_->Modify(Both(50, 5));
  bindings_->List({Both(60, 6)});
  EXPECT_EQ(Pods(1), 6);
  EXPECT_EQ(Pods(2), 6);
  const int64_t observed = views_[1].pods[kOrders].observed_ms;
  Pass(60000);
  clusters_->Modify(Cluster("sh", true));
  bindings_->Modify(Both(60, 7));
  EXPECT_EQ(views_[1].pods[kOrders].observed_ms, observed) << "its age shows";
  EXPECT_EQ(LogText(), "") << "told once";
  clusters_->Modify(Cluster("bj", true));
  EXPECT_EQ(Pods(1), 60) << "all that was said meanwhile";
  EXPECT_EQ(LastError(1), "");
  EXPECT_THAT(LogText(), HasSubstr("via karmada: works again"));
}

TEST_F(ControlPlaneTest, AMemberThatWasUnjoinedHolds) {
  StartWith(6, 4);
  clusters_->List({Cluster("sh", true)});
  bindings_->Modify(Binding(Ready("sh", 9)));
  EXPECT_EQ(Pods(1), 6);
  EXPECT_EQ(Pods(2), 9);
  EXPECT_THAT(LastError(1), HasSubstr("no member cluster \"bj\""));
}

TEST_F(ControlPlaneTest, ABindingWithoutTheMemberHolds) {
  StartWith(6, 4);
  bindings_->Modify(Binding(Ready("sh", 4)));
  EXPECT_EQ(Pods(1), 6);
  EXPECT_EQ(LastError(1), "") << "nothing fails";
  EXPECT_THAT(Warnings(1), HasSubstr("no status of member cluster \"bj\""));
  EXPECT_THAT(Warnings(1), HasSubstr("the last 6 hold"));
  bindings_->List({});
  EXPECT_EQ(Pods(1), 6);
  EXPECT_EQ(Pods(2), 4);
  EXPECT_THAT(Warnings(2), HasSubstr("no ResourceBinding orders-deployment"));
  bindings_->List({Both(8, 4)});
  EXPECT_EQ(Pods(1), 8);
  EXPECT_EQ(Warnings(1), "");
}

TEST_F(ControlPlaneTest, NeverPlacedThereIsKnownToBeUnknown) {
  Start();
  clusters_->List({Cluster("bj", true), Cluster("sh", true)});
  bindings_->List({Binding(Ready("sh", 4))});
  EXPECT_EQ(Pods(1), -1);
  EXPECT_THAT(Warnings(1), HasSubstr("none is known"));
  EXPECT_TRUE(watchers_[1]->rest_is_refused()) << "no use to wait for it";
}

TEST_F(ControlPlaneTest, WhileClustersCannotBeReadNothingCounts) {
  StartWith(6, 4);
  clusters_->Fail("HTTP 403");
  bindings_->Modify(Both(50, 50));
  EXPECT_EQ(Pods(1), 6);
  EXPECT_EQ(Pods(2), 4);
  EXPECT_THAT(LastError(1), HasSubstr("cluster \"karmada\", via which it is "
                                      "counted, fails: HTTP 403"));
  clusters_->List({Cluster("bj", true), Cluster("sh", true)});
  EXPECT_EQ(Pods(1), 50);
  EXPECT_EQ(Pods(2), 50);
  EXPECT_EQ(LastError(1), "");
}

TEST_F(ControlPlaneTest, WhileBindingsCannotBeReadAllMembersAreFailing) {
  StartWith(6, 4);
  bindings_->Fail("HTTP 403");
  clusters_->Modify(Cluster("bj", true));
  for (const uint32_t i : {0, 1, 2}) {
    EXPECT_THAT(LastError(i), HasSubstr("HTTP 403")) << i;
  }
  bindings_->List({Both(5, 4)});
  for (const uint32_t i : {0, 1, 2}) EXPECT_EQ(LastError(i), "") << i;
}

TEST_F(ControlPlaneTest, ADropIsConfirmedByOneListForAllMembers) {
  StartWith(60, 40);
  bindings_->Modify(Both(2, 1));
  EXPECT_EQ(Pods(1), 60);
  Pass(3000);
  EXPECT_EQ(bindings_->consistent_requests, 2) << "the reflector asks once";
  EXPECT_EQ(clusters_->consistent_requests, 0);
  bindings_->List({Both(2, 1)}, /*consistent=*/true);
  EXPECT_EQ(Pods(1), 2);
  EXPECT_EQ(Pods(2), 1);
}

TEST_F(ControlPlaneTest, WhatWasSaidOfAHungMemberConfirmsNothing) {
  StartWith(60, 40);
  bindings_->Modify(Both(2, 40));
  Pass(1000);
  clusters_->Modify(Cluster("bj", false));
  Pass(2000);
  const int asked = bindings_->consistent_requests;
  EXPECT_EQ(asked, 1);
  bindings_->List({Both(2, 40)}, /*consistent=*/true);
  Pass(60000);
  EXPECT_EQ(Pods(1), 60);
  clusters_->Modify(Cluster("bj", true));
  EXPECT_EQ(Pods(1), 60);
  EXPECT_EQ(bindings_->consistent_requests, asked + 1) << "asked again";
  bindings_->List({Both(2, 40)}, /*consistent=*/true);
  EXPECT_EQ(Pods(1), 2);
}

TEST_F(ControlPlaneTest, AFallThatSettlesDoesNotWhileItsMemberIsNotHeard) {
  StartWith(60, 40);
  bindings_->Modify(Both(50, 40));
  clusters_->Modify(Cluster("bj", false));
  Pass(10000);
  EXPECT_EQ(Pods(1), 60);
  clusters_->Modify(Cluster("bj", true));
  Pass(10000);
  EXPECT_EQ(Pods(1), 50);
}

TEST_F(ControlPlaneTest, WhatIsHeldFromBeforeHoldsWhileTheMemberIsNotHeard) {
  views_[1].pods[kOrders].pods = 6;
  Start();
  clusters_->List({Cluster("bj", false), Cluster("sh", true)});
  bindings_->List({Both(1, 4)});
  EXPECT_EQ(Pods(1), 6);
  EXPECT_EQ(Pods(2), 4);
  EXPECT_THAT(LastError(1), HasSubstr("does not hear"));
  EXPECT_THAT(LastError(2), Not(HasSubstr("does not hear")));
}

TEST_F(ControlPlaneTest, ManyBindingsAreStillOneCollection) {
  for (int i = 0; i < 200; ++i) {
    LineConfig line;
    line.cluster = 1 + i % 2;
    line.source = absl::StrCat("binding=prod/app-", i);
    config_.lines.push_back(line);
  }
  LineConfig line;
  line.cluster = 1;
  line.source = "binding=shop/orders-deployment";
  config_.lines.push_back(line);
  Start();
  EXPECT_EQ(made_, 2);
  EXPECT_EQ(bindings_->path(),
            "/apis/work.karmada.io/v1alpha2/resourcebindings");
}

}  // namespace
}  // namespace dynweight

// Tests of what a cluster watcher holds back, and for how long.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/cluster_watcher_fixture.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(ClusterWatcherTest, MassNotReadyThatPassesChangesNothing) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  watcher_->TakeChanges();
  reflector_->Modify(Slice("orders", 0));
  reflector_->Modify(Slice("edge", 0));
  Pass(3000);
  reflector_->Modify(Slice("orders", 12));
  reflector_->Modify(Slice("edge", 3));
  Pass(10000);
  EXPECT_EQ(reflector_->consistent_requests, 0);
  const ClusterChanges changes = watcher_->TakeChanges();
  EXPECT_FALSE(changes.nodes);
  EXPECT_THAT(changes.sources, IsEmpty());
}

TEST_F(ClusterWatcherTest, MassNotReadyToldPodByPodChangesNothing) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  watcher_->TakeChanges();
  for (int pods = 11; pods >= 0; --pods) {
    reflector_->Modify(Slice("orders", pods));
    if (pods % 4 == 0) reflector_->Modify(Slice("edge", pods / 4));
    Pass(90);
  }
  Pass(2000);
  for (int pods = 1; pods <= 12; ++pods) {
    reflector_->Modify(Slice("orders", pods));
    if (pods % 4 == 0) reflector_->Modify(Slice("edge", pods / 4));
    Pass(90);
  }
  Pass(10000);
  const ClusterChanges changes = watcher_->TakeChanges();
  EXPECT_FALSE(changes.nodes);
  EXPECT_THAT(changes.sources, IsEmpty());
  EXPECT_EQ(watcher_->DeadlineMs(), kNever);
}

TEST_F(ClusterWatcherTest, ALonePodThatLeavesCountsWhenItHasSettled) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  reflector_->Modify(Slice("orders", 11));
  EXPECT_EQ(watcher_->DeadlineMs(), clock_.now + DropGuard::kSettleMs);
  Pass(DropGuard::kSettleMs - 1);
  EXPECT_EQ(Pods(), 12u);
  Pass(1);
  EXPECT_EQ(Pods(), 11u);
  EXPECT_EQ(watcher_->DeadlineMs(), kNever);
  EXPECT_EQ(reflector_->consistent_requests, 0);
}

TEST_F(ClusterWatcherTest, APodThatComesCountsAtOnceAlsoWhileAFallSettles) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  reflector_->Modify(Slice("orders", 11));
  reflector_->Modify(Slice("orders", 13));
  EXPECT_EQ(Pods(), 13u);
  EXPECT_EQ(watcher_->DeadlineMs(), kNever);
}

TEST_F(ClusterWatcherTest, ALoneNodeThatLeavesCountsWhenItHasSettled) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  reflector_->Modify(Slice("edge", 2));
  EXPECT_EQ(NodeCount(), 3u);
  Pass(DropGuard::kSettleMs);
  EXPECT_EQ(NodeCount(), 2u);
}

TEST_F(ClusterWatcherTest, WhenPolledAFallCountsWhenALaterListRepeatsIt) {
  config_.clusters[0].mode = ClusterConfig::Mode::kPoll;
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  Pass(5000);
  reflector_->List({Slice("orders", 8), Slice("edge", 3)});
  Pass(DropGuard::kSettleMs);
  EXPECT_EQ(Pods(), 12u);
  reflector_->List({Slice("orders", 8), Slice("edge", 3)});
  EXPECT_EQ(Pods(), 8u);
  EXPECT_EQ(watcher_->DeadlineMs(), kNever);
}

TEST_F(ClusterWatcherTest, WhenPolledRarelyAListIsAskedForToSettleAFall) {
  config_.clusters[0].mode = ClusterConfig::Mode::kPoll;
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  reflector_->List({Slice("orders", 8), Slice("edge", 3)});
  Pass(5000);
  EXPECT_EQ(reflector_->consistent_requests, 1);
  EXPECT_EQ(Pods(), 12u);
  reflector_->List({Slice("orders", 7), Slice("edge", 3)}, true);
  EXPECT_EQ(Pods(), 7u);
}

TEST_F(ClusterWatcherTest, AListUnderWayWhenTheDropIsSeenConfirmsNothing) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  const int64_t began = clock_.now;
  Pass(100);
  reflector_->Modify(Slice("orders", 0));
  Pass(5000);
  EXPECT_EQ(reflector_->consistent_requests, 1);
  reflector_->ListAskedAt({Slice("edge", 3)}, began);
  EXPECT_EQ(Pods(), 12u);
  Pass(1000);
  EXPECT_EQ(reflector_->consistent_requests, 1);  // it is still to come
  reflector_->List({Slice("edge", 3)}, true);
  EXPECT_EQ(Pods(), 0u);
}

TEST_F(ClusterWatcherTest,
       AConsistentListNobodyAskedForConfirmsWhenLateEnough) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  reflector_->Modify(Slice("orders", 0));
  clock_.now += 6000;
  reflector_->ListAskedAt({Slice("edge", 3)}, clock_.now - 1);
  EXPECT_EQ(Pods(), 0u);
}

TEST_F(ClusterWatcherTest, OneListConfirmsAllThatWaits) {
  LineConfig carts = config_.lines[0];
  carts.source = "service=prod/carts";
  config_.lines.push_back(carts);
  Start();
  reflector_->List({Slice("orders", 12), Slice("carts", 8), Slice("edge", 4)});
  reflector_->Modify(Slice("orders", 1));
  reflector_->Modify(Slice("carts", 0));
  reflector_->Modify(Slice("edge", 1));
  Pass(5000);
  Pass(100);
  EXPECT_EQ(reflector_->consistent_requests, 1);
  reflector_->List({Slice("orders", 2), Slice("edge", 1)}, true);
  EXPECT_EQ(Pods(), 2u);
  EXPECT_EQ(view_.pods["service=prod/carts"].pods, 0u);
  EXPECT_EQ(NodeCount(), 1u);
}

TEST_F(ClusterWatcherTest, NoListIsReadForADropThatHasPassed) {
  LineConfig carts = config_.lines[0];
  carts.source = "service=prod/carts";
  config_.lines.push_back(carts);
  Start();
  reflector_->List({Slice("orders", 12), Slice("carts", 8), Slice("edge", 4)});
  reflector_->Modify(Slice("orders", 1));
  reflector_->Modify(Slice("carts", 1));
  Pass(5000);
  EXPECT_EQ(reflector_->consistent_requests, 1);
  reflector_->Modify(Slice("orders", 12));
  EXPECT_EQ(reflector_->withdrawn, 0);  // the other still waits
  reflector_->Modify(Slice("carts", 8));
  EXPECT_EQ(reflector_->withdrawn, 1);
  // The next drop is asked about anew.
  reflector_->Modify(Slice("orders", 1));
  Pass(5000);
  EXPECT_EQ(reflector_->consistent_requests, 2);
  reflector_->List({Slice("orders", 1), Slice("carts", 8), Slice("edge", 4)},
                   true);
  EXPECT_EQ(Pods(), 1u);
}

TEST_F(ClusterWatcherTest, AListFromACacheConfirmsNothing) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  reflector_->Modify(Slice("orders", 0));
  Pass(5000);
  reflector_->List({Slice("edge", 3)}, /*consistent=*/false);
  EXPECT_EQ(Pods(), 12u);
}

TEST_F(ClusterWatcherTest, WhileTheConfirmationFailsTheOldValueHolds) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  reflector_->Modify(Slice("orders", 0));
  Pass(5000);
  for (int i = 0; i < 100; ++i) {
    reflector_->Fail("refused");
    Pass(30000);
  }
  EXPECT_EQ(Pods(), 12u);
  EXPECT_EQ(reflector_->consistent_requests, 1);  // it keeps the request
  reflector_->List({Slice("edge", 3)}, true);
  EXPECT_EQ(Pods(), 0u);
}

TEST_F(ClusterWatcherTest, ConfirmingListsAreASecondApart) {
  LineConfig carts = config_.lines[0];
  carts.source = "service=prod/carts";
  config_.lines.push_back(carts);
  Start();
  reflector_->List({Slice("orders", 12), Slice("carts", 8), Slice("edge", 4)});
  reflector_->Modify(Slice("orders", 1));
  clock_.now += 100;
  reflector_->Modify(Slice("carts", 1));
  Pass(4900);
  reflector_->List({Slice("orders", 1), Slice("carts", 1), Slice("edge", 4)},
                   true);
  EXPECT_EQ(Pods(), 1u);
  EXPECT_EQ(view_.pods["service=prod/carts"].pods, 8u);
  Pass(999);
  EXPECT_EQ(reflector_->consistent_requests, 1);
  Pass(1);
  EXPECT_EQ(reflector_->consistent_requests, 2);
}

TEST_F(ClusterWatcherTest, GuardOffAppliesADropAtOnce) {
  config_.clusters[0].guard.on = false;
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  reflector_->Modify(Slice("orders", 0));
  EXPECT_EQ(Pods(), 0u);
}

TEST_F(ClusterWatcherTest, ZeroNodesKeepTheLastAlsoWithTheGuardOff) {
  config_.clusters[0].guard.on = false;
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  LogText();
  reflector_->Modify(Slice("edge", 0));
  EXPECT_EQ(NodeCount(), 3u);
  EXPECT_THAT(LogText(), HasSubstr("none is live: no endpoint is ready; the "
                                   "last 3 stay in use"));
  reflector_->List({Slice("orders", 12), Slice("edge", 0)}, true);
  EXPECT_EQ(NodeCount(), 3u);
  EXPECT_EQ(LogText(), "");  // once
  reflector_->Modify(Slice("edge", 1));
  EXPECT_EQ(NodeCount(), 1u);
}

TEST_F(ClusterWatcherTest, ConfirmedZeroNodesKeepTheLastAndAreToldOnce) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  reflector_->Modify(Slice("edge", 0));
  Pass(5000);
  EXPECT_EQ(reflector_->consistent_requests, 1);
  reflector_->List({Slice("orders", 12)}, true);
  EXPECT_EQ(NodeCount(), 3u);
  EXPECT_THAT(LogText(), HasSubstr("the last 3 stay in use"));
  reflector_->List({Slice("orders", 12)});
  EXPECT_EQ(LogText(), "");
  EXPECT_EQ(watcher_->DeadlineMs(), kNever);
}

TEST_F(ClusterWatcherTest, NodesThatComeBackOneByOneReplaceNotTheLastAtOnce) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 6)});
  reflector_->Modify(Slice("edge", 0));
  Pass(5000);
  reflector_->List({Slice("orders", 12)}, true);
  reflector_->Modify(Slice("edge", 1));
  EXPECT_EQ(NodeCount(), 6u);
  reflector_->Modify(Slice("edge", 4));
  Pass(DropGuard::kSettleMs);
  EXPECT_EQ(NodeCount(), 4u);
}

TEST_F(ClusterWatcherTest, NoNodesInTheFirstListAreKnownToBeNone) {
  Start();
  reflector_->List({Slice("orders", 12)});
  ASSERT_TRUE(view_.nodes);
  EXPECT_THAT(view_.nodes->nodes, IsEmpty());
  EXPECT_TRUE(ViewComplete(config_, 0, view_));
  const std::string why =
      "ingress nodes (service=prod/edge): none is live: no EndpointSlice of a "
      "Service edge in prod: is there one of this name?";
  EXPECT_THAT(LogText(), HasSubstr(why));
  EXPECT_THAT(watcher_->Status().warnings, ElementsAre(why));
  reflector_->Modify(Slice("edge", 1));
  EXPECT_EQ(NodeCount(), 1u);
  EXPECT_THAT(watcher_->Status().warnings, IsEmpty());
}

TEST_F(ClusterWatcherTest, AMisspeltServiceIsToldOnceAndShown) {
  Start();
  reflector_->List({Slice("edge", 3)});
  EXPECT_EQ(Pods(), 0u);
  const std::string why =
      "service=prod/orders: pods: no EndpointSlice of a Service orders in "
      "prod: is there one of this name?";
  EXPECT_THAT(LogText(), HasSubstr(why));
  EXPECT_THAT(watcher_->Status().warnings, ElementsAre(why));
  EXPECT_TRUE(watcher_->TakeChanges().status_at_once);
  reflector_->List({Slice("edge", 3)}, true);
  EXPECT_EQ(LogText(), "");
  reflector_->Modify(Slice("orders", 0));  // it is there, and scaled to zero
  EXPECT_THAT(watcher_->Status().warnings, IsEmpty());
}

// Endpoints of a Service by what is said of each: r(eady), n(ot ready),
// t(erminating), g(one, but shown), anything else: not there.
std::string SliceOf(const std::string& name, const std::string& states) {
  std::string endpoints;
  for (size_t i = 0; i < states.size(); ++i) {
    const char state = states[i];
    if (std::string("rntg").find(state) == std::string::npos) continue;
    absl::StrAppend(
        &endpoints, endpoints.empty() ? "" : ",", R"({"addresses":["10.0.0.)",
        i + 1, R"("],"targetRef":{"uid":")", name, i,
        R"("},"conditions":{"ready":)", state == 'r' ? "true" : "false",
        R"(,"serving":)", state == 'r' || state == 't' ? "true" : "false",
        R"(,"terminating":)", state == 't' || state == 'g' ? "true" : "false",
        "}}");
  }
  return absl::StrCat(
      R"({"metadata":{"name":")", name, R"(-1","namespace":"prod",)",
      R"("labels":{"kubernetes.io/service-name":")", name,
      R"("}},"addressType":"IPv4","endpoints":[)", endpoints, "]}");
}

TEST_F(ClusterWatcherTest, WhatItsOwnerTakesAwayCountsAtOnce) {
  Start();
  reflector_->List({SliceOf("orders", "rrrrrrrrrr"), Slice("edge", 3)});
  reflector_->Modify(SliceOf("orders", "trrrrrrrrr"));
  EXPECT_EQ(Pods(), 9u);
  reflector_->Modify(SliceOf("orders", "gtttttttrr"));
  EXPECT_EQ(Pods(), 2u);
  reflector_->Modify(SliceOf("orders", "--------tt"));
  EXPECT_EQ(Pods(), 2u);  // the last ones still serve
  reflector_->Modify(SliceOf("orders", "----------"));
  EXPECT_EQ(Pods(), 0u);
  EXPECT_EQ(watcher_->DeadlineMs(), kNever);
  EXPECT_EQ(watcher_->Status().held_back, 0u);
}

TEST_F(ClusterWatcherTest, BothInOneFallEachByItsRule) {
  Start();
  reflector_->List({SliceOf("orders", "rrrrrrrrrr"), Slice("edge", 3)});
  reflector_->Modify(SliceOf("orders", "ttnnnnnrrr"));
  EXPECT_EQ(Pods(), 8u);  // 5 of 8 are lost: held back
  EXPECT_TRUE(watcher_->Status().held_back != 0);
  Pass(5000);
  reflector_->List({SliceOf("orders", "ttnnnnnrrr"), Slice("edge", 3)}, true);
  EXPECT_EQ(Pods(), 3u);
}

TEST_F(ClusterWatcherTest, WhatOnlyAListSaysIsStabilized) {
  Start();
  reflector_->List({SliceOf("orders", "rrrrrrrrrr"), Slice("edge", 3)});
  reflector_->List({SliceOf("orders", "ttrrrrrrrr"), Slice("edge", 3)});
  EXPECT_EQ(Pods(), 10u);
  Pass(DropGuard::kSettleMs);
  EXPECT_EQ(Pods(), 8u);
}

TEST_F(ClusterWatcherTest, ANodeWhoseControllerIsTakenAwayLeavesAtOnce) {
  Start();
  reflector_->List({Slice("orders", 12), SliceOf("edge", "rrrrr")});
  reflector_->Modify(SliceOf("edge", "tnrrr"));
  EXPECT_EQ(NodeCount(), 4u);
  EXPECT_EQ(view_.nodes->nodes[0].address, *IpAddress::Parse("10.0.0.2"));
  Pass(DropGuard::kSettleMs);
  EXPECT_EQ(NodeCount(), 3u);
}

TEST_F(ClusterWatcherTest, NodesLostByNotReadyAloneStayWhileTheyAreMost) {
  Start();
  reflector_->List({Slice("orders", 12), SliceOf("edge", "rrrrrrrrrr")});
  LogText();
  std::string states = "rrrrrrrrrr";
  for (char& state : states) {  // one after the other
    state = 'n';
    reflector_->Modify(SliceOf("edge", states));
    Pass(10000);
    reflector_->List({Slice("orders", 12), SliceOf("edge", states)}, true);
    EXPECT_GE(NodeCount(), 5u) << states;
  }
  EXPECT_EQ(NodeCount(), 10u);
  const std::string log = LogText();
  EXPECT_THAT(log, HasSubstr("6 of 10 are not ready; as they are more than "
                             "half, all stay in use"));
  EXPECT_THAT(watcher_->Status().warnings, SizeIs(1));
  reflector_->Modify(SliceOf("edge", "rrrrrrrrrr"));
  EXPECT_THAT(watcher_->Status().warnings, IsEmpty());
}

TEST_F(ClusterWatcherTest, NineOfTenNotReadyForLongerThanConfirmAllStay) {
  Start();
  reflector_->List({Slice("orders", 12), SliceOf("edge", "rrrrrrrrrr")});
  for (int i = 0; i < 10; ++i) {
    reflector_->Modify(SliceOf("edge", "rnnnnnnnnn"));
    Pass(5000);
    reflector_->List({Slice("orders", 12), SliceOf("edge", "rnnnnnnnnn")},
                     true);
  }
  EXPECT_EQ(NodeCount(), 10u);
  // Those whose object is gone are not lost but away.
  reflector_->Modify(SliceOf("edge", "r---------"));
  Pass(5000);
  reflector_->List({Slice("orders", 12), SliceOf("edge", "r---------")}, true);
  EXPECT_EQ(NodeCount(), 1u);
}

TEST_F(ClusterWatcherTest, FlappingAboutTheLimitIsToldOnceAndDecidedByAList) {
  Start();
  reflector_->List({Slice("orders", 100), Slice("edge", 3)});
  LogText();
  for (int second = 0; second < 5; ++second) {
    reflector_->Modify(Slice("orders", second % 2 == 0 ? 48 : 52));
    Pass(1000);
  }
  const std::string log = LogText();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_EQ(reflector_->consistent_requests, 1);
  reflector_->List({Slice("orders", 52), Slice("edge", 3)}, true);
  EXPECT_EQ(Pods(), 52u);
}

// An application that is taken away and made again within the guard's time.
TEST_F(ClusterWatcherTest, NoFallIsHeldBackBehindAnIngressThatIsGone) {
  constexpr char kIngress[] =
      R"({"metadata":{"name":"orders","namespace":"prod"}})";
  config_.lines[0].ingress = "ingress=prod/orders";
  for (const bool pods_first : {false, true}) {
    SCOPED_TRACE(pods_first);
    view_ = ClusterView();
    reflectors_.clear();
    Start();
    ASSERT_EQ(reflectors_.size(), 2u);
    const bool slices_first =
        reflectors_[0]->path().find("endpointslices") != std::string::npos;
    PlayedReflector* slices = reflectors_[slices_first ? 0 : 1];
    PlayedReflector* ingresses = reflectors_[slices_first ? 1 : 0];
    slices->List({Slice("orders", 4), Slice("edge", 3)});
    ingresses->List({kIngress});
    const auto lose_pods = [&] { slices->Modify(Slice("orders", 0)); };
    if (pods_first) lose_pods();
    EXPECT_EQ(Pods(), 4u);
    ingresses->Event(ObjectSink::EventType::kDeleted, kIngress);
    EXPECT_EQ(watcher_->DeadlineMs(), clock_.now);
    Pass(0);
    if (!pods_first) lose_pods();
    EXPECT_EQ(Pods(), 0u);
    ingresses->Event(ObjectSink::EventType::kAdded, kIngress);
    EXPECT_EQ(Pods(), 0u);
    // The guard stands before them again.
    slices->Modify(Slice("orders", 8));
    EXPECT_EQ(Pods(), 8u);
    lose_pods();
    EXPECT_EQ(Pods(), 8u);
  }
}

// Who counts the same pods without an Ingress still gets requests for them.
TEST_F(ClusterWatcherTest, AFallIsHeldBackWhereALineNeedsNoIngress) {
  config_.lines[0].ingress = "ingress=prod/orders";
  config_.lines.push_back(config_.lines[0]);
  config_.lines[1].upstream = "other";
  config_.lines[1].ingress.clear();
  view_.pods["ingress=prod/orders"].pods = 0;
  Hold(4, 3);
  Start();
  for (PlayedReflector* reflector : reflectors_) {
    if (reflector->path().find("endpointslices") == std::string::npos) continue;
    reflector->List({Slice("orders", 0), Slice("edge", 3)});
  }
  EXPECT_EQ(Pods(), 4u);
}

TEST_F(ClusterWatcherTest, DropsThatComeAndGoAreToldOnceAMinute) {
  Start();
  reflector_->List({Slice("orders", 100), Slice("edge", 3)});
  LogText();
  for (int second = 0; second < 50; ++second) {
    reflector_->Modify(Slice("orders", second % 2 == 0 ? 40 : 100));
    clock_.now += 1000;
  }
  const std::string log = LogText();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
}

}  // namespace
}  // namespace dynweight

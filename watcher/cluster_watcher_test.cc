// Tests of what a cluster's view becomes: guards, zero nodes, failover,

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/cluster_watcher_fixture.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(ClusterWatcherTest, NothingIsKnownBeforeTheFirstList) {
  Start();
  EXPECT_TRUE(reflector_->started);
  EXPECT_FALSE(watcher_->synced());
  EXPECT_THAT(view_.pods, IsEmpty());
  EXPECT_FALSE(view_.nodes);
}

TEST_F(ClusterWatcherTest, TheFirstListMakesEverythingKnown) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  EXPECT_TRUE(watcher_->synced());
  EXPECT_EQ(Pods(), 12u);
  EXPECT_EQ(NodeCount(), 3u);
  const ClusterChanges changes = watcher_->TakeChanges();
  EXPECT_TRUE(changes.nodes);
  EXPECT_THAT(changes.sources, ElementsAre("service=prod/orders"));
  EXPECT_TRUE(changes.status_at_once);
  EXPECT_EQ(view_.nodes->observed_ms, clock_.UnixMs());
}

TEST_F(ClusterWatcherTest, AFirstListWithoutPodsIsZeroWhenNothingWasKnown) {
  Start();
  reflector_->List({Slice("edge", 3)});
  EXPECT_EQ(Pods(), 0u);
}

TEST_F(ClusterWatcherTest, AFirstEmptyListAgainstAHeldViewMustBeConfirmed) {
  Hold(12, 3);
  Start();
  reflector_->List({Slice("edge", 3)});
  EXPECT_EQ(Pods(), 12u);
  EXPECT_EQ(watcher_->DeadlineMs(), clock_.now + 5000);
  EXPECT_THAT(LogText(), HasSubstr("pods 12 -> 0 held back"));
  Pass(5000);
  EXPECT_EQ(reflector_->consistent_requests, 1);
  reflector_->List({Slice("edge", 3)}, /*consistent=*/true);
  EXPECT_EQ(Pods(), 0u);
  EXPECT_EQ(watcher_->DeadlineMs(), kNever);
}

TEST_F(ClusterWatcherTest, AnEventChangesOnlyWhatItTouches) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  watcher_->TakeChanges();
  reflector_->Modify(Slice("orders", 13));
  const ClusterChanges changes = watcher_->TakeChanges();
  EXPECT_FALSE(changes.nodes);
  EXPECT_THAT(changes.sources, ElementsAre("service=prod/orders"));
  EXPECT_FALSE(changes.status_at_once);
}

TEST_F(ClusterWatcherTest, AListThatSaysTheSameChangesNoNumber) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  watcher_->TakeChanges();
  Pass(60000);
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  const ClusterChanges changes = watcher_->TakeChanges();
  EXPECT_FALSE(changes.nodes);
  EXPECT_THAT(changes.sources, IsEmpty());
  EXPECT_TRUE(changes.observed);
  EXPECT_EQ(view_.pods["service=prod/orders"].observed_ms, clock_.UnixMs());
}

TEST_F(ClusterWatcherTest, AViewOfAnHourAgoIsToldWhileTheApiIsDown) {
  Hold(12, 3);
  view_.pods["service=prod/orders"].observed_ms =
      clock_.UnixMs() - int64_t{31} * 24 * 3600000;
  view_.nodes->observed_ms = clock_.UnixMs();
  Start();
  reflector_->Fail("connection refused");
  Pass(2 * config_.clusters[0].timeout_ms);
  EXPECT_THAT(LogText(), HasSubstr("a previous run knew 744 h ago"));
  EXPECT_THAT(watcher_->Status().warnings, SizeIs(1));
  EXPECT_EQ(watcher_->Status().observed_ms,
            view_.pods["service=prod/orders"].observed_ms);
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  EXPECT_THAT(watcher_->Status().warnings, IsEmpty());
}

TEST_F(ClusterWatcherTest, CredentialsAreWaitedForAndThenFollowed) {
  std::optional<absl::StatusOr<Credentials>> fresh;
  new_credentials_ = [&fresh] { return std::exchange(fresh, std::nullopt); };
  Start();
  EXPECT_FALSE(reflector_->started);
  fresh = absl::UnauthenticatedError("\"t\" is empty");
  Pass(0);
  EXPECT_FALSE(reflector_->started);
  EXPECT_EQ(watcher_->Status().last_error, "\"t\" is empty");
  fresh = Credentials();
  (*fresh)->token = "first";
  Pass(0);
  EXPECT_TRUE(reflector_->started);
  const Credentials* credentials = reflector_->delegate()->credentials();
  EXPECT_EQ(credentials->token, "first");
  // While they can't be read the last good ones stay.
  fresh = absl::UnauthenticatedError("\"t\" is empty");
  Pass(0);
  EXPECT_EQ(credentials->token, "first");
  EXPECT_THAT(LogText(), HasSubstr("the last good ones stay in use"));
  EXPECT_THAT(watcher_->Status().warnings, SizeIs(1));
  fresh = Credentials();
  (*fresh)->token = "second";
  Pass(0);
  EXPECT_EQ(credentials->token, "second");
  EXPECT_THAT(watcher_->Status().warnings, IsEmpty());
}

TEST_F(ClusterWatcherTest, WhatIsHeldBackKeepsItsTimeOfObservation) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  const int64_t seen = clock_.UnixMs();
  reflector_->Modify(Slice("orders", 0));
  Pass(20000);
  reflector_->delegate()->OnHealthy();
  EXPECT_EQ(view_.pods["service=prod/orders"].observed_ms, seen);
  EXPECT_EQ(view_.nodes->observed_ms, clock_.UnixMs());
}

TEST_F(ClusterWatcherTest, TheNextApiIsUsedWhenOneFailsAndThenStays) {
  Start();
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://a");
  reflector_->delegate()->OnApiFailure("http://a");
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://b");
  // Another informer's request to the first, failing late.
  reflector_->delegate()->OnApiFailure("http://a");
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://b");
  reflector_->delegate()->OnApiFailure("http://b");
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://a");
}

TEST_F(ClusterWatcherTest, TheFirstApiIsTakenByChance) {
  config_.clusters[0].api = {"http://a", "http://b", "http://c"};
  for (const auto& [random, api] :
       {std::pair(0.0, "http://a"), std::pair(0.4, "http://b"),
        std::pair(0.999, "http://c"), std::pair(1.0, "http://c")}) {
    random_ = random;
    Start();
    EXPECT_EQ(reflector_->delegate()->ApiBase(), api);
  }
}

TEST_F(ClusterWatcherTest, AfterAFailureTheOthersAreTakenByChanceAndEachOnce) {
  config_.clusters[0].api = {"http://a", "http://b", "http://c"};
  Start();
  random_ = 0.9;
  reflector_->delegate()->OnApiFailure("http://a");
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://c");
  Pass(1000);
  reflector_->delegate()->OnApiFailure("http://c");
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://b");
  Pass(1000);
  reflector_->delegate()->OnApiFailure("http://b");
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://a");
}

TEST_F(ClusterWatcherTest, AnApiThatWantsToBeLeftAloneIsUntilThen) {
  Start();
  reflector_->delegate()->OnApiBusy("http://a", 120000);
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://b");
  Pass(119000);
  reflector_->delegate()->OnApiFailure("http://b");
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://b");
  Pass(1001);
  reflector_->delegate()->OnApiFailure("http://b");
  EXPECT_EQ(reflector_->delegate()->ApiBase(), "http://a");
}

TEST_F(ClusterWatcherTest, ATroubleIsSaidOnceAndIsNoFailure) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  LogText();
  reflector_->delegate()->OnTrouble("something buffers");
  EXPECT_THAT(LogText(), HasSubstr("cluster \"bj\": something buffers"));
  EXPECT_EQ(watcher_->Status().last_error, "something buffers");
  EXPECT_EQ(watcher_->Status().failing_since_ms, 0);
  reflector_->delegate()->OnHealthy();
  EXPECT_EQ(watcher_->Status().last_error, "something buffers");
  reflector_->delegate()->OnTrouble("");
  EXPECT_THAT(LogText(), HasSubstr("no longer: something buffers"));
  EXPECT_EQ(watcher_->Status().last_error, "");
}

TEST_F(ClusterWatcherTest, WhatIsRefusedAsAWholeIsAskedForByNamespace) {
  LineConfig line = config_.lines[0];
  line.source = "service=team-b/orders";
  config_.lines.push_back(line);
  Start();
  ASSERT_THAT(reflectors_, SizeIs(1));
  EXPECT_EQ(reflector_->path(), "/apis/discovery.k8s.io/v1/endpointslices");
  reflector_->delegate()->OnError(absl::PermissionDeniedError("HTTP 403"));
  watcher_->Tick();
  ASSERT_THAT(reflectors_, SizeIs(3));
  EXPECT_EQ(reflectors_[1]->path(),
            "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices");
  EXPECT_TRUE(reflectors_[1]->started);
  EXPECT_FALSE(watcher_->rest_is_refused());
  // The one is not the other's.
  reflectors_[2]->delegate()->OnError(absl::PermissionDeniedError("HTTP 403"));
  EXPECT_FALSE(watcher_->rest_is_refused());
  reflectors_[1]->List({Slice("orders", 12), Slice("edge", 3)});
  watcher_->Tick();
  EXPECT_THAT(reflectors_, SizeIs(3));
  EXPECT_EQ(Pods(), 12u);
  EXPECT_FALSE(watcher_->synced());
  EXPECT_TRUE(watcher_->rest_is_refused());
  reflectors_[1]->Modify(Slice("orders", 13));
  EXPECT_EQ(Pods(), 13u);
}

TEST_F(ClusterWatcherTest, AFailureIsToldOnceAndSoIsTheRecovery) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  LogText();
  for (int i = 0; i < 10; ++i) reflector_->Fail("connection refused");
  const std::string failure = LogText();
  EXPECT_THAT(failure, HasSubstr("cluster \"bj\": connection refused"));
  EXPECT_EQ(std::count(failure.begin(), failure.end(), '\n'), 1);
  EXPECT_EQ(watcher_->Status().last_error, "connection refused");
  EXPECT_NE(watcher_->Status().failing_since_ms, 0);
  watcher_->TakeChanges();
  reflector_->delegate()->OnHealthy();
  EXPECT_TRUE(watcher_->TakeChanges().status_at_once);
  EXPECT_THAT(LogText(), HasSubstr("works again"));
  EXPECT_EQ(watcher_->Status().failing_since_ms, 0);
  EXPECT_EQ(watcher_->Status().last_error, "");
}

TEST_F(ClusterWatcherTest, ASourceThatIsWellAgainWakesTheOthers) {
  Start();
  reflector_->Fail("refused");
  EXPECT_EQ(reflector_->retries, 0);
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  EXPECT_EQ(reflector_->retries, 1);
  reflector_->Modify(Slice("orders", 13));
  EXPECT_EQ(reflector_->retries, 1);
}

TEST_F(ClusterWatcherTest, WhatNobodyKnowsIsAwaited) {
  Start();
  EXPECT_TRUE(reflector_->delegate()->Awaited());
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  EXPECT_FALSE(reflector_->delegate()->Awaited());
}

TEST_F(ClusterWatcherTest, WhatAPreviousRunKnewIsNotAwaited) {
  Hold(12, 3);
  Start();
  EXPECT_FALSE(reflector_->delegate()->Awaited());
}

TEST_F(ClusterWatcherTest, StatusNamesTheApiModeAndVersions) {
  Start();
  const ClusterStatus status = watcher_->Status();
  EXPECT_EQ(status.api, "http://a");
  EXPECT_EQ(status.mode, "watch");
  EXPECT_FALSE(status.synced);
  EXPECT_EQ(status.last_success_ms, 0);
  EXPECT_THAT(status.resource_versions, SizeIs(1));
}

TEST_F(ClusterWatcherTest, AClusterOfFixedAddressesNeedsNoApi) {
  config_.lines.clear();
  config_.clusters[0].api.clear();
  config_.clusters[0].nodes = NodeSource();
  config_.clusters[0].nodes.kind = NodeSource::Kind::kAddresses;
  Start();
  EXPECT_EQ(reflector_, nullptr);
  EXPECT_TRUE(watcher_->synced());
}

}  // namespace
}  // namespace dynweight

// Tests of what a cluster's view becomes: guards, zero nodes, failover,
// status. The reflectors are played by the tests.

#include "watcher/cluster_watcher.h"

#include <cjson/cJSON.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "watcher/testing/manual_clock.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PlayedReflector : public Reflector {
 public:
  PlayedReflector(ReflectorOptions options, ObjectSink* sink,
                  ReflectorHost* host)
      : options_(std::move(options)), sink_(sink), host_(host) {}

  void Start(int64_t) override { started = true; }
  int64_t Deadline() const override { return kNever; }
  void Tick(int64_t) override {}
  void RequestConsistentList(int64_t now_ms) override {
    ++consistent_requests;
    requested_ms = now_ms;
  }
  const ReflectorStats& stats() const override { return stats_; }

  // `consistent`: the list that was asked for.
  void List(const std::vector<std::string>& objects, bool consistent = false) {
    ListAskedAt(objects,
                consistent ? std::optional(requested_ms) : std::nullopt);
  }
  void ListAskedAt(const std::vector<std::string>& objects,
                   std::optional<int64_t> asked_ms) {
    sink_->BeginList();
    for (const std::string& object : objects) {
      ASSERT_TRUE(With(object, [this](const cJSON* json) {
                    return sink_->Stage(json);
                  }).ok());
    }
    sink_->CommitList();
    ++stats_.lists;
    host_->OnList(asked_ms);
    host_->OnHealthy();
  }
  void Event(ObjectSink::EventType type, const std::string& object) {
    ASSERT_TRUE(With(object, [this, type](const cJSON* json) {
                  return sink_->Apply(type, json);
                }).ok());
    host_->OnEvent();
    host_->OnHealthy();
  }
  void Modify(const std::string& object) {
    Event(ObjectSink::EventType::kModified, object);
  }
  void Fail(const std::string& reason) {
    host_->OnApiFailure(host_->ApiBase());
    host_->OnError(absl::UnavailableError(reason));
  }
  ReflectorHost* host() { return host_; }
  const std::string& path() const { return options_.path; }

  bool started = false;
  int consistent_requests = 0;
  int64_t requested_ms = 0;

 private:
  static absl::Status With(
      const std::string& text,
      const std::function<absl::Status(const cJSON*)>& use) {
    const std::unique_ptr<cJSON, decltype(&cJSON_Delete)> json(
        cJSON_Parse(text.c_str()), &cJSON_Delete);
    return use(json.get());
  }

  ReflectorOptions options_;
  ObjectSink* sink_;
  ReflectorHost* host_;
  ReflectorStats stats_;
};

// An EndpointSlice of `name` in "prod" with `ready` pods.
std::string Slice(const std::string& name, int ready) {
  std::string endpoints;
  for (int i = 0; i < ready; ++i) {
    absl::StrAppend(&endpoints, i == 0 ? "" : ",", R"({"addresses":["10.0.0.)",
                    i + 1, R"("],"targetRef":{"uid":")", name, i, R"("}})");
  }
  return absl::StrCat(
      R"({"metadata":{"name":")", name, R"(-1","namespace":"prod",)",
      R"("labels":{"kubernetes.io/service-name":")", name,
      R"("}},"addressType":"IPv4","endpoints":[)", endpoints, "]}");
}

class ClusterWatcherTest : public ::testing::Test {
 protected:
  ClusterWatcherTest() {
    config_.clusters.resize(1);
    ClusterConfig& cluster = config_.clusters[0];
    cluster.name = "bj";
    cluster.api = {"http://a", "http://b"};
    cluster.nodes.kind = NodeSource::Kind::kService;
    cluster.nodes.ns = "prod";
    cluster.nodes.name = "edge";
    LineConfig line;
    line.upstream = "orders";
    line.source = "service=prod/orders";
    config_.lines.push_back(line);
    view_.cluster = "bj";
  }

  void Hold(uint64_t pods, int nodes) {
    view_.pods["service=prod/orders"].pods = pods;
    view_.nodes.emplace();
    for (int i = 0; i < nodes; ++i) {
      view_.nodes->nodes.push_back(
          {*IpAddress::Parse(absl::StrCat("10.0.0.", i + 1)), ""});
    }
  }

  void Start() {
    watcher_ = std::make_unique<ClusterWatcher>(
        config_, 0, &view_, &clock_, &log_,
        [this](const ReflectorOptions& options, ObjectSink* sink,
               ReflectorHost* host) {
          auto reflector =
              std::make_unique<PlayedReflector>(options, sink, host);
          reflector_ = reflector.get();
          reflectors_.push_back(reflector_);
          return reflector;
        },
        new_credentials_, [this] { return random_; });
    watcher_->Start();
  }

  void Pass(int64_t ms) {
    clock_.now += ms;
    watcher_->Tick();
  }
  uint64_t Pods() const {
    const auto it = view_.pods.find("service=prod/orders");
    return it == view_.pods.end() ? UINT64_MAX : it->second.pods;
  }
  size_t NodeCount() const { return view_.nodes->nodes.size(); }
  std::string LogText() {
    std::string text;
    for (const LogLine& line : log_.Take(clock_.now)) {
      absl::StrAppend(&text, line.text, "\n");
    }
    return text;
  }

  WatcherConfig config_;
  ClusterView view_;
  ManualClock clock_;
  ChangeLog log_;
  ClusterWatcher::NewCredentials new_credentials_;
  std::unique_ptr<ClusterWatcher> watcher_;
  PlayedReflector* reflector_ = nullptr;  // the one of the EndpointSlices
  std::vector<PlayedReflector*> reflectors_;  // all there ever were
  double random_ = 0;
};

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

TEST_F(ClusterWatcherTest, AViewOfAnHourAgoIsToldWhileTheApiIsDown) {
  Hold(12, 3);
  view_.pods["service=prod/orders"].observed_ms =
      clock_.UnixMs() - int64_t{31} * 24 * 3600000;
  view_.nodes->observed_ms = clock_.UnixMs();
  Start();
  reflector_->Fail("connection refused");
  Pass(2 * config_.clusters[0].timeout_ms);
  EXPECT_THAT(LogText(), HasSubstr("was told 744 h ago"));
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
  const Credentials* credentials = reflector_->host()->credentials();
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
  reflector_->host()->OnHealthy();
  EXPECT_EQ(view_.pods["service=prod/orders"].observed_ms, seen);
  EXPECT_EQ(view_.nodes->observed_ms, clock_.UnixMs());
}

TEST_F(ClusterWatcherTest, TheNextApiIsUsedWhenOneFailsAndThenStays) {
  Start();
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://a");
  reflector_->host()->OnApiFailure("http://a");
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://b");
  // Another feed's request to the first, failing late.
  reflector_->host()->OnApiFailure("http://a");
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://b");
  reflector_->host()->OnApiFailure("http://b");
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://a");
}

TEST_F(ClusterWatcherTest, TheFirstApiIsTakenByChance) {
  config_.clusters[0].api = {"http://a", "http://b", "http://c"};
  for (const auto& [random, api] :
       {std::pair(0.0, "http://a"), std::pair(0.4, "http://b"),
        std::pair(0.999, "http://c"), std::pair(1.0, "http://c")}) {
    random_ = random;
    Start();
    EXPECT_EQ(reflector_->host()->ApiBase(), api);
  }
}

TEST_F(ClusterWatcherTest, AfterAFailureTheOthersAreTakenByChanceAndEachOnce) {
  config_.clusters[0].api = {"http://a", "http://b", "http://c"};
  Start();
  random_ = 0.9;
  reflector_->host()->OnApiFailure("http://a");
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://c");
  Pass(1000);
  reflector_->host()->OnApiFailure("http://c");
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://b");
  Pass(1000);
  reflector_->host()->OnApiFailure("http://b");
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://a");
}

TEST_F(ClusterWatcherTest, AnApiThatWantsToBeLeftAloneIsUntilThen) {
  Start();
  reflector_->host()->OnApiBusy("http://a", 120000);
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://b");
  Pass(119000);
  reflector_->host()->OnApiFailure("http://b");
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://b");
  Pass(1001);
  reflector_->host()->OnApiFailure("http://b");
  EXPECT_EQ(reflector_->host()->ApiBase(), "http://a");
}

TEST_F(ClusterWatcherTest, ATroubleIsSaidOnceAndIsNoFailure) {
  Start();
  reflector_->List({Slice("orders", 12), Slice("edge", 3)});
  LogText();
  reflector_->host()->OnTrouble("something buffers");
  EXPECT_THAT(LogText(), HasSubstr("cluster \"bj\": something buffers"));
  EXPECT_EQ(watcher_->Status().last_error, "something buffers");
  EXPECT_EQ(watcher_->Status().failing_since_ms, 0);
  reflector_->host()->OnHealthy();
  EXPECT_EQ(watcher_->Status().last_error, "something buffers");
  reflector_->host()->OnTrouble("");
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
  reflector_->host()->OnError(absl::PermissionDeniedError("HTTP 403"));
  watcher_->Tick();
  ASSERT_THAT(reflectors_, SizeIs(3));
  EXPECT_EQ(reflectors_[1]->path(),
            "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices");
  EXPECT_TRUE(reflectors_[1]->started);
  EXPECT_FALSE(watcher_->rest_is_refused());
  // The one is not the other's.
  reflectors_[2]->host()->OnError(absl::PermissionDeniedError("HTTP 403"));
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
  reflector_->host()->OnHealthy();
  EXPECT_TRUE(watcher_->TakeChanges().status_at_once);
  EXPECT_THAT(LogText(), HasSubstr("works again"));
  EXPECT_EQ(watcher_->Status().failing_since_ms, 0);
  EXPECT_EQ(watcher_->Status().last_error, "");
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

// Tests of the watcher as a whole, against fake clusters.

#include "watcher/watcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "watcher/state/state_file.h"
#include "watcher/testing/temporary_directory.h"
#include "watcher/testing/watcher_fixture.h"

namespace dynweight {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class WatcherModeTest
    : public WatcherTest,
      public ::testing::WithParamInterface<ClusterConfig::Mode> {};

INSTANTIATE_TEST_SUITE_P(Modes, WatcherModeTest,
                         ::testing::Values(kWatch, kPoll),
                         [](const auto& mode) {
                           return mode.param == kWatch ? "Watch" : "Poll";
                         });

TEST_P(WatcherModeTest, WeightsFollowAScaleUp) {
  FakeCluster* fake = AddCluster("bj", GetParam());
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(0) == 40; }));
  fake->SetApp({"prod", "orders", 30});
  fake->SetIngressService("edge", "controller",
                          {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"});
  ASSERT_TRUE(Until([this] { return Weight(0) == 75; }));
  ASSERT_TRUE(Until([this] { return memory_[0]->table().weight(3) == 75; }));
  EXPECT_THAT(LogText(),
              HasSubstr("upstream \"orders\" cluster \"bj\": pods 12, "
                        "nodes 3, weight 40\n"));
  EXPECT_THAT(LogText(), HasSubstr("weight 40 -> "));
  EXPECT_THAT(views_[0], HasSubstr("30"));
}

TEST_P(WatcherModeTest, AConfirmedScaleToZeroApplies) {
  FakeCluster* fake = AddCluster("bj", GetParam());
  AddLine(0, "orders");
  config_.lines[0].empty = EmptyPolicy::kDrain;
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(0) == 40; }));
  fake->SetApp({"prod", "orders", 0});
  ASSERT_TRUE(Until([this] { return Weight(0) == 0; }));
  EXPECT_EQ(LogLines(LogLine::Level::kWarn, "held back"), 1);
}

TEST_P(WatcherModeTest, MassNotReadyThatPassesChangesNoWeight) {
  FakeCluster* fake = AddCluster("bj", GetParam());
  config_.clusters[0].guard.confirm_ms = 600000;
  AddLine(0, "orders");
  AddLine(0, "carts");
  fake->SetApp({"prod", "orders", 12});
  fake->SetApp({"prod", "carts", 6});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(0) == 40 && Weight(1) == 20; }));
  const int writes = table_writes_;
  fake->SetApp({"prod", "orders", 0, 12});
  fake->SetApp({"prod", "carts", 0, 6});
  ASSERT_TRUE(Until(
      [this] { return LogLines(LogLine::Level::kWarn, "held back") == 2; }));
  fake->SetApp({"prod", "orders", 12});
  fake->SetApp({"prod", "carts", 6});
  ASSERT_TRUE(Until(
      [this] { return LogLines(LogLine::Level::kNotice, "has passed") == 2; }));
  EXPECT_EQ(table_writes_, writes);
}

TEST_P(WatcherModeTest, MassNotReadyToldPodByPodChangesNoWeight) {
  FakeCluster* fake = AddCluster("bj", GetParam());
  config_.clusters[0].guard.confirm_ms = 600000;
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(0) == 40; }));
  const int writes = table_writes_;
  for (int ready = 11; ready >= 0; --ready) {
    fake->SetApp({"prod", "orders", ready, 12 - ready});
  }
  ASSERT_TRUE(Until(
      [this] { return LogLines(LogLine::Level::kWarn, "held back") == 1; }));
  for (int ready = 1; ready <= 12; ++ready) {
    fake->SetApp({"prod", "orders", ready, 12 - ready});
  }
  ASSERT_TRUE(Until(
      [this] { return LogLines(LogLine::Level::kNotice, "has passed") == 1; }));
  // A later rise has overtaken nothing that was still settling.
  fake->SetApp({"prod", "orders", 15});
  ASSERT_TRUE(Until([this] { return Weight(0) == 50; }));
  EXPECT_EQ(table_writes_, writes + 1);
}

TEST_P(WatcherModeTest, ALonePodThatLeavesCounts) {
  FakeCluster* fake = AddCluster("bj", GetParam());
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(0) == 40; }));
  fake->SetApp({"prod", "orders", 9});
  EXPECT_TRUE(Until([this] { return Weight(0) == 30; }));
  EXPECT_EQ(LogLines(LogLine::Level::kWarn, "held back"), 0);
}

TEST_P(WatcherModeTest, AnEmptyListOnceChangesNoWeight) {
  FakeCluster* fake = AddCluster("bj", GetParam());
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(0) == 40; }));
  const int writes = table_writes_;
  FakeFault fault;
  fault.kind = "empty_list";
  fault.times = 1;
  fake->SetFault(fault);
  // A watch lists again when its version is gone.
  fake->Put(R"({"kind":"Node","metadata":{"name":"moves-the-version"}})");
  fake->Compact();
  fake->DropConnections();
  ASSERT_TRUE(Until([this] {
    return LogLines(LogLine::Level::kNotice,
                    "pods 12: the drop that was held back has passed") == 1;
  })) << LogText();
  EXPECT_EQ(table_writes_, writes);
}

struct Fault {
  const char* kind;
  int code = 0;
  bool times_out = false;
};

class WatcherFaultTest : public WatcherTest,
                         public ::testing::WithParamInterface<Fault> {};

INSTANTIATE_TEST_SUITE_P(
    Faults, WatcherFaultTest,
    ::testing::Values(Fault{"status", 500}, Fault{"status", 401},
                      Fault{"hang", 0, true}, Fault{"hang_body", 0, true},
                      Fault{"drip", 0, true}, Fault{"close_half"},
                      Fault{"garbage"}, Fault{"huge"}, Fault{"html"},
                      Fault{"reset"}, Fault{"nested"}),
    [](const auto& fault) {
      return std::string(fault.param.kind) +
             (fault.param.code == 0 ? "" : std::to_string(fault.param.code));
    });

TEST_P(WatcherFaultTest, WeightsHoldTheLogSaysWhyOnceAndRecoveryFollows) {
  FakeCluster* fake = AddCluster("bj", kPoll);
  if (GetParam().times_out) config_.clusters[0].timeout_ms = 1000;
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(0) == 40; }));

  FakeFault fault;
  fault.kind = GetParam().kind;
  fault.code = GetParam().code;
  // Well within the timeout: else a byte is late now and then, another reason.
  fault.delay_ms = 100;
  fake->SetFault(fault);
  ASSERT_TRUE(Until([this] { return StatusNumber(0, "failures") >= 1; }));
  fake->SetApp({"prod", "orders", 30});
  ASSERT_TRUE(Until([this] { return StatusNumber(0, "failures") >= 2; }));
  EXPECT_EQ(Weight(0), 40u);
  EXPECT_EQ(LogLines(LogLine::Level::kError), 1) << LogText();
  EXPECT_EQ(LogLines(LogLine::Level::kError, "weights hold"), 1);
  EXPECT_GT(StatusNumber(0, "failing_since"), 0);

  fake->ClearFaults();
  ASSERT_TRUE(Until([this] {
    return Weight(0) == 100 &&
           LogLines(LogLine::Level::kNotice, "works again") == 1 &&
           StatusNumber(0, "failing_since") == 0;
  }));
  EXPECT_EQ(LogLines(LogLine::Level::kError), 1) << LogText();
}

TEST_F(WatcherTest, ABrokenWatchIsFollowedUp) {
  FakeCluster* fake = AddCluster("bj", kWatch);
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until(
      [&] { return Weight(0) == 40 && fake->requests().open_watches == 1; }));
  fake->DropConnections();
  fake->SetApp({"prod", "orders", 30});
  ASSERT_TRUE(Until([this] { return Weight(0) == 100; }));
}

TEST_F(WatcherTest, OneHangingClusterDoesNotDelayTheOther) {
  FakeCluster* hanging = AddCluster("bj", kWatch);
  FakeCluster* well = AddCluster("sh", kWatch);
  config_.clusters[0].timeout_ms = 600000;
  AddLine(0, "orders");
  AddLine(1, "orders");
  FakeFault fault;
  fault.kind = "hang";
  hanging->SetFault(fault);
  well->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(1) == 40; }));
  well->SetApp({"prod", "orders", 30});
  ASSERT_TRUE(Until([this] { return Weight(1) == 100; }));
  EXPECT_EQ(Weight(0), 0u);
}

TEST_F(WatcherTest, TheNextApiIsUsedWhenTheFirstIsDead) {
  FakeCluster* dead = AddCluster("bj", kWatch);
  const std::string dead_url = dead->url();
  dead->Stop();
  config_.clusters.clear();
  FakeCluster* fake = AddCluster("bj", kWatch);
  config_.clusters[0].api = {dead_url, fake->url()};
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(0) == 40; }));
  ASSERT_TRUE(Until(
      [&] { return statuses_[0].find(fake->url()) != std::string::npos; }));
}

TEST_F(WatcherTest, StopEndsATransferThatHangs) {
  FakeCluster* fake = AddCluster("bj", kPoll);
  config_.clusters[0].timeout_ms = 600000;
  AddLine(0, "orders");
  FakeFault fault;
  fault.kind = "hang";
  fake->SetFault(fault);
  Start();
  ASSERT_TRUE(Until([&] { return fake->requests().total.lists == 1; }));
  watcher_->Stop();  // or this test takes ten minutes
  watcher_->Stop();  // again: nothing
}

TEST_F(WatcherTest, StopNeedsNobodyToTakeTheUpdate) {
  FakeCluster* fake = AddCluster("bj", kPoll);
  AddLine(0, "orders");
  Start();
  ASSERT_TRUE(Until([&] { return fake->requests().total.lists >= 1; }));
  watcher_->Stop();
}

TEST_F(WatcherTest, RequestsGrowWithClustersNotWithLines) {
  for (uint32_t cluster = 0; cluster < 2; ++cluster) {
    FakeCluster* fake = AddCluster(cluster == 0 ? "bj" : "sh", kWatch);
    // A watch that waits for its answer is bridged by lists; here each answer
    // comes, however busy the machine.
    config_.clusters[cluster].interval_ms = 60000;
    for (int i = 0; i < 100; ++i) {
      const std::string app = "app" + std::to_string(i);
      fake->SetApp({"prod", app, 12});
      AddLine(cluster, app);
    }
  }
  Start();
  ASSERT_TRUE(Until([this] {
    for (size_t i = 0; i < memory_.size(); ++i) {
      if (Weight(i) != 40) return false;
    }
    return fakes_[0]->requests().open_watches == 1 &&
           fakes_[1]->requests().open_watches == 1;
  }));
  for (const auto& fake : fakes_) {
    EXPECT_EQ(fake->requests().total.lists, 1u);
    EXPECT_EQ(fake->requests().total.watches, 1u);
  }
}

TEST_F(WatcherTest, HeldViewsAreAppliedWhileTheApiIsDown) {
  AddCluster("bj", kWatch)->Stop();
  AddLine(0, "orders");
  ClusterView held;
  held.cluster = "bj";
  held.node_source = config_.clusters[0].nodes.Key();
  held.nodes.emplace();
  held.nodes->nodes = {{*IpAddress::Parse("10.0.0.1"), "n1"}};
  held.pods["service=prod/orders"].pods = 5;
  Start({held});
  ASSERT_TRUE(Until([this] { return Weight(0) == 50; }));
}

TEST_F(WatcherTest, FixedAddressesAreKnownFromTheStart) {
  FakeCluster* fake = AddCluster("bj", kWatch);
  NodeSource& nodes = config_.clusters[0].nodes;
  nodes = NodeSource();
  nodes.kind = NodeSource::Kind::kAddresses;
  nodes.addresses = {*IpAddress::Parse("10.0.0.1"),
                     *IpAddress::Parse("10.0.0.2")};
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] { return Weight(0) == 60; }));
}

TEST_F(WatcherTest, TheStateFileIsWrittenAfterAChangeAndAtStop) {
  const TemporaryDirectory directory;
  config_.state_file = directory.File("state.json");
  FakeCluster* fake = AddCluster("bj", kWatch);
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] {
    return Weight(0) == 40 && std::filesystem::exists(config_.state_file);
  }));
  fake->SetApp({"prod", "orders", 30});
  ASSERT_TRUE(Until([this] { return Weight(0) == 100; }));
  watcher_->Stop();
  const auto views = ReadStateFile(config_.state_file);
  ASSERT_TRUE(views.ok()) << views.status();
  ASSERT_THAT(*views, SizeIs(1));
  EXPECT_EQ(views->at(0).pods.at("service=prod/orders").pods, 30u);
}

TEST_F(WatcherTest, AnOldWatcherLeavesTheStateFileOfANewerOne) {
  const TemporaryDirectory directory;
  config_.state_file = directory.File("state.json");
  FakeCluster* fake = AddCluster("bj", kWatch);
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] {
    return Weight(0) == 40 && std::filesystem::exists(config_.state_file);
  }));
  const StateAuthor newer = StateAuthor::Now();
  ClusterView view;
  view.cluster = "newer";
  ASSERT_TRUE(
      WriteStateFile(config_.state_file, EncodeState({view}, newer), newer)
          .ok());
  fake->SetApp({"prod", "orders", 30});
  ASSERT_TRUE(Until([this] { return Weight(0) == 100; }));
  watcher_->Stop();
  const auto views = ReadStateFile(config_.state_file);
  ASSERT_TRUE(views.ok()) << views.status();
  EXPECT_EQ(views->at(0).cluster, "newer");
}

TEST_F(WatcherTest, AStateFileThatCannotBeWrittenIsToldOnceAndSurvived) {
  config_.state_file = "/nonexistent/directory/state.json";
  FakeCluster* fake = AddCluster("bj", kWatch);
  AddLine(0, "orders");
  fake->SetApp({"prod", "orders", 12});
  Start();
  ASSERT_TRUE(Until([this] {
    return LogLines(LogLine::Level::kError, "/nonexistent/directory") == 1;
  }));
  fake->SetApp({"prod", "orders", 30});
  ASSERT_TRUE(Until([this] { return Weight(0) == 100; }));
}

TEST_F(WatcherTest, UnverifiedTlsIsWarnedOfAtStart) {
  AddCluster("bj", kWatch);
  config_.clusters[0].credentials.tls_verify = false;
  AddLine(0, "orders");
  Start();
  ASSERT_TRUE(Until([this] {
    return LogLines(LogLine::Level::kWarn, "tls_verify is off") == 1;
  }));
}

TEST_F(WatcherTest, TheThreadTakesNoSignalThatIsNotItsOwnFault) {
  AddCluster("bj", kWatch);
  AddLine(0, "orders");
  Start();
  // A thread that is being created has all signals blocked.
  ASSERT_TRUE(Until([this] { return !statuses_.empty(); }));
  uint64_t blocked = 0;
  bool found = false;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    std::string word, name;
    while (status >> word) {
      if (word == "Name:") status >> name;
      if (word == "SigBlk:") status >> std::hex >> blocked;
    }
    if (name == "dynamic_weight") {
      found = true;
      break;
    }
  }
  ASSERT_TRUE(found);
  for (const int signal : {SIGHUP, SIGTERM, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2,
                           SIGALRM, SIGWINCH, SIGIO, SIGPIPE, SIGSYS}) {
    EXPECT_TRUE(blocked & (uint64_t{1} << (signal - 1))) << signal;
  }
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    EXPECT_FALSE(blocked & (uint64_t{1} << (signal - 1))) << signal;
  }
}

}  // namespace
}  // namespace dynweight

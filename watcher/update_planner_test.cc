// Tests of what is handed to the event loop, and when.

#include "watcher/update_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "watcher/testing/manual_clock.h"
#include "watcher/testing/table_memory.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint32_t kSlots = 4;

class UpdatePlannerTest : public ::testing::Test {
 protected:
  // One cluster "bj" with 3 nodes, and upstreams "u0", "u1", ... of 12 pods.
  void Configure(size_t upstreams) {
    config_.clusters.resize(1);
    config_.clusters[0].name = "bj";
    ClusterView view;
    view.cluster = "bj";
    for (size_t i = 0; i < upstreams; ++i) {
      LineConfig line;
      line.upstream = absl::StrCat("u", i);
      line.source = absl::StrCat("service=prod/app", i);
      line.port = 80;
      line.table = static_cast<uint32_t>(i);
      line.range = {0, kSlots};
      view.pods[line.source].pods = 12;
      config_.lines.push_back(line);
      memory_.push_back(std::make_unique<TableMemory>(kSlots));
    }
    views_.push_back(view);
    SetNodes(3);
  }
  void SetNodes(int count) {
    views_[0].nodes.emplace();
    for (int i = 0; i < count; ++i) {
      views_[0].nodes->nodes.push_back(
          {*IpAddress::Parse(absl::StrCat("10.0.0.", i + 1)), ""});
    }
  }
  void Start() {
    std::vector<PeerTable> tables;
    for (const auto& memory : memory_) tables.push_back(memory->table());
    change_log_ = std::make_unique<WeightChangeLog>(config_, &clock_);
    planner_ = std::make_unique<UpdatePlanner>(config_, tables, views_, &log_,
                                               change_log_.get(), &tuning_, 0);
  }
  // Starts, and has the tables right and all documents sent at time 0.
  void Settle() {
    Start();
    Apply(Build(0));
  }
  std::unique_ptr<Update> Build(int64_t now) {
    return planner_->Build(now, [](uint32_t) { return std::string("{}"); });
  }
  void Apply(const std::unique_ptr<Update>& update) {
    ASSERT_NE(update, nullptr);
    for (const TableUpdate& table : update->tables) {
      ApplySlotWrites(memory_[table.table]->table(), table.writes);
    }
  }
  // The upstreams of the decisions in an update.
  static std::vector<std::string> Decided(
      const std::unique_ptr<Update>& update) {
    std::vector<std::string> upstreams;
    if (update == nullptr) return upstreams;
    for (const Decision& decision : DecodeDecisions(update->decisions)) {
      upstreams.emplace_back(decision.upstream.view());
    }
    return upstreams;
  }
  void SetPods(size_t upstream, uint64_t pods, int64_t now) {
    const std::string key = config_.lines[upstream].source;
    views_[0].pods[key].pods = pods;
    ClusterChanges changes;
    changes.sources = {key};
    planner_->OnChanges(0, changes, now);
  }

  WatcherConfig config_;
  std::vector<ClusterView> views_;
  LogQueue log_;
  ManualClock clock_;
  std::unique_ptr<WeightChangeLog> change_log_;
  TuningFile tuning_{config_, ReadTuningFile, &clock_, &log_};
  std::vector<std::unique_ptr<TableMemory>> memory_;
  std::unique_ptr<UpdatePlanner> planner_;
};

TEST_F(UpdatePlannerTest, WeightsTooLargeAreScaledDownTogether) {
  Configure(1);
  config_.lines[0].base = kMaxBase;
  ServerConfig server;
  server.upstream = "u0";
  server.slot = kSlots - 1;
  server.weight = 3000 * uint64_t{kMaxBase};
  config_.servers.push_back(server);
  config_.lines[0].range.count = kSlots - 1;
  views_[0].pods[config_.lines[0].source].pods = 27000;
  Settle();
  const PeerTable table = memory_[0]->table();
  EXPECT_EQ(table.weight(0), 562500000u);
  EXPECT_EQ(table.weight(kSlots - 1), 187500000u);
  EXPECT_EQ(change_log_->record(0).scale, 16u);

  SetPods(0, 9000, 1000);
  Apply(Build(1000));
  EXPECT_EQ(table.weight(0), 750000000u);
  EXPECT_EQ(table.weight(kSlots - 1), 750000000u);
  EXPECT_EQ(change_log_->record(0).scale, 4u);
}

TEST_F(UpdatePlannerTest, AtStartEveryLineAndDocumentIsDue) {
  Configure(3);
  Start();
  EXPECT_LE(planner_->DeadlineMs(), 0);
  const auto update = Build(0);
  ASSERT_NE(update, nullptr);
  EXPECT_THAT(update->tables, SizeIs(3));
  ASSERT_THAT(update->documents, SizeIs(1));
  EXPECT_NE(update->documents[0].view, "");
  EXPECT_NE(update->documents[0].status, "");
  EXPECT_THAT(update->log, IsEmpty());  // held weights are no change
}

TEST_F(UpdatePlannerTest, WhenAllIsRightNothingIsDue) {
  Configure(3);
  Settle();
  EXPECT_EQ(planner_->DeadlineMs(), kNever);
  EXPECT_EQ(Build(100000), nullptr);
}

TEST_F(UpdatePlannerTest, DecisionsGoOutAtOnceButAtMostOnceASecond) {
  Configure(2);
  Settle();
  SetPods(0, 30, 1000);
  EXPECT_THAT(Decided(Build(1000)), ElementsAre("u0"));
  SetPods(1, 30, 1100);
  const auto early = Build(1100);
  ASSERT_NE(early, nullptr);
  EXPECT_THAT(early->tables, SizeIs(1));  // the weight itself waits for nothing
  EXPECT_EQ(early->decisions, "");
  EXPECT_EQ(planner_->DeadlineMs(), 2000);
  EXPECT_THAT(Decided(Build(2000)), ElementsAre("u0", "u1"));
  EXPECT_EQ(planner_->DeadlineMs(), kNever);
}

TEST_F(UpdatePlannerTest, WhatIsDueShortlyGoesAlongWithAChange) {
  Configure(2);
  Settle();
  SetPods(0, 30, 1000);
  Apply(Build(1000));
  SetPods(1, 30, 1100);
  Apply(Build(1100));
  ASSERT_EQ(planner_->DeadlineMs(), 2000);  // the decisions
  constexpr int64_t kSoon = 2000 - UpdatePlanner::kAlongMs;
  SetPods(0, 40, kSoon - 1);
  const auto early = Build(kSoon - 1);
  ASSERT_NE(early, nullptr);
  EXPECT_THAT(Decided(early), IsEmpty());
  Apply(early);
  SetPods(1, 40, kSoon);
  EXPECT_THAT(Decided(Build(kSoon)), ElementsAre("u0", "u1", "u0", "u1"));
}

TEST_F(UpdatePlannerTest, ALoneChangeGoesOutAtOnceWithItsView) {
  Configure(3);
  Settle();
  SetPods(1, 30, 1000);
  EXPECT_EQ(planner_->DeadlineMs(), 1000);
  const auto update = Build(1000);
  ASSERT_NE(update, nullptr);
  ASSERT_THAT(update->tables, SizeIs(1));
  EXPECT_EQ(update->tables[0].table, 1u);
  EXPECT_THAT(update->tables[0].writes, SizeIs(3));
  EXPECT_EQ(update->tables[0].writes[0].weight, 100u);
  ASSERT_THAT(update->documents, SizeIs(1));
  EXPECT_THAT(update->documents[0].view, HasSubstr("30"));
  ASSERT_THAT(update->log, SizeIs(1));
  EXPECT_EQ(update->log[0].text,
            "upstream \"u1\" cluster \"bj\": pods 12 -> 30, nodes 3, "
            "weight 40 -> 100");
}

TEST_F(UpdatePlannerTest, AStormBecomesOneWriteForEachCoalesceTime) {
  Configure(1);
  Settle();
  int writes = 0;
  for (int64_t now = 1000; now < 1500; ++now) {
    SetPods(0, static_cast<uint64_t>(now), now);
    const auto update = Build(now);
    if (update == nullptr) continue;
    Apply(update);
    writes += static_cast<int>(update->tables.size());
  }
  EXPECT_EQ(writes, 10);  // at 1000, 1050, ..., 1450
  EXPECT_EQ(planner_->DeadlineMs(), 1500);
  Apply(Build(1500));
  EXPECT_EQ(memory_[0]->table().weight(0), 1499u * 10 / 3);
}

TEST_F(UpdatePlannerTest, TablesAreCoalescedEachForItself) {
  Configure(2);
  Settle();
  SetPods(0, 30, 1000);
  Apply(Build(1000));
  SetPods(1, 30, 1010);
  const auto update = Build(1010);
  ASSERT_NE(update, nullptr);
  ASSERT_THAT(update->tables, SizeIs(1));
  EXPECT_EQ(update->tables[0].table, 1u);
  EXPECT_NE(update->documents[0].view, "");  // explains it
}

TEST_F(UpdatePlannerTest, ANodeChangeTouchesAllLinesOfTheCluster) {
  Configure(5);
  Settle();
  SetNodes(4);
  ClusterChanges changes;
  changes.nodes = true;
  planner_->OnChanges(0, changes, 1000);
  const auto update = Build(1000);
  ASSERT_NE(update, nullptr);
  EXPECT_THAT(update->tables, SizeIs(5));
  EXPECT_THAT(update->log, SizeIs(5));
}

TEST_F(UpdatePlannerTest, LinesOfOneTableGoOutTogether) {
  Configure(2);
  memory_[0] = std::make_unique<TableMemory>(2 * kSlots);
  config_.lines[1].table = 0;
  config_.lines[1].range = {kSlots, kSlots};
  Start();
  const auto update = Build(0);
  ASSERT_NE(update, nullptr);
  ASSERT_THAT(update->tables, SizeIs(1));
  EXPECT_THAT(update->tables[0].writes, SizeIs(6));
}

TEST_F(UpdatePlannerTest, MoreNodesThanSlotsIsWarnedOfOncePerChange) {
  Configure(1);
  Settle();
  ClusterChanges nodes;
  nodes.nodes = true;
  SetNodes(6);
  planner_->OnChanges(0, nodes, 1000);
  auto update = Build(1000);
  Apply(update);
  ASSERT_THAT(update->log, SizeIs(2));
  EXPECT_EQ(update->log[1].level, LogLine::Level::kWarn);
  EXPECT_THAT(update->log[1].text, HasSubstr("slots=4"));
  SetPods(0, 24, 2000);
  update = Build(2000);
  Apply(update);
  EXPECT_THAT(update->log, SizeIs(1));
  SetNodes(7);
  planner_->OnChanges(0, nodes, 3000);
  EXPECT_THAT(Build(3000)->log, SizeIs(2));
}

TEST_F(UpdatePlannerTest, ALargeViewIsEncodedAtMostOnceASecond) {
  Configure(3000);
  Settle();
  SetPods(1, 30, 100);
  auto update = Build(100);
  ASSERT_NE(update, nullptr);
  EXPECT_THAT(update->tables, SizeIs(1));
  EXPECT_THAT(update->documents, IsEmpty());
  EXPECT_EQ(planner_->DeadlineMs(), 1000);
  update = Build(1000);
  ASSERT_NE(update, nullptr);
  ASSERT_THAT(update->documents, SizeIs(1));
  EXPECT_GT(update->documents[0].view.size(), UpdatePlanner::kSmallDocument);
}

TEST_F(UpdatePlannerTest, TheLargerAViewTheLessOftenItIsEncoded) {
  Configure(200);
  Settle();
  SetPods(1, 30, 60);
  auto update = Build(60);
  ASSERT_NE(update, nullptr);
  EXPECT_THAT(update->documents, IsEmpty());
  Apply(update);
  const int64_t due = planner_->DeadlineMs();
  EXPECT_GT(due, UpdatePlanner::kSmallPaceMs);
  EXPECT_LT(due, UpdatePlanner::kLargePaceMs);
  update = Build(due);
  ASSERT_NE(update, nullptr);
  EXPECT_THAT(update->documents, SizeIs(1));
}

TEST_F(UpdatePlannerTest, NewTimesOfObservationAloneAreWrittenOnceAMinute) {
  Configure(1);
  Settle();
  ClusterChanges observed;
  observed.observed = true;
  planner_->OnChanges(0, observed, 5000);
  EXPECT_EQ(planner_->DeadlineMs(), UpdatePlanner::kObservedPaceMs);
}

TEST_F(UpdatePlannerTest, StatusGoesOutOnceASecondAndTransitionsAtOnce) {
  Configure(1);
  Settle();
  ClusterChanges status;
  status.status = true;
  planner_->OnChanges(0, status, 300);
  EXPECT_EQ(planner_->DeadlineMs(), 1000);
  status.status_at_once = true;
  planner_->OnChanges(0, status, 310);
  EXPECT_EQ(planner_->DeadlineMs(), 310);
  const auto update = Build(310);
  ASSERT_NE(update, nullptr);
  ASSERT_THAT(update->documents, SizeIs(1));
  EXPECT_EQ(update->documents[0].view, "");
  EXPECT_EQ(update->documents[0].status, "{}");
}

TEST_F(UpdatePlannerTest, AnUnknownLineIsLeftAlone) {
  Configure(1);
  views_[0].pods.clear();
  Start();
  const auto update = Build(0);
  ASSERT_NE(update, nullptr);
  EXPECT_THAT(update->tables, IsEmpty());
}

TEST_F(UpdatePlannerTest, TheFirstKnownValueIsLogged) {
  Configure(1);
  views_[0].pods.clear();
  Settle();
  SetPods(0, 12, 1000);
  const auto update = Build(1000);
  ASSERT_NE(update, nullptr);
  ASSERT_THAT(update->log, SizeIs(1));
  EXPECT_EQ(update->log[0].text,
            "upstream \"u0\" cluster \"bj\": pods 12, nodes 3, weight 40");
}

TEST_F(UpdatePlannerTest, AHalfWrittenTableIsMadeRightAtStart) {
  Configure(1);
  Settle();
  memory_[0]->table().SetWeight(1, 7);
  Start();
  const auto update = Build(0);
  ASSERT_NE(update, nullptr);
  ASSERT_THAT(update->tables, SizeIs(1));
  EXPECT_THAT(update->tables[0].writes, SizeIs(1));
}

}  // namespace
}  // namespace dynweight

// Tests of what explains the weights.

#include "watcher/weight_change_log.h"

#include <gtest/gtest.h>

#include <string>

#include "watcher/testing/manual_clock.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

LineWeight Weigh(uint64_t pods, uint64_t nodes, uint32_t weight) {
  return LineWeight{pods, nodes, nodes, weight};
}

class WeightJournalTest : public testing::Test {
 protected:
  static WatcherConfig TwoLines() {
    WatcherConfig config;
    config.clusters.resize(1);
    config.clusters[0].name = "bj";
    config.lines.resize(2);
    for (LineConfig& line : config.lines) {
      line.upstream = "orders";
      line.range.count = 4;
    }
    return config;
  }

  WatcherConfig config_ = TwoLines();
  ManualClock clock_;
  WeightChangeLog change_log_{config_, &clock_};
};

TEST_F(WeightJournalTest, ADecisionSaysWhatChangedAndWhy) {
  EXPECT_TRUE(change_log_.Note(1, std::nullopt, Weigh(12, 3, 40)));
  EXPECT_TRUE(change_log_.Note(1, Weigh(12, 3, 40), Weigh(30, 3, 100)));
  const auto decisions = DecodeDecisions(change_log_.EncodeDecisions());
  ASSERT_EQ(decisions.size(), 2u);
  EXPECT_EQ(decisions[0].first, 1u);
  EXPECT_EQ(decisions[0].new_weight, 40u);
  EXPECT_EQ(decisions[1].time_ms, clock_.UnixMs());
  EXPECT_EQ(decisions[1].first, 0u);
  EXPECT_EQ(decisions[1].old_weight, 40u);
  EXPECT_EQ(decisions[1].new_weight, 100u);
  EXPECT_EQ(decisions[1].upstream.view(), "orders");
  EXPECT_EQ(decisions[1].cluster.view(), "bj");
  EXPECT_EQ(decisions[1].why.view(), "pods 12 -> 30, nodes 3");
  EXPECT_EQ(change_log_.EncodeDecisions(), "");  // nothing new
}

TEST_F(WeightJournalTest, TheGenerationMovesWithTheWeightOnly) {
  change_log_.Note(0, std::nullopt, Weigh(12, 3, 40));
  EXPECT_EQ(change_log_.record(0).generation, 1u);
  change_log_.Note(0, Weigh(12, 3, 40), Weigh(24, 6, 40));
  EXPECT_EQ(change_log_.record(0).generation, 1u);
  EXPECT_EQ(change_log_.record(0).ingress_nodes, 6u);
  change_log_.Note(0, Weigh(24, 6, 40), Weigh(6, 6, 10));
  EXPECT_EQ(change_log_.record(0).generation, 2u);
  EXPECT_EQ(change_log_.record(0).changed_ms, clock_.UnixMs());
  EXPECT_FALSE(change_log_.Note(0, Weigh(6, 6, 10), Weigh(6, 6, 10)));
}

TEST_F(WeightJournalTest, WhatIsNotKnownAnyMoreHolds) {
  change_log_.Note(0, std::nullopt, Weigh(12, 3, 40));
  EXPECT_FALSE(change_log_.Note(0, Weigh(12, 3, 40), std::nullopt));
  EXPECT_EQ(change_log_.record(0).known, 1u);
  EXPECT_EQ(change_log_.record(0).weight, 40u);
}

TEST_F(WeightJournalTest, KeepsTheLast256) {
  for (uint32_t i = 0; i < 300; i++) {
    change_log_.Note(0, Weigh(i, 1, i), Weigh(i + 1, 1, i + 1));
  }
  const std::string bytes = change_log_.EncodeDecisions();
  EXPECT_EQ(bytes.size(), kMaxDecisionBytes);
  const auto decisions = DecodeDecisions(bytes);
  EXPECT_EQ(decisions.front().new_weight, 45u);
  EXPECT_EQ(decisions.back().new_weight, 300u);
}

TEST_F(WeightJournalTest, ABusyUpstreamLeavesTheLastDecisionOfOthers) {
  config_.lines[1].upstream = "payments";
  change_log_.Note(1, std::nullopt, Weigh(2, 1, 20));
  change_log_.Note(1, Weigh(2, 1, 20), Weigh(3, 1, 30));
  for (uint32_t i = 0; i < 1000; i++) {
    change_log_.Note(0, Weigh(i, 1, i), Weigh(i + 1, 1, i + 1));
  }
  WeightChangeLog successor(config_, &clock_);
  successor.Restore({}, change_log_.EncodeDecisions());
  for (uint32_t i = 1000; i < 2000; i++) {
    successor.Note(0, Weigh(i, 1, i), Weigh(i + 1, 1, i + 1));
  }
  const auto decisions = DecodeDecisions(successor.EncodeDecisions());
  ASSERT_EQ(decisions.size(), kMaxDecisions);
  EXPECT_EQ(decisions[0].upstream.view(), "payments");
  EXPECT_EQ(decisions[0].new_weight, 30u);
  EXPECT_EQ(decisions[1].new_weight, 1746u);
  EXPECT_EQ(decisions.back().new_weight, 2000u);
}

TEST_F(WeightJournalTest, OfManyUpstreamsTheLastOnesStay) {
  for (uint32_t i = 0; i < 300; i++) {
    config_.lines[0].upstream = "app-" + std::to_string(i);
    change_log_.Note(0, std::nullopt, Weigh(1, 1, 10));
  }
  const auto decisions = DecodeDecisions(change_log_.EncodeDecisions());
  ASSERT_EQ(decisions.size(), kMaxDecisions);
  EXPECT_EQ(decisions.front().upstream.view(), "app-44");
  EXPECT_EQ(decisions.back().upstream.view(), "app-299");
}

TEST_F(WeightJournalTest, NoNumberChangesNoDecision) {
  LineWeight frozen = Weigh(12, 3, 40);
  frozen.frozen = true;
  change_log_.Note(0, std::nullopt, Weigh(12, 3, 40));
  change_log_.EncodeDecisions();
  EXPECT_TRUE(change_log_.Note(0, Weigh(12, 3, 40), frozen));
  EXPECT_EQ(change_log_.record(0).frozen, 1u);
  EXPECT_TRUE(change_log_.Note(0, frozen, Weigh(12, 3, 40)));
  EXPECT_EQ(change_log_.EncodeDecisions(), "");
  change_log_.Note(0, frozen, Weigh(30, 3, 100));
  EXPECT_EQ(DecodeDecisions(change_log_.EncodeDecisions()).back().why.view(),
            "pods 12 -> 30, nodes 3, no longer frozen");
}

TEST_F(WeightJournalTest, ASuccessorGoesOn) {
  change_log_.Note(0, std::nullopt, Weigh(12, 3, 40));
  WeightChangeLog successor(config_, &clock_);
  successor.Restore({change_log_.record(0), std::nullopt},
                    change_log_.EncodeDecisions());
  successor.Note(0, Weigh(12, 3, 40), Weigh(6, 3, 20));
  EXPECT_EQ(successor.record(0).generation, 2u);
  EXPECT_EQ(DecodeDecisions(successor.EncodeDecisions()).size(), 2u);
}

TEST_F(WeightJournalTest, DecodesNoHalfDecision) {
  EXPECT_TRUE(DecodeDecisions("half").empty());
}

TEST_F(WeightJournalTest, LongNamesAreCut) {
  config_.lines[0].upstream = std::string(500, 'x');
  change_log_.Note(0, std::nullopt, Weigh(12, 3, 40));
  const auto decisions = DecodeDecisions(change_log_.EncodeDecisions());
  EXPECT_EQ(decisions[0].upstream.view(), std::string(63, 'x'));
}

TEST_F(WeightJournalTest, AReasonForEachCase) {
  LineConfig line;
  line.range.count = 4;
  const auto reason = [&line](const std::optional<LineWeight>& weight) {
    return std::string(MakeLineRecord(line, weight).reason.view());
  };
  EXPECT_EQ(reason(std::nullopt), "not known yet: the weight holds");
  EXPECT_EQ(reason(Weigh(12, 3, 40)), "pods * base / ingress_nodes");
  EXPECT_EQ(reason(Weigh(0, 3, 1)),
            "no ready pod, empty=keep: the least weight");
  EXPECT_EQ(reason(Weigh(0, 3, 0)), "no ready pod, empty=drain: no request");
  EXPECT_EQ(reason(Weigh(1, 20, 1)),
            "pods * base / ingress_nodes, raised to the least weight");
  LineWeight large = Weigh(1u << 30, 1, kMaxWeight);
  large.scale = 16;
  EXPECT_EQ(reason(large),
            "pods * base / ingress_nodes, divided by 16 with the whole "
            "upstream: too large");
  LineWeight held = Weigh(12, 3, 40);
  held.provisional = true;
  EXPECT_EQ(
      reason(held),
      "provisional: the previous numbers hold until the API has answered");
  EXPECT_EQ(reason(LineWeight{12, 6, 4, 30}),
            "pods * base / ingress_nodes, slots=4 of them are used: raise "
            "slots=");
}

}  // namespace
}  // namespace dynweight

// Tests of outlier_detector.h.

#include "watcher/outlier/outlier_detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "watcher/testing/table_memory.h"
#include "weightcalc/clock.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OutlierDetectorTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kPeers = 20;

  OutlierDetectorTest() {
    for (uint32_t slot = 0; slot < kPeers; ++slot) {
      PeerIdentity identity;
      identity.address = *IpAddress::Parse("10.0.0." + std::to_string(slot));
      identity.port = 80;
      table().SetPeer(slot, identity);
      table().SetWeight(slot, 10);
    }
    config_.outliers.push_back({"orders", {0}, OutlierPolicy()});
    Restart();
  }

  PeerTable table() { return memory_.table(); }
  OutlierPolicy& policy() { return config_.outliers[0].policy; }
  void Restart() {
    detector_ = std::make_unique<OutlierDetector>(
        config_, std::vector<PeerTable>{memory_.table()}, &log_, now_);
  }

  // Attempts of a peer that are answered 200, and 500.
  void Answer(uint32_t slot, uint64_t good, uint64_t bad) {
    PeerCounters& counters = table().counters(slot);
    counters.responses[1] += good;
    counters.responses[4] += bad;
    counters.errors += bad;
  }

  // Time passes; what is handed out is written, as the event loop does. The
  // slots that were ejected.
  std::vector<uint32_t> Pass(int64_t ms) {
    std::vector<uint32_t> ejected;
    for (const int64_t end = now_ + ms; now_ < end;) {
      now_ = std::min(end, std::max(detector_->DeadlineMs(), now_ + 1));
      detector_->Tick(now_);
      for (const TableEjections& writes : detector_->TakeWrites()) {
        for (const EjectionWrite& write : writes.writes) {
          if (table().generation(write.slot) != write.generation) continue;
          table().health(write.slot).SetEjection(write.ejection);
          if (write.begins) ejected.push_back(write.slot);
        }
      }
    }
    return ejected;
  }
  uint32_t Out() {
    uint32_t out = 0;
    for (uint32_t slot = 0; slot < kPeers; ++slot) {
      if (table().health(slot).Ejected(now_)) ++out;
    }
    return out;
  }
  std::string Log() {
    std::string text;
    for (const LogLine& line : log_.Take(now_)) text += line.text + "\n";
    return text;
  }

  int64_t now_ = 1000000;
  WatcherConfig config_;
  TableMemory memory_{kPeers};
  LogQueue log_;
  std::unique_ptr<OutlierDetector> detector_;
};

TEST_F(OutlierDetectorTest, OnePeerThatAnswersBadlyIsEjected) {
  Pass(2500);
  for (uint32_t slot = 0; slot < kPeers; ++slot) Answer(slot, 100, 1);
  Answer(7, 0, 200);
  EXPECT_THAT(Pass(2001), ElementsAre(7));
  EXPECT_THAT(Log(), HasSubstr("server 10.0.0.7:80 is ejected for 30 s: of its "
                               "last 301 attempts 201 failed or were answered "
                               "5xx"));
  EXPECT_EQ(Out(), 1u);
  EXPECT_THAT(Pass(28000), IsEmpty());
  EXPECT_EQ(Out(), 1u);
  EXPECT_THAT(Pass(4000), IsEmpty());
  EXPECT_EQ(Out(), 0u);
  EXPECT_THAT(Log(), HasSubstr("server 10.0.0.7:80 serves again"));
}

TEST_F(OutlierDetectorTest, FailedAttemptsWithoutAnAnswerCount) {
  Pass(2500);
  table().counters(3).unanswered += 20;
  table().counters(3).errors += 20;
  EXPECT_THAT(Pass(2001), ElementsAre(3));
}

TEST_F(OutlierDetectorTest, AReleaseThatIsBadEverywhereEjectsUpToTheLimit) {
  Pass(2500);
  for (uint32_t slot = 0; slot < kPeers; ++slot) Answer(slot, 20 - slot, 100);
  // The worst of them: 6 of 20 are 30 %.
  EXPECT_THAT(Pass(2001), ElementsAre(19, 18, 17, 16, 15, 14));
  EXPECT_THAT(Log(), HasSubstr("14 peers answer as badly and stay, as no more "
                               "than 30 % of the weight may be ejected"));
  for (int i = 0; i < 10; ++i) {
    for (uint32_t slot = 0; slot < kPeers; ++slot) {
      if (!table().health(slot).Ejected(now_)) Answer(slot, 0, 100);
    }
    Pass(1000);
    EXPECT_LE(Out(), 6u);
  }
  EXPECT_THAT(Log(), ::testing::Not(HasSubstr("stay")));  // said once
}

TEST_F(OutlierDetectorTest, TheLimitIsOfTheWeight) {
  policy().most_percent = 10;
  Restart();
  table().SetWeight(0, 1000);
  Pass(2500);
  Answer(0, 0, 100);
  Answer(1, 50, 50);
  EXPECT_THAT(Pass(2001), ElementsAre(1));
}

TEST_F(OutlierDetectorTest, EachTimeIsLongerAndIsForgottenAgain) {
  Pass(2500);
  Answer(7, 0, 200);
  ASSERT_THAT(Pass(2001), ElementsAre(7));
  Pass(32500);
  Answer(7, 0, 200);
  ASSERT_THAT(Pass(2001), ElementsAre(7));
  EXPECT_EQ(table().health(7).ejection().times, 2u);
  Pass(58000);
  EXPECT_EQ(Out(), 1u);
  Pass(3000);
  EXPECT_EQ(Out(), 0u);
  Pass(11000);
  EXPECT_EQ(table().health(7).ejection().times, 1u);
  Pass(11000);
  EXPECT_EQ(table().health(7).ejection().times, 0u);
}

TEST_F(OutlierDetectorTest, GoesOnWhereAKilledPredecessorLeft) {
  Pass(2500);
  Answer(7, 0, 200);
  ASSERT_THAT(Pass(2001), ElementsAre(7));
  Restart();
  EXPECT_THAT(Pass(29000), IsEmpty());
  EXPECT_EQ(Out(), 1u);
  Pass(3000);
  EXPECT_EQ(Out(), 0u);
  Answer(7, 0, 200);
  Pass(4001);
  EXPECT_EQ(table().health(7).ejection().times, 2u);
}

TEST_F(OutlierDetectorTest, WhoTakesASlotIsNotTheOneBefore) {
  Pass(2500);
  Answer(7, 0, 200);
  Pass(1);
  PeerIdentity other;
  other.address = *IpAddress::Parse("10.0.1.7");
  table().SetPeer(7, other);
  table().SetWeight(7, 10);
  EXPECT_THAT(Pass(10000), IsEmpty());
}

TEST_F(OutlierDetectorTest, WhatAWindowDoesNotHoldIsForgotten) {
  Pass(2500);
  Answer(7, 0, 19);
  Pass(12000);
  Answer(7, 0, 19);
  EXPECT_THAT(Pass(12000), IsEmpty());
}

TEST_F(OutlierDetectorTest, AThreadThatStoodStillJudgesByWhatItSeesThen) {
  Pass(2500);
  Answer(7, 0, 200);
  now_ += 3600000;
  EXPECT_THAT(Pass(2001), ElementsAre(7));
}

TEST_F(OutlierDetectorTest, NothingToDoWithoutTheDirective) {
  config_.outliers.clear();
  Restart();
  EXPECT_FALSE(detector_->active());
  EXPECT_EQ(detector_->DeadlineMs(), kNever);
}

}  // namespace
}  // namespace dynweight

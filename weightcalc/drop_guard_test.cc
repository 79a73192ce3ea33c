// Tests of the drop guard.

#include "weightcalc/drop_guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <utility>

namespace dynweight {
namespace {

constexpr auto kApply = DropGuard::Verdict::kApply;
constexpr auto kConfirm = DropGuard::Verdict::kConfirm;
constexpr auto kHold = DropGuard::Verdict::kHold;

constexpr auto kSettle = DropGuard::Verdict::kSettle;

constexpr int64_t kSettleMs = DropGuard::kSettleMs;

DropGuard Holding(uint64_t size) { return DropGuard(GuardPolicy{}, size); }

TEST(DropGuard, FirstAnswerIsNoDropWhenNothingWasKnown) {
  DropGuard guard(GuardPolicy{}, std::nullopt);
  EXPECT_EQ(guard.Observe(0, 0), kApply);
  EXPECT_FALSE(guard.pending());
}

TEST(DropGuard, FirstAnswerOfZeroAgainstAHeldViewMustBeConfirmed) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(0, 0), kHold);
  EXPECT_EQ(guard.ConfirmAtMs(), 5000);
  EXPECT_EQ(guard.Observe(0, 5010, 5000), kConfirm);
}

TEST(DropGuard, RiseAppliesAtOnce) {
  DropGuard guard = Holding(1);
  EXPECT_EQ(guard.Observe(1000, 0), kApply);
  EXPECT_FALSE(guard.pending());
}

TEST(DropGuard, ExactlyHalfIsNotMoreThanHalf) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(6, 0), kSettle);
}

TEST(DropGuard, MoreThanHalfIsHeld) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(5, 0), kHold);
}

TEST(DropGuard, HalfOfAnOddNumberIsNotRoundedInFavourOfTheDrop) {
  EXPECT_EQ(Holding(3).Observe(2, 0), kSettle);
  EXPECT_EQ(Holding(3).Observe(1, 0), kHold);
}

TEST(DropGuard, FromOneToZeroIsHeld) {
  EXPECT_EQ(Holding(1).Observe(0, 0), kHold);
}

TEST(DropGuard, ZeroToZeroIsNoDrop) {
  EXPECT_EQ(Holding(0).Observe(0, 0), kApply);
}

TEST(DropGuard, MassNotReadyThatPassesChangesNothing) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(0, 0), kHold);
  EXPECT_EQ(guard.Observe(0, 1000), kHold);
  EXPECT_EQ(guard.Observe(12, 3000), kApply);
  EXPECT_FALSE(guard.pending());
  EXPECT_EQ(guard.ConfirmAtMs(), kNever);
}

TEST(DropGuard, AListThatFindsTheDropGoneConfirmsNothing) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(0, 0), kHold);
  EXPECT_EQ(guard.Observe(12, 5010, 5000), kApply);
}

TEST(DropGuard, ADropAfterARecoveryWaitsItsFullTimeAgain) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(0, 0), kHold);
  EXPECT_EQ(guard.Observe(12, 3000), kApply);
  EXPECT_EQ(guard.Observe(0, 4000), kHold);
  EXPECT_EQ(guard.Observe(0, 5500, 5000), kHold);
  EXPECT_EQ(guard.ConfirmAtMs(), 9000);
}

TEST(DropGuard, TheConfirmingListsValueIsTaken) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(5, 0), kHold);
  EXPECT_EQ(guard.Observe(3, 2000), kHold);
  EXPECT_EQ(guard.Observe(1, 5000, 5000), kConfirm);
  EXPECT_EQ(guard.Observe(1, 5100), kApply);
  EXPECT_EQ(guard.Observe(0, 5200), kHold);  // of the one that is left
}

TEST(DropGuard, AnEventNeverConfirms) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(0, 0), kHold);
  EXPECT_EQ(guard.Observe(0, 60000), kHold);
}

TEST(DropGuard, AListAskedForTooEarlyDoesNotConfirm) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(0, 100), kHold);
  EXPECT_EQ(guard.Observe(0, 9000, 5099), kHold);
  EXPECT_EQ(guard.Observe(0, 9000, 5100), kConfirm);
}

TEST(DropGuard, AConsistentListIsNoConfirmationOfItself) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(0, 100, 50), kHold);
}

TEST(DropGuard, SilenceDuringConfirmationHolds) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(0, 0), kHold);
  EXPECT_TRUE(guard.pending());  // and stays so for as long as nothing comes
  EXPECT_EQ(guard.Observe(0, 3600000, 3599000), kConfirm);
}

TEST(DropGuard, ALoneFallCountsWhenItHasStoodStill) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.SettleAtMs(), kNever);
  EXPECT_EQ(guard.Observe(11, 100), kSettle);
  EXPECT_TRUE(guard.holding());
  EXPECT_FALSE(guard.pending());
  EXPECT_EQ(guard.SettleAtMs(), 100 + kSettleMs);
  EXPECT_EQ(guard.Observe(11, 99 + kSettleMs), kSettle);
  EXPECT_EQ(guard.Observe(11, 100 + kSettleMs), kApply);
  EXPECT_FALSE(guard.holding());
}

TEST(DropGuard, AFallThatGoesOnSettlesAnew) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(11, 0), kSettle);
  EXPECT_EQ(guard.Observe(10, 1000), kSettle);
  EXPECT_EQ(guard.SettleAtMs(), 1000 + kSettleMs);
}

TEST(DropGuard, AFallThatNeverStandsStillCountsAfterTheTimeToConfirm) {
  DropGuard guard = Holding(100);
  for (int64_t now = 0; now < 5000; now += 100) {
    const uint64_t size = now % 200 == 0 ? 99 : 98;
    EXPECT_EQ(guard.Observe(size, now), kSettle) << now;
  }
  EXPECT_EQ(guard.SettleAtMs(), 5000);
  EXPECT_EQ(guard.Observe(99, 5000), kApply);
}

TEST(DropGuard, AFallThatIsMadeUpForChangesNothing) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(11, 0), kSettle);
  EXPECT_EQ(guard.Observe(12, 10), kApply);
  EXPECT_EQ(guard.SettleAtMs(), kNever);
}

TEST(DropGuard, NothingSettlesLongerThanADropTakesToConfirm) {
  GuardPolicy policy;
  policy.confirm_ms = 300;
  DropGuard guard(policy, 12);
  EXPECT_EQ(guard.Observe(11, 0), kSettle);
  EXPECT_EQ(guard.SettleAtMs(), 300);
}

TEST(DropGuard, MassNotReadyToldPodByPodCountsFromItsFirstPod) {
  DropGuard guard = Holding(12);
  int64_t now = 0;
  for (uint64_t size = 11; size >= 6; --size, now += 90) {
    EXPECT_EQ(guard.Observe(size, now), kSettle) << size;
  }
  for (uint64_t size = 5; size > 0; --size, now += 90) {
    EXPECT_EQ(guard.Observe(size, now), kHold) << size;
  }
  EXPECT_EQ(guard.Observe(0, now), kHold);
}

TEST(DropGuard, ARecoveryToldPodByPodChangesNothing) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(0, 0), kHold);
  int64_t now = 3000;
  for (uint64_t size = 1; size < 6; ++size, now += 90) {
    EXPECT_EQ(guard.Observe(size, now), kHold) << size;
  }
  for (uint64_t size = 6; size < 12; ++size, now += 90) {
    EXPECT_EQ(guard.Observe(size, now), kSettle) << size;
  }
  EXPECT_EQ(guard.Observe(12, now), kApply);
  EXPECT_FALSE(guard.holding());
}

TEST(DropGuard, APartialRecoveryEndsTheMatterWhenItHasSettled) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(2, 0), kHold);
  EXPECT_EQ(guard.Observe(8, 100), kSettle);
  EXPECT_TRUE(guard.pending());
  EXPECT_EQ(guard.SettleAtMs(), 100 + kSettleMs);
  EXPECT_EQ(guard.Observe(8, 100 + kSettleMs), kApply);
  EXPECT_FALSE(guard.pending());
}

TEST(DropGuard, ToAndFroAboutTheLimitIsOneDropThatAListDecides) {
  for (const uint64_t listed : {48, 52}) {
    DropGuard guard = Holding(100);
    for (int64_t now = 0; now < 20000; now += 1000) {
      guard.Observe(now % 2000 == 0 ? 48 : 52, now);
      EXPECT_TRUE(guard.pending()) << now;
      EXPECT_EQ(guard.ConfirmAtMs(), 5000) << now;
    }
    EXPECT_EQ(guard.Observe(listed, 20100, 20000), kConfirm);
    EXPECT_EQ(guard.in_force(), listed);
    EXPECT_FALSE(guard.holding());
  }
}

TEST(DropGuard, ADropCountsFromWhenTheValueInForceWasLastTrue) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(11, 0), kSettle);
  EXPECT_EQ(guard.Observe(3, 1000), kHold);
  EXPECT_EQ(guard.ConfirmAtMs(), 5000);
}

TEST(DropGuard, WhatItsOwnerTookAwayIsInForceAtOnce) {
  DropGuard guard = Holding(60);
  EXPECT_EQ(guard.Observe(20, 0, DropGuard::kNotConsistent, 40), kApply);
  EXPECT_EQ(guard.in_force(), 20u);
  EXPECT_EQ(guard.Observe(0, 10, DropGuard::kNotConsistent, 20), kApply);
  EXPECT_EQ(guard.in_force(), 0u);
}

TEST(DropGuard, BothInOneFallEachGoItsOwnWay) {
  DropGuard guard = Holding(60);
  // Of 35 that are missing 30 were meant; 5 of the 30 that stay settle.
  EXPECT_EQ(guard.Observe(25, 0, DropGuard::kNotConsistent, 30), kSettle);
  EXPECT_EQ(guard.in_force(), 30u);
  EXPECT_EQ(guard.Observe(25, kSettleMs), kApply);
  EXPECT_EQ(guard.Observe(10, 10000, DropGuard::kNotConsistent, 1), kHold);
  EXPECT_EQ(guard.in_force(), 24u);
}

TEST(DropGuard, WhatWasLostFirstAndThenTakenAwayIsNoDropAnyMore) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(4, 0), kHold);
  EXPECT_EQ(guard.Observe(4, 1000, DropGuard::kNotConsistent, 8), kApply);
  EXPECT_FALSE(guard.pending());
}

TEST(DropGuard, WhatCameMeanwhileMakesUpForWhatWasTakenAway) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(12, 0, DropGuard::kNotConsistent, 6), kApply);
  EXPECT_EQ(guard.in_force(), 12u);
  EXPECT_EQ(guard.Observe(11, 10, DropGuard::kNotConsistent, 6), kApply);
  EXPECT_EQ(guard.in_force(), 11u);
}

// Plays a cluster of pods to a guard as its owner does: events at once, lists
// when they are due and a while later.
class PlayedCluster {
 public:
  PlayedCluster(uint64_t seed, const GuardPolicy& policy)
      : random_(seed), policy_(policy), guard_(policy, kPods) {
    in_force_.emplace_back(0, kPods);
  }

  void Run() {
    while (now_ < 300000) {
      const int64_t until = now_ + 1 + Random(15000);
      const int64_t pace = 1 + Random(1500);
      const uint64_t middle = Random(kPods + 1);
      const uint64_t range = Random(4) == 0 ? kPods : Random(10);
      while (now_ < until) {
        const uint64_t low = middle > range ? middle - range : 0;
        Change(std::min<uint64_t>(kPods, low + Random(2 * range + 1)));
        Pass(pace);
        if (::testing::Test::HasFailure()) return;
      }
      if (Random(2) == 0) Pass(1 + Random(12000));
    }
  }

 private:
  static constexpr uint64_t kPods = 100;
  static constexpr int64_t kStepMs = 20;

  int64_t Random(int64_t below) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(below));
  }

  void Change(uint64_t truth) {
    if (guard_.in_force() == truth_) true_ms_ = now_;
    if (truth != truth_) changed_ms_ = now_;
    uint64_t meant = 0;
    if (truth < truth_ && Random(3) == 0) meant = Random(truth_ - truth + 1);
    truth_ = truth;
    Observe(DropGuard::kNotConsistent, meant);
  }

  void Pass(int64_t ms) {
    for (const int64_t until = now_ + ms; now_ < until; now_ += kStepMs) {
      if (now_ >= guard_.SettleAtMs()) Observe(DropGuard::kNotConsistent, 0);
      if (answer_ms_ <= now_) {
        answer_ms_ = kNever;
        Observe(asked_ms_, 0);
      }
      if (answer_ms_ == kNever && now_ >= guard_.ConfirmAtMs()) {
        asked_ms_ = now_;
        answer_ms_ = now_ + Random(max_list_ms_);
      }
      if (guard_.in_force() == truth_) true_ms_ = now_;
      const int64_t in_time =
          now_ - policy_.confirm_ms - max_list_ms_ - 2 * kStepMs;
      if (changed_ms_ < in_time) {
        ASSERT_EQ(guard_.in_force(), truth_) << "at " << now_;
      }
      // Also where the truth never stands still.
      ASSERT_GE(true_ms_, in_time) << "at " << now_;
    }
  }

  void Observe(int64_t asked_ms, uint64_t meant) {
    const uint64_t before = *guard_.in_force();
    guard_.Observe(truth_, now_, asked_ms, meant);
    const uint64_t after = *guard_.in_force();
    ASSERT_GE(after, std::min(before, truth_));
    const bool listed = asked_ms != DropGuard::kNotConsistent;
    if (listed && !guard_.holding()) in_force_.clear();
    if (truth_ < before) meant = std::min(meant, before - truth_);
    if (!listed) ExpectAllowed(after, meant, after + meant < before);
    in_force_.emplace_back(now_, after);
  }

  // Against everything in force within confirm_ms, less what was meant.
  void ExpectAllowed(uint64_t after, uint64_t meant, bool fell) {
    uint64_t highest = 0;
    for (size_t i = 0; i < in_force_.size(); ++i) {
      auto& [since, size] = in_force_[i];
      size -= std::min(size, meant);
      const int64_t until =
          i + 1 < in_force_.size() ? in_force_[i + 1].first : now_;
      if (until + policy_.confirm_ms > now_) highest = std::max(highest, size);
    }
    if (!fell) return;
    const uint64_t allowed = highest * policy_.drop_percent / 100;
    ASSERT_GE(after + allowed, highest) << "at " << now_;
    ASSERT_TRUE(after > 0 || highest == 0) << "at " << now_;
  }

  std::mt19937_64 random_;
  const GuardPolicy policy_;
  // No longer than confirm_ms: else a list may be under way when one is due.
  const int64_t max_list_ms_ = std::min<int64_t>(2000, policy_.confirm_ms);
  DropGuard guard_;
  uint64_t truth_ = kPods;
  int64_t now_ = 0;
  int64_t changed_ms_ = 0;  // the truth
  int64_t true_ms_ = 0;     // what is in force last was
  int64_t asked_ms_ = 0;
  int64_t answer_ms_ = kNever;                         // to the list under way
  std::deque<std::pair<int64_t, uint64_t>> in_force_;  // since when, what
};

TEST(DropGuard, WhateverComesTheTruthIsInForceInTimeAndNoListlessFallIsLarge) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    GuardPolicy policy;
    policy.drop_percent = 1 + seed * 37 % 100;
    policy.confirm_ms = 500 + static_cast<int64_t>(seed % 7) * 2000;
    PlayedCluster(seed, policy).Run();
    if (HasFailure()) return;
  }
}

TEST(DropGuard, FallsThatHaveSettledCountTogether) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(8, 0), kSettle);
  EXPECT_EQ(guard.Observe(8, kSettleMs), kApply);
  // Half of 8 and less than half of 12, which counts for five seconds more.
  EXPECT_EQ(guard.Observe(4, kSettleMs + 4999), kHold);
}

TEST(DropGuard, EverySizeInForceWithinTheTimeToConfirmCounts) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(11, 0), kSettle);
  EXPECT_EQ(guard.Observe(11, 1500), kApply);  // 12 counts until 6500
  EXPECT_EQ(guard.Observe(7, 4500), kSettle);
  EXPECT_EQ(guard.Observe(7, 6000), kApply);  // 11 counts until 11000
  EXPECT_EQ(guard.Observe(5, 10999), kHold);
}

TEST(DropGuard, SlowFallsAreNoDrop) {
  DropGuard guard = Holding(12);
  int64_t now = 0;
  for (uint64_t size = 11; size >= 1; --size) {
    EXPECT_EQ(guard.Observe(size, now), kSettle) << size;
    EXPECT_EQ(guard.Observe(size, now + kSettleMs), kApply) << size;
    now += kSettleMs + 5000;
  }
}

TEST(DropGuard, ADropIsMeasuredAgainstTheSameForAsLongAsItWaits) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(7, 0), kSettle);
  EXPECT_EQ(guard.Observe(7, 1500), kApply);
  EXPECT_EQ(guard.Observe(5, 6000), kHold);
  // By now 12 is long past, and from 7 to 5 would be no drop.
  EXPECT_EQ(guard.Observe(5, 11100, 11000), kConfirm);
}

TEST(DropGuard, AThousandFallsAreRememberedStrictlyAndInLittle) {
  GuardPolicy policy;
  policy.confirm_ms = 3600000;
  DropGuard guard(policy, 2000);
  int64_t now = 0;
  for (uint64_t size = 1999; size >= 1000; --size) {
    EXPECT_EQ(guard.Observe(size, now), kSettle) << size;
    now += kSettleMs;
    EXPECT_EQ(guard.Observe(size, now), kApply) << size;
  }
  EXPECT_EQ(guard.Observe(999, now), kHold);
}

TEST(DropGuard, OffAppliesAtOnce) {
  GuardPolicy off;
  off.on = false;
  DropGuard guard(off, 12);
  EXPECT_EQ(guard.Observe(0, 0), kApply);
}

TEST(DropGuard, DropPercentIsThePolicys) {
  GuardPolicy policy;
  policy.drop_percent = 20;
  EXPECT_EQ(DropGuard(policy, 10).Observe(8, 0), kSettle);
  EXPECT_EQ(DropGuard(policy, 10).Observe(7, 0), kHold);
  policy.drop_percent = 100;
  EXPECT_EQ(DropGuard(policy, 10).Observe(1, 0), kSettle);
  EXPECT_EQ(DropGuard(policy, 10).Observe(0, 0), kHold);
}

TEST(DropGuard, HugeCountsDoNotOverflow) {
  EXPECT_EQ(Holding(UINT64_MAX).Observe(UINT64_MAX / 2 - 1, 0), kHold);
  EXPECT_EQ(Holding(UINT64_MAX).Observe(UINT64_MAX / 2 + 1, 0), kSettle);
}

}  // namespace
}  // namespace dynweight

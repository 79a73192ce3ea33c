// Tests of the drop guard.

#include "watcher/guard.h"

#include <gtest/gtest.h>

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

TEST(DropGuard, APartialRecoveryEndsTheMatterAndSettles) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(2, 0), kHold);
  EXPECT_EQ(guard.Observe(8, 100), kSettle);
  EXPECT_FALSE(guard.pending());
  EXPECT_EQ(guard.Observe(8, 100 + kSettleMs), kApply);
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

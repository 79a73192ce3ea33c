// Tests of the drop guard.

#include "watcher/guard.h"

#include <gtest/gtest.h>

namespace dynweight {
namespace {

constexpr auto kApply = DropGuard::Verdict::kApply;
constexpr auto kConfirm = DropGuard::Verdict::kConfirm;
constexpr auto kHold = DropGuard::Verdict::kHold;

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
  EXPECT_EQ(guard.Observe(6, 0), kApply);
}

TEST(DropGuard, MoreThanHalfIsHeld) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(5, 0), kHold);
}

TEST(DropGuard, HalfOfAnOddNumberIsNotRoundedInFavourOfTheDrop) {
  EXPECT_EQ(Holding(3).Observe(2, 0), kApply);
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
  EXPECT_EQ(guard.Observe(0, 5200), kHold);
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

TEST(DropGuard, StepsDownCountTogether) {
  DropGuard guard = Holding(12);
  for (uint64_t size = 11; size >= 6; --size) {
    EXPECT_EQ(guard.Observe(size, static_cast<int64_t>(12 - size)), kApply);
  }
  EXPECT_EQ(guard.Observe(5, 10), kHold);
  EXPECT_EQ(guard.Observe(0, 20), kHold);
  EXPECT_EQ(guard.Observe(12, 3000), kApply);
}

TEST(DropGuard, SlowStepsDownAreNoDrop) {
  DropGuard guard = Holding(12);
  int64_t now = 0;
  for (uint64_t size = 11; size >= 2; --size) {
    EXPECT_EQ(guard.Observe(size, now), kApply) << size;
    now += 2500;
  }
}

TEST(DropGuard, PartialRecoveryAboveHalfAppliesAndEndsTheMatter) {
  DropGuard guard = Holding(12);
  EXPECT_EQ(guard.Observe(2, 0), kHold);
  EXPECT_EQ(guard.Observe(8, 100), kApply);
  EXPECT_FALSE(guard.pending());
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
  EXPECT_EQ(DropGuard(policy, 10).Observe(8, 0), kApply);
  EXPECT_EQ(DropGuard(policy, 10).Observe(7, 0), kHold);
  policy.drop_percent = 100;
  EXPECT_EQ(DropGuard(policy, 10).Observe(1, 0), kApply);
  EXPECT_EQ(DropGuard(policy, 10).Observe(0, 0), kHold);
}

TEST(DropGuard, HugeCountsDoNotOverflow) {
  EXPECT_EQ(Holding(UINT64_MAX).Observe(UINT64_MAX / 2 - 1, 0), kHold);
  EXPECT_EQ(Holding(UINT64_MAX).Observe(UINT64_MAX / 2 + 1, 0), kApply);
}

}  // namespace
}  // namespace dynweight

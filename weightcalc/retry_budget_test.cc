// Tests of retry_budget.h.

#include "weightcalc/retry_budget.h"

#include "gtest/gtest.h"

namespace dynweight {
namespace {

TEST(RetryBudgetTest, WithoutOneAllAreAllowed) {
  const RetryBudget none;
  EXPECT_FALSE(none.limited());
  EXPECT_TRUE(none.Allows(0, UINT32_MAX));
}

TEST(RetryBudgetTest, APartOfTheFirstAttempts) {
  const RetryBudget budget{20, 3};
  EXPECT_TRUE(budget.Allows(100, 19));
  EXPECT_FALSE(budget.Allows(100, 20));
  EXPECT_FALSE(budget.Allows(99, 19)) << "rounded down: never more than a part";
}

TEST(RetryBudgetTest, SoManyAreAlwaysAllowed) {
  const RetryBudget budget{20, 3};
  EXPECT_TRUE(budget.Allows(0, 2));
  EXPECT_FALSE(budget.Allows(0, 3));
  EXPECT_TRUE((RetryBudget{0, 1}.Allows(1000, 0)));
  EXPECT_FALSE((RetryBudget{0, 0}.Allows(1000, 0)));
}

TEST(RetryBudgetTest, LargeNumbersDoNotWrapAround) {
  const RetryBudget budget{100, 0};
  EXPECT_TRUE(budget.Allows(UINT32_MAX, UINT32_MAX - 1));
  EXPECT_FALSE(budget.Allows(UINT32_MAX, UINT32_MAX));
}

}  // namespace
}  // namespace dynweight

// Tests of outlier_window.h.

#include "weightcalc/outlier_window.h"

#include <gtest/gtest.h>

namespace dynweight {
namespace {

TEST(OutlierWindowTest, JudgesNobodyByFewAttempts) {
  const OutlierPolicy policy;
  OutlierWindow window;
  window.Reset(1000, 900);
  window.Advance(1, 1019, 919);
  EXPECT_FALSE(window.IsOutlier(policy));
  window.Advance(1, 1020, 920);
  EXPECT_TRUE(window.IsOutlier(policy));
  EXPECT_EQ(window.attempts(), 20u);
  EXPECT_EQ(window.errors(), 20u);
}

TEST(OutlierWindowTest, TakesThePartOfTheWindow) {
  const OutlierPolicy policy;
  OutlierWindow window;
  window.Advance(1, 100, 49);
  EXPECT_FALSE(window.IsOutlier(policy));
  window.Advance(0, 102, 51);
  EXPECT_TRUE(window.IsOutlier(policy));
}

TEST(OutlierWindowTest, ForgetsWhatIsAWindowOld) {
  const OutlierPolicy policy;
  OutlierWindow window;
  window.Advance(1, 100, 100);
  for (uint64_t i = 1; i < OutlierWindow::kSlices; ++i) {
    window.Advance(1, 100 + i, 100);
    EXPECT_TRUE(window.IsOutlier(policy)) << i;
  }
  window.Advance(1, 130, 100);
  EXPECT_FALSE(window.IsOutlier(policy));
  EXPECT_EQ(window.errors(), 0u);
  EXPECT_EQ(window.attempts(), 30u);
}

TEST(OutlierWindowTest, AThreadThatStoodStillForgetsAll) {
  OutlierWindow window;
  window.Advance(1, 100, 100);
  window.Advance(uint64_t{1} << 40, 150, 100);
  EXPECT_EQ(window.attempts(), 50u);
  EXPECT_EQ(window.errors(), 0u);
}

TEST(OutlierWindowTest, CountersMayWrap) {
  OutlierWindow window;
  window.Reset(UINT64_MAX - 9, UINT64_MAX);
  window.Advance(1, 10, 19);
  EXPECT_EQ(window.attempts(), 20u);
  EXPECT_EQ(window.errors(), 20u);
}

TEST(OutlierPolicyTest, EachTimeIsLongerUpToTen) {
  const OutlierPolicy policy;
  EXPECT_EQ(policy.EjectMs(1), 30000);
  EXPECT_EQ(policy.EjectMs(3), 90000);
  EXPECT_EQ(policy.EjectMs(10), 300000);
  EXPECT_EQ(policy.EjectMs(4000), 300000);
}

}  // namespace
}  // namespace dynweight

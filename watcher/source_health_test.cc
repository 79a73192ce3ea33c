// Tests of what is logged about a source that fails and recovers.

#include "watcher/source_health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/manual_clock.h"

namespace dynweight {
namespace {

using ::testing::HasSubstr;

class SourceHealthTest : public ::testing::Test {
 protected:
  std::optional<LogLine> Fail(std::string_view reason) {
    return health_.OnError(reason, clock_);
  }
  std::optional<LogLine> Succeed() { return health_.OnHealthy("/api", clock_); }

  ManualClock clock_;
  SourceHealth health_;
};

TEST_F(SourceHealthTest, FirstFailureIsAnErrorThatSaysWhyAndThatWeightsHold) {
  const auto line = Fail("/api: HTTP 403: no");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->level, LogLine::Level::kError);
  EXPECT_EQ(line->text,
            "/api: HTTP 403: no; weights hold at what was last known");
  EXPECT_TRUE(health_.failing());
}

TEST_F(SourceHealthTest, TheSameFailureIsToldOnce) {
  EXPECT_TRUE(Fail("timeout after 5001 ms"));
  EXPECT_FALSE(Fail("timeout after 5001 ms"));
  EXPECT_FALSE(Fail("timeout after 5003 ms"));
}

TEST_F(SourceHealthTest, ANewReasonIsTold) {
  EXPECT_TRUE(Fail("HTTP 500: a"));
  EXPECT_TRUE(Fail("HTTP 503: a"));
  EXPECT_FALSE(Fail("HTTP 500: a"));
}

TEST_F(SourceHealthTest, ReasonsThatNeverRepeatAreBounded) {
  int told = 0;
  for (char c = 'a'; c <= 'z'; ++c) told += Fail(std::string(1, c)) ? 1 : 0;
  EXPECT_EQ(told, static_cast<int>(SourceHealth::kMaxReasons));
}

TEST_F(SourceHealthTest, ANewReasonAfterManyIsToldAMinuteLater) {
  for (char c = 'a'; c <= 'z'; ++c) Fail(std::string(1, c));
  EXPECT_FALSE(Fail("HTTP 403"));
  clock_.now += SourceHealth::kForgetMs;
  EXPECT_TRUE(Fail("HTTP 403"));
}

TEST_F(SourceHealthTest, RecoveryIsToldOnceWithHowLongItFailed) {
  Fail("x");
  clock_.now += 2500;
  const auto line = Succeed();
  ASSERT_TRUE(line);
  EXPECT_EQ(line->level, LogLine::Level::kNotice);
  EXPECT_EQ(line->text, "/api: works again after failing for 2.5 s");
  EXPECT_FALSE(health_.failing());
  EXPECT_EQ(health_.last_error(), "");
  EXPECT_FALSE(Succeed());
}

TEST_F(SourceHealthTest, AfterARecoveryTheSameReasonIsToldAgain) {
  EXPECT_TRUE(Fail("x"));
  EXPECT_TRUE(Succeed());
  EXPECT_TRUE(Fail("x"));
}

TEST_F(SourceHealthTest, GoodNewsWithoutAFailureIsNoNews) {
  EXPECT_FALSE(Succeed());
  EXPECT_EQ(health_.last_success_ms(), ManualClock::kUnixStart + 1000);
}

TEST_F(SourceHealthTest, WhenItFailedLastIsKeptAfterTheRecovery) {
  Fail("x");
  Succeed();
  EXPECT_EQ(health_.last_error_ms(), ManualClock::kUnixStart + 1000);
  EXPECT_EQ(health_.failing_since_ms(), 0);
}

TEST_F(SourceHealthTest, TextFromTheClusterIsMadePrintable) {
  const auto line = Fail("a\nb");
  ASSERT_TRUE(line);
  EXPECT_THAT(line->text, HasSubstr("a\\x0ab"));
}

}  // namespace
}  // namespace dynweight

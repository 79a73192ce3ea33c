// Tests of the operator's log lines.

#include "watcher/text/log_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dynweight {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto kNotice = LogLine::Level::kNotice;

TEST(PrintableText, EscapesWhatIsNotPrintable) {
  EXPECT_EQ(PrintableText(std::string_view("a\nb\0c\x7f\xc3", 7)),
            "a\\x0ab\\x00c\\x7f\\xc3");
}

TEST(PrintableText, CutsLongText) {
  const std::string text = PrintableText(std::string(5000, '\n'));
  EXPECT_LE(text.size(), kMaxLogText);
  EXPECT_EQ(text.substr(text.size() - 3), "...");
}

TEST(PrintableText, LeavesPlainTextAlone) {
  EXPECT_EQ(PrintableText("cluster \"bj\": HTTP 403"),
            "cluster \"bj\": HTTP 403");
}

TEST(LogQueue, GivesLinesInOrderOnce) {
  LogQueue log;
  EXPECT_EQ(log.DeadlineMs(), kNever);
  log.Add(kNotice, "a", 0);
  log.Add(LogLine::Level::kError, "b", 0);
  EXPECT_LE(log.DeadlineMs(), 0);
  const auto lines = log.Take(0);
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_EQ(lines[0].text, "a");
  EXPECT_EQ(lines[1].level, LogLine::Level::kError);
  EXPECT_THAT(log.Take(0), IsEmpty());
}

TEST(LogQueue, BeyondTheLimitOneLineSaysHowManyWereDropped) {
  LogQueue log;
  for (int i = 0; i < 150; ++i) log.Add(kNotice, "x", 10);
  EXPECT_THAT(log.Take(10), SizeIs(100));
  EXPECT_EQ(log.DeadlineMs(), 1010);
  EXPECT_THAT(log.Take(1009), IsEmpty());
  const auto lines = log.Take(1010);
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0].text, HasSubstr("50 log lines"));
  EXPECT_EQ(log.DeadlineMs(), kNever);
}

TEST(LogQueue, TheNextSecondHasItsOwnLimit) {
  LogQueue log;
  for (int i = 0; i < 150; ++i) log.Add(kNotice, "x", 0);
  log.Take(0);
  for (int i = 0; i < 99; ++i) log.Add(kNotice, "y", 1000);
  EXPECT_THAT(log.Take(1000), SizeIs(100));  // the count and 99
}

TEST(LogQueue, LinesThatNobodyTakesAreBounded) {
  LogQueue log;
  for (int64_t second = 0; second < 100; ++second) {
    for (int i = 0; i < 100; ++i) log.Add(kNotice, "x", second * 1000);
  }
  EXPECT_LE(log.Take(100000).size(), LogQueue::kMaxWaiting + 1);
}

TEST(LogQueue, AnErrorIsNeverTheLineThatIsDropped) {
  LogQueue log;
  for (int i = 0; i < 150; ++i) log.Add(kNotice, "x", 10);
  log.Add(LogLine::Level::kError, "HTTP 403", 10);
  EXPECT_EQ(log.Take(10).back().text, "HTTP 403");
  // Also where nobody takes them.
  for (int64_t second = 1; second < 100; ++second) {
    for (int i = 0; i < 100; ++i) log.Add(kNotice, "x", second * 1000);
  }
  log.Add(LogLine::Level::kError, "HTTP 401", 99000);
  bool told = false;
  for (const LogLine& line : log.Take(99000)) told |= line.text == "HTTP 401";
  EXPECT_TRUE(told);
}

TEST(LogQueue, NoticesLeaveRoomForWarnings) {
  LogQueue log;
  for (int i = 0; i < 150; ++i) log.Add(kNotice, "x", 10);
  log.Add(LogLine::Level::kWarn, "held back", 10);
  EXPECT_EQ(log.Take(10).back().text, "held back");
}

}  // namespace
}  // namespace dynweight

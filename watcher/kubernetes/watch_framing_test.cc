// Tests of watch_framing.h.

#include "watcher/kubernetes/watch_framing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class WatchFramingTest : public testing::Test {
 protected:
  absl::Status Append(std::string_view data) {
    return framing_.Append(data, [this](std::string_view line) {
      lines_.emplace_back(line);
      return line == "stop" ? absl::AbortedError("stop") : absl::OkStatus();
    });
  }

  WatchFraming framing_{10};
  std::vector<std::string> lines_;
};

TEST_F(WatchFramingTest, ALineIsADocument) {
  EXPECT_TRUE(Append("{1}\n{2}\n").ok());
  EXPECT_THAT(lines_, ElementsAre("{1}", "{2}"));
  EXPECT_FALSE(framing_.partial());
}

TEST_F(WatchFramingTest, PiecesMayBeCutAnywhere) {
  for (const char c : std::string("{1}\n{\xc3\xa9}\n")) {
    EXPECT_TRUE(Append(std::string(1, c)).ok());
  }
  EXPECT_THAT(lines_, ElementsAre("{1}", "{\xc3\xa9}"));
}

TEST_F(WatchFramingTest, WhatHasNoLineEndIsNoDocument) {
  EXPECT_TRUE(Append("{1}\n{2}").ok());
  EXPECT_THAT(lines_, ElementsAre("{1}"));
  EXPECT_TRUE(framing_.partial());
}

TEST_F(WatchFramingTest, BlankLinesArePassedOver) {
  EXPECT_TRUE(Append("\n\r\n  \n{1}\n").ok());
  EXPECT_THAT(lines_, ElementsAre("{1}"));
}

TEST_F(WatchFramingTest, TheLongestLinePasses) {
  EXPECT_TRUE(Append("0123456789\n").ok());
  EXPECT_TRUE(Append("01234").ok());
  EXPECT_TRUE(Append("56789\n").ok());
  EXPECT_THAT(lines_, ElementsAre("0123456789", "0123456789"));
}

TEST_F(WatchFramingTest, ALongerLineIsAnErrorBeforeItEnds) {
  EXPECT_TRUE(Append("0123456789").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Append("0")));
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(WatchFramingTest, ALongerLineInOnePieceIsAnError) {
  EXPECT_TRUE(absl::IsResourceExhausted(Append("{1}\n01234567890\n")));
  EXPECT_THAT(lines_, ElementsAre("{1}"));
}

TEST_F(WatchFramingTest, TheFirstErrorOfADocumentEndsIt) {
  EXPECT_TRUE(absl::IsAborted(Append("{1}\nstop\n{2}\n")));
  EXPECT_THAT(lines_, ElementsAre("{1}", "stop"));
}

TEST_F(WatchFramingTest, ResetForgetsTheUnfinishedLine) {
  EXPECT_TRUE(Append("{1").ok());
  framing_.Reset();
  EXPECT_TRUE(Append("{2}\n").ok());
  EXPECT_THAT(lines_, ElementsAre("{2}"));
}

}  // namespace
}  // namespace dynweight

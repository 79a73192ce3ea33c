// Tests of a reflector that polls.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/reflector_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ReflectorPollTest : public ReflectorTest {
 protected:
  ReflectorPollTest() {
    options_.watch = false;
    options_.interval_ms = 2000;
  }
};

TEST_F(ReflectorPollTest, NeverWatches) {
  Sync();
  EXPECT_EQ(Watch(), nullptr);
  EXPECT_EQ(transport_.transfers.size(), 1u);
}

TEST_F(ReflectorPollTest, ListsAgainAnIntervalAfterTheLastEnded) {
  Start();
  Advance(700);
  AnswerList(Page({}, "100"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 2000);
}

TEST_F(ReflectorPollTest, FirstListHasVersionZeroLaterOnesTheLast) {
  Start();
  EXPECT_EQ(List()->Parameter("resourceVersion"), "0");
  AnswerList(Page({}, "100"));
  Advance(2000);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  EXPECT_EQ(List()->Parameter("resourceVersionMatch"), "NotOlderThan");
  EXPECT_EQ(List()->Parameter("limit"), std::nullopt);
  AnswerList(Page({}, "120"));
  Advance(2000);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "120");
}

TEST_F(ReflectorPollTest, A410IsFollowedByAListWithoutVersionAtOnce) {
  Sync();
  Advance(2000);
  Refuse(List(), 410);
  ASSERT_NE(List(), nullptr);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
}

TEST_F(ReflectorPollTest, AVersionTooLargeIsFollowedByAListWithoutVersion) {
  Sync();
  Advance(2000);
  Refuse(List(), 504, kTooLarge, 1000);
  ASSERT_NE(List(), nullptr);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
}

TEST_F(ReflectorPollTest, PagesAreSwappedTogether) {
  Start();
  AnswerList(Page({"a"}, "100", "t"));
  EXPECT_EQ(sink_.commits, 0);
  AnswerList(Page({"b"}, "100"));
  EXPECT_THAT(sink_.present, ElementsAre("a", "b"));
}

TEST_F(ReflectorPollTest, AFailureHoldsAndRetriesAtTheInterval) {
  Sync();
  Advance(2000);
  Refuse(List(), 500);
  EXPECT_THAT(sink_.present, ElementsAre("x"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 2000);
}

TEST_F(ReflectorPollTest, BackOffStaysUnderFiveSeconds) {
  Start();
  for (const int64_t wait_ms : {2000, 2000, 3200, 5000, 5000}) {
    Refuse(List(), 500);
    EXPECT_EQ(WaitFor(/*watch=*/false), wait_ms);
  }
}

TEST_F(ReflectorPollTest, BackOffStaysUnderALongInterval) {
  options_.interval_ms = 20000;
  Start();
  for (int i = 0; i < 10; ++i) {
    Refuse(List(), 500);
    EXPECT_EQ(WaitFor(/*watch=*/false), 20000);
  }
}

TEST_F(ReflectorPollTest, TheNextServerIsAskedWithoutWaitingForTheInterval) {
  options_.interval_ms = 60000;
  delegate_.next_base = "https://b:6443";
  Start();
  Break(List(), absl::UnavailableError("refused"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
  EXPECT_THAT(List()->request.url, testing::StartsWith("https://b:6443/"));
}

TEST_F(ReflectorPollTest, RetryAfterIsObeyed) {
  Start();
  Refuse(List(), 429, "", 30000);
  EXPECT_EQ(WaitFor(/*watch=*/false), 30000);
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
}

TEST_F(ReflectorPollTest, EveryListButTheFirstConfirms) {
  Sync();
  Advance(2000);
  AnswerList(Page({}, "100"));
  EXPECT_THAT(delegate_.lists, ElementsAre(false, true));
  EXPECT_EQ(delegate_.list_asked_ms, now_ms_);
}

TEST_F(ReflectorPollTest, ARequestedListDoesNotWaitForTheInterval) {
  Sync();
  reflector_->RequestFreshList(now_ms_);
  EXPECT_EQ(WaitFor(/*watch=*/false), 0);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  AnswerList(Page({}, "101"));
  EXPECT_THAT(delegate_.lists, ElementsAre(false, true));
  EXPECT_EQ(WaitFor(/*watch=*/false), 2000);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "101");
}

TEST_F(ReflectorPollTest, EveryListIsHealth) {
  Sync();
  EXPECT_EQ(delegate_.healthy, 1);
  Advance(2000);
  Refuse(List(), 500);
  EXPECT_EQ(delegate_.healthy, 1);
  WaitFor(/*watch=*/false);
  AnswerList(Page({}, "101"));
  EXPECT_EQ(delegate_.healthy, 2);
}

}  // namespace
}  // namespace dynweight

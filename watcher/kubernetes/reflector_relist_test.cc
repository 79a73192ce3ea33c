// Tests of a reflector's lists after the first: which version they ask for, how
// they meet the watch, and those that the host interests.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/reflector_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ReflectorRelistTest : public ReflectorTest {};

TEST_F(ReflectorRelistTest, AFullListComesFromTheCacheAfterAnHourOrTwo) {
  for (const double random : {0.0, 0.5}) {
    SCOPED_TRACE(random);
    random_ = random;
    Sync();
    AnswerWatch();
    const int64_t begin_ms = now_ms_;
    for (int version = 101; List() == nullptr; ++version) {
      Send(Bookmark(absl::StrCat(version)));
      Advance(60000);
    }
    EXPECT_EQ(now_ms_ - begin_ms, random == 0 ? 3600000 : 5400000);
    EXPECT_EQ(List()->Parameter("resourceVersionMatch"), "NotOlderThan");
    reflector_.reset();
  }
}

TEST_F(ReflectorRelistTest, TheWatchGoesOnUntilTheListIsCommitted) {
  Sync();
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  ASSERT_NE(List(), nullptr);
  Send(Event("ADDED", "y", "107"));
  EXPECT_THAT(sink_.events, ElementsAre("added y"));
  EXPECT_EQ(delegate_.events, 1);
}

TEST_F(ReflectorRelistTest, NothingOlderThanTheWatchIsInForceAfterAList) {
  Sync();
  const Transfer* watch = Watch();
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  Send(Event("ADDED", "early", "104"));
  Send(Event("ADDED", "y", "107"));
  sink_.events.clear();
  AnswerList(Page({"x", "early"}, "105"));
  EXPECT_THAT(sink_.present, ElementsAre("x", "early"));
  EXPECT_THAT(sink_.events, ElementsAre("added y"));
  EXPECT_THAT(delegate_.lists, ElementsAre(false, true));
  EXPECT_EQ(Watch(), watch);
  EXPECT_EQ(reflector_->stats().resource_version, "107");
}

TEST_F(ReflectorRelistTest, WhatAListHoldsIsNotAppliedOnceMore) {
  Sync();
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  AnswerList(Page({"x", "y"}, "110"));
  Send(Event("DELETED", "y", "108") + Event("ADDED", "y", "110") +
       Event("ADDED", "z", "111"));
  EXPECT_THAT(sink_.events, ElementsAre("added z"));
  EXPECT_EQ(reflector_->stats().resource_version, "111");
}

TEST_F(ReflectorRelistTest, AWatchThatIsBehindAListGoesOnFromTheList) {
  Sync();
  reflector_->RequestFreshList(now_ms_);
  Advance(2000);
  AnswerList(Page({"x"}, "110"));
  Send(Event("ADDED", "y", "105"));
  EndWatch();
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "110");
}

TEST_F(ReflectorRelistTest, AnAnswerThatIsOlderThanAskedForIsNotTaken) {
  Sync();
  Send(Event("ADDED", "y", "107"));
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  AnswerList(Page({"old"}, "106"));
  EXPECT_THAT(sink_.present, ElementsAre("x"));
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("older than what was asked")));
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
}

TEST_F(ReflectorRelistTest, ARestoredClusterIsTakenAsItIs) {
  Sync();
  Send(Event("ADDED", "y", "107"));
  Send(absl::StrCat(R"({"type":"ERROR","object":)", kTooLarge, "}\n"));
  WaitFor(/*watch=*/false);
  AnswerList(Page({"old"}, "90"));
  EXPECT_THAT(sink_.present, ElementsAre("old"));
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "90");
  sink_.events.clear();
  Send(Event("ADDED", "z", "91"));
  EXPECT_THAT(sink_.events, ElementsAre("added z"));
}

TEST_F(ReflectorRelistTest, OpaqueVersionsSettleBeforeTheListIsTold) {
  Start();
  AnswerList(Page({"x"}, "b3BhcXVl"));
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  Send(Event("ADDED", "y", "bW9yZQ=="));
  const int events = delegate_.events;
  AnswerList(Page({"x"}, "c29tZQ=="));
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "c29tZQ%3D%3D");
  EXPECT_THAT(delegate_.lists, ElementsAre(false));
  Send(Event("ADDED", "y", "bW9yZQ=="));
  EXPECT_EQ(delegate_.events, events);
  Advance(1500);
  EXPECT_THAT(delegate_.lists, ElementsAre(false, true));
}

TEST_F(ReflectorRelistTest, OpaqueVersionsAreToldAtOnceWhenNothingCame) {
  Start();
  AnswerList(Page({"x"}, "b3BhcXVl"));
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  AnswerList(Page({"x"}, "c29tZQ=="));
  EXPECT_THAT(delegate_.lists, ElementsAre(false, true));
}

TEST_F(ReflectorRelistTest, RequestedListsAreSpacedAndSpread) {
  options_.spread_ms = 5000;
  Sync();
  AnswerWatch();
  random_ = 0.5;
  reflector_->RequestFreshList(now_ms_);
  Advance(1000);
  reflector_->RequestFreshList(now_ms_);  // the same list answers it
  EXPECT_EQ(WaitFor(/*watch=*/false), 1500);
  AnswerList(Page({"x"}, "110"));
  int lists = 0;
  const int64_t end_ms = now_ms_ + 80000;
  while (now_ms_ < end_ms) {
    reflector_->RequestFreshList(now_ms_);
    Advance(250);
    if (List() == nullptr) continue;
    EXPECT_EQ(List()->Parameter("resourceVersionMatch"), "NotOlderThan");
    AnswerList(Page({"x"}, "110"));
    ++lists;
  }
  EXPECT_LE(lists, 11);
  EXPECT_GE(lists, 10);
}

TEST_F(ReflectorRelistTest, AListThatNobodyWaitsForIsNotRead) {
  Sync();
  AnswerWatch();
  reflector_->RequestFreshList(now_ms_);
  reflector_->WithdrawList();
  Advance(20000);
  EXPECT_EQ(List(), nullptr);
  // One under way is read to its end.
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  ASSERT_NE(List(), nullptr);
  reflector_->WithdrawList();
  AnswerList(Page({"x", "y"}, "110"));
  EXPECT_THAT(sink_.present, ElementsAre("x", "y"));
}

TEST_F(ReflectorRelistTest, AVersionThatFailsIsFollowedByNoneWhateverItSays) {
  const struct {
    int code;
    std::string body;
  } kCases[] = {
      {504, R"({"kind":"Status","reason":"Timeout","code":504,"message":)"
            R"("Timeout: Too large resource version: 9, current: 5"})"},
      {504, "<html>gateway timeout"},
      {400, StatusObject(400, "BadRequest")},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.body);
    Sync();
    Send(ErrorEvent(500, "InternalError"));
    WaitFor(/*watch=*/false);
    EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
    Refuse(List(), c.code, c.body);
    WaitFor(/*watch=*/false);
    EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
    reflector_.reset();
  }
}

TEST_F(ReflectorRelistTest, AnIllServerIsNotReadByAQuorumAtOnce) {
  Sync();
  Send(ErrorEvent(500, "InternalError"));
  std::vector<bool> versioned;
  for (int i = 0; i < 8; ++i) {
    WaitFor(/*watch=*/false);
    versioned.push_back(List()->Parameter("resourceVersion").has_value());
    Refuse(List(), 503);
  }
  EXPECT_THAT(versioned,
              ElementsAre(true, true, true, false, true, true, true, false));
}

TEST_F(ReflectorRelistTest, ARequestedListThatFailsLeavesTheWatchAlone) {
  Sync();
  Transfer* watch = Watch();
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  Refuse(List(), 500);
  EXPECT_EQ(Watch(), watch);
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
}

TEST_F(ReflectorRelistTest,
       ARequestedListComesSoonAndIsNotOlderThanWhatWasSeen) {
  Sync();
  reflector_->RequestFreshList(now_ms_);
  EXPECT_EQ(reflector_->Deadline(), now_ms_);
  Advance(0);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  AnswerList(Page({}, "101"));
  EXPECT_THAT(delegate_.lists, ElementsAre(false, true));
  Advance(1000);
  EXPECT_EQ(List(), nullptr);
}

TEST_F(ReflectorRelistTest, ARequestDuringAListIsAnsweredByTheNext) {
  Start();
  reflector_->RequestFreshList(now_ms_);
  AnswerList(Page({}, "100"));
  Advance(0);
  ASSERT_NE(List(), nullptr);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
}

TEST_F(ReflectorRelistTest, AListTellsWhenItWasAskedFor) {
  Sync();
  EXPECT_EQ(delegate_.list_asked_ms, -1);
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  const int64_t asked_ms = now_ms_;
  Advance(700);
  AnswerList(Page({}, "101"));
  EXPECT_EQ(delegate_.list_asked_ms, asked_ms);
}

TEST_F(ReflectorRelistTest, ARequestFromWithinOnListIsTakenUp) {
  delegate_.confirm_next_list = true;
  Sync();
  Advance(0);
  ASSERT_NE(List(), nullptr);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
}

TEST_F(ReflectorRelistTest, ARequestDoesNotCutABackOffShort) {
  Start();
  Refuse(List(), 429, "", 10000);
  reflector_->RequestFreshList(now_ms_);
  EXPECT_EQ(WaitFor(/*watch=*/false), 10000);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "0");
}

}  // namespace
}  // namespace dynweight

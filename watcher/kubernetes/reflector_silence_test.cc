// Tests of a reflector's watches that say nothing, or are not answered.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/reflector_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ReflectorSilenceTest : public ReflectorTest {};

TEST_F(ReflectorSilenceTest, AQuarterOfAnHourOfSilenceEndsInAListFromTheCache) {
  Sync();
  int64_t silent_ms = 0;
  while (List() == nullptr) {
    AnswerWatch();
    Advance(20000);
    silent_ms += 20000;
    if (List() == nullptr) {
      Break(Watch(), absl::UnavailableError("reset"), 200);
    }
  }
  EXPECT_EQ(silent_ms, 900000);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  EXPECT_EQ(List()->Parameter("resourceVersionMatch"), "NotOlderThan");
}

TEST_F(ReflectorSilenceTest, AfterAServerFailedAListFollows) {
  // One that went back in time takes any watch, and is silent.
  Sync();
  AnswerWatch();
  Advance(10000);
  Break(Watch(), absl::UnavailableError("reset"), 200);
  Break(Watch(), absl::UnavailableError("refused"));
  WaitFor(/*watch=*/true);
  EXPECT_EQ(List(), nullptr);
  AnswerWatch();
  EXPECT_EQ(WaitFor(/*watch=*/false), 65000);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  Refuse(List(), 504, kTooLarge);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
}

TEST_F(ReflectorSilenceTest, AfterAServerFailedAListFollowsWhateverIsHeard) {
  // One that went back in time comes to the version that is known, and goes on.
  Sync();
  Break(Watch(), absl::UnavailableError("refused"));
  WaitFor(/*watch=*/true);
  AnswerWatch();
  Advance(40000);
  Send(Bookmark("101"));
  Send(Event("ADDED", "y", "102"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 25000);
  AnswerList(Page({"z"}, "103"));
  EXPECT_THAT(sink_.present, ElementsAre("z"));
  // Once.
  Advance(100000);
  EXPECT_EQ(List(), nullptr);
}

TEST_F(ReflectorSilenceTest, AListThatFollowedAFailureIsNotFollowedByAnother) {
  Sync();
  Break(Watch(), absl::UnavailableError("refused"));
  WaitFor(/*watch=*/true);
  AnswerWatch();
  Send(ErrorEvent(410, "Expired"));
  WaitFor(/*watch=*/false);
  AnswerList(Page({"x"}, "101"));
  AnswerWatch();
  Advance(140000);
  EXPECT_EQ(List(), nullptr);
}

TEST_F(ReflectorSilenceTest,
       WatchesThatAreHeldBackAreReplacedByListsAndSaidSo) {
  options_.interval_ms = 3000;
  Sync();
  int lists = 0;
  const int64_t end_ms = now_ms_ + 25000;
  while (now_ms_ < end_ms) {
    WaitFor(/*watch=*/false);
    ++lists;
    AnswerList(Page({"x"}, absl::StrCat(100 + lists)));
  }
  EXPECT_EQ(lists, 9);
  EXPECT_THAT(delegate_.errors, IsEmpty());
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
  EXPECT_EQ(reflector_->stats().failures, 0u);
  EXPECT_THAT(delegate_.troubles, ElementsAre(HasSubstr("buffers")));
  EXPECT_EQ(delegate_.lists.size(), 10u);
  // It is tried now and then, and ends with a watch that is answered.
  while (Watch() == nullptr) {
    WaitFor(/*watch=*/false);
    AnswerList(Page({"x"}, "200"));
    Advance(1000);
  }
  AnswerWatch();
  EXPECT_THAT(delegate_.troubles, ElementsAre(HasSubstr("buffers"), ""));
  Advance(10000);
  EXPECT_EQ(List(), nullptr);
}

TEST_F(ReflectorSilenceTest, AWatchIsTriedLessAndLessOftenWhereItIsHeldBack) {
  Sync();
  int watches = 0;
  for (int i = 0; i < 720; ++i) {  // an hour
    Advance(5000);
    if (List() != nullptr) AnswerList(Page({"x"}, absl::StrCat(101 + i)));
  }
  for (const Transfer& transfer : transport_.transfers) {
    watches += transfer.is_watch() ? 1 : 0;
  }
  EXPECT_LE(watches, 12);
  EXPECT_GE(watches, 8);
  EXPECT_THAT(delegate_.troubles, ElementsAre(HasSubstr("buffers")));
}

TEST_F(ReflectorSilenceTest, SilenceOf150SecondsRenewsTheWatch) {
  Sync();
  Send(Bookmark("101"));
  const Transfer* first = Watch();
  Advance(149999);
  EXPECT_EQ(Watch(), first);
  Advance(1);
  EXPECT_FALSE(first->open());
  ASSERT_NE(Watch(), nullptr);
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "101");
  EXPECT_EQ(List(), nullptr);
  EXPECT_THAT(delegate_.errors, IsEmpty());
}

TEST_F(ReflectorSilenceTest, TheSecondSilentWatchListsAndThenTheFourth) {
  Sync();
  std::vector<int> lists;
  for (int silences = 1; silences <= 5; ++silences) {
    AnswerWatch();
    Advance(150000);
    if (List() == nullptr) continue;
    EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
    lists.push_back(silences);
    AnswerList(Page({"x"}, "100"));
    EXPECT_NE(Watch(), nullptr);
  }
  EXPECT_THAT(lists, ElementsAre(2, 4));
  EXPECT_THAT(delegate_.errors, IsEmpty());
}

TEST_F(ReflectorSilenceTest, ARenewedWatchThatLastsIsHealthy) {
  Sync();
  Send(Bookmark("101"));
  Advance(150000);
  const int healthy = delegate_.healthy;
  AnswerWatch();
  Advance(4999);
  EXPECT_EQ(delegate_.healthy, healthy);
  Advance(1);
  EXPECT_EQ(delegate_.healthy, healthy + 1);
}

TEST_F(ReflectorSilenceTest, AWatchWithoutAnAnswerFailsWhereAListDoes) {
  Sync();
  Advance(2 * options_.timeout_ms - 1);
  EXPECT_NE(Watch(), nullptr);
  ASSERT_NE(List(), nullptr);
  Advance(10);
  EXPECT_NE(Watch(), nullptr);
  Break(List(), absl::DeadlineExceededError("no answer within timeout"));
  delegate_.api_failures.clear();
  delegate_.errors.clear();
  Advance(1);
  EXPECT_EQ(Watch(), nullptr);
  EXPECT_THAT(delegate_.api_failures, ElementsAre("https://a:6443"));
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("no answer within timeout")));
}

TEST_F(ReflectorSilenceTest, BookmarksBreakTheSilence) {
  Sync();
  AnswerWatch();
  for (int i = 0; i < 8; ++i) {
    Advance(60000);
    Send(Bookmark(absl::StrCat(101 + i)));
  }
  EXPECT_THAT(delegate_.errors, IsEmpty());
}

TEST_F(ReflectorSilenceTest, BytesThatMakeNoEventDoNotBreakTheSilence) {
  Sync();
  for (int i = 0; i < 149; ++i) {
    Send("{");
    Advance(1000);
  }
  EXPECT_NE(Watch(), nullptr);
  Advance(1000);
  EXPECT_EQ(Watch(), nullptr);
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("only a part of one")));
}

}  // namespace
}  // namespace dynweight

// Tests of a reflector's watches.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/reflector_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ReflectorWatchTest : public ReflectorTest {};

TEST_F(ReflectorWatchTest, FollowsTheListWithItsVersion) {
  Sync();
  EXPECT_EQ(Watch()->request.url,
            "https://a:6443/apis/discovery.k8s.io/v1/namespaces/prod/"
            "endpointslices?watch=1&resourceVersion=100&"
            "allowWatchBookmarks=true&timeoutSeconds=300");
}

TEST_F(ReflectorWatchTest, AsksFor300To600Seconds) {
  Sync();
  EXPECT_EQ(Watch()->Parameter("timeoutSeconds"), "300");
  random_ = 0.99999999;
  Advance(2000);
  EndWatch();
  EXPECT_EQ(Watch()->Parameter("timeoutSeconds"), "600");
}

TEST_F(ReflectorWatchTest, IsUncompressedUnboundedAndHasItsOwnConnection) {
  Sync();
  const HttpRequest& request = Watch()->request;
  EXPECT_FALSE(request.compressed);
  EXPECT_TRUE(request.fresh_connection);
  EXPECT_EQ(request.max_body, 0u);
  EXPECT_EQ(request.total_timeout_ms, 0);
  EXPECT_EQ(request.connect_timeout_ms, options_.timeout_ms);
}

TEST_F(ReflectorWatchTest, EventsReachTheSinkAndTheHost) {
  Sync();
  Send(Event("ADDED", "a", "101") + Event("MODIFIED", "a", "102") +
       Event("DELETED", "a", "103"));
  EXPECT_THAT(sink_.events, ElementsAre("added a", "modified a", "deleted a"));
  EXPECT_EQ(delegate_.events, 3);
}

TEST_F(ReflectorWatchTest, AnEventMayComeInAnyPieces) {
  Sync();
  for (const char c : Event("ADDED", "\xc3\xa9", "101")) {
    Send(std::string(1, c));
  }
  EXPECT_THAT(sink_.events, ElementsAre("added \xc3\xa9"));
}

TEST_F(ReflectorWatchTest, TheVersionIsTakenFromEveryEvent) {
  Sync();
  Send(Event("MODIFIED", "x", "150"));
  Advance(2000);
  EndWatch();
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "150");
}

TEST_F(ReflectorWatchTest, TheVersionIsTakenFromBookmarks) {
  Sync();
  Send(Bookmark("170"));
  EXPECT_EQ(delegate_.events, 0);
  EXPECT_THAT(sink_.events, IsEmpty());
  Advance(2000);
  EndWatch();
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "170");
}

TEST_F(ReflectorWatchTest, ACleanEndIsFollowedByAWatchAtOnce) {
  Sync();
  Advance(2000);
  EndWatch();
  EXPECT_NE(Watch(), nullptr);
  EXPECT_EQ(List(), nullptr);
  EXPECT_THAT(delegate_.errors, IsEmpty());
}

TEST_F(ReflectorWatchTest, HoweverAWatchEndsItGoesOnAtOnce) {
  const absl::Status ends[] = {
      absl::OkStatus(), absl::UnavailableError("reset"),
      absl::UnavailableError("closed in the middle of the answer")};
  for (const absl::Status& end : ends) {
    SCOPED_TRACE(end.ToString());
    Sync();
    for (int i = 0; i < 30; ++i) {
      AnswerWatch();
      Advance(20000);
      Transfer* watch = Watch();
      ASSERT_NE(watch, nullptr);
      transport_.End(watch, end, 200);
      ASSERT_NE(Watch(), nullptr);
      EXPECT_EQ(Watch()->Parameter("resourceVersion"), "100");
    }
    EXPECT_EQ(List(), nullptr);
    EXPECT_EQ(reflector_->stats().failures, 0u);
    EXPECT_THAT(delegate_.errors, IsEmpty());
    EXPECT_THAT(delegate_.api_failures, IsEmpty());
    reflector_.reset();
  }
}

TEST_F(ReflectorWatchTest, AWatchInTheMiddleOfAnEventIsNotQuiet) {
  Sync();
  Send(ErrorEvent(500, "InternalError"));
  WaitFor(/*watch=*/false);
  AnswerList(Page({"x"}, "100"));
  delegate_.healthy = 0;
  const std::string event = Event("MODIFIED", "x", "150");
  Send(event.substr(0, 20));
  Advance(20000);
  EXPECT_EQ(delegate_.healthy, 0);
  Send(event.substr(20));
  EXPECT_EQ(delegate_.healthy, 1);
}

TEST_F(ReflectorWatchTest, WatchesThatAllEndInTheirFirstEventFail) {
  Sync();
  const std::string event = Event("MODIFIED", "x", "150");
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(delegate_.errors, IsEmpty());
    WaitFor(/*watch=*/true);
    Send(event.substr(0, 20));
    Advance(20000);
    EndWatch();
  }
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("an event is cut off")));
}

TEST_F(ReflectorWatchTest, OnlyTheThirdShortWatchInARowThatGaveNothingFails) {
  Sync();
  int64_t waits_ms = 800;
  for (int i = 0; i < 2; ++i) {
    AnswerWatch();
    Advance(999);
    EndWatch();
    EXPECT_EQ(Watch(), nullptr);
    EXPECT_THAT(delegate_.errors, IsEmpty());
    EXPECT_EQ(WaitFor(/*watch=*/true), waits_ms);
    EXPECT_EQ(List(), nullptr);
    waits_ms *= 2;
  }
  AnswerWatch();
  EndWatch();
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("ended immediately")));
  EXPECT_EQ(WaitFor(/*watch=*/false), waits_ms);
}

TEST_F(ReflectorWatchTest, AnEndWithinASecondAfterAnEventIsNotStormed) {
  Sync();
  Send(Event("ADDED", "y", "101"));
  EndWatch();
  EXPECT_THAT(delegate_.errors, IsEmpty());
  EXPECT_EQ(WaitFor(/*watch=*/true), 800);
  EXPECT_EQ(List(), nullptr);
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "101");
}

TEST_F(ReflectorWatchTest, AnErrorEvent410ListsNothingOlderThanWhatWasSeen) {
  Sync();
  Send(ErrorEvent(410, "Expired"));
  EXPECT_EQ(Watch(), nullptr);
  EXPECT_LE(WaitFor(/*watch=*/false), 800);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  EXPECT_THAT(delegate_.errors, IsEmpty());
}

TEST_F(ReflectorWatchTest, A410AfterA410IsAnError) {
  Sync();
  Send(ErrorEvent(410, "Expired"));
  WaitFor(/*watch=*/false);
  AnswerList(Page({}, "200"));
  Send(ErrorEvent(410, "Expired"));
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("HTTP 410")));
}

TEST_F(ReflectorWatchTest, AnErrorEventExpiredWithoutCodeIsTheSameAs410) {
  Sync();
  Send(R"({"type":"ERROR","object":{"kind":"Status","reason":"Expired"}})"
       "\n");
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
}

TEST_F(ReflectorWatchTest,
       AnErrorEventOfAVersionTooLargeRelistsWithoutVersion) {
  Sync();
  Send(absl::StrCat(R"({"type":"ERROR","object":)", kTooLarge, "}\n"));
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
}

TEST_F(ReflectorWatchTest, A410IsNoFailureHoweverLongTheServerWasDownBefore) {
  Start();
  for (int i = 0; i < 8; ++i) {
    Break(List(), absl::UnavailableError("refused"));
    WaitFor(/*watch=*/false);
  }
  AnswerList(Page({"x"}, "100"));
  AnswerWatch();
  Advance(6000);
  Send(ErrorEvent(410, "Expired"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
}

TEST_F(ReflectorWatchTest, AnErrorEvent429WatchesAgainFromTheSameVersion) {
  Sync();
  Send(ErrorEvent(429, "TooManyRequests"));
  EXPECT_EQ(WaitFor(/*watch=*/true), 800);
  EXPECT_EQ(List(), nullptr);
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "100");
}

TEST_F(ReflectorWatchTest, AnyOtherErrorEventRelists) {
  Sync();
  Send(ErrorEvent(500, "InternalError"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("HTTP 500")));
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
}

TEST_F(ReflectorWatchTest, NothingAfterAnErrorEventCounts) {
  Sync();
  Send(ErrorEvent(410, "Expired") + Event("ADDED", "y", "101"));
  EXPECT_THAT(sink_.events, IsEmpty());
}

TEST_F(ReflectorWatchTest, HttpStatusTooLargeRelistsWithoutVersion) {
  Sync();
  Refuse(Watch(), 504, kTooLarge, 1000);
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
}

TEST_F(ReflectorWatchTest, Http429WatchesAgainWhenTheServerWantsIt) {
  Sync();
  Refuse(Watch(), 429, "", 12000);
  EXPECT_EQ(WaitFor(/*watch=*/true), 12000);
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "100");
  EXPECT_EQ(List(), nullptr);
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
}

TEST_F(ReflectorWatchTest, AListDoesNotCutRetryAfterShort) {
  Sync();
  Refuse(Watch(), 429, "", 12000);
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  AnswerList(Page({}, "101"));
  EXPECT_EQ(WaitFor(/*watch=*/true), 12000);
}

TEST_F(ReflectorWatchTest, Http5xxIsTheServersFailureAndListsAtTheThirdTime) {
  Sync();
  Refuse(Watch(), 503);
  EXPECT_THAT(delegate_.api_failures, ElementsAre("https://a:6443"));
  EXPECT_EQ(WaitFor(/*watch=*/true), 800);
  Refuse(Watch(), 503);
  EXPECT_EQ(WaitFor(/*watch=*/true), 1600);
  EXPECT_EQ(List(), nullptr);
  Refuse(Watch(), 503);
  EXPECT_EQ(WaitFor(/*watch=*/false), 3200);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
}

TEST_F(ReflectorWatchTest, RetryAfterOfAWatchIsTheServersThatSaidIt) {
  for (const int code : {429, 503}) {
    SCOPED_TRACE(code);
    delegate_.base = "https://a:6443";
    delegate_.next_base_when_busy = "https://b:6443";
    Sync();
    Refuse(Watch(), code, "", 120000);
    EXPECT_EQ(WaitFor(/*watch=*/true), 800);
    EXPECT_THAT(Watch()->request.url, testing::StartsWith("https://b:6443/"));
    reflector_.reset();
  }
}

TEST_F(ReflectorWatchTest, Http401And403RelistAndSayWhy) {
  Sync();
  Refuse(Watch(), 403);
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("may not watch endpointslices in namespace "
                                    "prod; grant it list and watch")));
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
  AnswerList(Page({}, "101"));
  Refuse(Watch(), 401);
  EXPECT_THAT(delegate_.errors[1], HasSubstr("token_file"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 1600);
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
}

TEST_F(ReflectorWatchTest, WhileWatchesFailListsDoNotPassForHealth) {
  Sync();
  Refuse(Watch(), 403);
  const int healthy = delegate_.healthy;
  for (int i = 0; i < 10; ++i) {
    WaitFor(/*watch=*/false);
    AnswerList(Page({}, "101"));
    Refuse(Watch(), 403);
  }
  EXPECT_EQ(delegate_.healthy, healthy);
  EXPECT_EQ(delegate_.lists.size(), 11u);
  EXPECT_EQ(WaitFor(/*watch=*/false), 30000);
}

TEST_F(ReflectorWatchTest, AfterFailuresAQuietWatchIsHealthyWhenItLasts) {
  Sync();
  Refuse(Watch(), 500);
  WaitFor(/*watch=*/true);
  const int healthy = delegate_.healthy;
  AnswerWatch();
  Advance(4999);
  EXPECT_EQ(delegate_.healthy, healthy);
  Advance(1);
  EXPECT_EQ(delegate_.healthy, healthy + 1);
}

TEST_F(ReflectorWatchTest, AfterFailuresAWatchThatEndsCleanlyWasHealthy) {
  Sync();
  Refuse(Watch(), 500);
  WaitFor(/*watch=*/true);
  const int healthy = delegate_.healthy;
  AnswerWatch();
  Advance(1000);
  EndWatch();
  EXPECT_EQ(delegate_.healthy, healthy + 1);
  EXPECT_NE(Watch(), nullptr);
}

TEST_F(ReflectorWatchTest, AWatchThatCannotConnectBlamesTheServer) {
  Sync();
  Break(Watch(), absl::UnavailableError("refused"));
  EXPECT_THAT(delegate_.api_failures, ElementsAre("https://a:6443"));
}

TEST_F(ReflectorWatchTest, UselessEventsRelist) {
  const std::string lines[] = {
      "garbage\n",
      "[]\n",
      R"({"type":"ADDED"})"
      "\n",
      R"({"type":"ADDED","object":{"metadata":{"name":"y"}}})"
      "\n",
      R"({"type":7,"object":{"metadata":{"resourceVersion":"1"}}})"
      "\n",
      Event("RENAMED", "y", "101"),
      Event("ADDED", "bad", "101"),
  };
  for (const std::string& line : lines) {
    SCOPED_TRACE(line);
    Sync();
    Send(line);
    EXPECT_EQ(Watch(), nullptr);
    ASSERT_EQ(delegate_.errors.size(), 1u);
    EXPECT_THAT(delegate_.errors[0], HasSubstr(options_.path));
    EXPECT_EQ(WaitFor(/*watch=*/false), 800);
    EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
    EXPECT_EQ(reflector_->stats().rejected, 1u);
    delegate_.errors.clear();
    reflector_.reset();
  }
}

TEST_F(ReflectorWatchTest, ALineThatIsTooLongRelists) {
  options_.max_line_bytes = 1000;
  Sync();
  Send(std::string(600, ' '));
  Send(std::string(600, ' '));
  EXPECT_EQ(Watch(), nullptr);
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("longer than 1000 bytes")));
}

TEST_F(ReflectorWatchTest, AnEventThatIsCutOffIsNotAppliedAndComesAgain) {
  Sync();
  Advance(2000);
  Send(Event("ADDED", "y", "101") + R"({"type":"ADDED","object":{)");
  EndWatch();
  EXPECT_THAT(sink_.events, ElementsAre("added y"));
  EXPECT_THAT(delegate_.errors, IsEmpty());
  ASSERT_NE(Watch(), nullptr);
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "101");
  Send(Event("ADDED", "z", "102"));
  EXPECT_THAT(sink_.events, ElementsAre("added y", "added z"));
}

TEST_F(ReflectorWatchTest, AnObjectOfTooManyValuesRelists) {
  Sync();
  std::string line = R"({"type":"ADDED","object":[)";
  for (int i = 0; i < 300000; ++i) line += "1,";
  Send(line + "1]}\n");
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("values")));
}

TEST_F(ReflectorWatchTest, NestedBracketsRelist) {
  Sync();
  Send(std::string(100000, '[') + "\n");
  EXPECT_EQ(Watch(), nullptr);
  EXPECT_EQ(delegate_.errors.size(), 1u);
}

TEST_F(ReflectorWatchTest, AWatchThatEndsDuringAListGoesOnFromItsVersion) {
  Sync();
  reflector_->RequestFreshList(now_ms_);
  Advance(2000);
  Send(Event("ADDED", "y", "107"));
  EndWatch();
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "107");
  EXPECT_NE(List(), nullptr);
}

TEST_F(ReflectorWatchTest, AWatchThatFailsDuringAListWaitsForIt) {
  Sync();
  reflector_->RequestFreshList(now_ms_);
  Advance(2000);
  Send(ErrorEvent(500, "InternalError"));
  ASSERT_NE(List(), nullptr);
  Advance(4000);
  EXPECT_EQ(Watch(), nullptr);
  AnswerList(Page({}, "110"));
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "110");
}

}  // namespace
}  // namespace dynweight

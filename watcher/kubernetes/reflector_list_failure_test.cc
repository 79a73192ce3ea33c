// Tests of lists that fail: who is told, who is asked next, and when.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/reflector_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ReflectorListFailureTest : public ReflectorTest {};

TEST_F(ReflectorListFailureTest, BacksOffFromFailuresUpTo30Seconds) {
  Start();
  for (const int64_t wait_ms :
       {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000}) {
    Refuse(List(), 500);
    EXPECT_EQ(WaitFor(/*watch=*/false), wait_ms);
  }
}

TEST_F(ReflectorListFailureTest, BackOffStartsAgainAfterTwoMinutesOfHealth) {
  Start();
  Refuse(List(), 500);
  WaitFor(/*watch=*/false);
  Refuse(List(), 500);
  WaitFor(/*watch=*/false);
  AnswerList(Page({}, "100"));
  AnswerWatch();
  Advance(119000);
  Send(Bookmark("101"));
  Advance(1000);
  Send(ErrorEvent(500, "InternalError"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
}

TEST_F(ReflectorListFailureTest,
       WhileNothingIsKnownItAsksAtLeastEachTwoSeconds) {
  delegate_.awaited = true;
  random_ = 0.9;
  Start();
  for (int i = 0; i < 5; ++i) {
    Break(List(), absl::UnavailableError("refused"));
    EXPECT_EQ(WaitFor(/*watch=*/false), i == 0 ? 1520 : 1900);
  }
  // A server that answers is not stormed.
  Refuse(List(), 403);
  EXPECT_GT(WaitFor(/*watch=*/false), 30000);
  Refuse(List(), 503, "", 20000);
  EXPECT_GE(WaitFor(/*watch=*/false), 20000);
}

TEST_F(ReflectorListFailureTest, ASiblingThatIsAnsweredEndsTheWait) {
  Start();
  for (int i = 0; i < 6; ++i) {
    Break(List(), absl::UnavailableError("refused"));
    WaitFor(/*watch=*/false);
  }
  Break(List(), absl::UnavailableError("refused"));
  Advance(1000);
  reflector_->Retry(now_ms_);
  EXPECT_EQ(WaitFor(/*watch=*/false), 0);

  AnswerList(Page({"x"}, "100"));
  Break(Watch(), absl::UnavailableError("refused"));
  reflector_->Retry(now_ms_);
  EXPECT_EQ(WaitFor(/*watch=*/true), 0);
  AnswerWatch();
  Advance(6000);
  // Nothing waits.
  reflector_->Retry(now_ms_);
  EXPECT_GT(WaitFor(/*watch=*/false), 50000);
}

TEST_F(ReflectorListFailureTest, ASiblingIsNoReasonToAskWhoRefuses) {
  Start();
  Refuse(List(), 403);
  reflector_->Retry(now_ms_);
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
  Refuse(List(), 503, "", 7000);
  reflector_->Retry(now_ms_);
  EXPECT_EQ(WaitFor(/*watch=*/false), 7000);
}

// Behind a proxy of Karmada: not the collection is missing, but the cluster.
TEST_F(ReflectorListFailureTest, AMissingMemberIsNotLookedForElsewhere) {
  delegate_.base =
      "https://a/apis/cluster.karmada.io/v1alpha1/clusters/bj/proxy";
  options_.fallbacks = {{"/api/v1/endpoints", "", ""}};
  Start();
  Refuse(List(), 404,
         R"({"kind":"Status","reason":"NotFound","code":404,"details":{)"
         R"("name":"bj","group":"cluster.karmada.io","kind":"clusters"}})");
  EXPECT_EQ(List(), nullptr);
  ASSERT_THAT(delegate_.errors, testing::SizeIs(1));
  EXPECT_THAT(delegate_.errors[0],
              HasSubstr("no such member cluster: Karmada has no \"bj\""));
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
  EXPECT_THAT(List()->request.url, HasSubstr("/endpointslices"));
}

TEST_F(ReflectorListFailureTest, RetryAfterIsObeyed) {
  Start();
  Refuse(List(), 429, StatusObject(429, "TooManyRequests"), 7000);
  EXPECT_EQ(WaitFor(/*watch=*/false), 7000);
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
}

TEST_F(ReflectorListFailureTest, WhoIsToComeAgainDoesTenTimesBeforeItBacksOff) {
  Start();
  for (int i = 0; i < 10; ++i) {
    Refuse(List(), 429, "", 1000);
    EXPECT_EQ(WaitFor(/*watch=*/false), 1000);
  }
  std::vector<int64_t> waits;
  for (int i = 0; i < 4; ++i) {
    Refuse(List(), 429, "", 1000);
    waits.push_back(WaitFor(/*watch=*/false));
  }
  EXPECT_THAT(waits, ElementsAre(1000, 1600, 3200, 6400));
}

TEST_F(ReflectorListFailureTest, ARetryAfterOfNothingIsNoLeaveToStorm) {
  Start();
  Refuse(List(), 429, "", 0);
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
}

TEST_F(ReflectorListFailureTest, RetryAfterIsCappedAtFiveMinutes) {
  Start();
  Refuse(List(), 503, "", 86400000);
  EXPECT_EQ(WaitFor(/*watch=*/false), 300000);
}

TEST_F(ReflectorListFailureTest, RetryAfterIsReadFromTheStatusObjectToo) {
  Start();
  Refuse(List(), 429,
         R"({"kind":"Status","code":429,"details":{"retryAfterSeconds":9}})");
  EXPECT_EQ(WaitFor(/*watch=*/false), 9000);
}

TEST_F(ReflectorListFailureTest, ServerFailuresAreToldAndTheNextServerIsAsked) {
  delegate_.next_base = "https://b:6443";
  Start();
  Break(List(), absl::UnavailableError("refused"));
  EXPECT_THAT(delegate_.api_failures, ElementsAre("https://a:6443"));
  WaitFor(/*watch=*/false);
  EXPECT_THAT(List()->request.url, testing::StartsWith("https://b:6443/"));
}

TEST_F(ReflectorListFailureTest, OnlyFailuresOfTheWholeServerAreToldAsSuch) {
  const struct {
    int code;
    bool failed;
  } kCases[] = {{302, false}, {400, false}, {401, false}, {403, false},
                {404, false}, {429, false}, {500, true},  {502, true},
                {503, true},  {504, true}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.code);
    Start();
    Refuse(List(), c.code);
    EXPECT_EQ(delegate_.api_failures.size(), c.failed ? 1u : 0u);
    EXPECT_EQ(delegate_.errors.size(), 1u);
    delegate_.api_failures.clear();
    delegate_.errors.clear();
    reflector_.reset();
  }
}

TEST_F(ReflectorListFailureTest,
       TransportFailuresAreTheServersButNotOursAreNot) {
  const struct {
    absl::Status status;
    bool failed;
  } kCases[] = {{absl::UnavailableError("reset"), true},
                {absl::DeadlineExceededError("timeout"), true},
                {absl::ResourceExhaustedError("too long"), false},
                {absl::UnauthenticatedError("\"/token\": no file"), false}};
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.status.ToString());
    Start();
    Break(List(), c.status);
    EXPECT_EQ(delegate_.api_failures.size(), c.failed ? 1u : 0u);
    EXPECT_THAT(delegate_.errors,
                ElementsAre(HasSubstr(std::string(c.status.message()))));
    delegate_.api_failures.clear();
    delegate_.errors.clear();
    reflector_.reset();
  }
}

TEST_F(ReflectorListFailureTest, ErrorsNameThePathAndTheMend) {
  const struct {
    int code;
    std::string text;
  } kCases[] = {
      {401, "token_file"},
      {403,
       "may not list endpointslices in namespace prod; grant it list and "
       "watch by RBAC, see conf.d/rbac"},
      {404, "API group is not served"},
      {301, "redirects are not followed"},
      {429, "limits requests"},
      {500, "HTTP 500: m"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.code);
    Start();
    Refuse(List(), c.code, StatusObject(c.code, "Whatever"));
    ASSERT_EQ(delegate_.errors.size(), 1u);
    EXPECT_THAT(delegate_.errors[0], HasSubstr(options_.path));
    EXPECT_THAT(delegate_.errors[0], HasSubstr(absl::StrCat("HTTP ", c.code)));
    EXPECT_THAT(delegate_.errors[0], HasSubstr(c.text));
    delegate_.errors.clear();
    reflector_.reset();
  }
}

}  // namespace
}  // namespace dynweight

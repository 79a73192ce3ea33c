// Tests of a reflector's lists.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/reflector_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ReflectorListTest : public ReflectorTest {};

TEST_F(ReflectorListTest, FirstListHasVersionZeroAndALimit) {
  Start();
  EXPECT_EQ(List()->request.url,
            "https://a:6443/apis/discovery.k8s.io/v1/namespaces/prod/"
            "endpointslices?limit=500&resourceVersion=0");
}

TEST_F(ReflectorListTest, SelectorsAreEscaped) {
  options_.label_selector = "app in (a,b),x=1";
  options_.field_selector = "metadata.name=orders";
  Start();
  EXPECT_EQ(List()->Parameter("labelSelector"),
            "app%20in%20%28a%2Cb%29%2Cx%3D1");
  EXPECT_EQ(List()->Parameter("fieldSelector"), "metadata.name%3Dorders");
  AnswerList(Page({}, "1"));
  EXPECT_EQ(Watch()->Parameter("labelSelector"),
            "app%20in%20%28a%2Cb%29%2Cx%3D1");
}

TEST_F(ReflectorListTest, IsCompressedBoundedAndTimed) {
  options_.max_list_bytes = 12345;
  options_.timeout_ms = 678;
  Start();
  const HttpRequest& request = List()->request;
  EXPECT_TRUE(request.compressed);
  EXPECT_FALSE(request.fresh_connection);
  EXPECT_EQ(request.max_body, 12345u);
  EXPECT_EQ(request.silence_timeout_ms, 678);
  EXPECT_EQ(request.total_timeout_ms, 12 * 678);
  EXPECT_EQ(request.connect_timeout_ms, 678);
  EXPECT_EQ(request.credentials, delegate_.credentials());
}

TEST_F(ReflectorListTest, RelistIsNotOlderThanTheLastVersionAndHasNoLimit) {
  Sync();
  Send(Event("ADDED", "y", "107"));
  Send(ErrorEvent(500, "InternalError"));
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "107");
  EXPECT_EQ(List()->Parameter("resourceVersionMatch"), "NotOlderThan");
  EXPECT_EQ(List()->Parameter("limit"), std::nullopt);
}

TEST_F(ReflectorListTest, After410TheListIsNotOlderThanWhatWasSeen) {
  Sync();
  Refuse(Watch(), 410, StatusObject(410, "Expired"));
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  EXPECT_EQ(List()->Parameter("limit"), std::nullopt);
  AnswerList(Page({}, "200"));
  EXPECT_THAT(delegate_.lists, ElementsAre(false, true));
}

TEST_F(ReflectorListTest, A410ToAListIsFollowedByOneWithoutVersionAtOnce) {
  Sync();
  Send(ErrorEvent(500, "InternalError"));
  WaitFor(/*watch=*/false);
  Refuse(List(), 410, StatusObject(410, "Expired"));
  ASSERT_NE(List(), nullptr);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
}

TEST_F(ReflectorListTest, AVersionTooLargeIsFollowedByOneWithoutVersion) {
  Sync();
  Send(ErrorEvent(500, "InternalError"));
  WaitFor(/*watch=*/false);
  delegate_.errors.clear();
  Refuse(List(), 504, kTooLarge, 1000);
  ASSERT_NE(List(), nullptr);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
  EXPECT_THAT(delegate_.errors, IsEmpty());
}

TEST_F(ReflectorListTest, AVersionThatIsNeverAnsweredInTimeIsFollowedByNone) {
  Sync();
  Send(ErrorEvent(500, "InternalError"));
  for (int i = 0; i < 2; ++i) {
    WaitFor(/*watch=*/false);
    EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
    Break(List(), absl::DeadlineExceededError("timeout"));
  }
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
}

// Pages are read from etcd, which is not what a busy server needs.
TEST_F(ReflectorListTest, ASilentServerIsGivenTimeBeforeItIsAskedForPages) {
  Start();
  for (const int64_t patience : {1, 2, 4}) {
    ASSERT_NE(List(), nullptr);
    EXPECT_EQ(List()->Parameter("resourceVersion"), "0");
    EXPECT_EQ(List()->request.silence_timeout_ms,
              patience * options_.timeout_ms);
    Break(List(), absl::DeadlineExceededError("timeout"));
    WaitFor(/*watch=*/false);
  }
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
  EXPECT_EQ(List()->Parameter("limit"), "500");
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(List()->request.silence_timeout_ms, 8 * options_.timeout_ms);
    Break(List(), absl::DeadlineExceededError("timeout"));
    WaitFor(/*watch=*/false);
  }
  // One that answers is as quick as any.
  Refuse(List(), 500);
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->request.silence_timeout_ms, options_.timeout_ms);
}

TEST_F(ReflectorListTest, AServerThatIsGivenTimeIsAskedAsBeforeAfterwards) {
  Start();
  for (int i = 0; i < 2; ++i) {
    Break(List(), absl::DeadlineExceededError("timeout"));
    WaitFor(/*watch=*/false);
  }
  EXPECT_EQ(List()->Parameter("resourceVersion"), "0");
  AnswerList(Page({"x"}, "100"));
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  EXPECT_EQ(List()->request.silence_timeout_ms, options_.timeout_ms);
}

TEST_F(ReflectorListTest, AVersionIsKeptWhenTheServerIsSlowOrUnreachable) {
  for (const int status : {0, 200}) {
    SCOPED_TRACE(status);
    Sync();
    Send(ErrorEvent(500, "InternalError"));
    WaitFor(/*watch=*/false);
    Break(List(),
          status == 0 ? absl::UnavailableError("no connection within timeout")
                      : absl::DeadlineExceededError("timeout"),
          status);
    WaitFor(/*watch=*/false);
    EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
    reflector_.reset();
  }
}

TEST_F(ReflectorListTest, AVersionOnceRefusedIsNotUsedAfterAFailure) {
  Sync();
  Refuse(Watch(), 504, kTooLarge);
  WaitFor(/*watch=*/false);
  Refuse(List(), 500);
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
}

TEST_F(ReflectorListTest, LaterPagesHaveTheTokenAndNoVersion) {
  Start();
  AnswerList(Page({"a"}, "100", "to/ken="));
  EXPECT_EQ(List()->Parameter("continue"), "to%2Fken%3D");
  EXPECT_EQ(List()->Parameter("limit"), "500");
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
}

TEST_F(ReflectorListTest, SwapsOnlyAfterTheLastPage) {
  Start();
  AnswerList(Page({"a"}, "100", "t1"));
  AnswerList(Page({"b"}, "100", "t2"));
  EXPECT_EQ(sink_.commits, 0);
  EXPECT_THAT(delegate_.lists, IsEmpty());
  EXPECT_EQ(Watch(), nullptr);
  AnswerList(Page({"c"}, "100"));
  EXPECT_THAT(sink_.present, ElementsAre("a", "b", "c"));
  EXPECT_THAT(delegate_.lists, ElementsAre(false));
}

TEST_F(ReflectorListTest, A410ToALaterPageRestartsWithoutLimit) {
  Start();
  AnswerList(Page({"a"}, "100", "t1"));
  Refuse(List(), 410, StatusObject(410, "Expired"));
  ASSERT_NE(List(), nullptr);
  EXPECT_EQ(List()->Parameter("limit"), std::nullopt);
  EXPECT_EQ(List()->Parameter("continue"), std::nullopt);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "0");
  AnswerList(Page({"a", "b"}, "101"));
  EXPECT_THAT(sink_.present, ElementsAre("a", "b"));
}

TEST_F(ReflectorListTest, A410ToEverythingEndsAsAnError) {
  Start();
  for (int i = 0; i < 10 && List() != nullptr; ++i) {
    if (List()->Parameter("continue").has_value()) {
      Refuse(List(), 410);
    } else {
      AnswerList(Page({"a"}, "100", "t1"));
    }
  }
  EXPECT_EQ(List(), nullptr);
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("HTTP 410")));
}

TEST_F(ReflectorListTest, ATokenThatRepeatsIsAnError) {
  Start();
  AnswerList(Page({"a"}, "100", "t1"));
  AnswerList(Page({"b"}, "100", "t2"));
  AnswerList(Page({"c"}, "100", "t1"));
  EXPECT_EQ(List(), nullptr);
  EXPECT_THAT(delegate_.errors,
              ElementsAre(HasSubstr("duplicate continue token")));
  EXPECT_EQ(sink_.commits, 0);
  EXPECT_EQ(reflector_->stats().rejected, 1u);
}

TEST_F(ReflectorListTest, PagesWithoutEndAreAnError) {
  Start();
  for (int i = 0; i < 5000 && List() != nullptr; ++i) {
    AnswerList(Page({}, "100", absl::StrCat("t", i)));
  }
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("more than 1000 pages")));
  EXPECT_EQ(sink_.commits, 0);
}

TEST_F(ReflectorListTest, TooManyObjectsAreAnError) {
  options_.max_objects = 3;
  Start();
  AnswerList(Page({"a", "b"}, "100", "t1"));
  AnswerList(Page({"c", "d"}, "100"));
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("more than 3 objects")));
  EXPECT_EQ(sink_.commits, 0);
  EXPECT_THAT(sink_.staged, IsEmpty());
}

TEST_F(ReflectorListTest, AnEmptyListIsPassedOn) {
  Start();
  AnswerList(Page({}, "100"));
  EXPECT_EQ(sink_.commits, 1);
}

TEST_F(ReflectorListTest, NothingButAListOfTheRightKindIsEverEmpty) {
  const std::string bodies[] = {
      "",
      "{}",
      "[]",
      "null",
      "<html>login</html>",
      R"({"kind":"EndpointSliceList","metadata":{"resourceVersion":"1"}})",
      R"({"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[]})",
      R"({"kind":"Status","metadata":{"resourceVersion":"1"},"items":[]})",
      R"({"kind":"EndpointSliceList","metadata":{},"items":[]})",
      R"({"kind":"EndpointSliceList","items":[]})",
      R"({"kind":"EndpointSliceList","metadata":{"resourceVersion":""},)"
      R"("items":[]})",
      R"({"kind":"EndpointSliceList","metadata":{"resourceVersion":"1"},)"
      R"("items":{}})",
      R"({"kind":"EndpointSliceList","metadata":{"resourceVersion":"1"},)"
      R"("items":[)",
  };
  for (const std::string& body : bodies) {
    SCOPED_TRACE(body);
    Start();
    AnswerList(body);
    EXPECT_EQ(sink_.commits, 0);
    ASSERT_EQ(delegate_.errors.size(), 1u);
    EXPECT_THAT(delegate_.errors[0], HasSubstr(options_.path));
    delegate_.errors.clear();
    reflector_.reset();
  }
}

TEST_F(ReflectorListTest, NullItemsOfTheRightKindAreAnEmptyList) {
  Start();
  AnswerList(R"({"kind":"EndpointSliceList",)"
             R"("metadata":{"resourceVersion":"1"},"items":null})");
  EXPECT_EQ(sink_.commits, 1);
}

TEST_F(ReflectorListTest, AnObjectThatTheSinkRefusesEndsTheList) {
  Start();
  transport_.Deliver(List(), Page({"a", "bad", "c"}, "100"));
  EXPECT_EQ(List(), nullptr);
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr("a bad object")));
  EXPECT_THAT(sink_.staged, IsEmpty());
  EXPECT_EQ(reflector_->stats().rejected, 1u);
}

TEST_F(ReflectorListTest, ATruncatedListHoldsWhatThereWas) {
  Sync();
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  transport_.Deliver(List(), Page({"y", "z"}, "105").substr(0, 120));
  Break(List(), absl::UnavailableError("closed"), 200);
  EXPECT_THAT(sink_.present, ElementsAre("x"));
}

TEST_F(ReflectorListTest, AListThatIsTooLongIsAskedForInPagesFromThenOn) {
  const absl::Status failures[] = {
      absl::DeadlineExceededError("nothing more of the answer within timeout"),
      absl::ResourceExhaustedError("too long")};
  for (const absl::Status& failure : failures) {
    SCOPED_TRACE(failure.ToString());
    Start();
    transport_.Deliver(List(), Page({"a", "b"}, "100").substr(0, 90));
    Break(List(), failure, 200);
    WaitFor(/*watch=*/false);
    EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
    EXPECT_EQ(List()->Parameter("limit"), "500");
    AnswerList(Page({"a"}, "100", "t"));
    AnswerList(Page({"b"}, "100"));
    EXPECT_THAT(sink_.present, ElementsAre("a", "b"));
    reflector_->RequestFreshList(now_ms_);
    Advance(0);
    EXPECT_EQ(List()->Parameter("limit"), "500");
    EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
    EXPECT_EQ(List()->Parameter("resourceVersionMatch"), "NotOlderThan");
    reflector_.reset();
  }
}

TEST_F(ReflectorListTest, PagesThatAreTooLongBecomeSmaller) {
  Start();
  std::vector<std::string> limits;
  for (int i = 0; i < 6; ++i) {
    WaitFor(/*watch=*/false);
    limits.push_back(List()->Parameter("limit").value_or(""));
    transport_.Deliver(List(), "{");
    Break(List(), absl::ResourceExhaustedError("too long"), 200);
  }
  EXPECT_THAT(limits, ElementsAre("500", "500", "125", "31", "10", "10"));
}

TEST_F(ReflectorListTest, ACutAloneIsNoReasonForPages) {
  Start();
  for (const char* version : {"0", "0", ""}) {
    WaitFor(/*watch=*/false);
    EXPECT_EQ(List()->Parameter("resourceVersion").value_or(""), version);
    transport_.Deliver(List(), "{");
    Break(List(), absl::UnavailableError("closed"), 200);
  }
}

TEST_F(ReflectorListTest, RetryAfterIsTheServersThatSaidIt) {
  delegate_.next_base_when_busy = "https://b:6443";
  Start();
  Refuse(List(), 503, "", 120000);
  EXPECT_THAT(delegate_.api_busy,
              ElementsAre(std::make_pair(std::string("https://a:6443"),
                                         int64_t{120000})));
  EXPECT_EQ(WaitFor(/*watch=*/false), 800);
  EXPECT_THAT(List()->request.url, testing::StartsWith("https://b:6443/"));
}

TEST_F(ReflectorListTest, OldServersAreAskedForWhatTheyHave) {
  options_.fallbacks = {
      {"/apis/discovery.k8s.io/v1beta1/endpointslices", "", ""},
      {"/api/v1/endpoints", "", "metadata.name=x"}};
  Start();
  Refuse(List(), 404);
  Advance(0);
  EXPECT_THAT(List()->request.url, HasSubstr("/v1beta1/endpointslices?"));
  Refuse(List(), 404);
  Advance(0);
  EXPECT_THAT(List()->request.url, HasSubstr("/api/v1/endpoints?"));
  EXPECT_EQ(List()->Parameter("fieldSelector"), "metadata.name%3Dx");
  EXPECT_THAT(delegate_.errors, IsEmpty());
  AnswerList(R"({"kind":"EndpointsList","metadata":{"resourceVersion":"100"},)"
             R"("items":[]})");
  EXPECT_EQ(sink_.resource, "endpoints");
  EXPECT_THAT(Watch()->request.url, HasSubstr("/api/v1/endpoints?watch=1"));
  // An hour or two later it may be a newer one.
  AnswerWatch();
  while (List() == nullptr) {
    Send(Bookmark("101"));
    Advance(60000);
  }
  EXPECT_THAT(List()->request.url, HasSubstr(options_.path));
}

TEST_F(ReflectorListTest, AnUpgradedServerIsFoundOutByIts404) {
  options_.fallbacks = {
      {"/apis/discovery.k8s.io/v1beta1/endpointslices", "", ""}};
  Start();
  Refuse(List(), 404);
  Advance(0);
  AnswerList(Page({"x"}, "100"));
  Refuse(Watch(), 404);
  WaitFor(/*watch=*/false);
  EXPECT_THAT(List()->request.url, HasSubstr("/v1beta1/"));
  Refuse(List(), 404);
  Advance(0);
  EXPECT_THAT(List()->request.url, HasSubstr(options_.path));
  AnswerList(Page({"x"}, "101"));
  EXPECT_THAT(Watch()->request.url, HasSubstr(options_.path));
  EXPECT_THAT(delegate_.errors, IsEmpty());
}

TEST_F(ReflectorListTest, A404EverywhereIsToldOfTheFirstPlace) {
  options_.fallbacks = {{"/api/v1/endpoints", "", ""}};
  Start();
  Refuse(List(), 404);
  Advance(0);
  Refuse(List(), 404);
  EXPECT_THAT(delegate_.errors, ElementsAre(HasSubstr(options_.path)));
  WaitFor(/*watch=*/false);
  EXPECT_THAT(List()->request.url, HasSubstr(options_.path));
}

TEST_F(ReflectorListTest, VersionsAreOpaque) {
  Start();
  AnswerList(Page({}, "eyJydiI6IjE/In0="));
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "eyJydiI6IjE%2FIn0%3D");
  EXPECT_EQ(reflector_->stats().resource_version, "eyJydiI6IjE/In0=");
}

TEST_F(ReflectorListTest, AListInAnyPiecesIsTheSame) {
  Start();
  const std::string page = Page({"a", "b]}", "c\\\""}, "100");
  for (const char c : page) transport_.Deliver(List(), std::string(1, c));
  transport_.End(List(), absl::OkStatus(), 200);
  EXPECT_THAT(sink_.present, ElementsAre("a", "b]}", "c\""));
}

TEST_F(ReflectorListTest, TheEndOfTheReflectorEndsItsTransfers) {
  Sync();
  reflector_->RequestFreshList(now_ms_);
  Advance(0);
  ASSERT_NE(List(), nullptr);
  reflector_.reset();
  EXPECT_EQ(List(), nullptr);
  EXPECT_EQ(Watch(), nullptr);
}

TEST_F(ReflectorListTest, Counts) {
  Sync();
  Send(Event("ADDED", "y", "101"));
  Refuse(Watch(), 500);
  const DiscoveryStats& stats = reflector_->stats();
  EXPECT_EQ(stats.requests, 2u);
  EXPECT_EQ(stats.lists, 1u);
  EXPECT_EQ(stats.relists, 0u);
  EXPECT_EQ(stats.watches, 1u);
  EXPECT_EQ(stats.events, 1u);
  EXPECT_EQ(stats.failures, 1u);
  EXPECT_EQ(stats.bytes,
            Page({"x"}, "100").size() + Event("ADDED", "y", "101").size());
  EXPECT_EQ(stats.resource_version, "101");
}

}  // namespace
}  // namespace dynweight

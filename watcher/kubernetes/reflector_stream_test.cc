// Lists that come as the beginning of a watch.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/testing/reflector_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ReflectorStreamTest : public ReflectorTest {
 protected:
  ReflectorStreamTest() { options_.stream_lists = true; }

  static std::string EndOfState(const std::string& version) {
    return absl::StrCat(
        R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":")",
        version, R"(","annotations":{"k8s.io/initial-events-end":"true"}}}})",
        "\n");
  }
  static std::string Added(const std::string& name,
                           const std::string& version = "1") {
    return Event("ADDED", name, version);
  }
  // Two objects at version 100, and their events.
  void SyncByStream() {
    Start();
    Send(Added("x") + Added("y") + EndOfState("100"));
    Advance(2000);
  }
  bool Streams() { return Watch() != nullptr && IsStreamed(*Watch()); }
  static bool IsStreamed(const Transfer& transfer) {
    return transfer.Parameter("sendInitialEvents") == "true";
  }
};

TEST_F(ReflectorStreamTest, IsOneRequest) {
  Start();
  ASSERT_TRUE(Streams());
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "0");
  EXPECT_EQ(Watch()->Parameter("resourceVersionMatch"), "NotOlderThan");
  EXPECT_EQ(Watch()->Parameter("allowWatchBookmarks"), "true");
  Send(Added("x") + Added("y"));
  EXPECT_THAT(sink_.present, IsEmpty());
  EXPECT_EQ(delegate_.lists.size(), 0u);
  Send(EndOfState("100"));
  EXPECT_THAT(sink_.present, ElementsAre("x", "y"));
  EXPECT_THAT(delegate_.lists, ElementsAre(false));
  EXPECT_EQ(delegate_.healthy, 1);
  Send(Event("MODIFIED", "x", "101"));
  EXPECT_THAT(sink_.events, ElementsAre("modified x"));
  Advance(60000);
  EXPECT_EQ(transport_.transfers.size(), 1u);
  EXPECT_EQ(reflector_->stats().lists, 1u);
  EXPECT_EQ(reflector_->stats().watches, 1u);
  // The next one goes on from there.
  EndWatch();
  EXPECT_FALSE(Streams());
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "101");
}

TEST_F(ReflectorStreamTest, NothingIsThere) {
  Start();
  Send(EndOfState("7"));
  EXPECT_THAT(sink_.present, IsEmpty());
  EXPECT_EQ(sink_.commits, 1);
  EXPECT_THAT(delegate_.lists, ElementsAre(false));
}

// A server sends what happened since the state that it began with before it
// says that this is complete.
TEST_F(ReflectorStreamTest, EventsBeforeTheEnd) {
  Start();
  Send(Added("x") + Added("y") + Event("DELETED", "x", "101") +
       Event("ADDED", "x", "102") + Event("MODIFIED", "y", "103"));
  EXPECT_THAT(sink_.events, IsEmpty());
  Send(EndOfState("103"));
  EXPECT_THAT(sink_.present, ElementsAre("x", "y"));
  EXPECT_THAT(sink_.events, ElementsAre("deleted x", "added x", "modified y"));
}

TEST_F(ReflectorStreamTest, ABookmarkIsNotTheEnd) {
  Start();
  Send(Added("x") + Bookmark("50"));
  EXPECT_EQ(sink_.commits, 0);
  Send(Added("y") + EndOfState("100"));
  EXPECT_THAT(sink_.present, ElementsAre("x", "y"));
}

// Older than Kubernetes 1.27, or with the feature switched off.
TEST_F(ReflectorStreamTest, AServerThatRefusesIsListedAtOnce) {
  Start();
  Refuse(Watch(), 422, StatusObject(422, "Invalid"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 0);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "0");
  AnswerList(Page({"x"}, "100"));
  EXPECT_THAT(delegate_.errors, IsEmpty());
  EXPECT_THAT(delegate_.lists, ElementsAre(false));
  ASSERT_FALSE(Streams());
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "100");
  // And is not asked so again.
  AnswerWatch();
  Send(ErrorEvent(410, "Expired"));
  WaitFor(/*watch=*/false);
  ASSERT_NE(List(), nullptr);
}

// As API servers before an etcd 3.4 say it.
TEST_F(ReflectorStreamTest, AnEtcdThatIsTooOld) {
  Start();
  Send(ErrorEvent(500, "InternalError"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 0);
  AnswerList(Page({"x"}, "100"));
  EXPECT_THAT(delegate_.errors, IsEmpty());
  EXPECT_THAT(delegate_.api_failures, IsEmpty());
  Advance(2000);
  Send(ErrorEvent(410, "Expired"));
  WaitFor(/*watch=*/false);
  EXPECT_NE(List(), nullptr);
}

TEST_F(ReflectorStreamTest, AServerThatMayNotBeReadIsToldAsByAList) {
  Start();
  Refuse(Watch(), 403);
  WaitFor(/*watch=*/false);
  EXPECT_THAT(delegate_.errors, IsEmpty());
  Refuse(List(), 403);
  ASSERT_EQ(delegate_.errors.size(), 1u);
  EXPECT_THAT(delegate_.errors[0], HasSubstr("may not list"));
}

TEST_F(ReflectorStreamTest, AfterAServerFailureByTurns) {
  Start();
  Break(Watch(), absl::UnavailableError("refused"));
  EXPECT_EQ(delegate_.errors.size(), 1u);
  EXPECT_THAT(delegate_.api_failures, ElementsAre("https://a:6443"));
  EXPECT_GT(WaitFor(/*watch=*/false), 0);
  Break(List(), absl::UnavailableError("refused"));
  EXPECT_GT(WaitFor(/*watch=*/true), 0);
  EXPECT_TRUE(Streams());
  Send(Added("x") + EndOfState("100"));
  EXPECT_THAT(sink_.present, ElementsAre("x"));
  EXPECT_EQ(delegate_.healthy, 1);
}

TEST_F(ReflectorStreamTest, ABusyServerSaysWhenToComeAgain) {
  Start();
  Refuse(Watch(), 429, "", 3000);
  EXPECT_GE(WaitFor(/*watch=*/false), 3000);
}

// Something between holds the answer back, or the server takes its time.
TEST_F(ReflectorStreamTest, ASilentOneIsListed) {
  Start();
  EXPECT_EQ(WaitFor(/*watch=*/false), 2 * options_.timeout_ms);
  AnswerList(Page({"x"}, "100"));
  EXPECT_FALSE(Streams());
  EXPECT_THAT(delegate_.errors, IsEmpty());
}

// To a server older than Kubernetes 1.19 it is a watch like any other.
TEST_F(ReflectorStreamTest, TheEndNeverComes) {
  Start();
  Send(Added("x"));
  Advance(2 * options_.timeout_ms - 1);
  Send(Added("y"));
  EXPECT_LE(WaitFor(/*watch=*/false), 4 * options_.timeout_ms);
  EXPECT_THAT(sink_.staged, IsEmpty());
  AnswerList(Page({"x", "y"}, "100"));
  EXPECT_THAT(sink_.present, ElementsAre("x", "y"));
}

TEST_F(ReflectorStreamTest, OneThatDripsIsEnded) {
  Start();
  const int64_t began_ms = now_ms_;
  while (List() == nullptr && now_ms_ < began_ms + 600000) {
    if (Watch() != nullptr) Send(Added("x"));
    Advance(1000);
  }
  EXPECT_LE(now_ms_ - began_ms, 14 * options_.timeout_ms);
}

TEST_F(ReflectorStreamTest, ACutOneLosesNothing) {
  SyncByStream();
  EndWatch();
  Send(ErrorEvent(410, "Expired"));
  // Nothing older than what is known.
  WaitFor(/*watch=*/true);
  ASSERT_TRUE(Streams());
  EXPECT_EQ(Watch()->Parameter("resourceVersion"), "100");
  Send(Added("x"));
  EndWatch();
  EXPECT_THAT(sink_.present, ElementsAre("x", "y"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 0);
  AnswerList(Page({"x", "y", "z"}, "200"));
  EXPECT_THAT(sink_.present, ElementsAre("x", "y", "z"));
}

TEST_F(ReflectorStreamTest, OlderThanAskedForIsRejected) {
  SyncByStream();
  EndWatch();
  Send(ErrorEvent(410, "Expired"));
  WaitFor(/*watch=*/true);
  Send(EndOfState("99"));
  EXPECT_THAT(sink_.present, ElementsAre("x", "y"));
  WaitFor(/*watch=*/false);
  // Restored from a copy, perhaps: what is newest tells.
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
}

TEST_F(ReflectorStreamTest, AVersionTooLarge) {
  SyncByStream();
  EndWatch();
  Send(ErrorEvent(410, "Expired"));
  WaitFor(/*watch=*/true);
  Refuse(Watch(), 504, kTooLarge);
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), std::nullopt);
  AnswerList(Page({"x"}, "50"));
  EXPECT_THAT(sink_.present, ElementsAre("x"));
}

TEST_F(ReflectorStreamTest, ABadObject) {
  Start();
  Send(Added("x") + Added("bad"));
  EXPECT_EQ(WaitFor(/*watch=*/false), 0);
  EXPECT_THAT(sink_.staged, IsEmpty());
}

TEST_F(ReflectorStreamTest, Bounds) {
  options_.max_objects = 3;
  options_.max_list_bytes = 1000;
  Start();
  Send(Added("a") + Added("b") + Added("c"));
  ASSERT_TRUE(Streams());
  Send(Added("d"));
  ASSERT_NE(WaitFor(/*watch=*/false), -1);
  EXPECT_NE(List(), nullptr);
}

TEST_F(ReflectorStreamTest, BoundOfBytes) {
  options_.max_list_bytes = 1000;
  Start();
  for (int i = 0; i < 20 && Streams(); ++i) Send(Added(absl::StrCat("o", i)));
  EXPECT_FALSE(Streams());
  WaitFor(/*watch=*/false);
  EXPECT_NE(List(), nullptr);
}

// A list that is asked for while a watch goes on is one beside it.
TEST_F(ReflectorStreamTest, BesideAWatchItIsAList) {
  SyncByStream();
  reflector_->RequestFreshList(now_ms_);
  WaitFor(/*watch=*/false);
  EXPECT_EQ(List()->Parameter("resourceVersion"), "100");
  EXPECT_NE(Watch(), nullptr);
}

TEST_F(ReflectorStreamTest, NotInPollMode) {
  options_.watch = false;
  Start();
  EXPECT_NE(List(), nullptr);
}

}  // namespace
}  // namespace dynweight

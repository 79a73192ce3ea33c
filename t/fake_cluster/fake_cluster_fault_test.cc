// Tests of the fake cluster's faults.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "t/fake_cluster/fake_cluster_fixture.h"

namespace dynweight {
namespace {

using fake::Json;
using fake::ParseJson;
using fake::StringMember;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(FakeClusterTest, AFaultHealsAfterItsTimes) {
  FakeFault fault = Fault("status", 2);
  fault.code = 503;
  fault.retry_after = 7;
  cluster_->SetFault(fault);
  EXPECT_EQ(Get(kSlices)->get_header_value("Retry-After"), "7");
  EXPECT_EQ(Status(kSlices), 503);
  EXPECT_EQ(Status(kSlices), 200);
}

TEST_F(FakeClusterTest, AFaultKeepsToItsPath) {
  FakeFault fault = Fault("status");
  fault.path_prefix = kPods;
  cluster_->SetFault(fault);
  EXPECT_EQ(Status(kPods), 500);
  EXPECT_EQ(Status(kSlices), 200);
}

TEST_F(FakeClusterTest, BrokenAnswersAreBroken) {
  cluster_->SetApp(App("orders", 1));
  for (const char* kind : {"close_half", "reset"}) {
    cluster_->SetFault(Fault(kind, 1));
    EXPECT_FALSE(Get(kSlices)) << kind;
    EXPECT_EQ(Status(kSlices), 200) << kind;
  }
  FakeFault chunked = Fault("close_half", 1);
  chunked.chunked = true;
  cluster_->SetFault(chunked);
  EXPECT_FALSE(Get(kSlices));
}

TEST_F(FakeClusterTest, WrongAnswersAreNoLists) {
  cluster_->SetApp(App("orders", 1));
  for (const char* kind : {"garbage", "html", "nested"}) {
    cluster_->SetFault(Fault(kind, 1));
    httplib::Result result = Get(kSlices);
    ASSERT_TRUE(result) << kind;
    EXPECT_EQ(result->status, 200) << kind;
    EXPECT_EQ(ParseJson(result->body), nullptr) << kind;
  }
}

TEST_F(FakeClusterTest, AnEmptyListIsValid) {
  cluster_->SetApp(App("orders", 1));
  cluster_->SetFault(Fault("empty_list"));
  Json list = List(kSlices);
  EXPECT_EQ(StringMember(list.get(), "kind"), "EndpointSliceList");
  EXPECT_THAT(Names(list), ElementsAre());
}

TEST_F(FakeClusterTest, PagesCanGoOnForEver) {
  cluster_->SetApp(App("orders", 201));
  cluster_->SetFault(Fault("continue_loop"));
  Json list = List(std::string(kSlices) + "?limit=1");
  for (int i = 0; i < 3; ++i) {
    ASSERT_NE(Next(list), "");
    list = List(std::string(kSlices) + "?limit=1&continue=" + Next(list));
  }
}

TEST_F(FakeClusterTest, LaterPagesCanExpire) {
  cluster_->SetApp(App("orders", 201));
  cluster_->SetFault(Fault("expired_continue", 1));
  Json list = List(std::string(kSlices) + "?limit=500");
  ASSERT_NE(Next(list), "");
  std::string later =
      std::string(kSlices) + "?limit=500&continue=" + Next(list);
  EXPECT_EQ(Status(later), 410);
  EXPECT_EQ(Status(std::string(kSlices) + "?limit=500"), 200);
}

TEST_F(FakeClusterTest, AHugeAnswerIsAsLongAsAskedFor) {
  FakeFault fault = Fault("huge", 1);
  fault.bytes = 5 << 20;
  cluster_->SetFault(fault);
  httplib::Result result = Get(kSlices);
  ASSERT_TRUE(result);
  EXPECT_GE(result->body.size(), fault.bytes);
  EXPECT_NE(ParseJson(result->body), nullptr);
}

TEST_F(FakeClusterTest, ARunningWatchMeetsWatchFaults) {
  cluster_->SetBookmarkInterval(10);
  std::promise<void> open;
  std::string body;
  std::thread watcher([&] {
    httplib::Client client("127.0.0.1", cluster_->port());
    client.Get(
        std::string(kSlices) + "?watch=1&resourceVersion=0",
        [&](const httplib::Response&) {
          open.set_value();
          return true;
        },
        [&](const char* data, size_t size) {
          body.append(data, size);
          return true;
        });
  });
  open.get_future().wait();
  FakeFault fault = Fault("watch_error", 1);
  fault.code = 410;
  cluster_->SetFault(fault);
  watcher.join();
  EXPECT_THAT(body, HasSubstr("\"type\":\"ERROR\""));
}

TEST_F(FakeClusterTest, UnknownFaultsAreRefused) {
  EXPECT_FALSE(cluster_->SetFault(Fault("gremlin")));
}

TEST_F(FakeClusterTest, RefusalEndsWhenHealed) {
  EXPECT_EQ(Status(kSlices), 200);
  cluster_->SetFault(Fault("refuse"));
  EXPECT_EQ(Get(kSlices).error(), httplib::Error::Connection);
  cluster_->ClearFaults();
  EXPECT_EQ(Status(kSlices), 200);
}

TEST_F(FakeClusterTest, StoppingEndsWhatHangs) {
  cluster_->SetFault(Fault("hang"));
  std::thread hanging([this] { EXPECT_FALSE(Get(kSlices)); });
  while (cluster_->requests().total.lists == 0) std::this_thread::yield();
  cluster_->Stop();
  hanging.join();
}

TEST_F(FakeClusterTest, HealingEndsWhatHangs) {
  cluster_->SetFault(Fault("hang"));
  std::thread hanging([this] { EXPECT_FALSE(Get(kSlices)); });
  while (cluster_->requests().total.lists == 0) std::this_thread::yield();
  // The request is counted a moment before it meets the fault.
  while (hanging.joinable() && cluster_->requests().open_connections > 0) {
    cluster_->ClearFaults();
    std::this_thread::yield();
  }
  hanging.join();
  EXPECT_EQ(Status(kSlices), 200);
}

}  // namespace
}  // namespace dynweight

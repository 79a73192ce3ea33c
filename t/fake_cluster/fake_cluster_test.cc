// Tests of the fake cluster.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "t/fake_cluster/fake_cluster_fixture.h"
#include "t/fake_cluster/label_selector.h"

namespace dynweight {
namespace {

using fake::Json;
using fake::Member;
using fake::StringMember;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LabelSelectorTest, EqualityAndSetsSelect) {
  auto matches = [](const char* text) {
    auto selector = fake::LabelSelector::Parse(text);
    return selector.has_value() && selector->Matches({{"a", "1"}, {"b", "2"}});
  };
  EXPECT_TRUE(matches(""));
  EXPECT_TRUE(matches("a=1,b==2"));
  EXPECT_FALSE(matches("a=2"));
  EXPECT_TRUE(matches("a!=2,c!=1"));
  EXPECT_TRUE(matches("a in (1, 3),b notin (1)"));
  EXPECT_FALSE(matches("a notin (1)"));
  EXPECT_TRUE(matches("a,!c"));
  EXPECT_FALSE(matches("c"));
}

TEST(LabelSelectorTest, MalformedOnesAreRefused) {
  EXPECT_FALSE(fake::LabelSelector::Parse("a in (b").has_value());
  EXPECT_FALSE(fake::LabelSelector::Parse("a like (b)").has_value());
  EXPECT_FALSE(fake::LabelSelector::Parse("a=b,,c=d").has_value());
}

TEST_F(FakeClusterTest, ListsCarryKindAndVersion) {
  cluster_->SetApp(App("orders", 3));
  Json list = List(kSlices);
  EXPECT_EQ(StringMember(list.get(), "kind"), "EndpointSliceList");
  EXPECT_EQ(StringMember(list.get(), "apiVersion"), "discovery.k8s.io/v1");
  EXPECT_EQ(Version(list), std::to_string(cluster_->version()));
  EXPECT_THAT(Names(list), ElementsAre("orders-0"));
}

TEST_F(FakeClusterTest, ANamespaceNarrowsAList) {
  cluster_->SetApp(App("orders", 1));
  EXPECT_THAT(
      Names(List("/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices")),
      ElementsAre("orders-0"));
  EXPECT_THAT(
      Names(List("/apis/discovery.k8s.io/v1/namespaces/test/endpointslices")),
      ElementsAre());
}

TEST_F(FakeClusterTest, AHundredEndpointsFillASlice) {
  cluster_->SetApp(App("orders", 201));
  EXPECT_THAT(Names(List(kSlices)),
              ElementsAre("orders-0", "orders-1", "orders-2"));
}

TEST_F(FakeClusterTest, ASelectorNarrowsAList) {
  cluster_->SetNodes(
      {{"n1", "127.0.0.1", true, "", false, false, "", {{"role", "ingress"}}},
       {"n2", "127.0.0.2"}});
  EXPECT_THAT(Names(List("/api/v1/nodes?labelSelector=role%3Dingress")),
              ElementsAre("n1"));
  EXPECT_THAT(Names(List("/api/v1/nodes?fieldSelector=metadata.name%3Dn2")),
              ElementsAre("n2"));
}

TEST_F(FakeClusterTest, PagesShowOneMoment) {
  FakeApp app = App("orders", 5);
  app.pod_objects = true;
  cluster_->SetApp(app);
  Json first = List(std::string(kPods) + "?limit=3");
  EXPECT_EQ(Names(first).size(), 3u);
  app.pods = 4;
  cluster_->SetApp(app);
  Json second = List(std::string(kPods) + "?limit=3&continue=" + Next(first));
  EXPECT_THAT(Names(second), ElementsAre("orders-3", "orders-4"));
  EXPECT_EQ(Version(second), Version(first));
  EXPECT_EQ(Next(second), "");
}

TEST_F(FakeClusterTest, ACompactionExpiresPages) {
  cluster_->SetApp(App("orders", 201));
  Json first = List(std::string(kSlices) + "?limit=1");
  cluster_->Compact();
  EXPECT_EQ(Status(std::string(kSlices) + "?limit=1&continue=" + Next(first)),
            410);
}

TEST_F(FakeClusterTest, VersionZeroIgnoresTheLimit) {
  cluster_->SetApp(App("orders", 201));
  Json list = List(std::string(kSlices) + "?limit=1&resourceVersion=0");
  EXPECT_EQ(Names(list).size(), 3u);
}

TEST_F(FakeClusterTest, ATooLargeVersionTimesOut) {
  httplib::Result result =
      Get(std::string(kSlices) + "?resourceVersion=999999");
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 504);
  EXPECT_THAT(result->body, HasSubstr("ResourceVersionTooLarge"));
}

TEST_F(FakeClusterTest, UnknownPathsAndMethodsAreRefused) {
  EXPECT_EQ(Status("/apis/unknown/v1/things"), 404);
  EXPECT_EQ(Status("/"), 404);
  EXPECT_EQ(client_.Post(kSlices)->status, 405);
}

TEST_F(FakeClusterTest, AnUnchangedObjectKeepsItsVersion) {
  cluster_->SetApp(App("orders", 150));
  uint64_t version = cluster_->version();
  cluster_->SetApp(App("orders", 150));
  EXPECT_EQ(cluster_->version(), version);
}

TEST_F(FakeClusterTest, AWatchTellsChangesFromItsVersion) {
  cluster_->SetApp(App("orders", 1));
  uint64_t version = cluster_->version();
  cluster_->SetApp(App("orders", 2));
  cluster_->SetApp(App("other", 1));
  cluster_->RemoveApp("prod", "orders");
  EXPECT_THAT(Types(Watch(WatchFrom(version))),
              ElementsAre("MODIFIED", "ADDED", "DELETED"));
}

TEST_F(FakeClusterTest, AWatchFromZeroBeginsWithWhatIsThere) {
  cluster_->SetApp(App("orders", 1));
  EXPECT_THAT(Types(Watch(WatchFrom(0))), ElementsAre("ADDED"));
}

TEST_F(FakeClusterTest, ARunningWatchHearsOfAChange) {
  cluster_->SetApp(App("orders", 1));
  std::promise<void> open, heard;
  std::thread watcher([&] {
    httplib::Client client("127.0.0.1", cluster_->port());
    client.Get(
        WatchFrom(cluster_->version()),
        [&](const httplib::Response&) {
          open.set_value();
          return true;
        },
        [&](const char*, size_t) {
          heard.set_value();
          return false;
        });
  });
  open.get_future().wait();
  cluster_->SetApp(App("orders", 2));
  heard.get_future().wait();
  watcher.join();
}

TEST_F(FakeClusterTest, LeavingASelectionIsADeletion) {
  auto service = [](const char* tier) {
    return std::string(R"({"kind":"Service","metadata":{"name":"s",)") +
           R"("namespace":"prod","labels":{"tier":")" + tier + "\"}}}";
  };
  ASSERT_TRUE(cluster_->Put(service("a")));
  uint64_t version = cluster_->version();
  cluster_->Put(service("b"));
  std::string watch =
      "/api/v1/services?watch=1&timeoutSeconds=1&resourceVersion=" +
      std::to_string(version) + "&labelSelector=tier%3D";
  EXPECT_THAT(Types(Watch(watch + "a")), ElementsAre("DELETED"));
  EXPECT_THAT(Types(Watch(watch + "b")), ElementsAre("ADDED"));
}

TEST_F(FakeClusterTest, BookmarksComeWhenAskedFor) {
  cluster_->SetBookmarkInterval(10);
  EXPECT_THAT(Types(Watch(WatchFrom(cluster_->version()))), ElementsAre());
  EXPECT_EQ(Types(Watch(WatchFrom(cluster_->version(),
                                  "&allowWatchBookmarks=true")))[0],
            "BOOKMARK");
}

TEST_F(FakeClusterTest, AWatchFromBeforeACompactionIsTooOld) {
  cluster_->SetApp(App("orders", 1));
  uint64_t version = cluster_->version();
  cluster_->SetApp(App("orders", 2));
  cluster_->Compact();
  std::vector<Json> events = Watch(WatchFrom(version));
  ASSERT_THAT(Types(events), ElementsAre("ERROR"));
  EXPECT_EQ(fake::NumberMember(Member(events[0].get(), "object"), "code"), 410);
}

TEST_F(FakeClusterTest, RewindingLowersTheVersion) {
  cluster_->SetApp(App("orders", 1));
  uint64_t version = cluster_->version();
  cluster_->RewindVersion(10);
  EXPECT_EQ(Version(List(kSlices)), "10");
  EXPECT_EQ(Status(std::string(kSlices) +
                   "?resourceVersion=" + std::to_string(version)),
            504);
}

TEST_F(FakeClusterTest, RequestsAreCounted) {
  cluster_->SetApp(App("orders", 1));
  Get(kSlices);
  Get(kPods);
  Watch(WatchFrom(0));
  FakeRequests requests = cluster_->requests();
  EXPECT_EQ(requests.total.lists, 2u);
  EXPECT_EQ(requests.total.watches, 1u);
  EXPECT_EQ(requests.paths[kPods].lists, 1u);
  EXPECT_GT(requests.paths[kSlices].bytes, 100u);
  EXPECT_THAT(requests.recent[1], HasSubstr("GET /api/v1/pods auth=no"));
  cluster_->ResetRequests();
  EXPECT_EQ(cluster_->requests().total.lists, 0u);
}

TEST_F(FakeClusterTest, ControlIsServedOverHttp) {
  auto put = [this](const char* path, const char* body) {
    return client_.Put(path, body, "application/json")->status;
  };
  EXPECT_EQ(put("/_fake/app", R"({"namespace":"prod","name":"a","pods":2})"),
            200);
  EXPECT_EQ(put("/_fake/nodes", R"({"nodes":[{"name":"n1","address":"::1"}]})"),
            200);
  EXPECT_EQ(put("/_fake/ingress_service",
                R"({"namespace":"ingress","name":"nginx",
                    "addresses":["127.0.0.1","::1"]})"),
            200);
  EXPECT_EQ(put("/_fake/fault", R"({"kind":"gremlin"})"), 400);
  EXPECT_EQ(put("/_fake/nothing", "{}"), 404);
  EXPECT_EQ(put("/_fake/app", "{"), 400);
  EXPECT_THAT(Names(List(kSlices)),
              ElementsAre("nginx-0", "nginx-v6-0", "a-0"));
  EXPECT_THAT(Names(List("/api/v1/nodes")), ElementsAre("n1"));
  EXPECT_EQ(client_
                .Delete("/_fake/app", R"({"namespace":"prod","name":"a"})",
                        "application/json")
                ->status,
            200);
  EXPECT_EQ(Names(List(kSlices)).size(), 2u);
  Json requests = List("/_fake/requests");
  EXPECT_EQ(fake::NumberMember(requests.get(), "lists"), 3);
}

TEST_F(FakeClusterTest, GzipIsTheOnlyEncoding) {
  cluster_->SetApp(App("orders", 1));
  client_.set_decompress(false);
  auto encoding = [this](const char* accepted) {
    return client_.Get(kSlices, {{"Accept-Encoding", accepted}})
        ->get_header_value("Content-Encoding");
  };
  EXPECT_EQ(encoding("deflate, gzip, br"), "gzip");
  EXPECT_EQ(encoding("br"), "");
}

TEST_F(FakeClusterTest, ManyApplicationsAreListedWhole) {
  for (int i = 0; i < 1000; ++i) {
    cluster_->SetApp(App("app-" + std::to_string(i), 10));
  }
  EXPECT_EQ(Names(List(kSlices)).size(), 1000u);
}

class GuardedClusterTest : public FakeClusterTest {
 protected:
  GuardedClusterTest() : FakeClusterTest(Options()) {}
  static FakeClusterOptions Options() {
    FakeClusterOptions options;
    options.token = "secret";
    options.prefix = "/clusters/a/proxy";
    return options;
  }
  int StatusWith(const std::string& token, const std::string& path) {
    return client_.Get(path, {{"Authorization", "Bearer " + token}})->status;
  }
};

TEST_F(GuardedClusterTest, TheTokenIsRequired) {
  std::string path = std::string("/clusters/a/proxy") + kSlices;
  EXPECT_EQ(Status(path), 401);
  EXPECT_EQ(StatusWith("wrong", path), 401);
  EXPECT_EQ(StatusWith("secret", path), 200);
  cluster_->SetToken("rotated");
  EXPECT_EQ(StatusWith("secret", path), 401);
  EXPECT_EQ(StatusWith("rotated", path), 200);
}

TEST_F(GuardedClusterTest, NothingIsServedOutsideThePrefix) {
  EXPECT_EQ(StatusWith("secret", kSlices), 404);
}

}  // namespace
}  // namespace dynweight

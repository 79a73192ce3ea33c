// Tests of the proxy to members of a Karmada control plane.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "t/fake_cluster/fake_cluster_fixture.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kProxy[] = "/apis/cluster.karmada.io/v1alpha1/clusters/bj/proxy";

class MemberProxyTest : public FakeClusterTest {
 protected:
  MemberProxyTest() : FakeClusterTest(Options()) {
    cluster_->Put(R"({"kind":"Cluster","metadata":{"name":"bj"}})");
    cluster_->SetMember("bj", member_->port());
    member_->SetApp(App("orders", 3));
  }
  static FakeClusterOptions Options() {
    FakeClusterOptions options;
    options.member_hang_ms = 100;
    return options;
  }
  static std::string Proxied(const std::string& target) {
    return kProxy + target;
  }

  const std::unique_ptr<FakeCluster> member_ = FakeCluster::Start();
};

TEST_F(MemberProxyTest, GivesWhatTheMemberHas) {
  EXPECT_THAT(Names(List(kSlices)), testing::IsEmpty());
  EXPECT_THAT(Names(List(Proxied(kSlices))), testing::SizeIs(1));
  EXPECT_THAT(Names(List(Proxied(kSlices) + "?labelSelector=no%3Dmatch")),
              testing::IsEmpty());
}

TEST_F(MemberProxyTest, PassesWatchesOn) {
  const std::vector<Json> events =
      Watch(Proxied(kSlices) + "?watch=1&timeoutSeconds=1");
  EXPECT_THAT(Types(events), ElementsAre("ADDED"));
}

TEST_F(MemberProxyTest, TellsAMissingMemberFromAMissingResource) {
  httplib::Result member = Get(
      "/apis/cluster.karmada.io/v1alpha1/clusters/nosuch/proxy/api/v1/pods");
  EXPECT_EQ(member->status, 404);
  EXPECT_THAT(
      member->body,
      HasSubstr(
          R"("message":"clusters.cluster.karmada.io \"nosuch\" not found")"));
  EXPECT_THAT(member->body, HasSubstr(R"("details":{"name":"nosuch",)"));
  httplib::Result resource = Get(Proxied("/apis/no.such/v1/things"));
  EXPECT_EQ(resource->status, 404);
  EXPECT_THAT(resource->body, HasSubstr("could not find the requested"));
}

TEST_F(MemberProxyTest, GivesUpAMemberThatHangs) {
  member_->SetFault(Fault("hang", 1));
  EXPECT_EQ(Status(Proxied(kSlices)), 500);
  EXPECT_EQ(Status(Proxied(kSlices)), 200);
  member_->Stop();
  EXPECT_EQ(Status(Proxied(kSlices)), 500);
}

TEST_F(MemberProxyTest, HasItsOwnObjects) {
  EXPECT_THAT(Names(List("/apis/cluster.karmada.io/v1alpha1/clusters")),
              ElementsAre("bj"));
  ASSERT_TRUE(cluster_->Put(R"({"kind":"ResourceBinding","metadata":{)"
                            R"("namespace":"prod","name":"orders"}})"));
  EXPECT_THAT(
      Names(List("/apis/work.karmada.io/v1alpha2/namespaces/prod/"
                 "resourcebindings?fieldSelector=metadata.name%3Dorders")),
      ElementsAre("orders"));
}

}  // namespace
}  // namespace dynweight

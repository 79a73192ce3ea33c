// Tests of the paths of a Karmada control plane.

#include "watcher/kubernetes/member_proxy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/kubernetes/list_watch_request.h"
#include "watcher/kubernetes/protobuf/object_json.h"

namespace dynweight {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kBj[] =
    "https://k:5443/apis/cluster.karmada.io/v1alpha1/clusters/bj/proxy";

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST(MemberProxy, IsWrittenAndRead) {
  EXPECT_EQ(MemberProxyUrl("https://k:5443", "bj"), kBj);
  EXPECT_EQ(MemberOfProxy(kBj), "bj");
  EXPECT_EQ(MemberOfProxy("https://k:5443"), "");
  EXPECT_EQ(MemberOfProxy("https://k/apis/cluster.karmada.io/v1alpha1/clusters/"
                          "bj"),
            "");
  EXPECT_EQ(MemberOfProxy("https://k/apis/cluster.karmada.io/v1alpha1/clusters/"
                          "bj/status"),
            "");
}

TEST(MemberProxy, OtherPathsOfKarmadaAreRefused) {
  EXPECT_TRUE(CheckKarmadaPath(kBj).ok());
  EXPECT_TRUE(CheckKarmadaPath("https://k:5443").ok());
  EXPECT_TRUE(CheckKarmadaPath("https://rancher/k8s/clusters/c-1").ok());
  EXPECT_THAT(Message(CheckKarmadaPath("https://k/apis/search.karmada.io/"
                                       "v1alpha1/proxying/karmada/proxy")),
              HasSubstr("search proxy is not supported: while a member hangs"));
  for (const char* path : {"clusters/bj", "clusters", "clusters//proxy",
                           "clusters/bj/proxy/api", "clusters/BJ/proxy"}) {
    EXPECT_FALSE(
        CheckKarmadaPath(
            std::string("https://k/apis/cluster.karmada.io/v1alpha1/") + path)
            .ok())
        << path;
  }
}

// As a real control plane answers; see t/fake_cluster/member_proxy.cc.
constexpr char kNoSuchMember[] =
    R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
    R"("message":"clusters.cluster.karmada.io \"bj\" not found",)"
    R"("reason":"NotFound","details":{"name":"bj",)"
    R"("group":"cluster.karmada.io","kind":"clusters"},"code":404})";
constexpr char kNoSuchResource[] =
    R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
    R"("message":"the server could not find the requested resource",)"
    R"("reason":"NotFound","details":{},"code":404})";

std::string Refusal(std::string_view base, int code, std::string_view body) {
  const Collection nodes = {"/api/v1/nodes", "", ""};
  return Message(
      RefusalError(Verb::kList, base, nodes, RefusalOfAnswer(code, -1, body)));
}

TEST(MemberProxy, AMissingMemberIsNoMissingResource) {
  EXPECT_THAT(Refusal(kBj, 404, kNoSuchMember),
              HasSubstr("HTTP 404: no such member cluster: Karmada has no "
                        "\"bj\""));
  EXPECT_THAT(Refusal(kBj, 404, kNoSuchResource),
              HasSubstr("the API server has no nodes there"));
  EXPECT_THAT(Refusal("https://k:5443", 404, kNoSuchMember),
              Not(HasSubstr("no such member cluster")));
  EXPECT_EQ(RefusalOfAnswer(404, -1, kNoSuchResource).missing_member, "");
  EXPECT_EQ(RefusalOfAnswer(500, -1, kNoSuchMember).missing_member, "");
}

TEST(MemberProxy, AMemberThatHangsIsNamed) {
  EXPECT_THAT(Refusal(kBj, 500, "no JSON"),
              HasSubstr("HTTP 500: member cluster \"bj\" does not answer "
                        "Karmada's proxy"));
}

TEST(MemberProxy, ObjectsOfKarmadaAreAskedForAsJson) {
  for (const char* path :
       {"/apis/cluster.karmada.io/v1alpha1/clusters",
        "/apis/work.karmada.io/v1alpha2/resourcebindings",
        "/apis/work.karmada.io/v1alpha2/namespaces/prod/resourcebindings"}) {
    EXPECT_EQ(FindProtobufKind(path), nullptr) << path;
  }
}

}  // namespace
}  // namespace dynweight

// Tests of list_watch_request.h.

#include "watcher/kubernetes/list_watch_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dynweight {
namespace {

using testing::HasSubstr;

TEST(CollectionTest, ResourceAndNamespaceAreInThePath) {
  const Collection pods{"/api/v1/namespaces/prod/pods", "", ""};
  EXPECT_EQ(pods.resource(), "pods");
  EXPECT_EQ(pods.ns(), "prod");
  const Collection nodes{"/api/v1/nodes", "", ""};
  EXPECT_EQ(nodes.resource(), "nodes");
  EXPECT_EQ(nodes.ns(), "");
}

TEST(ListUrlTest, KeepsThePathPrefixOfTheBase) {
  EXPECT_EQ(
      ListUrl("https://k:1/clusters/bj/proxy", {"/api/v1/nodes", "", ""}, {}),
      "https://k:1/clusters/bj/proxy/api/v1/nodes");
}

TEST(ListUrlTest, APageWithATokenHasNoVersion) {
  EXPECT_EQ(ListUrl("", {"/api/v1/nodes", "", ""}, {"7", 5, "t"}),
            "/api/v1/nodes?limit=5&continue=t");
}

TEST(ListUrlTest, AnEmptyVersionIsStillAVersion) {
  EXPECT_EQ(ListUrl("", {"/api/v1/nodes", "", ""}, {"", 0, ""}),
            "/api/v1/nodes?resourceVersion=");
}

TEST(ListUrlTest, EverythingButUnreservedCharactersIsEscaped) {
  EXPECT_EQ(ListUrl("", {"/p", "a-b.c_d~e=f/g h&i\xc3\xa9", ""}, {}),
            "/p?labelSelector=a-b.c_d~e%3Df%2Fg%20h%26i%C3%A9");
}

TEST(WatchUrlTest, AsksForBookmarksAndAnEnd) {
  EXPECT_EQ(WatchUrl("", {"/p", "a=b", "c=d"}, "+/=", 301),
            "/p?watch=1&resourceVersion=%2B%2F%3D&allowWatchBookmarks=true&"
            "timeoutSeconds=301&labelSelector=a%3Db&fieldSelector=c%3Dd");
}

TEST(RefusalErrorTest, NamesVerbUrlStatusAndMend) {
  ApiRefusal refusal;
  refusal.code = 403;
  refusal.message = "forbidden: User \"x\" cannot list";
  EXPECT_EQ(
      std::string(RefusalError(Verb::kWatch, "https://a:6443/prefix",
                               {"/api/v1/nodes", "", ""}, refusal)
                      .message()),
      "watch https://a:6443/prefix/api/v1/nodes: HTTP 403: the token may not "
      "watch nodes; grant it list and watch by RBAC, see conf.d/rbac");
}

TEST(RefusalErrorTest, WithoutAMendTheServersWordsAreGiven) {
  ApiRefusal refusal;
  refusal.code = 500;
  refusal.message = "etcd is slow";
  EXPECT_THAT(
      std::string(
          RefusalError(Verb::kList, "", {"/p", "", ""}, refusal).message()),
      HasSubstr("HTTP 500: etcd is slow"));
}

}  // namespace
}  // namespace dynweight

// Tests of what is followed for a configuration.

#include "watcher/kubernetes/subscriptions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/list_watch_request.h"

namespace dynweight {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

PodSource Source(std::string_view word, std::string ns, std::string name) {
  PodSource source;
  source.kind = FindKubernetesKind(word);
  source.ns = std::move(ns);
  source.name = std::move(name);
  return source;
}

PodSource Service(std::string ns, std::string name) {
  return Source("service", std::move(ns), std::move(name));
}

KubernetesSources OneCluster(std::vector<PodSource> pods) {
  KubernetesSources sources;
  sources.pods = std::move(pods);
  sources.nodes.kind = NodeSource::Kind::kAddresses;
  return sources;
}

TEST(Subscriptions, OneServiceIsReadFromItsNamespaceByName) {
  const auto plan = PlanSubscriptions(OneCluster({Service("prod", "orders")}));
  ASSERT_THAT(plan, SizeIs(1));
  EXPECT_EQ(plan[0].options.path,
            "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices");
  EXPECT_EQ(plan[0].options.label_selector,
            "kubernetes.io/service-name=orders");

  ASSERT_THAT(plan[0].interests, SizeIs(1));
  EXPECT_EQ(plan[0].interests[0].pod_source, "service=prod/orders");
}

TEST(Subscriptions, AFewServicesAreSelectedAsASet) {
  const auto plan = PlanSubscriptions(
      OneCluster({Service("prod", "b"), Service("prod", "a")}));
  ASSERT_THAT(plan, SizeIs(1));
  EXPECT_EQ(plan[0].options.label_selector,
            "kubernetes.io/service-name in (a,b)");
}

TEST(Subscriptions, ServicesAreSelectedAsLongAsAUrlCanNameThem) {
  std::vector<PodSource> sources;
  for (int i = 0; i < 21; ++i) {
    sources.push_back(Service("prod", absl::StrCat("app", i)));
  }
  EXPECT_NE(PlanSubscriptions(OneCluster(sources))[0].options.label_selector,
            "");
  for (int i = 21; i < 1000; ++i) {
    sources.push_back(Service("prod", absl::StrCat("app", i)));
  }
  const auto plan = PlanSubscriptions(OneCluster(sources));
  ASSERT_THAT(plan, SizeIs(1));
  EXPECT_EQ(plan[0].options.path,
            "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices");
  EXPECT_EQ(plan[0].options.label_selector, "");
  EXPECT_THAT(plan[0].interests, SizeIs(1000));
}

TEST(Subscriptions, ASelectorIsNeverLongerThanItsLimit) {
  std::vector<PodSource> sources;
  size_t longest = 0;
  for (int i = 0; i < 500; ++i) {
    sources.push_back(Service("prod", absl::StrCat("orders-", i)));
    const auto plan = PlanSubscriptions(OneCluster(sources));
    const std::string url = ListUrl(
        "", Collection{"", plan[0].options.label_selector, ""}, ListQuery());
    longest = std::max(longest, url.size());
  }
  EXPECT_LE(longest, kMaxJoinedSelectorBytes + sizeof("?labelSelector="));
  EXPECT_GE(longest, kMaxJoinedSelectorBytes - 64);
}

TEST(Subscriptions, TooManyForASelectorAreReadByNamespace) {
  std::vector<PodSource> sources;
  for (int i = 0; i < 600; ++i) {
    sources.push_back(
        Service(i < 598 ? "prod" : "stage", absl::StrCat("application", i)));
  }
  const auto plan = PlanSubscriptions(OneCluster(sources));
  ASSERT_THAT(plan, SizeIs(2));
  EXPECT_EQ(plan[0].options.label_selector, "");
  EXPECT_EQ(plan[1].options.path,
            "/apis/discovery.k8s.io/v1/namespaces/stage/endpointslices");
  EXPECT_EQ(plan[1].options.label_selector,
            "kubernetes.io/service-name in (application598,application599)");
}

TEST(Subscriptions, TooManyNamespacesAreReadAsTheCluster) {
  std::vector<PodSource> sources;
  for (int i = 0; i < 600; ++i) {
    sources.push_back(
        Service(absl::StrCat("ns", i), absl::StrCat("application", i)));
  }
  const auto plan = PlanSubscriptions(OneCluster(sources));
  ASSERT_THAT(plan, SizeIs(1));
  EXPECT_EQ(plan[0].options.path, "/apis/discovery.k8s.io/v1/endpointslices");
}

TEST(Subscriptions, AFewDeploymentsAreWatchedByName) {
  const auto plan = PlanSubscriptions(OneCluster(
      {Source("deployment", "prod", "a"), Source("deployment", "prod", "b"),
       Source("deployment", "stage", "a")}));
  ASSERT_THAT(plan, SizeIs(3));
  EXPECT_EQ(plan[1].options.path, "/apis/apps/v1/namespaces/prod/deployments");
  EXPECT_EQ(plan[1].options.field_selector, "metadata.name=b");
  EXPECT_EQ(plan[2].options.path, "/apis/apps/v1/namespaces/stage/deployments");
  EXPECT_EQ(plan[2].options.field_selector, "metadata.name=a");
}

TEST(Subscriptions, MoreDeploymentsAreReadByNamespace) {
  std::vector<PodSource> sources;
  for (size_t i = 0; i < kMaxNamedWatches; ++i) {
    sources.push_back(Source("deployment", "prod", absl::StrCat("app", i)));
  }
  sources.push_back(Source("deployment", "stage", "a"));
  const auto plan = PlanSubscriptions(OneCluster(sources));
  ASSERT_THAT(plan, SizeIs(2));
  EXPECT_EQ(plan[0].options.field_selector, "");
  EXPECT_THAT(plan[0].interests, SizeIs(kMaxNamedWatches));
  EXPECT_EQ(plan[1].options.field_selector, "metadata.name=a");
}

TEST(Subscriptions, OldServersHaveSlicesAndEndpointsElsewhere) {
  const auto plan = PlanSubscriptions(
      OneCluster({Service("prod", "b"), Service("prod", "a")}));
  const std::vector<Collection>& fallbacks = plan[0].options.fallbacks;
  ASSERT_THAT(fallbacks, SizeIs(2));
  EXPECT_EQ(fallbacks[0].path,
            "/apis/discovery.k8s.io/v1beta1/namespaces/prod/endpointslices");
  EXPECT_EQ(fallbacks[0].label_selector, "kubernetes.io/service-name in (a,b)");
  EXPECT_EQ(fallbacks[1].path, "/api/v1/namespaces/prod/endpoints");
  EXPECT_EQ(fallbacks[1].label_selector, "");
  EXPECT_EQ(fallbacks[1].field_selector, "");
  const auto one = PlanSubscriptions(OneCluster({Service("prod", "orders")}));
  EXPECT_EQ(one[0].options.fallbacks[1].field_selector, "metadata.name=orders");
}

TEST(Subscriptions, TheWholeClusterIsSplitByNamespace) {
  const auto plan = PlanSubscriptions(
      OneCluster({Service("team-a", "orders"), Service("team-b", "carts")}));
  ASSERT_THAT(plan, SizeIs(1));
  const auto parts = SplitByNamespace(plan[0]);
  ASSERT_THAT(parts, SizeIs(2));
  EXPECT_EQ(parts[0].options.path,
            "/apis/discovery.k8s.io/v1/namespaces/team-a/endpointslices");
  EXPECT_EQ(parts[0].options.label_selector,
            "kubernetes.io/service-name=orders");
  EXPECT_EQ(parts[0].options.fallbacks[1].path,
            "/api/v1/namespaces/team-a/endpoints");
  ASSERT_THAT(parts[1].interests, SizeIs(1));
  EXPECT_EQ(parts[1].interests[0].pod_source, "service=team-b/carts");
  EXPECT_THAT(SplitByNamespace(parts[0]), IsEmpty());
}

TEST(Subscriptions, SeveralNamespacesAreReadAsOneCollectionOfTheCluster) {
  const auto plan = PlanSubscriptions(
      OneCluster({Service("prod", "orders"), Service("stage", "orders")}));
  ASSERT_THAT(plan, SizeIs(1));
  EXPECT_EQ(plan[0].options.path, "/apis/discovery.k8s.io/v1/endpointslices");
  EXPECT_EQ(plan[0].options.label_selector,
            "kubernetes.io/service-name=orders");
  EXPECT_THAT(plan[0].interests, SizeIs(2));
}

TEST(Subscriptions, LinesOfOneSourceShareIt) {
  const auto plan = PlanSubscriptions(
      OneCluster({Service("prod", "orders"), Service("prod", "orders")}));
  ASSERT_THAT(plan, SizeIs(1));
  EXPECT_THAT(plan[0].interests, SizeIs(1));
}

TEST(Subscriptions, TheControllersServiceSharesTheEndpointSlices) {
  KubernetesSources asked = OneCluster({Service("prod", "orders")});
  asked.nodes.kind = NodeSource::Kind::kService;
  asked.nodes.ns = "prod";
  asked.nodes.name = "controller";
  const auto plan = PlanSubscriptions(asked);
  ASSERT_THAT(plan, SizeIs(1));
  ASSERT_THAT(plan[0].interests, SizeIs(2));
  EXPECT_TRUE(plan[0].interests[0].nodes);
  EXPECT_EQ(plan[0].interests[0].pod_source, "");
  EXPECT_FALSE(plan[0].interests[1].nodes);
}

TEST(Subscriptions, AServiceCanBeBothCountedAndTheNodes) {
  KubernetesSources asked = OneCluster({Service("in", "controller")});
  asked.nodes.kind = NodeSource::Kind::kService;
  asked.nodes.ns = "in";
  asked.nodes.name = "controller";
  const auto plan = PlanSubscriptions(asked);
  ASSERT_THAT(plan, SizeIs(1));
  ASSERT_THAT(plan[0].interests, SizeIs(1));
  EXPECT_TRUE(plan[0].interests[0].nodes);
  EXPECT_EQ(plan[0].interests[0].pod_source, "service=in/controller");
}

TEST(Subscriptions, PodsAreOneForEachSelectorInSmallPages) {
  const auto plan = PlanSubscriptions(OneCluster(
      {Source("pods", "prod", "app=a"), Source("pods", "prod", "app=b"),
       Source("pods", "prod", "app=b")}));
  ASSERT_THAT(plan, SizeIs(2));
  EXPECT_EQ(plan[0].options.path, "/api/v1/namespaces/prod/pods");
  EXPECT_EQ(plan[0].options.label_selector, "app=a");
  EXPECT_EQ(plan[0].options.page_limit, 250u);
}

TEST(Subscriptions, NodesAreReadByTheirSelector) {
  KubernetesSources asked = OneCluster({});
  asked.nodes.kind = NodeSource::Kind::kNodes;
  asked.nodes.name = "role=ingress";
  const auto plan = PlanSubscriptions(asked);
  ASSERT_THAT(plan, SizeIs(1));
  EXPECT_EQ(plan[0].options.path, "/api/v1/nodes");
  EXPECT_EQ(plan[0].options.label_selector, "role=ingress");
}

TEST(Subscriptions, EachReplicasKindHasItsPath) {
  const auto plan = PlanSubscriptions(OneCluster(
      {Source("deployment", "prod", "a"), Source("statefulset", "prod", "a"),
       Source("rollout", "prod", "a"), Source("rollout", "stage", "a")}));
  ASSERT_THAT(plan, SizeIs(4));
  EXPECT_EQ(plan[0].options.path, "/apis/apps/v1/namespaces/prod/deployments");
  EXPECT_EQ(plan[0].options.field_selector, "metadata.name=a");
  EXPECT_EQ(plan[1].options.path, "/apis/apps/v1/namespaces/prod/statefulsets");
  EXPECT_EQ(plan[2].options.path,
            "/apis/argoproj.io/v1alpha1/namespaces/prod/rollouts");
  EXPECT_EQ(plan[2].options.field_selector, "metadata.name=a");
}

TEST(Subscriptions, CloneSetsAreReadFromOpenKruise) {
  EXPECT_TRUE(PodSource::Begins("cloneset=x"));
  const absl::StatusOr<PodSource> source =
      PodSource::Parse("cloneset=prod/orders");
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->Key(), "cloneset=prod/orders");
  const auto plan = PlanSubscriptions(OneCluster({*source}));
  ASSERT_THAT(plan, SizeIs(1));
  EXPECT_EQ(plan[0].options.path,
            "/apis/apps.kruise.io/v1alpha1/namespaces/prod/clonesets");
  EXPECT_EQ(plan[0].options.field_selector, "metadata.name=orders");
}

TEST(Subscriptions, IngressesAreNoSourceButAreFollowedByNameAndVersion) {
  EXPECT_FALSE(PodSource::Begins("ingress=prod/orders"));
  EXPECT_FALSE(PodSource::Parse("ingress=prod/orders").ok());
  const absl::StatusOr<PodSource> ingress =
      PodSource::ParseIngress("ingress=prod/orders");
  ASSERT_TRUE(ingress.ok()) << ingress.status();
  EXPECT_EQ(ingress->Key(), "ingress=prod/orders");
  const auto plan = PlanSubscriptions(OneCluster({*ingress}));
  ASSERT_THAT(plan, SizeIs(1));
  EXPECT_EQ(plan[0].options.path,
            "/apis/networking.k8s.io/v1/namespaces/prod/ingresses");
  EXPECT_EQ(plan[0].options.field_selector, "metadata.name=orders");
  ASSERT_THAT(plan[0].options.fallbacks, SizeIs(2));
  EXPECT_EQ(plan[0].options.fallbacks[0].path,
            "/apis/networking.k8s.io/v1beta1/namespaces/prod/ingresses");
  EXPECT_EQ(plan[0].options.fallbacks[1].path,
            "/apis/extensions/v1beta1/namespaces/prod/ingresses");
  EXPECT_EQ(plan[0].options.fallbacks[1].field_selector,
            "metadata.name=orders");
}

TEST(Subscriptions, FixedAddressesNeedNoCollection) {
  EXPECT_THAT(PlanSubscriptions(OneCluster({})), IsEmpty());
}

TEST(Subscriptions, NumberIsBoundedWhateverTheLines) {
  std::vector<PodSource> sources;
  for (int i = 0; i < 1000; ++i) {
    sources.push_back(
        Service(absl::StrCat("ns", i % 7), absl::StrCat("app", i)));
  }
  EXPECT_THAT(PlanSubscriptions(OneCluster(sources)), SizeIs(7));
}

}  // namespace
}  // namespace dynweight

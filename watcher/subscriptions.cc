// See subscriptions.h.

#include "watcher/subscriptions.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace dynweight {
namespace {

using Kind = Subscription::Kind;
using Want = Subscription::Want;

// Pods are 10 to 20 kB each.
constexpr uint32_t kPodsPage = 250;

// By namespace and name.
using Wants = std::map<std::pair<std::string, std::string>, Want>;

struct Collection {
  const char* group;
  const char* resource;
};

Collection CollectionOf(Kind kind) {
  switch (kind) {
    case Kind::kEndpointSlices:
      return {"/apis/discovery.k8s.io/v1", "endpointslices"};
    case Kind::kPods:
      return {"/api/v1", "pods"};
    case Kind::kNodes:
      return {"/api/v1", "nodes"};
    case Kind::kDeployments:
      return {"/apis/apps/v1", "deployments"};
    case Kind::kStatefulSets:
      return {"/apis/apps/v1", "statefulsets"};
    case Kind::kRollouts:
      return {"/apis/argoproj.io/v1alpha1", "rollouts"};
  }
  return {"", ""};
}

Kind KindOf(PodSource::Kind kind) {
  switch (kind) {
    case PodSource::Kind::kService:
      return Kind::kEndpointSlices;
    case PodSource::Kind::kPods:
      return Kind::kPods;
    case PodSource::Kind::kDeployment:
      return Kind::kDeployments;
    case PodSource::Kind::kStatefulSet:
      return Kind::kStatefulSets;
    case PodSource::Kind::kRollout:
      return Kind::kRollouts;
  }
  return Kind::kEndpointSlices;
}

std::string Path(Kind kind, const std::string& ns) {
  const Collection collection = CollectionOf(kind);
  if (ns.empty()) {
    return absl::StrCat(collection.group, "/", collection.resource);
  }
  return absl::StrCat(collection.group, "/namespaces/", ns, "/",
                      collection.resource);
}

Want* Add(Wants* wants, const std::string& ns, const std::string& name) {
  Want* want = &(*wants)[{ns, name}];
  want->ns = ns;
  want->name = name;
  return want;
}

Subscription Subscribe(const ClusterConfig& cluster, Kind kind,
                       const std::string& ns) {
  Subscription subscription;
  subscription.kind = kind;
  ReflectorOptions& options = subscription.options;
  options.path = Path(kind, ns);
  options.watch = cluster.mode == ClusterConfig::Mode::kWatch;
  options.interval_ms = cluster.interval_ms;
  options.timeout_ms = cluster.timeout_ms;
  if (kind == Kind::kPods) {
    options.page_limit = kPodsPage;
    options.cached_first_list = false;
  }
  return subscription;
}

// What a few names allow the API server to leave out.
void Narrow(const Wants& wants, bool one_namespace, Subscription* to) {
  std::set<std::string> names;
  for (const auto& [id, want] : wants) names.insert(want.name);
  if (to->kind == Kind::kEndpointSlices) {
    if (names.size() == 1) {
      to->options.label_selector =
          absl::StrCat("kubernetes.io/service-name=", *names.begin());
    } else if (names.size() <= kMaxSelectorNames) {
      to->options.label_selector = absl::StrCat(
          "kubernetes.io/service-name in (", absl::StrJoin(names, ","), ")");
    }
  } else if (names.size() == 1 && one_namespace) {
    to->options.field_selector = absl::StrCat("metadata.name=", *names.begin());
  }
}

Subscription SubscribeByName(const ClusterConfig& cluster, Kind kind,
                             const Wants& wants) {
  const std::string& first = wants.begin()->second.ns;
  const bool one_namespace = wants.rbegin()->second.ns == first;
  Subscription subscription =
      Subscribe(cluster, kind, one_namespace ? first : std::string());
  Narrow(wants, one_namespace, &subscription);
  for (const auto& [id, want] : wants) subscription.wants.push_back(want);
  return subscription;
}

Subscription SubscribeBySelector(const ClusterConfig& cluster, Kind kind,
                                 const Want& want) {
  Subscription subscription = Subscribe(cluster, kind, want.ns);
  subscription.options.label_selector = want.name;
  subscription.wants.push_back(want);
  return subscription;
}

}  // namespace

std::vector<Subscription> PlanSubscriptions(const WatcherConfig& config,
                                            uint32_t cluster_index) {
  const ClusterConfig& cluster = config.clusters[cluster_index];
  std::map<Kind, Wants> wanted;
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster_index) continue;
    Add(&wanted[KindOf(line.source.kind)], line.source.ns, line.source.name)
        ->pod_source = line.source.Key();
  }
  const NodeSource& nodes = cluster.nodes;
  switch (nodes.kind) {
    case NodeSource::Kind::kService:
      Add(&wanted[Kind::kEndpointSlices], nodes.ns, nodes.name)->nodes = true;
      break;
    case NodeSource::Kind::kPods:
      Add(&wanted[Kind::kPods], nodes.ns, nodes.name)->nodes = true;
      break;
    case NodeSource::Kind::kNodes:
      Add(&wanted[Kind::kNodes], "", nodes.name)->nodes = true;
      break;
    case NodeSource::Kind::kNone:
    case NodeSource::Kind::kAddresses:
      break;
  }

  std::vector<Subscription> subscriptions;
  for (const auto& [kind, wants] : wanted) {
    if (kind == Kind::kPods || kind == Kind::kNodes) {
      for (const auto& [id, want] : wants) {
        subscriptions.push_back(SubscribeBySelector(cluster, kind, want));
      }
    } else {
      subscriptions.push_back(SubscribeByName(cluster, kind, wants));
    }
  }
  return subscriptions;
}

}  // namespace dynweight

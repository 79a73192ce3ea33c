// See subscriptions.h.

#include "watcher/subscriptions.h"

#include <map>
#include <optional>
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

constexpr char kServiceName[] = "kubernetes.io/service-name";

// By namespace and name.
using Wants = std::map<std::pair<std::string, std::string>, Want>;

struct Resource {
  const char* group;
  const char* plural;
};

Resource ResourceOf(Kind kind) {
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
  const Resource resource = ResourceOf(kind);
  if (ns.empty()) {
    return absl::StrCat(resource.group, "/", resource.plural);
  }
  return absl::StrCat(resource.group, "/namespaces/", ns, "/",
                      resource.plural);
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
  options.spread_ms = cluster.guard.confirm_ms;
  if (kind == Kind::kPods) {
    options.page_limit = kPodsPage;
  }
  return subscription;
}

// "kubernetes.io/service-name in (a,b)"; nothing: too long for a URL.
std::optional<std::string> ServicesSelector(const Wants& wants) {
  std::set<std::string> names;
  for (const auto& [id, want] : wants) names.insert(want.name);
  if (names.size() == 1) {
    return absl::StrCat(kServiceName, "=", *names.begin());
  }
  std::string selector = absl::StrCat(kServiceName, " in (");
  // Names need no escapes; commas do, and what is around takes 12 bytes more.
  size_t bytes = selector.size() + 16;
  for (const std::string& name : names) bytes += name.size() + 3;
  if (bytes > kMaxSelectorBytes) return std::nullopt;
  absl::StrAppend(&selector, absl::StrJoin(names, ","), ")");
  return selector;
}

// Servers before Kubernetes 1.21 have EndpointSlices as v1beta1, those before
// 1.17 Endpoints alone, which are named as their Service and can't be selected
// by a set of names.
void AddFallbacks(const Wants& wants, const std::string& ns,
                  ReflectorOptions* options) {
  const std::string in = ns.empty() ? "" : absl::StrCat("/namespaces/", ns);
  options->fallbacks.push_back(
      {absl::StrCat("/apis/discovery.k8s.io/v1beta1", in, "/endpointslices"),
       options->label_selector, ""});
  options->fallbacks.push_back(
      {absl::StrCat("/api/v1", in, "/endpoints"), "",
       wants.size() == 1
           ? absl::StrCat("metadata.name=", wants.begin()->second.name)
           : ""});
}

// One subscription for all of these, in `ns` or everywhere.
Subscription SubscribeToAll(const ReflectorOptions& like, Kind kind,
                            const std::string& ns, const Wants& wants) {
  Subscription subscription;
  subscription.kind = kind;
  ReflectorOptions& options = subscription.options;
  options = like;
  options.path = Path(kind, ns);
  options.label_selector = options.field_selector = "";
  options.fallbacks.clear();
  if (kind == Kind::kEndpointSlices) {
    options.label_selector = ServicesSelector(wants).value_or("");
    AddFallbacks(wants, ns, &options);
  } else if (wants.size() == 1 && !ns.empty()) {
    options.field_selector =
        absl::StrCat("metadata.name=", wants.begin()->second.name);
  }
  for (const auto& [id, want] : wants) subscription.wants.push_back(want);
  return subscription;
}

std::map<std::string, Wants> ByNamespace(const Wants& wants) {
  std::map<std::string, Wants> namespaces;
  for (const auto& [id, want] : wants) namespaces[want.ns].insert({id, want});
  return namespaces;
}

void SubscribeByNamespace(const ReflectorOptions& like, Kind kind,
                          const Wants& wants,
                          std::vector<Subscription>* subscriptions) {
  for (const auto& [ns, of_ns] : ByNamespace(wants)) {
    subscriptions->push_back(SubscribeToAll(like, kind, ns, of_ns));
  }
}

// See PlanSubscriptions().
void SubscribeByName(const ClusterConfig& cluster, Kind kind,
                     const Wants& wants,
                     std::vector<Subscription>* subscriptions) {
  const ReflectorOptions like = Subscribe(cluster, kind, "").options;
  const size_t namespaces = ByNamespace(wants).size();
  if (kind == Kind::kEndpointSlices) {
    if (namespaces > 1 && (ServicesSelector(wants).has_value() ||
                           namespaces > kMaxNamespaces)) {
      subscriptions->push_back(SubscribeToAll(like, kind, "", wants));
    } else {
      SubscribeByNamespace(like, kind, wants, subscriptions);
    }
  } else if (wants.size() <= kMaxNamedWatches) {
    for (const auto& entry : wants) {
      subscriptions->push_back(
          SubscribeToAll(like, kind, entry.second.ns, Wants{entry}));
    }
  } else if (namespaces <= kMaxNamespaces) {
    SubscribeByNamespace(like, kind, wants, subscriptions);
  } else {
    subscriptions->push_back(SubscribeToAll(like, kind, "", wants));
  }
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
    const absl::StatusOr<PodSource> source = PodSource::Parse(line.source);
    if (!source.ok()) continue;  // the configuration has checked it
    Add(&wanted[KindOf(source->kind)], source->ns, source->name)->pod_source =
        line.source;
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
      SubscribeByName(cluster, kind, wants, &subscriptions);
    }
  }
  return subscriptions;
}

std::vector<Subscription> SplitByNamespace(const Subscription& subscription) {
  std::vector<Subscription> parts;
  if (subscription.kind == Kind::kPods || subscription.kind == Kind::kNodes) {
    return parts;
  }
  Wants wants;
  for (const Want& want : subscription.wants) {
    wants[{want.ns, want.name}] = want;
  }
  if (subscription.options.path != Path(subscription.kind, "")) return parts;
  SubscribeByNamespace(subscription.options, subscription.kind, wants, &parts);
  return parts;
}

}  // namespace dynweight

// See subscriptions.h.

#include "watcher/kubernetes/subscriptions.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace dynweight {
namespace {

using Sink = KubernetesKind::Sink;
using Want = Subscription::Want;

// Pods are 10 to 20 kB each.
constexpr uint32_t kPodsPage = 250;

constexpr char kServiceName[] = "kubernetes.io/service-name";

// By namespace and name.
using Wants = std::map<std::pair<std::string, std::string>, Want>;

Want* Add(Wants* wants, const std::string& ns, const std::string& name) {
  Want* want = &(*wants)[{ns, name}];
  want->ns = ns;
  want->name = name;
  return want;
}

Subscription Subscribe(const ReflectorOptions& like, const KubernetesKind& kind,
                       const std::string& ns) {
  Subscription subscription;
  subscription.kind = &kind;
  subscription.options = like;
  subscription.options.path = kind.Path(ns);
  if (kind.sink == Sink::kPods) subscription.options.page_limit = kPodsPage;
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
Subscription SubscribeToAll(const ReflectorOptions& like,
                            const KubernetesKind& kind, const std::string& ns,
                            const Wants& wants) {
  Subscription subscription = Subscribe(like, kind, ns);
  ReflectorOptions& options = subscription.options;
  options.label_selector = options.field_selector = "";
  options.fallbacks.clear();
  if (kind.sink == Sink::kEndpointSlices) {
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

void SubscribeByNamespace(const ReflectorOptions& like,
                          const KubernetesKind& kind, const Wants& wants,
                          std::vector<Subscription>* subscriptions) {
  for (const auto& [ns, of_ns] : ByNamespace(wants)) {
    subscriptions->push_back(SubscribeToAll(like, kind, ns, of_ns));
  }
}

// See PlanSubscriptions().
void SubscribeByName(const ReflectorOptions& like, const KubernetesKind& kind,
                     const Wants& wants,
                     std::vector<Subscription>* subscriptions) {
  const size_t namespaces = ByNamespace(wants).size();
  if (kind.sink == Sink::kEndpointSlices) {
    if (namespaces > 1 &&
        (ServicesSelector(wants).has_value() || namespaces > kMaxNamespaces)) {
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

bool IsSelected(const KubernetesKind& kind) {
  return kind.name_rule == KubernetesKind::NameRule::kSelector;
}

Subscription SubscribeBySelector(const ReflectorOptions& like,
                                 const KubernetesKind& kind, const Want& want) {
  Subscription subscription = Subscribe(like, kind, want.ns);
  subscription.options.label_selector = want.name;
  subscription.wants.push_back(want);
  return subscription;
}

// The kind that a cluster's ingress nodes are read of; nullptr: they are fixed.
const KubernetesKind* KindOfNodes(const NodeSource& nodes) {
  switch (nodes.kind) {
    case NodeSource::Kind::kService:
      return FindKubernetesKind("service");
    case NodeSource::Kind::kPods:
      return FindKubernetesKind("pods");
    case NodeSource::Kind::kNodes:
      return FindKubernetesKind("nodes");
    case NodeSource::Kind::kNone:
    case NodeSource::Kind::kAddresses:
      break;
  }
  return nullptr;
}

}  // namespace

std::vector<Subscription> PlanSubscriptions(const KubernetesSources& sources) {
  std::map<const KubernetesKind*, Wants> wanted;
  for (const PodSource& source : sources.pods) {
    Add(&wanted[source.kind], source.ns, source.name)->pod_source =
        source.Key();
  }
  const NodeSource& nodes = sources.nodes;
  if (const KubernetesKind* const kind = KindOfNodes(nodes)) {
    Add(&wanted[kind], nodes.ns, nodes.name)->nodes = true;
  }
  std::vector<Subscription> subscriptions;
  for (const KubernetesKind& kind : KubernetesKinds()) {
    const auto it = wanted.find(&kind);
    if (it == wanted.end()) continue;
    const Wants& wants = it->second;
    if (!IsSelected(kind)) {
      SubscribeByName(sources.options, kind, wants, &subscriptions);
      continue;
    }
    for (const auto& [id, want] : wants) {
      subscriptions.push_back(SubscribeBySelector(sources.options, kind, want));
    }
  }
  return subscriptions;
}

std::vector<Subscription> SplitByNamespace(const Subscription& subscription) {
  std::vector<Subscription> parts;
  const KubernetesKind& kind = *subscription.kind;
  if (IsSelected(kind) || subscription.options.path != kind.Path("")) {
    return parts;
  }
  Wants wants;
  for (const Want& want : subscription.wants) {
    wants[{want.ns, want.name}] = want;
  }
  SubscribeByNamespace(subscription.options, kind, wants, &parts);
  return parts;
}

}  // namespace dynweight

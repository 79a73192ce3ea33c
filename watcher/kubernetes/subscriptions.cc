// See subscriptions.h.

#include "watcher/kubernetes/subscriptions.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace dynweight {
namespace {

using Sink = KubernetesKind::Sink;
using Interest = Subscription::Interest;

// Pods are 10 to 20 kB each.
constexpr uint32_t kPodsPage = 250;

constexpr char kServiceName[] = "kubernetes.io/service-name";

// By namespace and name.
using Interests = std::map<std::pair<std::string, std::string>, Interest>;

Interest* Add(Interests* interests, const std::string& ns,
              const std::string& name) {
  Interest* interest = &(*interests)[{ns, name}];
  interest->ns = ns;
  interest->name = name;
  return interest;
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
std::optional<std::string> ServicesSelector(const Interests& interests) {
  std::set<std::string> names;
  for (const auto& [id, interest] : interests) names.insert(interest.name);
  if (names.size() == 1) {
    return absl::StrCat(kServiceName, "=", *names.begin());
  }
  std::string selector = absl::StrCat(kServiceName, " in (");
  // Names need no escapes; commas do, and what is around takes 12 bytes more.
  size_t bytes = selector.size() + 16;
  for (const std::string& name : names) bytes += name.size() + 3;
  if (bytes > kMaxJoinedSelectorBytes) return std::nullopt;
  absl::StrAppend(&selector, absl::StrJoin(names, ","), ")");
  return selector;
}

// Servers before Kubernetes 1.21 have EndpointSlices as v1beta1, those before
// 1.17 Endpoints alone, which are named as their Service and can't be selected
// by a set of names.
void AddFallbacks(const Interests& interests, const std::string& ns,
                  ReflectorOptions* options) {
  const std::string in = ns.empty() ? "" : absl::StrCat("/namespaces/", ns);
  options->fallbacks.push_back(
      {absl::StrCat("/apis/discovery.k8s.io/v1beta1", in, "/endpointslices"),
       options->label_selector, ""});
  options->fallbacks.push_back(
      {absl::StrCat("/api/v1", in, "/endpoints"), "",
       interests.size() == 1
           ? absl::StrCat("metadata.name=", interests.begin()->second.name)
           : ""});
}

// Servers before Kubernetes 1.19 have Ingresses as v1beta1, those before 1.14
// in another group.
void AddOldIngresses(const std::string& ns, ReflectorOptions* options) {
  const std::string in = ns.empty() ? "" : absl::StrCat("/namespaces/", ns);
  for (const char* group :
       {"/apis/networking.k8s.io/v1beta1", "/apis/extensions/v1beta1"}) {
    options->fallbacks.push_back(
        {absl::StrCat(group, in, "/ingresses"), "", options->field_selector});
  }
}

// One subscription for all of these, in `ns` or everywhere.
Subscription SubscribeToAll(const ReflectorOptions& like,
                            const KubernetesKind& kind, const std::string& ns,
                            const Interests& interests) {
  Subscription subscription = Subscribe(like, kind, ns);
  ReflectorOptions& options = subscription.options;
  options.label_selector = options.field_selector = "";
  options.fallbacks.clear();
  if (kind.sink == Sink::kEndpointSlices) {
    options.label_selector = ServicesSelector(interests).value_or("");
    AddFallbacks(interests, ns, &options);
  } else if (interests.size() == 1 && !ns.empty()) {
    options.field_selector =
        absl::StrCat("metadata.name=", interests.begin()->second.name);
  }
  if (kind.sink == Sink::kPresence) AddOldIngresses(ns, &options);
  for (const auto& [id, interest] : interests)
    subscription.interests.push_back(interest);
  return subscription;
}

std::map<std::string, Interests> ByNamespace(const Interests& interests) {
  std::map<std::string, Interests> namespaces;
  for (const auto& [id, interest] : interests)
    namespaces[interest.ns].insert({id, interest});
  return namespaces;
}

void SubscribeByNamespace(const ReflectorOptions& like,
                          const KubernetesKind& kind,
                          const Interests& interests,
                          std::vector<Subscription>* subscriptions) {
  for (const auto& [ns, of_ns] : ByNamespace(interests)) {
    subscriptions->push_back(SubscribeToAll(like, kind, ns, of_ns));
  }
}

// See PlanSubscriptions().
void SubscribeByName(const ReflectorOptions& like, const KubernetesKind& kind,
                     const Interests& interests,
                     std::vector<Subscription>* subscriptions) {
  const size_t namespaces = ByNamespace(interests).size();
  if (kind.sink == Sink::kEndpointSlices) {
    if (namespaces > 1 && (ServicesSelector(interests).has_value() ||
                           namespaces > kMaxNamespaces)) {
      subscriptions->push_back(SubscribeToAll(like, kind, "", interests));
    } else {
      SubscribeByNamespace(like, kind, interests, subscriptions);
    }
  } else if (kind.sink == Sink::kBindings) {
    const std::string& ns = interests.begin()->second.ns;
    subscriptions->push_back(
        SubscribeToAll(like, kind, namespaces == 1 ? ns : "", interests));
  } else if (interests.size() <= kMaxNamedWatches) {
    for (const auto& entry : interests) {
      subscriptions->push_back(
          SubscribeToAll(like, kind, entry.second.ns, Interests{entry}));
    }
  } else if (namespaces <= kMaxNamespaces) {
    SubscribeByNamespace(like, kind, interests, subscriptions);
  } else {
    subscriptions->push_back(SubscribeToAll(like, kind, "", interests));
  }
}

bool IsSelected(const KubernetesKind& kind) {
  return kind.name_rule == KubernetesKind::NameRule::kSelector;
}

Subscription SubscribeBySelector(const ReflectorOptions& like,
                                 const KubernetesKind& kind,
                                 const Interest& interest) {
  Subscription subscription = Subscribe(like, kind, interest.ns);
  subscription.options.label_selector = interest.name;
  subscription.interests.push_back(interest);
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
  std::map<const KubernetesKind*, Interests> wanted;
  for (const PodSource& source : sources.pods) {
    Add(&wanted[source.kind], source.ns, source.name)->pod_source =
        source.Key();
  }
  for (const InstanceSource& source : sources.instances) {
    const KubernetesKind* const kind = FindKubernetesKind("service");
    std::vector<PortChoice>* ports =
        &Add(&wanted[kind], source.ns, source.service)->instances;
    if (std::find(ports->begin(), ports->end(), source.port) == ports->end()) {
      ports->push_back(source.port);
    }
  }
  const NodeSource& nodes = sources.nodes;
  if (const KubernetesKind* const kind = KindOfNodes(nodes)) {
    Add(&wanted[kind], nodes.ns, nodes.name)->nodes = true;
  }
  std::vector<Subscription> subscriptions;
  for (const KubernetesKind& kind : KubernetesKinds()) {
    const auto it = wanted.find(&kind);
    if (it == wanted.end()) continue;
    const Interests& interests = it->second;
    if (!IsSelected(kind)) {
      SubscribeByName(sources.options, kind, interests, &subscriptions);
      continue;
    }
    for (const auto& [id, interest] : interests) {
      subscriptions.push_back(
          SubscribeBySelector(sources.options, kind, interest));
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
  Interests interests;
  for (const Interest& interest : subscription.interests) {
    interests[{interest.ns, interest.name}] = interest;
  }
  SubscribeByNamespace(subscription.options, kind, interests, &parts);
  return parts;
}

}  // namespace dynweight

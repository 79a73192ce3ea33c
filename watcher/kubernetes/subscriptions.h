// Which collections of a cluster's API must be followed, so that everything
// the configuration asks of the cluster is known: the fewest, and each in the
// narrowest scope that serves.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_SUBSCRIPTIONS_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_SUBSCRIPTIONS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "watcher/kubernetes/kinds.h"
#include "watcher/kubernetes/reflector_options.h"
#include "watcher/kubernetes/source.h"

namespace dynweight {

// What is asked of a cluster.
struct KubernetesSources {
  std::vector<PodSource> pods;
  std::vector<InstanceSource> instances;
  NodeSource nodes;
  // The same for all: mode and times.
  ReflectorOptions options;
};

// One list+watch and what is read from it.
struct Subscription {
  // One object (or, of pods and nodes, the one selector) and who asks.
  struct Interest {
    std::string ns;
    std::string name;
    std::string pod_source;  // PodSource::Key() that counts it; empty: none
    bool nodes = false;      // it says which ingress nodes there are
    std::vector<PortChoice> instances;  // its endpoints are peers, with each of
                                        // these ports; distinct
  };

  const KubernetesKind* kind = nullptr;
  ReflectorOptions options;
  std::vector<Interest> interests;  // sorted by namespace and name; distinct
};

// Longest selector, as it stands in a URL: 100 names and more. Proxies take
// URLs of 8 KiB (nginx) or 16 KiB (HAProxy).
inline constexpr size_t kMaxJoinedSelectorBytes = 4096;
// Most objects that are watched one by one, by metadata.name.
inline constexpr size_t kMaxNamedWatches = 8;
// Most namespaces that are followed one by one, unless the whole is refused.
inline constexpr size_t kMaxNamespaces = 16;

// The number of subscriptions is bounded for each kind of source in use (and
// grows with the distinct pod selectors), not with the number of lines.
//
// EndpointSlices: one, of the one namespace when all that is wanted lies in it
// (a Role is then enough), else of the cluster, as long as a selector can name
// all Services. Deployments, StatefulSets and Rollouts: one for each object
// while they are few. More of either: one for each namespace; in too many
// namespaces: one of the cluster. Pods: one for each namespace and selector.
// Nodes: one with the selector. ResourceBindings: one, of the one binding or
// namespace where that is all.
std::vector<Subscription> PlanSubscriptions(const KubernetesSources& sources);

// The same by namespace, for a server that refuses the whole, or whose whole is
// too much. Empty: it is of one namespace already, or of none.
std::vector<Subscription> SplitByNamespace(const Subscription& subscription);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_SUBSCRIPTIONS_H_

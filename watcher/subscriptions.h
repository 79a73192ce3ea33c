// Which collections of a cluster's API must be followed, so that everything
// the configuration asks of the cluster is known: the fewest, and each in the
// narrowest scope that serves.

#ifndef DYNAMIC_WEIGHT_WATCHER_SUBSCRIPTIONS_H_
#define DYNAMIC_WEIGHT_WATCHER_SUBSCRIPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "watcher/config.h"
#include "watcher/reflector.h"

namespace dynweight {

// One list+watch and what is read from it.
struct Subscription {
  enum class Kind : uint8_t {
    kEndpointSlices,
    kPods,
    kNodes,
    kDeployments,
    kStatefulSets,
    kRollouts,
  };

  // One object (or, of kPods and kNodes, the one selector) and who asks.
  struct Want {
    std::string ns;
    std::string name;
    std::string pod_source;  // PodSource::Key() that counts it; empty: none
    bool nodes = false;      // it says which ingress nodes there are
  };

  Kind kind = Kind::kEndpointSlices;
  ReflectorOptions options;
  std::vector<Want> wants;  // sorted by namespace and name; distinct
};

// Most names a label selector lists; beyond, everything in the scope is read.
inline constexpr size_t kMaxSelectorNames = 20;

// The number of subscriptions grows with the kinds of sources in use (and
// with the distinct pod selectors), not with the number of lines.
//
// EndpointSlices, Deployments, StatefulSets and Rollouts: one each; of the
// one namespace when all that is wanted lies in it (a Role is then enough),
// else of all. A few names narrow it further by selector. Pods: one for each
// namespace and selector. Nodes: one with the selector.
std::vector<Subscription> PlanSubscriptions(const WatcherConfig& config,
                                            uint32_t cluster);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_SUBSCRIPTIONS_H_

// Kubernetes as a source: list and watch of what is asked of a cluster.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_KUBERNETES_DISCOVERY_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_KUBERNETES_DISCOVERY_H_

#include <functional>
#include <memory>
#include <vector>

#include "watcher/discovery/discovery.h"
#include "watcher/kubernetes/reflector.h"
#include "watcher/kubernetes/subscriptions.h"

namespace dynweight {

// Reflector::Create() bound to a transport and a source of jitter.
using ReflectorFactory = std::function<std::unique_ptr<Reflector>(
    const ReflectorOptions&, ObjectSink*, DiscoveryDelegate*)>;

// One for each subscription that `sources` needs.
std::vector<DiscoveryMaker> KubernetesDiscoveries(
    const KubernetesSources& sources, const ReflectorFactory& create_reflector);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_KUBERNETES_DISCOVERY_H_

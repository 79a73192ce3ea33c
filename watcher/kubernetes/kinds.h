// The kinds of Kubernetes objects that can be followed, one a row: a further
// one is a row here, a line in docs/directives.md and a rule in conf.d/rbac.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_KINDS_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_KINDS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/types/span.h"

namespace dynweight {

struct KubernetesKind {
  // What is read of its objects.
  enum class Sink : uint8_t {
    kEndpointSlices,  // the ready endpoints of Services
    kPods,            // Pods by label selector
    kNodes,           // Nodes by label selector; no source of pods
    kReplicas,        // status.readyReplicas
    kPresence,        // that there is such an object; no source of pods
    kBindings,        // what Karmada says of its members: watcher/karmada
  };
  // What stands behind the '/' of a source.
  enum class NameRule : uint8_t { kLabel, kSubdomain, kSelector };

  const char* word;  // in the configuration: WORD=NAMESPACE/NAME
  const char* group;
  const char* plural;
  Sink sink;
  NameRule name_rule;

  // "/apis/apps/v1/namespaces/prod/deployments"; of the cluster when `ns` is
  // "".
  std::string Path(std::string_view ns) const;
};

// In the order in which they are followed. For as long as the process lives.
absl::Span<const KubernetesKind> KubernetesKinds();

// nullptr: there is none.
const KubernetesKind* FindKubernetesKind(std::string_view word);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_KINDS_H_

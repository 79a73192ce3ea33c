// See kinds.h.

#include "watcher/kubernetes/kinds.h"

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

using Sink = KubernetesKind::Sink;
using NameRule = KubernetesKind::NameRule;

constexpr KubernetesKind kKinds[] = {
    {"service", "/apis/discovery.k8s.io/v1", "endpointslices",
     Sink::kEndpointSlices, NameRule::kLabel},
    {"pods", "/api/v1", "pods", Sink::kPods, NameRule::kSelector},
    {"nodes", "/api/v1", "nodes", Sink::kNodes, NameRule::kSelector},
    {"deployment", "/apis/apps/v1", "deployments", Sink::kReplicas,
     NameRule::kSubdomain},
    {"statefulset", "/apis/apps/v1", "statefulsets", Sink::kReplicas,
     NameRule::kSubdomain},
    {"rollout", "/apis/argoproj.io/v1alpha1", "rollouts", Sink::kReplicas,
     NameRule::kSubdomain},
    {"cloneset", "/apis/apps.kruise.io/v1alpha1", "clonesets", Sink::kReplicas,
     NameRule::kSubdomain},
    {"binding", "/apis/work.karmada.io/v1alpha2", "resourcebindings",
     Sink::kBindings, NameRule::kSubdomain},
    {"ingress", "/apis/networking.k8s.io/v1", "ingresses", Sink::kPresence,
     NameRule::kSubdomain},
};

}  // namespace

std::string KubernetesKind::Path(std::string_view ns) const {
  return ns.empty() ? absl::StrCat(group, "/", plural)
                    : absl::StrCat(group, "/namespaces/", std::string(ns), "/",
                                   plural);
}

absl::Span<const KubernetesKind> KubernetesKinds() { return kKinds; }

const KubernetesKind* FindKubernetesKind(std::string_view word) {
  for (const KubernetesKind& kind : kKinds) {
    if (word == kind.word) return &kind;
  }
  return nullptr;
}

}  // namespace dynweight

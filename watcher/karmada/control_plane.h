// A Karmada control plane as a source of several clusters: one list and watch
// of its ResourceBindings and one of its Clusters, whatever the number of
// members that are counted by it.
//
//   cluster of the control plane        ControlPlane        members' clusters
//   its API, credentials, failures ◄── bindings, clusters ──► pods of each
//
// What a binding says of a member counts while the control plane hears that
// member, which its Cluster object tells. From when it does not, and while
// Clusters cannot be read, the member's source is failing and says nothing, so
// that its pods hold; once it is heard again everything is told anew.

#ifndef DYNAMIC_WEIGHT_WATCHER_KARMADA_CONTROL_PLANE_H_
#define DYNAMIC_WEIGHT_WATCHER_KARMADA_CONTROL_PLANE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "watcher/discovery/discovery.h"
#include "watcher/kubernetes/kubernetes_discovery.h"
#include "watcher/kubernetes/reflector_options.h"
#include "watcher/kubernetes/source.h"

namespace dynweight {

// What is asked of a control plane for one of the clusters behind it.
struct KarmadaMember {
  uint32_t cluster = 0;             // whose pods they are: index of its block
  std::string name;                 // the member's in Karmada
  std::vector<PodSource> bindings;  // distinct; at least one
};

struct KarmadaSources {
  std::string control_plane;  // the name of its block
  std::vector<KarmadaMember> members;
  ReflectorOptions options;  // mode and times
};

// Not thread-safe; lives on the watcher thread, as long as a source that it
// made.
class ControlPlane {
 public:
  // nullptr where nothing is asked.
  static std::shared_ptr<ControlPlane> Create(
      const KarmadaSources& sources, const ReflectorFactory& create_reflector);
  virtual ~ControlPlane() = default;

  // Of the control plane's own cluster: what is listed and watched. Made at
  // most once, before any of the members' runs.
  virtual std::vector<DiscoveryMaker> Sources() = 0;
  // Of the cluster of this index: the pods of its bindings; none where it has
  // none.
  virtual std::vector<DiscoveryMaker> SourcesOf(uint32_t cluster) = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KARMADA_CONTROL_PLANE_H_

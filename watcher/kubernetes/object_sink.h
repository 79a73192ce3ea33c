// What a reflector informers: the place where the objects of one list+watch are
// reduced to the little that weights need. One implementation per kind of
// object (endpoint_slices.h, pods.h, nodes.h, replicas.h).

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_SINK_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_SINK_H_

#include <cjson/cJSON.h>

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"

namespace dynweight {

// Most objects that a sink keeps; one more is ResourceExhausted.
inline constexpr size_t kMaxSinkObjects = 200000;

// Not thread-safe. Staged and present objects are kept apart: nothing partial
// is ever visible.
class ObjectSink {
 public:
  enum class EventType { kAdded, kModified, kDeleted };

  virtual ~ObjectSink() = default;

  // From the next list on objects are of this resource. Only a sink that
  // reads a thing from more than one ("endpointslices", "endpoints") cares.
  virtual void SetResource(std::string_view /*resource*/) {}
  // A list begins: whatever was staged is dropped.
  virtual void BeginList() = 0;
  // One object of the list. InvalidArgument (wrong kinds, missing names) or
  // ResourceExhausted (too many objects): the caller gives the list up.
  virtual absl::Status Stage(const cJSON* object) = 0;
  // The list is complete: what was staged replaces what was there.
  virtual void CommitList() = 0;
  // A watch event. On an error nothing has changed and the caller relists.
  // Costs work in proportion to the object, not to the cluster.
  virtual absl::Status Apply(EventType type, const cJSON* object) = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_SINK_H_

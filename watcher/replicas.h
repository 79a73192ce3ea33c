// Deployments, StatefulSets or Argo Rollouts, reduced to
// status.readyReplicas (absent is 0).

#ifndef DYNAMIC_WEIGHT_WATCHER_REPLICAS_H_
#define DYNAMIC_WEIGHT_WATCHER_REPLICAS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "watcher/object_sink.h"

namespace dynweight {

// The objects of one list+watch of one kind. Only the ones asked for are
// kept. Not thread-safe.
class Replicas : public ObjectSink {
 public:
  static std::unique_ptr<Replicas> Create();
  virtual void Want(std::string_view ns, std::string_view name) = 0;
  virtual bool listed() const = 0;
  // 0 when there is no such object.
  virtual uint64_t Ready(std::string_view ns, std::string_view name) const = 0;
  virtual std::vector<std::pair<std::string, std::string>> TakeChanged() = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_REPLICAS_H_

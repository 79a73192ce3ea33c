// Deployments, StatefulSets or Argo Rollouts, reduced to
// status.readyReplicas (absent is 0). When status.replicas falls with it, the
// owner means it: a pod that turns not ready is still one of them.
//
// Or objects of any kind, reduced to whether they are there (1, else 0): one
// that is deleted was meant to go.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REPLICAS_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REPLICAS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "watcher/kubernetes/object_sink.h"

namespace dynweight {

// The objects of one list+watch of one kind. Only the ones asked for are
// kept. Not thread-safe.
class Replicas : public ObjectSink {
 public:
  enum class Counts : uint8_t { kReadyReplicas, kPresence };

  static std::unique_ptr<Replicas> Create(Counts what = Counts::kReadyReplicas);
  virtual void Interest(std::string_view ns, std::string_view name) = 0;
  virtual bool listed() const = 0;
  // 0 when there is no such object.
  virtual uint64_t Ready(std::string_view ns, std::string_view name) const = 0;
  virtual std::vector<std::pair<std::string, std::string>> TakeChanged() = 0;
  // Ready replicas that events showed to be taken away since the last call.
  // Those that had been lost otherwise before are among them, until Accept().
  virtual uint64_t TakeDeparted(std::string_view ns, std::string_view name) = 0;
  // What is said of it now is in force: what was lost is past.
  virtual void Accept(std::string_view ns, std::string_view name) = 0;
  // Why nothing is ready, where that looks like a mistake: no such object.
  // Else "".
  virtual std::string WhyNone(std::string_view ns,
                              std::string_view name) const = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REPLICAS_H_

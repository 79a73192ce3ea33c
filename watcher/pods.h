// Pods of one label selector, reduced to those that are ready and the hosts
// they run on. Ready: no deletionTimestamp, phase Running, condition Ready is
// "True".

#ifndef DYNAMIC_WEIGHT_WATCHER_PODS_H_
#define DYNAMIC_WEIGHT_WATCHER_PODS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "watcher/object_sink.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

// The pods of one list+watch (the selector is evaluated by the server). Not
// thread-safe.
class Pods : public ObjectSink {
 public:
  static std::unique_ptr<Pods> Create();
  virtual bool listed() const = 0;
  virtual uint64_t Ready() const = 0;
  // Distinct status.hostIP of the ready pods, sorted; names are
  // spec.nodeName.
  virtual std::vector<IngressNode> Hosts() const = 0;
  // Whether the answers may have changed since the last call.
  virtual bool TakeChanged() = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_PODS_H_

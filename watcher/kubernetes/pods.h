// Pods of one label selector, reduced to those that are ready and the hosts
// they run on. Ready: no deletionTimestamp, phase Running, condition Ready is
// "True". Not ready: the same with another condition.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PODS_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PODS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "watcher/kubernetes/object_sink.h"
#include "weightcalc/departed.h"
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
  // The same of the pods that are not ready although nobody means them to go.
  virtual std::vector<IngressNode> UnreadyHosts() const = 0;
  // Whether the answers may have changed since the last call.
  virtual bool TakeChanged() = 0;
  // Pods that were ready, and for which an event showed a deletionTimestamp,
  // since the last call. Those that had been lost otherwise before are among
  // them, until Accept().
  virtual Departed TakeDeparted() = 0;
  // What is said now is in force: what was lost is past.
  virtual void Accept() = 0;
  // Pods, ready or not.
  virtual size_t matched() const = 0;
  // Why there is no ready pod, for a person: "no pod matches", "3 match, 2 not
  // ready, 1 terminating or finished".
  virtual std::string WhyNone() const = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PODS_H_

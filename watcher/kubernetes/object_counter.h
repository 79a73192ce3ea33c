// What one list+watch has to say about each thing that was wanted of it,
// whatever kind of object it follows.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_COUNTER_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_COUNTER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "watcher/kubernetes/node_address_type.h"
#include "watcher/kubernetes/object_sink.h"
#include "watcher/kubernetes/slice_instances.h"
#include "watcher/kubernetes/subscriptions.h"
#include "weightcalc/departed.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

// An interest is named by its index in Subscription::interests. Not
// thread-safe.
class ObjectCounter {
 public:
  // `address_type` matters for nodes only.
  static std::unique_ptr<ObjectCounter> Create(const Subscription& subscription,
                                               NodeAddressType address_type);
  virtual ~ObjectCounter() = default;

  // Where the reflector puts the objects.
  virtual ObjectSink* sink() = 0;
  // Whether a list was ever committed: before that nothing below is known.
  virtual bool listed() const = 0;
  // Ready pods, or of the presence kinds whether there is such an object: 1 or
  // 0. Not of nodes.
  virtual uint64_t Pods(size_t interest) const = 0;
  // Live ingress nodes, sorted, distinct. Not of the replicas kinds.
  virtual std::vector<IngressNode> Nodes(size_t interest) const = 0;
  // The endpoints as peers. Of EndpointSlices only.
  virtual SliceInstances Instances(size_t interest,
                                   const PortChoice& port) const = 0;
  // Ingress nodes that would be live, were they ready; nobody means them to go.
  // Sorted, distinct. Not of the replicas kinds.
  virtual std::vector<IngressNode> UnreadyNodes(size_t interest) const = 0;
  // The interests whose answers may have changed since the last call.
  virtual std::vector<size_t> TakeChanged() = 0;
  // What left because its owner meant it; once. Only what an event showed, and
  // of those lost otherwise what was lost since Accept(), which says that the
  // present answers are in force.
  virtual Departed TakeDeparted(size_t interest) = 0;
  virtual void Accept(size_t interest) = 0;
  // Why nothing is found, for a person, where that may be a mistake; else "".
  // `nodes`: why there is no ingress node.
  virtual std::string WhyNone(size_t interest, bool nodes) const = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_COUNTER_H_

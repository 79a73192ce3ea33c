// What one list+watch has to say about each thing that was wanted of it,
// whatever kind of object it follows.

#ifndef DYNAMIC_WEIGHT_WATCHER_TALLY_H_
#define DYNAMIC_WEIGHT_WATCHER_TALLY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "watcher/object_sink.h"
#include "watcher/source.h"
#include "watcher/subscriptions.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

// A want is named by its index in Subscription::wants. Not thread-safe.
class Tally {
 public:
  // `address_type` matters for Subscription::Kind::kNodes only.
  static std::unique_ptr<Tally> Create(const Subscription& subscription,
                                       NodeSource::AddressType address_type);
  virtual ~Tally() = default;

  // Where the reflector puts the objects.
  virtual ObjectSink* sink() = 0;
  // Whether a list was ever committed: before that nothing below is known.
  virtual bool listed() const = 0;
  // Ready pods. Not of kNodes.
  virtual uint64_t Pods(size_t want) const = 0;
  // Live ingress nodes, sorted, distinct. Not of the replicas kinds.
  virtual std::vector<IngressNode> Nodes(size_t want) const = 0;
  // The wants whose answers may have changed since the last call.
  virtual std::vector<size_t> TakeChanged() = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TALLY_H_

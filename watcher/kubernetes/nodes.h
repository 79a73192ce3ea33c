// Node objects of one label selector, reduced to those that can take traffic:
// not deleted, condition Ready is "True", no taint
// ToBeDeletedByClusterAutoscaler, no label
// node.kubernetes.io/exclude-from-external-load-balancers. Merely cordoned
// nodes stay (as in cloud-provider's service controller). Those that are only
// not Ready are told apart.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_NODES_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_NODES_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "watcher/kubernetes/node_address_type.h"
#include "watcher/kubernetes/object_sink.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

// The nodes of one list+watch. Not thread-safe.
class Nodes : public ObjectSink {
 public:
  static std::unique_ptr<Nodes> Create(NodeAddressType type);
  virtual bool listed() const = 0;
  // Live nodes by address (the first of the wanted type, an IPv4 one where
  // there is one), sorted, distinct. A node without such an address is left
  // out.
  virtual std::vector<IngressNode> Live() const = 0;
  // The same of the nodes that would be live, were they Ready.
  virtual std::vector<IngressNode> Unready() const = 0;
  virtual bool TakeChanged() = 0;
  // Nodes, live or not.
  virtual size_t matched() const = 0;
  // Why there is no live node, for a person: "no Node matches", "3 match, 3
  // excluded by label ...".
  virtual std::string WhyNone() const = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_NODES_H_

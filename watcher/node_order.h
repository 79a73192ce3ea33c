// The order in which sets of ingress nodes are kept everywhere.

#ifndef DYNAMIC_WEIGHT_WATCHER_NODE_ORDER_H_
#define DYNAMIC_WEIGHT_WATCHER_NODE_ORDER_H_

#include <vector>

#include "weightcalc/slot_plan.h"

namespace dynweight {

// Sorts by address and drops nodes without one; of several nodes with one
// address the first by name stays, so that every edge keeps the same.
void SortNodes(std::vector<IngressNode>* nodes);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NODE_ORDER_H_

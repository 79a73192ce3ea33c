// An ingress node, and the order in which sets of them are kept everywhere.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_INGRESS_NODE_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_INGRESS_NODE_H_

#include <string>
#include <vector>

#include "weightcalc/ip_address.h"

namespace dynweight {

struct IngressNode {
  IpAddress address;
  std::string name;  // as the cluster calls it; may be empty

  friend bool operator==(const IngressNode& a, const IngressNode& b) {
    return a.address == b.address && a.name == b.name;
  }
  friend bool operator<(const IngressNode& a, const IngressNode& b) {
    return a.address < b.address;
  }
};

// Sorts by address and drops nodes without one; of several nodes with one
// address the first by name stays, so that every edge keeps the same.
void SortNodes(std::vector<IngressNode>* nodes);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_INGRESS_NODE_H_

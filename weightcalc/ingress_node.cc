// The order of ingress nodes.

#include "weightcalc/ingress_node.h"

#include <algorithm>

namespace dynweight {

void SortNodes(std::vector<IngressNode>* nodes) {
  nodes->erase(std::remove_if(nodes->begin(), nodes->end(),
                              [](const IngressNode& node) {
                                return node.address.family == IpAddress::kNone;
                              }),
               nodes->end());
  std::sort(nodes->begin(), nodes->end(),
            [](const IngressNode& a, const IngressNode& b) {
              return a.address != b.address ? a.address < b.address
                                            : a.name < b.name;
            });
  nodes->erase(std::unique(nodes->begin(), nodes->end(),
                           [](const IngressNode& a, const IngressNode& b) {
                             return a.address == b.address;
                           }),
               nodes->end());
}

}  // namespace dynweight

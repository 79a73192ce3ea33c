// Ingress nodes as tests write them.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_INGRESS_NODES_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_INGRESS_NODES_H_

#include <string>
#include <string_view>
#include <utility>

#include "weightcalc/ingress_node.h"

namespace dynweight {

inline IngressNode Node(std::string_view address, std::string name = "") {
  return {IpAddress::Parse(address).value(), std::move(name)};
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_INGRESS_NODES_H_

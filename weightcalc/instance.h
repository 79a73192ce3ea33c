// A pod or a VM that is a peer by itself: what an `instances` line is made of.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_INSTANCE_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_INSTANCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "weightcalc/ip_address.h"

namespace dynweight {

struct Instance {
  IpAddress address;
  uint16_t port = 0;
  std::string name;  // a pod's, or the registry's id of it; may be empty
  // Of one pod's share, in thousandths: 1000 is `base`, 0 is drained (running
  // requests end, no new one begins).
  uint32_t weight_milli = 1000;
  std::string zone{};  // where it says that it runs, if it does; only shown

  friend bool operator==(const Instance& a, const Instance& b) {
    return a.address == b.address && a.port == b.port && a.name == b.name &&
           a.weight_milli == b.weight_milli && a.zone == b.zone;
  }
  friend bool operator<(const Instance& a, const Instance& b) {
    if (!(a.address == b.address)) return a.address < b.address;
    return a.port < b.port;
  }
};

// Sorts by address and port and drops instances without either; of several with
// both the same the first by name stays, so that every edge keeps the same.
void SortInstances(std::vector<Instance>* instances);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_INSTANCE_H_

// The order of instances.

#include "weightcalc/instance.h"

#include <algorithm>
#include <tuple>

namespace dynweight {

void SortInstances(std::vector<Instance>* instances) {
  instances->erase(std::remove_if(instances->begin(), instances->end(),
                                  [](const Instance& instance) {
                                    return instance.address.family ==
                                               IpAddress::kNone ||
                                           instance.port == 0;
                                  }),
                   instances->end());
  const auto before = [](const Instance& a, const Instance& b) {
    return std::tie(a.address, a.port, a.name) <
           std::tie(b.address, b.port, b.name);
  };
  // As a rule they are: an instance is long to move.
  if (!std::is_sorted(instances->begin(), instances->end(), before)) {
    std::sort(instances->begin(), instances->end(), before);
  }
  instances->erase(std::unique(instances->begin(), instances->end(),
                               [](const Instance& a, const Instance& b) {
                                 return a.address == b.address &&
                                        a.port == b.port;
                               }),
                   instances->end());
}

}  // namespace dynweight

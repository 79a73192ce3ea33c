// What left because its owner meant it: a graceful deletion shows it to every
// watch before the thing is gone. Such a fall is no failure and needs neither
// time nor a second list.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_DEPARTED_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_DEPARTED_H_

#include <cstdint>
#include <vector>

#include "weightcalc/ip_address.h"

namespace dynweight {

struct Departed {
  uint64_t count = 0;
  std::vector<IpAddress> addresses;  // as ingress nodes; where they had one
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_DEPARTED_H_

// A registry of Nacos behind the door of discovery.h.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_DISCOVERY_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_DISCOVERY_H_

#include <functional>
#include <vector>

#include "watcher/discovery/discovery.h"
#include "watcher/nacos/nacos_options.h"
#include "watcher/nacos/nacos_source.h"
#include "watcher/transport/http_transport.h"
#include "weightcalc/clock.h"

namespace dynweight {

// What is asked of a registry.
struct NacosSources {
  std::vector<NacosSource> services;  // distinct
  NacosOptions options;
};

// One source for all services; none when there are none. `transport` outlives
// what they make, and `clock`, whose time signs requests, does so, too.
// `random` gives uniform numbers of [0, 1).
std::vector<DiscoveryMaker> NacosDiscoveries(const NacosSources& sources,
                                             HttpTransport* transport,
                                             const Clock* clock,
                                             std::function<double()> random);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_DISCOVERY_H_

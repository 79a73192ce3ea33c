// For tests: a configuration that rules can be for.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_TUNING_CONFIG_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_TUNING_CONFIG_H_

#include "watcher/config/config.h"

namespace dynweight {

// Upstream "orders" with ingress nodes of clusters "bj" and "sh" (table 0,
// slots 2 to 5 and 6 to 9) and two servers in slots 0 and 1, the second of
// them down; upstream "kvm" with three servers (table 1).
inline WatcherConfig TuningConfig() {
  WatcherConfig config;
  config.tuning_file = "/etc/nginx/conf.d/tuning.json";
  for (const char* name : {"bj", "sh"}) {
    LineConfig line;
    line.upstream = "orders";
    line.cluster = static_cast<uint32_t>(config.clusters.size());
    line.source = "service=prod/orders";
    line.port = 80;
    line.range = {2 + 4 * line.cluster, 4};
    config.lines.push_back(line);
    config.clusters.emplace_back();
    config.clusters.back().name = name;
  }
  config.servers = {
      {"orders", "10.20.0.11:8080", "10.20.0.11:8080", 0, 0, 10},
      {"orders", "10.20.0.12:8080", "10.20.0.12:8080", 0, 1, 0},
      {"kvm", "app.example:8080", "10.20.0.11:8080", 1, 0, 10},
      {"kvm", "app.example:8080", "10.20.0.13:8080", 1, 1, 10},
      {"kvm", "unix:/run/a.sock", "unix:/run/a.sock", 1, 2, 10},
  };
  return config;
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_TUNING_CONFIG_H_

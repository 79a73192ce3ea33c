// See instance_change.h.

#include "watcher/instance_change.h"

#include <algorithm>
#include <utility>

#include "watcher/state/cluster_view_json.h"

namespace dynweight {

InstanceChange CompareInstances(const std::vector<Instance>& in_force,
                                std::vector<Instance> seen,
                                std::vector<IpAddress> departed) {
  InstanceChange change;
  SaneInstances(&seen);
  std::sort(departed.begin(), departed.end());
  for (const Instance& instance : in_force) {
    const auto it = std::lower_bound(seen.begin(), seen.end(), instance);
    if (it != seen.end() && !(instance < *it)) {
      if (it->weight_milli == 0) ++change.gone;
    } else if (std::binary_search(departed.begin(), departed.end(),
                                  instance.address)) {
      ++change.gone;
    } else {
      change.missing.push_back(instance);
    }
  }
  seen.erase(std::remove_if(seen.begin(), seen.end(),
                            [](const Instance& instance) {
                              return instance.weight_milli == 0;
                            }),
             seen.end());
  change.serving = std::move(seen);
  return change;
}

std::vector<Instance> InstanceChange::Held() const {
  std::vector<Instance> held = missing;
  held.insert(held.end(), serving.begin(), serving.end());
  SaneInstances(&held);
  return held;
}

const std::vector<Instance>& InstancesInForce(const ClusterView& view,
                                              const std::string& source) {
  static const std::vector<Instance> kNone;
  const auto it = view.instances.find(source);
  if (it == view.instances.end() || it->second.provisional || it->second.none) {
    return kNone;
  }
  return it->second.instances;
}

std::vector<Instance> LastInstances(const ClusterView& view,
                                    const std::string& source) {
  const auto it = view.instances.find(source);
  if (it == view.instances.end()) return {};
  return it->second.instances;
}

}  // namespace dynweight

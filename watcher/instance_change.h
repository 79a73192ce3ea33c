// What becomes of the instances in force when the source names others: whom
// their owner took away, and who stays while the loss of the rest is held back.

#ifndef DYNAMIC_WEIGHT_WATCHER_INSTANCE_CHANGE_H_
#define DYNAMIC_WEIGHT_WATCHER_INSTANCE_CHANGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "weightcalc/cluster_view.h"
#include "weightcalc/instance.h"
#include "weightcalc/ip_address.h"

namespace dynweight {

struct InstanceChange {
  // As the source says, without those that drain; sane (SaneInstances()).
  std::vector<Instance> serving;
  // Of those in force: that their owner drains or took away.
  uint64_t gone = 0;
  // Of those in force: neither named any more nor gone.
  std::vector<Instance> missing;

  // In force while a guard holds back the rest of the change: those that are
  // missing, and all that serve.
  std::vector<Instance> Held() const;
};

// `in_force` is sorted, `seen` is what the source says, `departed` where
// something left because its owner meant it. Pure.
InstanceChange CompareInstances(const std::vector<Instance>& in_force,
                                std::vector<Instance> seen,
                                std::vector<IpAddress> departed);

// Those of a source that serve, as it said itself; none where another's stand
// in, or where for certain none serves. Good until the view changes.
const std::vector<Instance>& InstancesInForce(const ClusterView& view,
                                              const std::string& source);

// Those that were in force last, whoever said so.
std::vector<Instance> LastInstances(const ClusterView& view,
                                    const std::string& source);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_INSTANCE_CHANGE_H_

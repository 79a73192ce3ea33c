// What is held of the Ingresses that lines need, for held_views.h.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_HELD_INGRESSES_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_HELD_INGRESSES_H_

#include <cstdint>
#include <vector>

#include "watcher/config/config.h"
#include "weightcalc/cluster_view.h"

namespace dynweight {

// Of the lines of this cluster whose Ingress `view` does not know: those whose
// Ingress was not there by the latest word of `others`, which may be taken for
// the cluster, are assumed to have none. `view` has the lines.
void AssumeIngresses(const WatcherConfig& config, uint32_t cluster,
                     const std::vector<const ClusterView*>& others,
                     ClusterView* view);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_HELD_INGRESSES_H_

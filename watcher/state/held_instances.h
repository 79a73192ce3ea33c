// What is held of instances, for held_views.h.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_HELD_INSTANCES_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_HELD_INSTANCES_H_

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "watcher/config/config.h"
#include "weightcalc/cluster_view.h"

namespace dynweight {

// Puts what `from` knows of the same cluster into `view`: of two words about a
// source the one that the source said itself, then the later one.
void MergeInstances(ClusterView* from, ClusterView* view);

// Gives `view` the instances of the sources that lines of this cluster use: as
// `known`, the view of this very cluster (may be nullptr), has them, else
// provisionally the latest of `others`.
void TakeInstances(const WatcherConfig& config, uint32_t cluster,
                   const ClusterView* known,
                   const std::vector<const ClusterView*>& others,
                   ClusterView* view);

// Leaves in `view` what is worth retaining: sets that their source said, and of
// a source in `kept` (cluster and key) none. Adds what stays to `kept`.
void RetainInstances(std::set<std::pair<std::string, std::string>>* kept,
                     ClusterView* view);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_HELD_INSTANCES_H_

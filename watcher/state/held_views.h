// What is known outlives a configuration. A new one asks about clusters, nodes
// and counts that may be those of the previous under another name, or others:
// until its API servers have answered, what is held stands in for that, and
// what nobody asks for any more is retained for a while, so that a
// configuration which is rolled back finds it.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_HELD_VIEWS_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_HELD_VIEWS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "watcher/config/config.h"
#include "watcher/state/cluster_view_json.h"

namespace dynweight {

// How long something is retained that no configuration asks for.
inline constexpr int64_t kRetainMs = int64_t{24} * 3600 * 1000;
// At most so many retained views; of more the latest.
inline constexpr size_t kMaxRetainedViews = 256;

struct TakenOver {
  std::vector<ClusterView> views;     // one a cluster, as configured
  std::vector<ClusterView> retained;  // the latest first
};

// `held` is all there is, in any order: views of the previous cycle and of the
// state file, and what either retained (since_ms is not 0). Of two words about
// the same thing the one that was observed later wins; of equals the one that
// stands first.
//
// A cluster is recognised by its name and API servers; else by one API server
// (it was renamed); else by its name (it has moved); else, when its previous
// name has gone, by an upstream that has a line of it. Taken over as known
// are, by name, the nodes of the same source and the counts of the same
// sources. Taken over provisionally, so that nodes keep the weight that they
// have, are
//   - nodes: of the same source from anywhere else, or of another source of
//     this cluster, until the source that is asked has answered;
//   - for a line whose source is not known: the count of that source from
//     anywhere else, or that of a line which the upstream has no longer, of
//     this cluster before others. Each stands in for one line, so that the
//     upstream's clusters together keep their share.
// Fixed addresses are always those of the configuration.
//
// Applied to its own result it changes nothing. Pure.
TakenOver TakeOver(const WatcherConfig& config, std::vector<ClusterView> held,
                   int64_t now_ms);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_HELD_VIEWS_H_

// What is known of a cluster: its live ingress nodes and the ready pods of
// each application, each with the time it was last said with certainty. The
// view is one document: the same JSON is kept in shared memory, in the state
// file and in the status output.

#ifndef DYNAMIC_WEIGHT_WATCHER_CLUSTER_VIEW_H_
#define DYNAMIC_WEIGHT_WATCHER_CLUSTER_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/config.h"
#include "weightcalc/slot_plan.h"

struct cJSON;

namespace dynweight {

// Limits on what a view may hold; no real cluster comes near.
inline constexpr size_t kMaxViewNodes = 65536;
inline constexpr size_t kMaxViewApps = 100000;
inline constexpr size_t kMaxNodeNameBytes = 63;  // as PeerIdentity::node

struct PodCount {
  uint64_t pods = 0;
  int64_t observed_ms = 0;  // Unix milliseconds
};

struct NodeSet {
  std::vector<IngressNode> nodes;  // sorted, distinct
  int64_t observed_ms = 0;         // Unix milliseconds
};

// A value; not thread-safe.
struct ClusterView {
  std::string cluster;
  std::string node_source;                            // NodeSource::Key()
  std::optional<NodeSet> nodes;                       // nothing: never known
  std::map<std::string, PodCount, std::less<>> pods;  // by PodSource::Key()
};

// What the configuration makes of a view before the first word from the API:
// fixed addresses are known from the start.
ClusterView InitialView(const ClusterConfig& cluster, int64_t now_ms);

// Takes over from `held` (a former cycle's or a state file's) what still
// answers a question that `config` asks: nodes when the node source is the
// same, counts of sources that a line of this cluster uses. Everything else
// the configuration says anew, and it wins. So does what `view` knows already
// and was observed later: adopt from several places in any order.
void AdoptHeldView(const WatcherConfig& config, uint32_t cluster,
                   const ClusterView& held, ClusterView* view);

// Whether nothing is missing: nodes are known and so is every source that a
// line of this cluster uses.
bool ViewComplete(const WatcherConfig& config, uint32_t cluster,
                  const ClusterView& view);

// One JSON object without line breaks, the same for the same view, safe inside
// HTML. Only the first `max_nodes` nodes are written (all that can have a
// slot), and "total" says how many there are. Node names are cut to
// kMaxNodeNameBytes; invalid UTF-8 is replaced.
std::string EncodeClusterView(const ClusterView& view, size_t max_nodes);

// What EncodeClusterView() wrote. InvalidArgument names the place for
// anything else: unknown members are passed over, wrong kinds, bad addresses,
// negative or fractional counts are errors. Never reads past `text`.
absl::StatusOr<ClusterView> DecodeClusterView(std::string_view text);

// The same from a document that is parsed already.
absl::StatusOr<ClusterView> ReadClusterView(const cJSON* object);

// Most bytes EncodeClusterView() can give for this cluster, so that shared
// memory can be sized when the configuration is read.
size_t MaxEncodedViewBytes(const WatcherConfig& config, uint32_t cluster);

// The largest slot count among the lines of this cluster: how many nodes of
// it can ever be used at once.
uint32_t MaxUsableNodes(const WatcherConfig& config, uint32_t cluster);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CLUSTER_VIEW_H_

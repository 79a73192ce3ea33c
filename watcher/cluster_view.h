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
#include <set>
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
  bool provisional = false;        // held from before: the source that is asked
                                   // now has not answered yet
  uint64_t cut = 0;  // how many more there were than a document had room for
};

// A line of this cluster, and what it counts on until its source is known.
struct ViewLine {
  std::string upstream;
  std::string source;               // PodSource::Key()
  std::optional<PodCount> assumed;  // nothing: `pods` has it, or nobody knows
};

// A value; not thread-safe.
struct ClusterView {
  std::string cluster;
  std::string node_source;                            // of `nodes`
  std::optional<NodeSet> nodes;                       // nothing: never known
  std::map<std::string, PodCount, std::less<>> pods;  // by PodSource::Key()

  // What the next configuration recognises cluster and lines by; see
  // held_views.h.
  std::vector<uint64_t> api;    // ApiId() of its base URLs, sorted
  std::vector<ViewLine> lines;  // in the configuration's order
  int64_t since_ms = 0;  // since when no configuration asks for all this, Unix
                         // milliseconds; 0: one does
};

// Stands for a base URL in views, which are shown to anybody; 53 bits.
uint64_t ApiId(std::string_view url);

// The count that a line is weighed by: what its source says, or is assumed to.
// nullptr: neither is known.
const PodCount* CountOf(const ClusterView& view, const LineConfig& line,
                        bool* provisional);

// What the configuration makes of a view before the first word from the API:
// fixed addresses are known from the start.
ClusterView InitialView(const ClusterConfig& cluster, int64_t now_ms);

// Whether nothing is missing: nodes are known and so is every source that a
// line of this cluster uses. What is provisional counts as missing.
bool ViewComplete(const WatcherConfig& config, uint32_t cluster,
                  const ClusterView& view);

// One JSON object without line breaks, the same for the same view, safe inside
// HTML. Only the first `max_nodes` nodes are written (all that can have a
// slot), and "total" says how many there are. Node names are cut to
// kMaxNodeNameBytes; invalid UTF-8 is replaced.
std::string EncodeClusterView(const ClusterView& view, size_t max_nodes);

// The same of several views, as an array; as many of the first as `max_bytes`
// have room for.
std::string EncodeClusterViews(const std::vector<ClusterView>& views,
                               size_t max_nodes, size_t max_bytes);
absl::StatusOr<std::vector<ClusterView>> DecodeClusterViews(
    std::string_view text);

// What EncodeClusterView() wrote. InvalidArgument names the place for
// anything else: unknown members are passed over, wrong kinds, bad addresses,
// negative or fractional counts are errors. Never reads past `text`.
absl::StatusOr<ClusterView> DecodeClusterView(std::string_view text);

// The same from a document that is parsed already.
absl::StatusOr<ClusterView> ReadClusterView(const cJSON* object);

// Most bytes EncodeClusterView() can give for this cluster, so that shared
// memory can be sized when the configuration is read. A provisional view has
// at most kMaxForeignKeyBytes of its foreign `node_source`.
inline constexpr size_t kMaxForeignKeyBytes = 512;
size_t MaxEncodedViewBytes(const WatcherConfig& config, uint32_t cluster);

// The keys of the sources that lines of this cluster use.
std::set<std::string, std::less<>> UsedSources(const WatcherConfig& config,
                                               uint32_t cluster);

// Sorted, distinct, of bounded number: a document of a former version or a
// damaged one can hold anything.
NodeSet SaneNodes(const NodeSet& held);

// The largest slot count among the lines of this cluster: how many nodes of
// it can ever be used at once.
uint32_t MaxUsableNodes(const WatcherConfig& config, uint32_t cluster);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CLUSTER_VIEW_H_

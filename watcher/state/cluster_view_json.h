// Views of clusters: what the configuration asks for, and the one document that
// a view is: the same JSON is kept in shared memory, in the state file and in
// the status output.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_CLUSTER_VIEW_JSON_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_CLUSTER_VIEW_JSON_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/config/config.h"
#include "watcher/state/instance_set_json.h"
#include "weightcalc/cluster_view.h"

struct cJSON;

namespace dynweight {

// Limits on what a view may hold; no real cluster comes near.
inline constexpr size_t kMaxViewNodes = 65536;
inline constexpr size_t kMaxViewApps = 100000;

// Stands for a base URL in views, which are shown to anybody; 53 bits.
uint64_t ApiId(std::string_view url);

// What the configuration makes of a view before the first word from the API:
// fixed addresses are known from the start.
ClusterView InitialView(const ClusterConfig& cluster, int64_t now_ms);

// Whether nothing is missing: nodes are known and so is every source that a
// line of this cluster uses. What is provisional counts as missing.
bool ViewComplete(const WatcherConfig& config, uint32_t cluster,
                  const ClusterView& view);

// How much of a view is written: all that can have a slot.
struct ViewRoom {
  size_t nodes = 0;
  // By source; of others `each_source`.
  std::map<std::string, size_t, std::less<>> instances;
  size_t each_source = 0;

  // So many of everything.
  static ViewRoom Of(size_t most) { return {most, {}, most}; }
  size_t OfSource(std::string_view source) const;
};
// What the lines of this cluster have slots for.
ViewRoom RoomFor(const WatcherConfig& config, uint32_t cluster);

// One JSON object without line breaks, the same for the same view, safe inside
// HTML. Only the first nodes and instances are written, as many as there is
// room for, and "total" says how many there are. Node names are cut to
// kMaxNodeNameBytes; invalid UTF-8 is replaced. `kept`: texts of this view that
// are still right are taken from there.
std::string EncodeClusterView(const ClusterView& view, const ViewRoom& room,
                              InstanceSetTexts* kept = nullptr);

// The same of several views, as an array; as many of the first as `max_bytes`
// have room for.
std::string EncodeClusterViews(const std::vector<ClusterView>& views,
                               const ViewRoom& room, size_t max_bytes);
absl::StatusOr<std::vector<ClusterView>> DecodeClusterViews(
    std::string_view text);

// What EncodeClusterView() wrote. InvalidArgument names the place for
// anything else: unknown members are skipped, wrong kinds, bad addresses,
// negative or fractional counts are errors. Never reads past `text`.
absl::StatusOr<ClusterView> DecodeClusterView(std::string_view text);

// The same from a document that is parsed already.
absl::StatusOr<ClusterView> ReadClusterView(const cJSON* object);

// Most bytes EncodeClusterView() can give for this cluster, so that shared
// memory can be sized when the configuration is read. A provisional view has
// at most kMaxForeignKeyBytes of its foreign `node_source`.
inline constexpr size_t kMaxForeignKeyBytes = 512;
size_t MaxEncodedViewBytes(const WatcherConfig& config, uint32_t cluster);

// The keys of the sources of pods that lines of this cluster use.
std::set<std::string, std::less<>> UsedSources(const WatcherConfig& config,
                                               uint32_t cluster);

// Sorted, distinct, of bounded number: a document of a previous version or a
// damaged one can hold anything.
NodeSet SaneNodes(const NodeSet& held);

// The largest slot count among the `ingress_nodes` lines of this cluster: how
// many nodes of it can ever be used at once.
uint32_t MaxUsableNodes(const WatcherConfig& config, uint32_t cluster);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_CLUSTER_VIEW_JSON_H_

// What is known of a cluster: its live ingress nodes, and of each application
// the ready pods or the instances, each with the time it was last said with
// certainty.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_CLUSTER_VIEW_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_CLUSTER_VIEW_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weightcalc/ingress_node.h"
#include "weightcalc/instance.h"
#include "weightcalc/peer_set.h"

namespace dynweight {

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

// The instances of an application that serve. Those that drain are not among
// them.
struct InstanceSet {
  std::vector<Instance> instances;  // as SortInstances() leaves them
  int64_t observed_ms = 0;          // Unix milliseconds
  bool provisional = false;         // as of a NodeSet
  bool none = false;  // for certain none serves: these are the last that did
  uint64_t cut = 0;   // how many more there were than a document had room for
};

// A line of this cluster, and what it counts on until its source is known.
struct ViewLine {
  std::string upstream;
  std::string source;               // as LineConfig::source has it
  std::optional<PodCount> assumed;  // nothing: `pods` has it, or nobody knows
  bool instances = false;           // of that kind: nothing is ever assumed
  bool no_ingress = false;  // its Ingress is assumed not to be there; false:
                            // `pods` has it, or nobody knows
};

// A value; not thread-safe.
struct ClusterView {
  std::string cluster;
  std::string node_source;       // of `nodes`
  std::optional<NodeSet> nodes;  // nothing: never known
  // By source; and by LineConfig::ingress: 1, or 0 where there is none.
  std::map<std::string, PodCount, std::less<>> pods;
  std::map<std::string, InstanceSet, std::less<>> instances;  // by source

  // What the next configuration recognises cluster and lines by; see
  // held_views.h.
  std::vector<uint64_t> api;    // ApiId() of its base URLs, sorted
  std::vector<ViewLine> lines;  // in the configuration's order
  int64_t since_ms = 0;  // since when no configuration asks for all this, Unix
                         // milliseconds; 0: one does
};

// Whether the line's Ingress is known, or assumed, not to be there.
// `provisional`: it needs one and nobody has said yet; without a word from
// before it is taken to be there.
bool LacksIngress(const ClusterView& view, const LineConfig& line,
                  bool* provisional);

// The count that a line is weighed by: what its source says, or is assumed to.
// nullptr: neither is known.
const PodCount* CountOf(const ClusterView& view, const LineConfig& line,
                        bool* provisional);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_CLUSTER_VIEW_H_

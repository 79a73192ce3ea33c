// Peers that belong together, as the configuration has them: those of an
// `ingress_nodes` line, whose weight follows a cluster, those of an `instances`
// line, which come and go with the application, and a server's. Plain values.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_PEER_SET_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_PEER_SET_H_

#include <cstdint>
#include <string>

#include "weightcalc/slot_plan.h"
#include "weightcalc/weight.h"

namespace dynweight {

// A drop of more than `drop_percent` of what was counted, or to zero, must be
// confirmed by a second list `confirm_ms` later before it counts.
struct GuardPolicy {
  bool on = true;
  uint32_t drop_percent = 50;
  int64_t confirm_ms = 5000;
};

// One `ingress_nodes` or `instances` line of an upstream.
struct LineConfig {
  enum class Kind : uint8_t {
    kIngressNodes,  // the cluster's nodes, weighed by the application's pods
    kInstances,     // the application's instances, each a peer of its own port
  };

  Kind kind = Kind::kIngressNodes;
  std::string upstream;
  uint32_t cluster = 0;  // of the configuration's clusters
  // Its key within the cluster and among the lines of its kind:
  // PodSource::Key() or what InstanceSourceKey() (watcher/config) gives.
  std::string source;
  // Key of the Ingress without which ingress nodes answer 404: while there is
  // none the line counts no pods. "": it needs none. Not of instances.
  std::string ingress;
  uint16_t port = 0;   // of ingress nodes; instances have their own
  uint32_t table = 0;  // of the configuration's tables
  SlotRange range;     // this line's slots in that table
  uint32_t base = kDefaultBase;
  EmptyPolicy empty = EmptyPolicy::kKeep;
  bool slow_start = false;  // a peer that joins gets its share bit by bit

  bool instances() const { return kind == Kind::kInstances; }
};

// One address of a `server` line (a KVM): its slot, which only tuning ever
// gives another weight than the configured one.
struct ServerConfig {
  std::string upstream;
  std::string name;     // as the line has it
  std::string address;  // "10.20.0.11:8080"
  uint32_t table = 0;
  uint32_t slot = 0;
  uint64_t weight = 0;  // ServerWeight(); 0: down
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_PEER_SET_H_

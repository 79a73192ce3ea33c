// Who is probed, and how: what the probes of clusters and those of upstreams
// come to, as the configuration has it.
//
// A cluster's probe asks the ingress nodes of all its lines. An upstream's asks
// its servers and its instances and, where that is wanted, the application
// behind each ingress node; upstreams that ask in the same way share it. So an
// ingress node may have two.

#ifndef DYNAMIC_WEIGHT_WATCHER_CONFIG_PROBE_PLAN_H_
#define DYNAMIC_WEIGHT_WATCHER_CONFIG_PROBE_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "watcher/config/config.h"
#include "weightcalc/ip_address.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

struct PlannedProbe {
  const ProbeConfig* config = nullptr;  // in the WatcherConfig
  std::optional<uint32_t> cluster;      // whose it is; nothing: of upstreams
  std::string owner;                    // for people: upstream "orders"
  uint32_t targets = 0;                 // addresses and ports, at most

  // That begin in a second, at most: a quarter more than these need, and ten at
  // least.
  double Rate() const;
};

// Peers of a table that a probe asks.
struct ProbedRange {
  uint32_t probe = 0;  // of the plan's
  uint32_t table = 0;
  SlotRange range;
  uint16_t port = 0;   // that is asked; 0: the peer's own
  IpAddress address;   // of a server; kNone: the peer's
  bool waits = false;  // who joins, for a first result
};

struct ProbePlan {
  std::vector<PlannedProbe> probes;
  std::vector<ProbedRange> ranges;
};

ProbePlan MakeProbePlan(const WatcherConfig& config);

// The tag (see weightcalc/probe_result.h) that each of a table's slots has by
// its probes; 0: none.
std::vector<uint16_t> ProbeTags(const ProbePlan& plan, uint32_t table,
                                uint32_t slots);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CONFIG_PROBE_PLAN_H_

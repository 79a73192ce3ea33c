// Peers and shares as they stand now. Everything is read from shared memory
// without a lock; numbers of one peer may be a few requests apart.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_FACTS_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_FACTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ngx_module/status/document.h"
#include "ngx_module/status/model.h"
#include "watcher/cluster_status.h"
#include "weightcalc/peer_table.h"

namespace dynweight {

// NGINX Plus's numbers of the states, which its exporter uses, too.
enum class PeerState : uint8_t {
  kUp = 1,
  kDraining = 2,   // no new request, some running
  kDown = 3,       // "down" in the configuration
  kUnavail = 4,    // by passive health
  kChecking = 5,   // waits for the first result of its probe
  kUnhealthy = 6,  // by its probe
  kDrained = 7,    // no request, none running
  kEjected = 8,    // answers badly; for a time
};

const char* StateName(PeerState state);

// Whether no request goes to a peer of some weight.
inline bool IsOut(PeerState state) {
  return state == PeerState::kUnavail || state == PeerState::kChecking ||
         state == PeerState::kUnhealthy || state == PeerState::kEjected;
}

// A peer as it stands now.
struct PeerFacts {
  const GroupModel* group = nullptr;
  const ServerModel* server = nullptr;  // nullptr: an ingress node
  const LineModel* line = nullptr;      // whose node it is
  uint32_t slot = 0;                    // of the group
  bool backup = false;
  // In the upstream, whose slots are counted through, backups last.
  uint64_t id = 0;
  Peer peer;
  ZoneName zone{};  // "": it doesn't say
  uint32_t weight = 0;
  uint64_t target = 0;  // its part of the group's requests, among all targets
  uint32_t active = 0;
  PeerState state = PeerState::kUp;
  int64_t out_since_ms = 0;  // of a state that IsOut(), in health's time; 0: it
                             // is not known
  ProbeResult probe;         // probed(): or none
  int64_t probe_since_ms = 0;  // that it says so
  Ejection ejection;           // the last one
  uint64_t requests = 0;
  uint64_t fails = 0;
  uint64_t unavail = 0;
  std::array<uint64_t, 5> responses{};
  uint64_t sent = 0;
  uint64_t received = 0;
  uint64_t response_ms = 0;
  uint64_t downtime_ms = 0;
  int64_t selected = 0;  // Unix seconds; 0: never
  uint64_t recent = 0;   // requests of the window
  uint16_t rule = 0;     // 1 + the index of the tuning's that decides; 0: none

  // Of a node: its cluster and its name. "" for a server, or without a name.
  std::string_view cluster() const {
    return line == nullptr ? std::string_view() : line->cluster_name;
  }
  std::string_view node() const { return peer.identity.node.data(); }
  uint32_t max_conns() const {
    return server != nullptr ? server->max_conns : line->max_conns;
  }
  const HealthPolicy& health() const {
    return server != nullptr ? server->health : line->health;
  }
  // Address and port.
  std::string Address() const;
  // Why no request goes to it, of a state that IsOut(); else "".
  std::string WhyOut() const;
};

// A walk over the peers of an upstream, the primary ones and then the backup
// ones, in turns that are short however many slots there are: the event loop
// goes round between them. A peer that comes or goes meanwhile may be met or
// not; each of the others is met once.
class PeerCursor {
 public:
  enum class Found : uint8_t {
    kPeer,
    kPause,  // the turn has looked at its last slot; go on in another one
    kEnd,
  };

  // Before the first peer; may be called again, for another upstream, which
  // outlives the walk. `all_out`: failures keep no request away. `loads`: of
  // its priorities.
  void Begin(const UpstreamModel& upstream, bool all_out,
             std::vector<PriorityLoad> loads = {});

  // `slots`, what the turn may still look at, is counted down. `now_ms` is the
  // monotonic clock's.
  Found Next(int64_t now_ms, int* slots, PeerFacts* facts);

 private:
  void BeginGroup(bool backup);
  bool Read(int64_t now_ms, PeerFacts* facts) const;
  uint64_t TargetOf(uint32_t weight) const;

  const UpstreamModel* upstream_ = nullptr;
  bool all_out_ = false;
  std::vector<PriorityLoad> loads_;
  bool backup_ = false;
  const GroupModel* group_ = nullptr;
  uint32_t slot_ = 0;                // the next one
  const LineModel* line_ = nullptr;  // whose it is; nullptr: a server's
  uint32_t line_end_ = 0;            // its slots, or the servers', end there
  size_t next_line_ = 0;             // of the upstream's
};

// Peers counted together: those of a line, of the servers, of a group.
struct PeerSum {
  uint64_t weight = 0;
  uint64_t target = 0;  // of the requests, as PeerFacts
  uint64_t requests = 0;
  uint64_t recent = 0;  // of the window
  uint32_t peers = 0;
  uint32_t serving = 0;  // state up
  uint32_t failed = 0;   // of a state that IsOut()
  uint32_t active = 0;
  // Those over which a rule of the tuning decides, and what they weigh that get
  // requests; 0: none does.
  uint32_t tuned = 0;
  uint32_t tuned_least = 0;
  uint32_t tuned_most = 0;

  void Add(const PeerFacts& facts);
};

struct UpstreamSums {
  bool health_ignored = false;       // too few are healthy, or none
  std::vector<PriorityLoad> loads;   // of the priorities
  std::array<uint32_t, 3> probed{};  // peers, by ProbeResult::Result
  PeerSum group[2];                  // primary, backup
  PeerSum servers[2];                // the servers (KVMs) in each
  std::vector<PeerSum> lines;        // in their order

  UpstreamSums() = default;
  explicit UpstreamSums(const UpstreamModel& upstream)
      : lines(upstream.lines.size()) {}
  void Add(const UpstreamModel& upstream, const PeerFacts& facts);
};

// Whether an operator should look at the upstream: a peer fails, or so many
// that health is ignored, a weight is not known, no line has a pod and there is
// no server, or the shares of a thousand requests and more are off what the
// weights imply.
bool HasProblem(const UpstreamModel& upstream, const UpstreamSums& sums);

// Milliseconds since the thread that watches the cluster was last seen at work.
// nullptr: nobody looks.
int64_t WatcherAgeMs(const std::atomic<int64_t>* seen_ms, const Moment& now);

// The cluster has a status: as the watcher wrote it; or, where its thread is
// late (kWatcherLateMs), with that as the error.
ClusterStatus ReadClusterStatus(const ClusterModel& cluster);
ClusterStatus ReadClusterStatus(const ClusterModel& cluster, const Moment& now);

// Every source was read, and the last answers were good.
bool IsUp(const ClusterStatus& status);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_FACTS_H_

// How the watching of a cluster goes, for the status page: which API server,
// how long ago it last answered, what went wrong, and counters.

#ifndef DYNAMIC_WEIGHT_WATCHER_CLUSTER_STATUS_H_
#define DYNAMIC_WEIGHT_WATCHER_CLUSTER_STATUS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dynweight {

// Room a status document gets in shared memory.
inline constexpr size_t kMaxStatusBytes = 8192;

// The watcher's thread looks up so often, whatever happens, and is late when
// nobody has seen it at work for so long.
inline constexpr int64_t kWatcherSleepMs = 5000;
inline constexpr int64_t kWatcherLateMs = 20000;

struct ClusterStatus {
  std::string api;            // base URL in use, without credentials
  std::string mode;           // "watch" or "poll"
  bool complete = false;      // nothing that a line needs is unknown: ready
  bool rest_refused = false;  // what is unknown is refused: no use to wait
  bool synced = false;  // every source was listed since this worker started
  int64_t last_success_ms = 0;  // Unix ms; 0: never
  int64_t observed_ms =
      0;  // Unix ms; when the oldest part of what is in force
          // was last reported, maybe to a previous run; 0: nothing
  std::string last_error;        // "" when all is well
  int64_t last_error_ms = 0;     // Unix ms; when it was last seen
  int64_t failing_since_ms = 0;  // Unix ms; 0: not failing
  uint64_t requests = 0;         // lists and watches begun
  uint64_t lists = 0;            // lists completed
  uint64_t watches = 0;          // watches established
  uint64_t events = 0;           // watch events applied
  uint64_t relists = 0;          // lists after the first
  uint64_t failures = 0;         // requests that failed
  uint64_t bytes = 0;            // bytes of bodies received
  uint64_t rejected = 0;         // answers not applied: bad, partial, guarded
  uint64_t held_back = 0;        // of these by a guard
  std::string probe;             // of its ingress nodes, in words; "": none
  uint64_t probes = 0;           // that ended, for whatever upstreams
  uint64_t probe_failures = 0;   // of these
  uint64_t probe_targets = 0;    // addresses and ports that are probed
  uint64_t probe_passing = 0;    // of these
  uint64_t probe_failing = 0;
  bool probes_ignored = false;  // all probes of all clusters fail
  std::map<std::string, std::string> resource_versions;  // by source path
  uint64_t versions_left_out = 0;     // for which there was no room
  std::vector<std::string> warnings;  // what to look into though nothing fails
  uint64_t warnings_left_out = 0;     // for which there was no room
};

// What lies in shared memory: at most kMaxStatusBytes, read without parsing.
// Long texts are cut, and resource versions that find no room are counted.
std::string PackClusterStatus(const ClusterStatus& status);

// What PackClusterStatus() wrote; as much of it as there is in other bytes.
ClusterStatus UnpackClusterStatus(std::string_view bytes);

// One JSON object of at most kMaxStatusBytes, without line breaks, safe inside
// HTML. Members are named as above without "_ms" (last_error_ms is
// "last_error_at"). The same is cut as above.
std::string EncodeClusterStatus(const ClusterStatus& status);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CLUSTER_STATUS_H_

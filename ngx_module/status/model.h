// What the status is about, as plain structs: what the configuration says of
// clusters, upstreams and their peers, and where in shared memory their numbers
// lie. Made once for a configuration and constant from then on.
//
// Views and pointers lead into the configuration and into shared memory, which
// outlive the model. What lies in shared memory is read without a lock.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_MODEL_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_MODEL_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "watcher/weight_change_log.h"
#include "weightcalc/peer_health.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/priority_load.h"
#include "weightcalc/retry_budget.h"
#include "weightcalc/sampling_window.h"
#include "weightcalc/shared_document.h"
#include "weightcalc/shared_record.h"

namespace dynweight {

struct ClusterModel {
  std::string_view name;
  // Both nullptr: there is no zone, and nobody watches.
  const SharedDocument* view = nullptr;
  const SharedDocument* status = nullptr;  // PackClusterStatus()
  // When the watcher's thread was last at work, monotonic, as somebody else saw
  // it; nullptr: nobody looks.
  const std::atomic<int64_t>* watcher_seen_ms = nullptr;
};

// An address of a `server` line (a KVM): one slot.
struct ServerModel {
  std::string_view address;  // "10.20.0.11:8080"
  std::string_view name;     // as the line has it
  HealthPolicy health;
  uint32_t max_conns = 0;  // 0: no limit
  bool down = false;
};

// An `ingress_nodes` or `instances` line: `slots` slots, whoever occupies it.
struct LineModel {
  bool instances = false;
  uint32_t cluster = 0;  // of the model's clusters
  std::string_view cluster_name;
  std::string_view source;      // as the line has it
  std::string_view source_key;  // LineConfig::source
  std::string_view ingress;     // the one that it needs; "": none
  uint16_t port = 0;            // 0: each instance has its own
  uint64_t base = 0;
  bool backup = false;
  uint32_t priority = 0;  // as the line has it
  uint32_t rank = 0;      // of the upstream's priorities
  uint32_t slots = 0;
  HealthPolicy health;
  uint32_t max_conns = 0;
  const SharedRecord<LineRecord>* record = nullptr;
};

// The primary or the backup peers of an upstream: its servers in the first
// slots, then its lines' ranges, both in their order.
struct GroupModel {
  uint32_t slots = 0;  // 0: there are no such peers, and nothing of the rest
  std::vector<ServerModel> servers;
  const PeerTable* table = nullptr;
  const SamplingWindow* window = nullptr;
  // By slot, 1 + the index of the tuning's rule that decides; nullptr: there is
  // no tuning file.
  const std::atomic<uint16_t>* marks = nullptr;
};

struct UpstreamModel {
  std::string_view name;
  std::string_view method;
  uint64_t base = 0;
  RetryBudget retries;  // those of both groups are the primary table's
  bool ejects = false;  // peers that answer badly
  std::string probe;    // of its own: ProbeConfig::Text(); "": none
  // The priorities of the primary peers, the first to serve first; servers have
  // the first. Empty: there is but one.
  std::vector<uint32_t> priorities;
  uint32_t overprovisioning = kDefaultOverprovisioning;  // percent
  std::vector<LineModel> lines;                          // of both groups
  GroupModel groups[2];  // primary, backup; the primary one has peers
  // Whether each line has, or once had, a weight.
  const std::atomic<uint64_t>* ready = nullptr;
};

struct StatusModel {
  std::string_view zone;
  std::vector<ClusterModel> clusters;
  std::vector<UpstreamModel> upstreams;  // none without a zone
  // nullptr where there is none.
  const SharedDocument* decisions = nullptr;  // WeightChangeLog's
  const SharedDocument* tuning = nullptr;     // TuningFile::EncodeStatus()
  // Of the watcher's thread, as ClusterModel has it; nullptr: there is none.
  const std::atomic<int64_t>* watcher_seen_ms = nullptr;
  // Whether all upstreams were ready once; /ready writes it.
  std::atomic<uint64_t>* ready = nullptr;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_MODEL_H_

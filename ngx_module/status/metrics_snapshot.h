// What /metrics gathers of the upstreams before it prints anything: the format
// wants all samples of a metric together, so peers are gone through once and
// their numbers kept.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_METRICS_SNAPSHOT_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_METRICS_SNAPSHOT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ngx_module/status/facts.h"
#include "ngx_module/status/query.h"
#include "ngx_module/status/upstream_walk.h"

namespace dynweight {

// The numbers of a peer that are kept.
enum ServerValue : uint8_t {
  kWeight,
  kState,
  kActive,
  kLimit,
  kRequests,
  kResponses1xx,
  kResponses2xx,
  kResponses3xx,
  kResponses4xx,
  kResponses5xx,
  kSent,
  kReceived,
  kFails,
  kUnavail,
  kDowntime,
  kResponseTime,
  kServerValues,
};

struct ServerSample {
  size_t labels = 0;  // in the snapshot's
  size_t labels_end = 0;
  std::array<uint64_t, kServerValues> values{};
};

struct NodeSample {
  size_t server = 0;  // whose node it is, of the snapshot's
  decltype(PeerIdentity::node) name;
};

struct UpstreamSample {
  std::string labels;
  bool health_ignored = false;
  uint64_t retries = 0;
  std::optional<uint64_t> retries_refused;  // nothing: there is no budget
  std::optional<uint64_t> ejections;        // nothing: nobody is ejected
  std::optional<uint64_t> failing;          // nothing: it has no probe
  std::string_view method;
};

struct PrioritySample {
  std::string labels;
  PriorityLoad load;
};

// A line of ingress nodes, or the servers of a group.
struct LineSample {
  std::string labels;
  std::optional<LineRecord> record;
  PeerSum sum;
  PeerSum whole;  // of its group
};

// Some 200 bytes a peer. Not thread-safe.
class MetricsSnapshot : public UpstreamVisitor {
 public:
  // Empty, with room for what the query asks for. It may be a previous one: to
  // give megabytes back to the kernel, and get them again, would hold the event
  // loop longer than all the rest.
  static std::unique_ptr<MetricsSnapshot> Take(const StatusQuery& query);
  // When it is done with: keeps one for the next Take().
  static void Leave(std::unique_ptr<MetricsSnapshot> snapshot);

  void OnUpstream(const UpstreamModel& upstream,
                  const UpstreamSums& sums) override;
  void OnPeer(const UpstreamModel& upstream, const UpstreamSums& sums,
              const PeerFacts& facts) override;

  const std::vector<UpstreamSample>& upstreams() const { return upstreams_; }
  const std::vector<PrioritySample>& priorities() const { return priorities_; }
  const std::vector<ServerSample>& servers() const { return servers_; }
  const std::vector<NodeSample>& nodes() const { return nodes_; }
  const std::vector<LineSample>& lines() const { return lines_; }
  std::string_view labels(const ServerSample& sample) const {
    return std::string_view(labels_).substr(sample.labels,
                                            sample.labels_end - sample.labels);
  }

 private:
  void Clear();
  void Reserve(const StatusQuery& query);
  void AddPriorities(const UpstreamModel& upstream, const UpstreamSums& sums,
                     const std::string& name);
  void AppendServerLabels(const UpstreamModel& upstream,
                          const PeerFacts& facts);

  std::string labels_;
  std::vector<UpstreamSample> upstreams_;
  std::vector<PrioritySample> priorities_;
  std::vector<ServerSample> servers_;
  std::vector<NodeSample> nodes_;
  std::vector<LineSample> lines_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_METRICS_SNAPSHOT_H_

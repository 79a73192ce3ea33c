// See metric_families.h.

#include "ngx_module/status/metric_families.h"

#include "ngx_module/status/number_text.h"

namespace dynweight {
namespace {

template <auto kMember>
void ClusterCounter(const ClusterStatus& status, std::string* out) {
  AppendNumber(status.*kMember, out);
}

void Up(const ClusterStatus& status, std::string* out) {
  AppendNumber(IsUp(status) ? 1 : 0, out);
}

void LastSuccess(const ClusterStatus& status, std::string* out) {
  AppendSeconds(static_cast<uint64_t>(status.last_success_ms), out);
}

void Observed(const ClusterStatus& status, std::string* out) {
  AppendNumber(static_cast<uint64_t>(status.observed_ms / 1000), out);
}

void Warnings(const ClusterStatus& status, std::string* out) {
  AppendNumber(status.warnings.size() + status.warnings_left_out, out);
}

void Invalid(const ClusterStatus& status, std::string* out) {
  AppendNumber(status.rejected - status.held_back, out);
}

void ProbesIgnored(const ClusterStatus& status, std::string* out) {
  AppendNumber(status.probes_ignored ? 1 : 0, out);
}

void UnprobedTargets(const ClusterStatus& status, std::string* out) {
  AppendNumber(
      status.probe_targets - status.probe_passing - status.probe_failing, out);
}

constexpr MetricHead kRejected = {
    "cluster_rejected_updates_total", "counter",
    "Answers that were not applied: undecodable or partial, or held back by "
    "the guard."};

constexpr MetricHead kProbeTargets = {
    "cluster_probe_targets", "gauge",
    "Addresses and ports that are probed, by result."};

constexpr ClusterFamily kClusterFamilies[] = {
    {{"cluster_up", "gauge",
      "1: every source was read, and the last answers were good."},
     "",
     false,
     Up},
    {{"cluster_last_success_timestamp_seconds", "gauge",
      "The last good answer of the source that is worst off; 0: none."},
     "",
     false,
     LastSuccess},
    {{"cluster_observed_timestamp_seconds", "gauge",
      "When the oldest part of what is in force was last said, maybe to a "
      "previous run; 0: nothing is known."},
     "",
     false,
     Observed},
    {{"cluster_warnings", "gauge",
      "What to look into though nothing fails; /status has the texts."},
     "",
     false,
     Warnings},
    {{"cluster_requests_total", "counter", "Requests to the cluster's API."},
     "",
     false,
     ClusterCounter<&ClusterStatus::requests>},
    {{"cluster_lists_total", "counter", "Lists that were read to their end."},
     "",
     false,
     ClusterCounter<&ClusterStatus::lists>},
    {{"cluster_relists_total", "counter", "Lists after the first."},
     "",
     false,
     ClusterCounter<&ClusterStatus::relists>},
    {{"cluster_watch_starts_total", "counter",
      "Watches begun; they are begun anew every few minutes."},
     "",
     false,
     ClusterCounter<&ClusterStatus::watches>},
    {{"cluster_events_total", "counter", "Watch events applied."},
     "",
     false,
     ClusterCounter<&ClusterStatus::events>},
    {{"cluster_failures_total", "counter",
      "Requests that failed and were tried again."},
     "",
     false,
     ClusterCounter<&ClusterStatus::failures>},
    {{"cluster_received_bytes_total", "counter",
      "Bytes received from the API."},
     "",
     false,
     ClusterCounter<&ClusterStatus::bytes>},
    {kRejected, ",reason=\"invalid\"", false, Invalid},
    {kRejected, ",reason=\"guard\"", true,
     ClusterCounter<&ClusterStatus::held_back>},
    {{"cluster_probes_total", "counter",
      "Probes of ingress nodes that ended, each for all upstreams."},
     "",
     false,
     ClusterCounter<&ClusterStatus::probes>},
    {{"cluster_probe_failures_total", "counter", "Probes that failed."},
     "",
     false,
     ClusterCounter<&ClusterStatus::probe_failures>},
    {{"cluster_probes_ignored", "gauge",
      "1: all probes of all clusters fail, and keep nobody out."},
     "",
     false,
     ProbesIgnored},
    {kProbeTargets, ",result=\"passing\"", false,
     ClusterCounter<&ClusterStatus::probe_passing>},
    {kProbeTargets, ",result=\"failing\"", true,
     ClusterCounter<&ClusterStatus::probe_failing>},
    {kProbeTargets, ",result=\"unknown\"", true, UnprobedTargets},
};

constexpr UpstreamFamily kUpstreamFamilies[] = {
    {{"upstream_info", "gauge",
      "How the upstream balances: of round_robin alone shares follow weights."},
     [](const UpstreamSample&, std::string* out) {
       *out += '1';
       return true;
     },
     true},
    {{"upstream_health_ignored", "gauge",
      "1: too few peers are healthy, or none, so that all are asked."},
     [](const UpstreamSample& sample, std::string* out) {
       AppendNumber(sample.health_ignored ? 1 : 0, out);
       return true;
     }},
    {{"upstream_retries_total", "counter",
      "Further attempts of requests whose earlier ones failed."},
     [](const UpstreamSample& sample, std::string* out) {
       AppendNumber(sample.retries, out);
       return true;
     }},
    {{"upstream_retries_refused_total", "counter",
      "Attempts that failed and were not followed by another one because the "
      "retry budget was spent."},
     [](const UpstreamSample& sample, std::string* out) {
       if (!sample.retries_refused) return false;
       AppendNumber(*sample.retries_refused, out);
       return true;
     }},
    {{"upstream_probe_failing", "gauge",
      "Peers that fail the upstream's own probe."},
     [](const UpstreamSample& sample, std::string* out) {
       if (!sample.failing) return false;
       AppendNumber(*sample.failing, out);
       return true;
     }},
    {{"upstream_ejections_total", "counter",
      "Times that a peer was ejected because it answered badly."},
     [](const UpstreamSample& sample, std::string* out) {
       if (!sample.ejections) return false;
       AppendNumber(*sample.ejections, out);
       return true;
     }},
};

constexpr PriorityFamily kPriorityFamilies[] = {
    {{"upstream_priority_share", "gauge",
      "Fraction of the upstream's requests that the priority is to have now."},
     [](const PrioritySample& sample, std::string* out) {
       AppendShare(sample.load.percent, 100, out);
       return true;
     }},
    {{"upstream_priority_healthy", "gauge",
      "Fraction of the priority's weight that is healthy."},
     [](const PrioritySample& sample, std::string* out) {
       if (sample.load.weight == 0) return false;
       AppendShare(sample.load.healthy, sample.load.weight, out);
       return true;
     }},
};

template <auto kMember>
bool RecordValue(const LineSample& sample, std::string* out) {
  if (!sample.record || !sample.record->known) return false;
  AppendNumber((*sample.record).*kMember, out);
  return true;
}

template <uint64_t PeerSum::*kMember>
bool ShareOf(const LineSample& sample, std::string* out) {
  if (sample.whole.*kMember == 0) return false;
  AppendShare(sample.sum.*kMember, sample.whole.*kMember, out);
  return true;
}

constexpr LineFamily kLineFamilies[] = {
    {{"upstream_cluster_pods", "gauge",
      "Ready pods that the weight was computed from."},
     RecordValue<&LineRecord::pods>},
    {{"upstream_cluster_ingress_nodes", "gauge",
      "Live ingress nodes of the cluster."},
     RecordValue<&LineRecord::ingress_nodes>},
    {{"upstream_cluster_used_nodes", "gauge",
      "Ingress nodes that have a slot and are not drained."},
     RecordValue<&LineRecord::used_nodes>},
    {{"upstream_cluster_drained_nodes", "gauge",
      "Ingress nodes that have a slot and are drained by tuning."},
     RecordValue<&LineRecord::drained_nodes>},
    {{"upstream_cluster_weight", "gauge", "Weight of each ingress node."},
     RecordValue<&LineRecord::weight>},
    {{"upstream_cluster_provisional", "gauge",
      "1: the weight is held from before, until the API has answered."},
     RecordValue<&LineRecord::provisional>},
    {{"upstream_cluster_frozen", "gauge",
      "1: held by tuning, whatever the cluster says."},
     RecordValue<&LineRecord::frozen>},
    {{"upstream_cluster_tuned_servers", "gauge",
      "Peers over which a rule of the tuning file decides."},
     [](const LineSample& sample, std::string* out) {
       AppendNumber(sample.sum.tuned, out);
       return true;
     }},
    {{"upstream_cluster_weight_changes_total", "counter",
      "How often that weight has changed."},
     [](const LineSample& sample, std::string* out) {
       if (!sample.record) return false;
       AppendNumber(sample.record->generation, out);
       return true;
     }},
    {{"upstream_cluster_target_share", "gauge",
      "Fraction of the upstream's requests implied by weights and priorities."},
     ShareOf<&PeerSum::target>},
    {{"upstream_cluster_observed_share", "gauge",
      "Fraction of the upstream's requests of the last one to two minutes."},
     ShareOf<&PeerSum::recent>},
};

constexpr ServerFamily kServerFamilies[] = {
    {{"upstream_server_weight", "gauge",
      "Weight of the peer; 0 gets no new request."},
     kWeight,
     1,
     false,
     false},
    {{"upstream_server_state", "gauge",
      "1 up, 2 draining, 3 down, 4 unavail, 5 checking, 6 unhealthy, 7 "
      "drained, 8 ejected."},
     kState,
     1,
     false,
     false},
    {{"upstream_server_active", "gauge", "Requests that the peer is serving."},
     kActive,
     1,
     false,
     false},
    {{"upstream_server_limit", "gauge", "max_conns, where there is one."},
     kLimit,
     1,
     false,
     true},
    {{"upstream_server_requests_total", "counter",
      "Requests sent to the peer."},
     kRequests,
     1,
     false,
     false},
    {{"upstream_server_responses_total", "counter",
      "Responses of the peer by class; a class is absent until its first "
      "response."},
     kResponses1xx,
     5,
     false,
     true},
    {{"upstream_server_sent_bytes_total", "counter", "Bytes sent to the peer."},
     kSent,
     1,
     false,
     false},
    {{"upstream_server_received_bytes_total", "counter",
      "Bytes received from the peer."},
     kReceived,
     1,
     false,
     false},
    {{"upstream_server_fails_total", "counter", "Attempts that failed."},
     kFails,
     1,
     false,
     false},
    {{"upstream_server_unavail_total", "counter",
      "Times the peer was taken out by passive health; absent until the first "
      "time."},
     kUnavail,
     1,
     false,
     true},
    {{"upstream_server_downtime_seconds_total", "counter",
      "How long it was taken out, by failed requests, by its probe or ejected; "
      "absent until the first time."},
     kDowntime,
     1,
     true,
     true},
    {{"upstream_server_response_seconds_total", "counter",
      "Response times of the peer, added up."},
     kResponseTime,
     1,
     true,
     false},
};

}  // namespace

absl::Span<const ClusterFamily> ClusterFamilies() { return kClusterFamilies; }
absl::Span<const UpstreamFamily> UpstreamFamilies() {
  return kUpstreamFamilies;
}
absl::Span<const PriorityFamily> PriorityFamilies() {
  return kPriorityFamilies;
}
absl::Span<const LineFamily> LineFamilies() { return kLineFamilies; }
absl::Span<const ServerFamily> ServerFamilies() { return kServerFamilies; }

}  // namespace dynweight

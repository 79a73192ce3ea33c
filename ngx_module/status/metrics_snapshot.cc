// See metrics_snapshot.h.

#include "ngx_module/status/metrics_snapshot.h"

#include <utility>

#include "ngx_module/status/number_text.h"
#include "watcher/text/text_escape.h"

namespace dynweight {
namespace {

// Length of a peer's labels, about.
constexpr size_t kLabelBytes = 96;

// That of the last answer, emptied. Never destroyed, so that nothing is run
// when the process ends.
std::unique_ptr<MetricsSnapshot>& Spare() {
  static auto* const spare = new std::unique_ptr<MetricsSnapshot>;
  return *spare;
}

void AppendLabel(const char* before, std::string_view value, std::string* out) {
  *out += before;
  AppendLabelValue(value, out);
  *out += '"';
}

}  // namespace

std::unique_ptr<MetricsSnapshot> MetricsSnapshot::Take(
    const StatusQuery& query) {
  std::unique_ptr<MetricsSnapshot> snapshot = std::move(Spare());
  if (snapshot == nullptr) snapshot = std::make_unique<MetricsSnapshot>();
  snapshot->Reserve(query);
  return snapshot;
}

void MetricsSnapshot::Leave(std::unique_ptr<MetricsSnapshot> snapshot) {
  if (Spare() != nullptr) return;
  snapshot->Clear();
  Spare() = std::move(snapshot);
}

void MetricsSnapshot::Clear() {
  labels_.clear();
  upstreams_.clear();
  priorities_.clear();
  servers_.clear();
  nodes_.clear();
  lines_.clear();
}

// What stays unused of it is never touched; growing would copy it all.
void MetricsSnapshot::Reserve(const StatusQuery& query) {
  size_t servers = 0;
  size_t lines = 0;
  for (const size_t i : AskedUpstreams(query)) {
    const UpstreamModel& upstream = query.model->upstreams[i];
    if (query.peers == AskedPeers::kAll) {
      servers += upstream.groups[0].slots + upstream.groups[1].slots;
    }
    lines += upstream.lines.size() + 2;
  }
  upstreams_.reserve(AskedUpstreams(query).size());
  labels_.reserve(servers * kLabelBytes);
  servers_.reserve(servers);
  nodes_.reserve(servers);
  lines_.reserve(lines);
}

void MetricsSnapshot::OnUpstream(const UpstreamModel& upstream,
                                 const UpstreamSums& sums) {
  std::string name;
  AppendLabel("upstream=\"", upstream.name, &name);
  const RetryCounters& retries = upstream.groups[0].table->retry_counters();
  upstreams_.push_back({name, sums.health_ignored,
                        retries.retries.load(std::memory_order_relaxed),
                        std::nullopt, std::nullopt, std::nullopt,
                        upstream.method});
  if (!upstream.probe.empty()) {
    upstreams_.back().failing = sums.probed[ProbeResult::kFailing];
  }
  if (upstream.retries.limited()) {
    upstreams_.back().retries_refused =
        retries.refused.load(std::memory_order_relaxed);
  }
  if (upstream.ejects) {
    upstreams_.back().ejections = 0;
    for (const GroupModel& group : upstream.groups) {
      if (group.slots == 0) continue;
      *upstreams_.back().ejections += group.table->ejections();
    }
  }
  AddPriorities(upstream, sums, name);
  const auto add = [&](const PeerSum& sum, size_t group) -> LineSample& {
    lines_.push_back({name, std::nullopt, sum, sums.group[group]});
    return lines_.back();
  };
  for (size_t i = 0; i < upstream.lines.size(); ++i) {
    const LineModel& line = upstream.lines[i];
    LineSample& sample = add(sums.lines[i], line.backup ? 1 : 0);
    sample.record = line.record->Read();
    AppendLabel(",cluster=\"", line.cluster_name, &sample.labels);
    AppendLabel(",source=\"", line.source, &sample.labels);
    sample.labels += ",port=\"";
    if (line.port != 0) AppendNumber(line.port, &sample.labels);
    sample.labels += line.backup ? "\",backup=\"true\"" : "\",backup=\"false\"";
  }
  for (const size_t group : {0, 1}) {
    if (sums.servers[group].peers == 0) continue;
    add(sums.servers[group], group).labels +=
        group == 1 ? ",cluster=\"-\",source=\"\",port=\"\",backup=\"true\""
                   : ",cluster=\"-\",source=\"\",port=\"\",backup=\"false\"";
  }
}

void MetricsSnapshot::AddPriorities(const UpstreamModel& upstream,
                                    const UpstreamSums& sums,
                                    const std::string& name) {
  for (size_t i = 0; i < sums.loads.size(); ++i) {
    PrioritySample sample{name, sums.loads[i]};
    sample.labels += ",priority=\"";
    AppendNumber(upstream.priorities[i], &sample.labels);
    sample.labels += "\",rank=\"";
    AppendNumber(i, &sample.labels);
    sample.labels += '"';
    priorities_.push_back(std::move(sample));
  }
}

void MetricsSnapshot::OnPeer(const UpstreamModel& upstream, const UpstreamSums&,
                             const PeerFacts& facts) {
  ServerSample sample;
  sample.labels = labels_.size();
  AppendServerLabels(upstream, facts);
  sample.labels_end = labels_.size();

  auto& values = sample.values;
  values[kWeight] = facts.weight;
  values[kState] = static_cast<uint64_t>(facts.state);
  values[kActive] = facts.active;
  values[kLimit] = facts.max_conns();
  values[kRequests] = facts.requests;
  for (size_t i = 0; i < facts.responses.size(); ++i) {
    values[kResponses1xx + i] = facts.responses[i];
  }
  values[kSent] = facts.sent;
  values[kReceived] = facts.received;
  values[kFails] = facts.fails;
  values[kUnavail] = facts.unavail;
  values[kDowntime] = facts.downtime_ms;
  values[kResponseTime] = facts.response_ms;

  if (facts.line != nullptr && !facts.node().empty()) {
    nodes_.push_back({servers_.size(), facts.peer.identity.node});
  }
  servers_.push_back(sample);
}

void MetricsSnapshot::AppendServerLabels(const UpstreamModel& upstream,
                                         const PeerFacts& facts) {
  AppendLabel("upstream=\"", upstream.name, &labels_);
  AppendLabel(",cluster=\"", facts.line == nullptr ? "-" : facts.cluster(),
              &labels_);
  AppendLabel(",server=\"", facts.Address(), &labels_);
  // An address may stand in an upstream several times.
  labels_ += ",id=\"";
  AppendNumber(facts.id, &labels_);
  labels_ += '"';
}

}  // namespace dynweight

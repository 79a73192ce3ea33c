// See status_json.h.

#include "ngx_module/status/status_json.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ngx_module/status/facts.h"
#include "ngx_module/status/json_writer.h"
#include "ngx_module/status/overrides.h"
#include "ngx_module/status/upstream_walk.h"
#include "watcher/cluster_status.h"
#include "weightcalc/shared_document.h"

namespace dynweight {
namespace {

// A step tells one peer.
constexpr int kPeerSlots = UpstreamWalk::kStepSlots;

// A step copies so much of a view: a piece a quarter of a megabyte, in 0.1 ms.
constexpr size_t kReadBytes = 4096;

uint64_t Since(int64_t then_ms, int64_t now_ms) {
  return static_cast<uint64_t>(std::max<int64_t>(now_ms - then_ms, 0));
}

// {"version": ..., "tuning": {...}, "clusters": {...}, "upstreams": {...},
// "decisions": [...]}, in this order, a step each for a cluster, a part
// of its view, an upstream's head and a peer.
class StatusJson : public Document, private UpstreamVisitor {
 public:
  explicit StatusJson(const StatusQuery& query)
      : query_(query),
        walk_(query_, query_.peers, kPeerSlots),
        overrides_(query_.model->tuning) {}

 protected:
  bool Step(const Moment& now, std::string* out) override;

 private:
  enum class Phase : uint8_t {
    kHead,
    kClusters,
    kReadView,
    kView,
    kUpstreams,
    kDecisions
  };

  void Head();
  void Cluster(const ClusterModel& cluster, const Moment& now);
  bool View(std::string* out);
  void OnUpstream(const UpstreamModel& upstream,
                  const UpstreamSums& sums) override;
  void Line(const UpstreamModel& upstream, const UpstreamSums& sums, size_t i);
  void Weight(const LineModel& line, const std::optional<LineRecord>& record);
  void Servers(const UpstreamSums& sums, size_t group);
  void Retries(const UpstreamModel& upstream);
  void Containment(const UpstreamModel& upstream, const UpstreamSums& sums);
  void OnPeer(const UpstreamModel& upstream, const UpstreamSums& sums,
              const PeerFacts& facts) override;
  void Health(const PeerFacts& facts);
  void Time(const char* name, int64_t monotonic_ms);
  void Responses(const PeerFacts& facts);
  void Tuning(const PeerFacts& facts);
  void OnUpstreamEnd() override;
  void Decisions();

  const StatusQuery query_;
  UpstreamWalk walk_;
  const Overrides overrides_;
  JsonWriter json_;
  Phase phase_ = Phase::kHead;
  size_t cluster_ = 0;                        // the next one
  std::optional<SharedDocumentReader> view_;  // that is being given
  size_t given_ = 0;                          // of it
  int64_t now_ms_ = 0;                        // when it was begun, Unix
  int64_t unix_ms_ = 0;  // what is to be added to a monotonic time, for that
};

bool StatusJson::Step(const Moment& now, std::string* out) {
  json_.set_out(out);
  switch (phase_) {
    case Phase::kHead:
      now_ms_ = now.unix_ms;
      unix_ms_ = now.unix_ms - now.monotonic_ms;
      Head();
      json_.Key("clusters");
      json_.BeginObject();
      phase_ = Phase::kClusters;
      break;
    case Phase::kClusters:
      if (cluster_ < query_.model->clusters.size()) {
        Cluster(query_.model->clusters[cluster_++], now);
        break;
      }
      json_.EndObject();
      json_.Key("upstreams");
      json_.BeginObject();
      phase_ = Phase::kUpstreams;
      break;
    case Phase::kReadView:
      if (view_->Read(kReadBytes)) phase_ = Phase::kView;
      break;
    case Phase::kView:
      if (View(out)) phase_ = Phase::kClusters;
      break;
    case Phase::kUpstreams:
      if (!walk_.Step(now, this)) break;
      json_.EndObject();
      phase_ = Phase::kDecisions;
      break;
    case Phase::kDecisions:
      Decisions();
      json_.EndObject();
      *out += '\n';
      return true;
  }
  return false;
}

void StatusJson::Head() {
  json_.BeginObject();
  json_.Number("version", 1);
  json_.Text("nginx", query_.process.nginx);
  json_.Number("pid", query_.process.pid);
  json_.Number("worker", query_.process.worker);
  json_.Number("time", static_cast<uint64_t>(now_ms_));
  json_.Raw("tuning", overrides_.text());
}

void StatusJson::Cluster(const ClusterModel& cluster, const Moment& now) {
  json_.TextKey(cluster.name);
  if (cluster.status == nullptr) {
    json_.Null();
    return;
  }
  const ClusterStatus status = ReadClusterStatus(cluster, now);
  json_.BeginObject();
  json_.Flag("up", IsUp(status));
  // Before the first answer it is what a previous run knew.
  const int64_t said =
      status.last_success_ms != 0 ? status.last_success_ms : status.observed_ms;
  json_.Key("age");
  if (said != 0) {
    json_.Number(Since(said, now_ms_));
  } else {
    json_.Null();
  }
  json_.Raw("watch", EncodeClusterStatus(status));
  if (!query_.upstream && query_.peers == AskedPeers::kAll) {
    json_.Key("view");
    view_.emplace(cluster.view);
    given_ = 0;
    phase_ = Phase::kReadView;
  } else {
    json_.EndObject();
  }
}

// A piece of the cluster's; of thousands of instances it is megabytes. True
// after the last one, with which the cluster ends.
bool StatusJson::View(std::string* out) {
  const std::string_view piece =
      std::string_view(view_->text()).substr(given_, kPieceBytes);
  if (given_ == 0) {
    json_.Raw(piece);
  } else {
    *out += piece;
  }
  given_ += piece.size();
  if (given_ < view_->text().size()) return false;
  view_.reset();
  json_.EndObject();
  return true;
}

void StatusJson::OnUpstream(const UpstreamModel& upstream,
                            const UpstreamSums& sums) {
  const GroupModel& primary = upstream.groups[0];
  json_.TextKey(upstream.name);
  json_.BeginObject();
  json_.Text("zone", query_.model->zone);
  json_.Text("method", upstream.method);
  json_.Number("base", upstream.base);
  json_.Number("generation", primary.table->version());
  json_.Number("window", Since(primary.window->began_ms(), now_ms_));
  json_.Number("recent", sums.group[0].recent + sums.group[1].recent);
  json_.Flag("problem", HasProblem(upstream, sums));
  json_.Flag("health_ignored", sums.health_ignored);
  Retries(upstream);
  Containment(upstream, sums);
  json_.Key("clusters");
  json_.BeginArray();
  for (size_t i = 0; i < upstream.lines.size(); ++i) Line(upstream, sums, i);
  json_.EndArray();
  json_.Key("servers");
  json_.BeginArray();
  for (const size_t group : {0, 1}) {
    if (sums.servers[group].peers > 0) Servers(sums, group);
  }
  json_.EndArray();
  if (query_.peers != AskedPeers::kNone) {
    json_.Key("peers");
    json_.BeginArray();
  }
}

void StatusJson::Retries(const UpstreamModel& upstream) {
  const PeerTable& table = *upstream.groups[0].table;
  const RetryCounters& counters = table.retry_counters();
  json_.Key("retries");
  json_.BeginObject();
  json_.Number("running", table.Retries());
  json_.Number("total", counters.retries.load(std::memory_order_relaxed));
  if (upstream.retries.limited()) {
    json_.Number("budget", upstream.retries.percent);
    json_.Number("min", upstream.retries.min);
    json_.Number("refused", counters.refused.load(std::memory_order_relaxed));
  }
  json_.EndObject();
}

// What its own probe says, ejections, and what priorities make of health; of
// who has them.
void StatusJson::Containment(const UpstreamModel& upstream,
                             const UpstreamSums& sums) {
  if (!upstream.probe.empty()) {
    json_.Key("probe");
    json_.BeginObject();
    json_.Text("probe", upstream.probe);
    json_.Number("passing", sums.probed[ProbeResult::kPassing]);
    json_.Number("failing", sums.probed[ProbeResult::kFailing]);
    json_.Number("unknown", sums.probed[ProbeResult::kUnknown]);
    json_.EndObject();
  }
  if (upstream.ejects) {
    uint64_t ejections = 0;
    for (const GroupModel& group : upstream.groups) {
      if (group.slots != 0) ejections += group.table->ejections();
    }
    json_.Number("ejections", ejections);
  }
  if (sums.loads.empty()) return;
  json_.Key("failover");
  json_.BeginObject();
  json_.Fixed("overprovisioning", upstream.overprovisioning / 100.0, 2);
  json_.Key("priorities");
  json_.BeginArray();
  for (size_t i = 0; i < sums.loads.size(); ++i) {
    const PriorityLoad& load = sums.loads[i];
    json_.BeginObject();
    json_.Number("priority", upstream.priorities[i]);
    json_.Number("weight", load.weight);
    json_.Number("healthy", load.healthy);
    json_.Share("share", load.percent, 100);
    json_.EndObject();
  }
  json_.EndArray();
  json_.EndObject();
}

void StatusJson::OnUpstreamEnd() {
  if (query_.peers != AskedPeers::kNone) json_.EndArray();
  json_.EndObject();
}

void StatusJson::Line(const UpstreamModel& upstream, const UpstreamSums& sums,
                      size_t i) {
  const LineModel& line = upstream.lines[i];
  const PeerSum& sum = sums.lines[i];
  const PeerSum& whole = sums.group[line.backup ? 1 : 0];
  const std::optional<LineRecord> record = line.record->Read();
  const bool known = record && record->known;

  json_.BeginObject();
  json_.Text("cluster", line.cluster_name);
  json_.Text("kind", line.instances ? "instances" : "ingress_nodes");
  json_.Text("source", line.source);
  if (line.port != 0) {
    json_.Number("port", line.port);
  } else {
    json_.Null("port");
  }
  if (!line.ingress.empty()) {
    json_.Text("ingress", line.ingress);
    json_.Flag("no_ingress", known && record->no_ingress);
  }
  json_.Flag("backup", line.backup);
  json_.Number("priority", line.priority);
  json_.Number("slots", line.slots);
  json_.Number("base", line.base);
  json_.Number("peers", sum.peers);
  json_.Number("serving", sum.serving);
  json_.Number("failed", sum.failed);
  json_.Number("active", sum.active);
  json_.Number("requests", sum.requests);
  Weight(line, record);
  json_.Flag("frozen", known && record->frozen);
  json_.Flag("provisional", known && record->provisional);
  if (sum.tuned != 0) {
    json_.Key("tuned");
    json_.BeginObject();
    json_.Number("peers", sum.tuned);
    json_.Number("least", sum.tuned_least);
    json_.Number("most", sum.tuned_most);
    json_.EndObject();
  }
  json_.Share("target_share", sum.target, whole.target);
  json_.Share("observed_share", sum.recent, whole.recent);
  json_.Number("generation", record ? record->generation : 0);
  json_.Number("changed",
               record ? static_cast<uint64_t>(record->changed_ms) : 0);
  json_.Text("reason", record ? record->reason.view() : std::string_view());
  json_.EndObject();
}

// What a line's weight was computed from.
void StatusJson::Weight(const LineModel& line,
                        const std::optional<LineRecord>& record) {
  if (!record || !record->known) {
    for (const char* name : {"pods", "ingress_nodes", "used_nodes",
                             "drained_nodes", "raw", "weight"}) {
      json_.Null(name);
    }
    json_.Number("scale", 1);
    json_.Flag("clamped", false);
    return;
  }
  const auto base = static_cast<double>(line.base);
  const double exact =
      line.instances
          ? (record->pods == 0 ? 0 : base)
          : static_cast<double>(record->pods) * base /
                static_cast<double>(std::max<uint64_t>(record->used_nodes, 1));
  json_.Number("pods", record->pods);
  json_.Number("ingress_nodes", record->ingress_nodes);
  json_.Number("used_nodes", record->used_nodes);
  json_.Number("drained_nodes", record->drained_nodes);
  json_.Fixed("raw", exact, 3);
  json_.Number("weight", record->weight);
  json_.Number("scale", record->scale);
  json_.Flag("clamped", record->weight != static_cast<uint64_t>(exact));
}

// The KVMs of a group.
void StatusJson::Servers(const UpstreamSums& sums, size_t group) {
  const PeerSum& sum = sums.servers[group];
  json_.BeginObject();
  json_.Flag("backup", group == 1);
  json_.Number("peers", sum.peers);
  json_.Number("serving", sum.serving);
  json_.Number("failed", sum.failed);
  json_.Number("active", sum.active);
  json_.Number("requests", sum.requests);
  json_.Number("weight", sum.weight);
  json_.Share("target_share", sum.target, sums.group[group].target);
  json_.Share("observed_share", sum.recent, sums.group[group].recent);
  json_.EndObject();
}

void StatusJson::OnPeer(const UpstreamModel&, const UpstreamSums& sums,
                        const PeerFacts& facts) {
  const PeerSum& whole = sums.group[facts.backup ? 1 : 0];
  json_.BeginObject();
  json_.Number("id", facts.id);
  json_.Text("server", facts.Address());
  if (facts.server != nullptr) {
    json_.Text("name", facts.server->name);
  } else {
    json_.Text("name", facts.cluster());
    json_.Text("cluster", facts.cluster());
    json_.Text("node", facts.node());
    if (facts.zone[0] != '\0') json_.Text("zone", facts.zone.data());
  }
  json_.Flag("backup", facts.backup);
  json_.Number("weight", facts.weight);
  json_.Text("state", StateName(facts.state));
  Health(facts);
  json_.Number("active", facts.active);
  json_.Number("max_conns", facts.max_conns());
  json_.Number("requests", facts.requests);
  Responses(facts);
  json_.Share("target_share", facts.target, whole.target);
  json_.Share("observed_share", facts.recent, whole.recent);
  Tuning(facts);
  json_.EndObject();
}

// Why no request goes to it, and since when; what its probe says.
void StatusJson::Health(const PeerFacts& facts) {
  static constexpr const char* kResults[] = {"unknown", "passing", "failing"};
  if (IsOut(facts.state)) {
    json_.Text("reason", facts.WhyOut());
    Time("since", facts.out_since_ms);
  }
  if (facts.state == PeerState::kEjected) {
    Time("until", facts.ejection.until_ms);
  }
  if (!facts.probe.probed()) return;
  json_.Key("probe");
  json_.BeginObject();
  json_.Text("result", kResults[facts.probe.result]);
  Time("since", facts.probe_since_ms);
  if (facts.probe.reason != ProbeReason::kNone) {
    json_.Text("reason", facts.probe.Text());
  }
  json_.EndObject();
}

void StatusJson::Time(const char* name, int64_t monotonic_ms) {
  json_.Number(name, monotonic_ms == 0
                         ? 0
                         : static_cast<uint64_t>(
                               std::max<int64_t>(monotonic_ms + unix_ms_, 0)));
}

void StatusJson::Responses(const PeerFacts& facts) {
  static constexpr const char* kClasses[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
  uint64_t total = 0;
  json_.Key("responses");
  json_.BeginObject();
  for (size_t i = 0; i < facts.responses.size(); ++i) {
    json_.Number(kClasses[i], facts.responses[i]);
    total += facts.responses[i];
  }
  json_.Number("total", total);
  json_.EndObject();
  json_.Number("sent", facts.sent);
  json_.Number("received", facts.received);
  json_.Number("fails", facts.fails);
  json_.Number("unavail", facts.unavail);
  json_.Number("downtime", facts.downtime_ms);
  json_.Number("selected", static_cast<uint64_t>(facts.selected) * 1000);
  json_.Number("response_time", total > 0 ? facts.response_ms / total : 0);
}

// The rule that decides over the peer, if one does.
void StatusJson::Tuning(const PeerFacts& facts) {
  if (facts.rule > 0 && facts.rule <= overrides_.size()) {
    json_.Raw("tuning", overrides_.rule(facts.rule - 1));
  }
}

// Oldest first; as long as a piece, about, whatever the upstreams are.
void StatusJson::Decisions() {
  json_.Key("decisions");
  json_.BeginArray();
  for (const Decision& decision : ReadDecisions(*query_.model)) {
    if (!AsksFor(query_, decision)) continue;
    json_.BeginObject();
    json_.Number("time", static_cast<uint64_t>(decision.time_ms));
    json_.Text("upstream", decision.upstream.view());
    json_.Text("cluster", decision.cluster.view());
    json_.Key("old");
    if (decision.first) {
      json_.Null();
    } else {
      json_.Number(decision.old_weight);
    }
    json_.Number("new", decision.new_weight);
    json_.Text("why", decision.why.view());
    json_.EndObject();
  }
  json_.EndArray();
}

}  // namespace

std::unique_ptr<Document> MakeStatusJson(const StatusQuery& query) {
  return std::make_unique<StatusJson>(query);
}

}  // namespace dynweight

// See metrics.h.

#include "ngx_module/status/metrics.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "ngx_module/status/metric_families.h"
#include "ngx_module/status/metrics_snapshot.h"
#include "ngx_module/status/number_text.h"
#include "ngx_module/status/overrides.h"
#include "ngx_module/status/readiness.h"
#include "ngx_module/status/upstream_walk.h"
#include "watcher/cluster_status.h"
#include "watcher/text/text_escape.h"

namespace dynweight {
namespace {

constexpr std::string_view kPrefix = "nginx_dynamic_weight_";

// Its numbers are kept, which costs more than a look: some twelve a step.
constexpr int kMetricsStepSlots = 4;

// Samples that a step may print.
constexpr size_t kStepSamples = 64;

class Metrics : public Document {
 public:
  explicit Metrics(const StatusQuery& query)
      : query_(query),
        walk_(query_, query_.peers, kMetricsStepSlots),
        snapshot_(MetricsSnapshot::Take(query_)) {}
  ~Metrics() override { MetricsSnapshot::Leave(std::move(snapshot_)); }

 protected:
  bool Step(const Moment& now, std::string* out) override;

 private:
  enum class Phase : uint8_t {
    kBegin,
    kClusters,
    kGather,
    kUpstreams,
    kPriorities,
    kLines,
    kServers,
    kNodes,
  };
  struct ClusterSample {
    std::string label;
    ClusterStatus status;
  };

  void Head(const MetricHead& head);
  void Begin(const Moment& now);
  void Tuning();
  // True after the last sample of all.
  bool Clusters();
  template <typename Family, typename Sample>
  bool Print(absl::Span<const Family> families,
             const std::vector<Sample>& samples);
  bool Servers();
  bool Nodes();
  void Server(const ServerFamily& family, const ServerSample& sample);
  bool EndSamples(size_t samples, size_t families);

  const StatusQuery query_;
  UpstreamWalk walk_;
  std::unique_ptr<MetricsSnapshot> snapshot_;
  std::string* out_ = nullptr;
  Phase phase_ = Phase::kBegin;
  std::vector<ClusterSample> clusters_;
  size_t family_ = 0;
  size_t sample_ = 0;
  std::string value_;
};

bool Metrics::Step(const Moment& now, std::string* out) {
  out_ = out;
  switch (phase_) {
    case Phase::kBegin:
      Begin(now);
      phase_ = Phase::kClusters;
      break;
    case Phase::kClusters:
      if (Clusters()) phase_ = Phase::kGather;
      break;
    case Phase::kGather:
      if (walk_.Step(now, snapshot_.get())) phase_ = Phase::kUpstreams;
      break;
    case Phase::kUpstreams:
      if (Print(UpstreamFamilies(), snapshot_->upstreams())) {
        phase_ = Phase::kPriorities;
      }
      break;
    case Phase::kPriorities:
      if (Print(PriorityFamilies(), snapshot_->priorities())) {
        phase_ = Phase::kLines;
      }
      break;
    case Phase::kLines:
      if (!Print(LineFamilies(), snapshot_->lines())) break;
      if (query_.peers == AskedPeers::kNone) return true;
      phase_ = Phase::kServers;
      break;
    case Phase::kServers:
      if (Servers()) phase_ = Phase::kNodes;
      break;
    case Phase::kNodes:
      return Nodes();
  }
  return false;
}

void Metrics::Head(const MetricHead& head) {
  for (const auto& [line, text] :
       {std::pair("# HELP ", head.help), std::pair("# TYPE ", head.type)}) {
    *out_ += line;
    *out_ += kPrefix;
    *out_ += head.name;
    *out_ += ' ';
    *out_ += text;
    *out_ += '\n';
  }
}

void Metrics::Begin(const Moment& now) {
  Head({"info", "gauge", "The version of nginx."});
  *out_ += kPrefix;
  *out_ += "info{nginx=\"";
  *out_ += query_.process.nginx;
  *out_ += "\"} 1\n";

  Head({"ready", "gauge", "1: every line has, or once had, a weight."});
  *out_ += kPrefix;
  *out_ += IsReady(*query_.model) ? "ready 1\n" : "ready 0\n";

  if (query_.model->tuning != nullptr) Tuning();

  for (const ClusterModel& cluster : query_.model->clusters) {
    if (cluster.status == nullptr) continue;
    std::string label = "{cluster=\"";
    AppendLabelValue(cluster.name, &label);
    clusters_.push_back({label + "\"", ReadClusterStatus(cluster, now)});
  }
  if (query_.model->watcher_seen_ms == nullptr) return;
  const int64_t age_ms = WatcherAgeMs(query_.model->watcher_seen_ms, now);
  Head({"watcher_age_seconds", "gauge",
        "Since the watcher's thread was last seen at work; beyond 20 it "
        "hangs."});
  *out_ += kPrefix;
  *out_ += "watcher_age_seconds ";
  AppendSeconds(static_cast<uint64_t>(age_ms), out_);
  *out_ += '\n';
}

void Metrics::Tuning() {
  const Overrides overrides(query_.model->tuning);
  Head({"tuning_rules", "gauge", "Rules of the tuning file in force."});
  *out_ += kPrefix;
  *out_ += "tuning_rules ";
  AppendNumber(overrides.in_force(), out_);
  *out_ += '\n';
  Head({"tuning_error", "gauge",
        "1: the tuning file is not what is in force; /status has the error."});
  *out_ += kPrefix;
  *out_ += overrides.error().empty() ? "tuning_error 0\n" : "tuning_error 1\n";
}

bool Metrics::Clusters() {
  const ClusterFamily& family = ClusterFamilies()[family_];
  if (sample_ == 0 && !family.continues) Head(family.head);
  const size_t end = std::min(sample_ + kStepSamples, clusters_.size());
  for (; sample_ < end; ++sample_) {
    *out_ += kPrefix;
    *out_ += family.head.name;
    *out_ += clusters_[sample_].label;
    *out_ += family.labels;
    *out_ += "} ";
    family.append(clusters_[sample_].status, out_);
    *out_ += '\n';
  }
  return EndSamples(clusters_.size(), ClusterFamilies().size());
}

// Of upstreams, priorities or lines.
template <typename Family, typename Sample>
bool Metrics::Print(absl::Span<const Family> families,
                    const std::vector<Sample>& samples) {
  const Family& family = families[family_];
  if (sample_ == 0) Head(family.head);
  const size_t end = std::min(sample_ + kStepSamples, samples.size());
  for (; sample_ < end; ++sample_) {
    value_.clear();
    if (!family.append(samples[sample_], &value_)) continue;
    *out_ += kPrefix;
    *out_ += family.head.name;
    *out_ += '{';
    *out_ += samples[sample_].labels;
    if constexpr (std::is_same_v<Family, UpstreamFamily>) {
      if (family.with_method) {
        *out_ += ",method=\"";
        *out_ += samples[sample_].method;
        *out_ += '"';
      }
    }
    *out_ += "} ";
    *out_ += value_;
    *out_ += '\n';
  }
  return EndSamples(samples.size(), families.size());
}

bool Metrics::Servers() {
  const ServerFamily& family = ServerFamilies()[family_];
  const std::vector<ServerSample>& samples = snapshot_->servers();
  if (sample_ == 0) Head(family.head);
  const size_t end = std::min(sample_ + kStepSamples, samples.size());
  for (; sample_ < end; ++sample_) Server(family, samples[sample_]);
  return EndSamples(samples.size(), ServerFamilies().size());
}

bool Metrics::Nodes() {
  static constexpr MetricHead kInfo = {
      "upstream_server_info", "gauge",
      "The node's name as its cluster has it."};
  const std::vector<NodeSample>& samples = snapshot_->nodes();
  if (sample_ == 0) Head(kInfo);
  const size_t end = std::min(sample_ + kStepSamples, samples.size());
  for (; sample_ < end; ++sample_) {
    const NodeSample& node = samples[sample_];
    *out_ += kPrefix;
    *out_ += kInfo.name;
    *out_ += '{';
    *out_ += snapshot_->labels(snapshot_->servers()[node.server]);
    *out_ += ",node=\"";
    AppendLabelValue(node.name.data(), out_);
    *out_ += "\"} 1\n";
  }
  return sample_ == samples.size();
}

// One of hundreds of thousands of lines: few and long pieces.
void Metrics::Server(const ServerFamily& family, const ServerSample& sample) {
  static constexpr std::string_view kCodes[] = {
      ",code=\"1xx\"} ", ",code=\"2xx\"} ", ",code=\"3xx\"} ",
      ",code=\"4xx\"} ", ",code=\"5xx\"} "};
  for (uint32_t i = 0; i < family.values; ++i) {
    const uint64_t value = sample.values[family.value + i];
    if (value == 0 && family.sparse) continue;
    *out_ += kPrefix;
    *out_ += family.head.name;
    *out_ += '{';
    *out_ += snapshot_->labels(sample);
    *out_ += family.values > 1 ? kCodes[i] : std::string_view("} ");
    if (family.seconds) {
      AppendSeconds(value, out_);
    } else {
      AppendNumber(value, out_);
    }
    *out_ += '\n';
  }
}

// After a step: whether that was the last sample of the last family.
bool Metrics::EndSamples(size_t samples, size_t families) {
  if (sample_ < samples) return false;
  sample_ = 0;
  if (++family_ < families) return false;
  family_ = 0;
  return true;
}

}  // namespace

std::unique_ptr<Document> MakeMetrics(const StatusQuery& query) {
  return std::make_unique<Metrics>(query);
}

}  // namespace dynweight

// The metrics: what each is called, says and is read from.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_METRIC_FAMILIES_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_METRIC_FAMILIES_H_

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "ngx_module/status/metrics_snapshot.h"
#include "watcher/cluster_status.h"

namespace dynweight {

struct MetricHead {
  const char* name;  // without the prefix
  const char* type;
  const char* help;
};

struct ClusterFamily {
  MetricHead head;
  const char* labels;  // beside the cluster's
  // Whether it has the same head as the one before it.
  bool continues;
  void (*append)(const ClusterStatus& status, std::string* out);
};

struct UpstreamFamily {
  MetricHead head;
  // False: there is no such sample.
  bool (*append)(const UpstreamSample& sample, std::string* out);
  bool with_method = false;  // the label
};

struct PriorityFamily {
  MetricHead head;
  // False: there is no such sample.
  bool (*append)(const PrioritySample& sample, std::string* out);
};

struct LineFamily {
  MetricHead head;
  // False: there is no such sample.
  bool (*append)(const LineSample& sample, std::string* out);
};

struct ServerFamily {
  MetricHead head;
  ServerValue value;
  uint32_t values;  // that many: responses by class
  bool seconds;     // kept as milliseconds
  bool sparse;      // 0 goes without saying
};

// In the order in which they are printed.
absl::Span<const ClusterFamily> ClusterFamilies();
absl::Span<const UpstreamFamily> UpstreamFamilies();
absl::Span<const PriorityFamily> PriorityFamilies();
absl::Span<const LineFamily> LineFamilies();
absl::Span<const ServerFamily> ServerFamilies();

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_METRIC_FAMILIES_H_

// What the watcher is told: clusters, and lines that want weights. Plain
// values, made once by the configuration parser and constant afterwards.

#ifndef DYNAMIC_WEIGHT_WATCHER_CONFIG_CONFIG_H_
#define DYNAMIC_WEIGHT_WATCHER_CONFIG_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/config/probe_config.h"
#include "watcher/karmada/control_plane.h"
#include "watcher/kubernetes/source.h"
#include "watcher/kubernetes/subscriptions.h"
#include "watcher/nacos/nacos_discovery.h"
#include "watcher/transport/credentials.h"
#include "weightcalc/outlier_window.h"
#include "weightcalc/peer_set.h"

namespace dynweight {

struct ClusterConfig {
  // What answers at `api`: an API server of Kubernetes, or a registry of Nacos.
  enum class Type : uint8_t { kKubernetes, kNacos };
  enum class Mode : uint8_t { kWatch, kPoll };

  std::string name;
  Type type = Type::kKubernetes;
  std::vector<std::string> api;  // base URLs without trailing slash, a path
                                 // prefix kept; tried in turn
  Credentials credentials;
  // The cluster of the Karmada control plane that it is a member of, one before
  // this, and its name there: `api` is then the control plane's proxy to it.
  std::optional<uint32_t> via;
  std::string member;
  NodeSource nodes;           // kKubernetes
  std::string ns = "public";  // kNacos: the namespace's id
  Mode mode = Mode::kWatch;
  int64_t interval_ms = 5000;  // poll: from the end of one list to the next
  int64_t timeout_ms = 5000;   // to connect, and for a list as a whole
  GuardPolicy guard;
  std::optional<ProbeConfig> probe;  // of its ingress nodes
};

// An upstream whose peers are ejected when they answer badly.
struct OutlierConfig {
  std::string upstream;
  std::vector<uint32_t> tables;  // each judged by itself
  OutlierPolicy policy;
};

// How an upstream's servers and instances are asked whether they serve.
struct UpstreamProbeConfig {
  std::string upstream;
  std::vector<uint32_t> tables;
  ProbeConfig probe;
  bool via_ingress = false;  // the application behind each ingress node, too
};

struct WatcherConfig {
  std::vector<ClusterConfig> clusters;
  std::vector<LineConfig> lines;
  std::vector<ServerConfig> servers;
  std::vector<OutlierConfig> outliers;
  std::vector<UpstreamProbeConfig> upstream_probes;
  std::string state_file;    // empty: none
  std::string tuning_file;   // empty: none
  int64_t coalesce_ms = 50;  // at most one write of a table per this time
};

// The key (LineConfig::source) of what an `instances` line of this cluster says
// of its source, in the words of the cluster's type. InvalidArgument says what
// is wrong and what to write instead.
absl::StatusOr<std::string> InstanceSourceKey(
    const ClusterConfig& cluster, const std::vector<std::string_view>& words);

// Whether the cluster is asked for its ingress nodes: not where all of its
// lines are of instances.
bool NeedsNodes(const WatcherConfig& config, uint32_t cluster);

// Whether it is a source that only a control plane of Karmada has ("binding=").
bool IsOfControlPlane(const PodSource& source);

// Addresses and ports that the cluster's probe is asked of, at most: its lines'
// slots, once for each port. 0: it has no probe.
uint32_t MaxProbeTargets(const WatcherConfig& config, uint32_t cluster);

// What lines and block ask of a cluster of Kubernetes itself.
KubernetesSources SourcesOf(const WatcherConfig& config, uint32_t cluster);
// What lines of its members ask of a control plane of Karmada.
KarmadaSources KarmadaSourcesOf(const WatcherConfig& config, uint32_t cluster);
// What lines and block ask of a registry of Nacos.
NacosSources NacosSourcesOf(const WatcherConfig& config, uint32_t cluster);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CONFIG_CONFIG_H_

// See config.h.

#include "watcher/config/config.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace dynweight {
namespace {

// A key that InstanceSourceKey() gave.
absl::StatusOr<InstanceSource> InstanceSourceOf(std::string_view key) {
  std::vector<std::string_view> words;
  while (!key.empty()) {
    const size_t space = std::min(key.find(' '), key.size());
    words.push_back(key.substr(0, space));
    key.remove_prefix(std::min(space + 1, key.size()));
  }
  return InstanceSource::Parse(words);
}

}  // namespace

absl::StatusOr<std::string> InstanceSourceKey(
    const ClusterConfig& cluster, const std::vector<std::string_view>& words) {
  if (cluster.type == ClusterConfig::Type::kNacos) {
    const absl::StatusOr<NacosSource> source = NacosSource::Parse(words);
    if (!source.ok()) return source.status();
    return source->Key();
  }
  const absl::StatusOr<InstanceSource> source = InstanceSource::Parse(words);
  if (!source.ok()) return source.status();
  return source->Key();
}

bool NeedsNodes(const WatcherConfig& config, uint32_t cluster) {
  if (config.clusters[cluster].nodes.kind == NodeSource::Kind::kNone) {
    return false;
  }
  bool instances = false;
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster) continue;
    if (!line.instances()) return true;
    instances = true;
  }
  return !instances;
}

bool IsOfControlPlane(const PodSource& source) {
  return source.kind->sink == KubernetesKind::Sink::kBindings;
}

uint32_t MaxProbeTargets(const WatcherConfig& config, uint32_t cluster) {
  const std::optional<ProbeConfig>& probe = config.clusters[cluster].probe;
  if (!probe) return 0;
  // Lines use the first nodes by address: those with fewer slots, of the same.
  std::map<uint16_t, uint32_t> slots;
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster || line.instances()) continue;
    uint32_t& most = slots[probe->port != 0 ? probe->port : line.port];
    most = std::max(most, line.range.count);
  }
  uint32_t targets = 0;
  for (const auto& [port, most] : slots) targets += most;
  return targets;
}

KubernetesSources SourcesOf(const WatcherConfig& config, uint32_t cluster) {
  const ClusterConfig& asked = config.clusters[cluster];
  KubernetesSources sources;
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster) continue;
    // The configuration was checked.
    if (line.instances()) {
      const absl::StatusOr<InstanceSource> source =
          InstanceSourceOf(line.source);
      if (source.ok()) sources.instances.push_back(*source);
      continue;
    }
    const absl::StatusOr<PodSource> source = PodSource::Parse(line.source);
    if (source.ok() && !IsOfControlPlane(*source)) {
      sources.pods.push_back(*source);
    }
    if (line.ingress.empty()) continue;
    const absl::StatusOr<PodSource> ingress =
        PodSource::ParseIngress(line.ingress);
    if (ingress.ok()) sources.pods.push_back(*ingress);
  }
  if (NeedsNodes(config, cluster)) sources.nodes = asked.nodes;
  sources.options.watch = asked.mode == ClusterConfig::Mode::kWatch;
  sources.options.interval_ms = asked.interval_ms;
  sources.options.timeout_ms = asked.timeout_ms;
  sources.options.spread_ms = asked.guard.confirm_ms;
  return sources;
}

KarmadaSources KarmadaSourcesOf(const WatcherConfig& config, uint32_t cluster) {
  const ClusterConfig& asked = config.clusters[cluster];
  KarmadaSources sources;
  sources.control_plane = asked.name;
  sources.options.watch = asked.mode == ClusterConfig::Mode::kWatch;
  sources.options.interval_ms = asked.interval_ms;
  sources.options.timeout_ms = asked.timeout_ms;
  sources.options.spread_ms = INT64_MAX;
  for (uint32_t i = cluster + 1; i < config.clusters.size(); ++i) {
    if (config.clusters[i].via != cluster) continue;
    KarmadaMember member;
    member.cluster = i;
    member.name = config.clusters[i].member;
    std::set<std::string> keys;  // lines of several upstreams may name one
    for (const LineConfig& line : config.lines) {
      if (line.cluster != i || line.instances()) continue;
      const absl::StatusOr<PodSource> source = PodSource::Parse(line.source);
      if (!source.ok() || !IsOfControlPlane(*source)) continue;
      if (keys.insert(line.source).second) member.bindings.push_back(*source);
    }
    if (member.bindings.empty()) continue;
    // As the most impatient of their guards has it.
    sources.options.spread_ms = std::min(sources.options.spread_ms,
                                         config.clusters[i].guard.confirm_ms);
    sources.members.push_back(std::move(member));
  }
  return sources;
}

NacosSources NacosSourcesOf(const WatcherConfig& config, uint32_t cluster) {
  const ClusterConfig& asked = config.clusters[cluster];
  NacosSources sources;
  std::set<std::string> keys;  // lines of several upstreams may name one
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster || !keys.insert(line.source).second) continue;
    const absl::StatusOr<NacosSource> source =
        NacosSource::FromKey(line.source);
    // The configuration was checked.
    if (source.ok()) sources.services.push_back(*source);
  }
  sources.options.ns = asked.ns;
  sources.options.subscribe = asked.mode == ClusterConfig::Mode::kWatch;
  sources.options.interval_ms = asked.interval_ms;
  sources.options.timeout_ms = asked.timeout_ms;
  return sources;
}

}  // namespace dynweight

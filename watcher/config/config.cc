// See config.h.

#include "watcher/config/config.h"

namespace dynweight {

KubernetesSources SourcesOf(const WatcherConfig& config, uint32_t cluster) {
  const ClusterConfig& asked = config.clusters[cluster];
  KubernetesSources sources;
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster) continue;
    const absl::StatusOr<PodSource> source = PodSource::Parse(line.source);
    // The configuration was checked.
    if (source.ok()) sources.pods.push_back(*source);
  }
  sources.nodes = asked.nodes;
  sources.options.watch = asked.mode == ClusterConfig::Mode::kWatch;
  sources.options.interval_ms = asked.interval_ms;
  sources.options.timeout_ms = asked.timeout_ms;
  sources.options.spread_ms = asked.guard.confirm_ms;
  return sources;
}

}  // namespace dynweight

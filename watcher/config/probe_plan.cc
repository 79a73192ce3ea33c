// See probe_plan.h.

#include "watcher/config/probe_plan.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

// However long the interval is, the first probes come soon.
constexpr double kLeastRate = 10;

// "10.20.0.11:8080", "[2001:db8::1]:8080". False: a socket of the file system.
bool ParseAddress(std::string_view text, IpAddress* address, uint16_t* port) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return false;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data() + colon + 1, end, *port);
  if (read.ec != std::errc() || read.ptr != end || *port == 0) return false;
  text = text.substr(0, colon);
  if (!text.empty() && text.front() == '[' && text.back() == ']') {
    text = text.substr(1, text.size() - 2);
  }
  const auto parsed = IpAddress::Parse(text);
  if (!parsed) return false;
  *address = *parsed;
  return true;
}

void AddClusters(const WatcherConfig& config, ProbePlan* plan) {
  for (uint32_t cluster = 0; cluster < config.clusters.size(); ++cluster) {
    const std::optional<ProbeConfig>& probe = config.clusters[cluster].probe;
    if (!probe) continue;
    const auto index = static_cast<uint32_t>(plan->probes.size());
    plan->probes.push_back(
        {&*probe, cluster,
         absl::StrCat("cluster \"", config.clusters[cluster].name, "\""),
         MaxProbeTargets(config, cluster)});
    for (const LineConfig& line : config.lines) {
      if (line.cluster != cluster || line.instances()) continue;
      ProbedRange range;
      range.probe = index;
      range.table = line.table;
      range.range = line.range;
      range.port = probe->port != 0 ? probe->port : line.port;
      range.waits = probe->mandatory || line.slow_start;
      plan->ranges.push_back(range);
    }
  }
}

// Where what the upstream asks is in the plan.
uint32_t ProbeOf(const UpstreamProbeConfig& upstream, ProbePlan* plan) {
  for (uint32_t i = 0; i < plan->probes.size(); ++i) {
    if (plan->probes[i].cluster ||
        !(*plan->probes[i].config == upstream.probe)) {
      continue;
    }
    return i;
  }
  plan->probes.push_back({&upstream.probe, std::nullopt,
                          absl::StrCat("upstream \"", upstream.upstream, "\""),
                          0});
  return static_cast<uint32_t>(plan->probes.size()) - 1;
}

void AddUpstream(const WatcherConfig& config,
                 const UpstreamProbeConfig& upstream, ProbePlan* plan) {
  const uint32_t probe = ProbeOf(upstream, plan);
  const auto add = [&](ProbedRange range) {
    range.probe = probe;
    if (upstream.probe.port != 0) range.port = upstream.probe.port;
    range.waits |= upstream.probe.mandatory;
    plan->probes[probe].targets += range.range.count;
    plan->ranges.push_back(range);
  };
  for (const uint32_t table : upstream.tables) {
    ProbedRange range;
    range.table = table;
    for (const ServerConfig& server : config.servers) {
      if (server.table != table) continue;
      ProbedRange one = range;
      one.range = {server.slot, 1};
      if (ParseAddress(server.address, &one.address, &one.port)) add(one);
    }
    for (const LineConfig& line : config.lines) {
      if (line.table != table) continue;
      if (!line.instances() && !upstream.via_ingress) continue;
      ProbedRange one = range;
      one.range = line.range;
      one.port = line.instances() ? 0 : line.port;
      one.waits = line.slow_start;
      add(one);
    }
  }
}

}  // namespace

double PlannedProbe::Rate() const {
  if (targets == 0) return 0;
  return std::max(kLeastRate,
                  1250.0 * targets / static_cast<double>(config->interval_ms));
}

ProbePlan MakeProbePlan(const WatcherConfig& config) {
  ProbePlan plan;
  AddClusters(config, &plan);
  for (const UpstreamProbeConfig& upstream : config.upstream_probes) {
    AddUpstream(config, upstream, &plan);
  }
  return plan;
}

std::vector<uint16_t> ProbeTags(const ProbePlan& plan, uint32_t table,
                                uint32_t slots) {
  std::vector<uint16_t> tags(slots);
  for (const ProbedRange& range : plan.ranges) {
    if (range.table != table) continue;
    const uint16_t tag = plan.probes[range.probe].config->Tag();
    for (uint32_t i = 0; i < range.range.count; ++i) {
      uint16_t& of_slot = tags[range.range.first + i];
      of_slot = of_slot == 0
                    ? tag
                    : static_cast<uint16_t>(1 + (of_slot * 31u + tag) %
                                                    ProbeResult::kMaxTag);
    }
  }
  return tags;
}

}  // namespace dynweight

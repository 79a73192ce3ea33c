// See held_ingresses.h.

#include "watcher/state/held_ingresses.h"

#include <algorithm>

namespace dynweight {
namespace {

bool IsOf(const ViewLine& held, const LineConfig& line) {
  return !held.instances && held.upstream == line.upstream &&
         held.source == line.source;
}

// What was assumed for the line before; it is still unanswered.
bool WasAssumed(const ClusterView& view, const LineConfig& line) {
  return std::any_of(view.lines.begin(), view.lines.end(),
                     [&line](const ViewLine& held) {
                       return held.no_ingress && IsOf(held, line);
                     });
}

bool HadNone(const std::vector<const ClusterView*>& views,
             const LineConfig& line) {
  const PodCount* latest = nullptr;
  for (const ClusterView* view : views) {
    const auto it = view->pods.find(line.ingress);
    if (it == view->pods.end()) {
      if (WasAssumed(*view, line)) return true;
      continue;
    }
    if (latest == nullptr || latest->observed_ms < it->second.observed_ms) {
      latest = &it->second;
    }
  }
  return latest != nullptr && latest->pods == 0;
}

}  // namespace

void AssumeIngresses(const WatcherConfig& config, uint32_t cluster,
                     const std::vector<const ClusterView*>& others,
                     ClusterView* view) {
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster || line.ingress.empty() ||
        view->pods.count(line.ingress) != 0 || !HadNone(others, line)) {
      continue;
    }
    for (ViewLine& held : view->lines) {
      if (IsOf(held, line)) held.no_ingress = true;
    }
  }
}

}  // namespace dynweight

// See held_instances.h.

#include "watcher/state/held_instances.h"

#include <iterator>

namespace dynweight {
namespace {

bool IsBetter(const InstanceSet& a, const InstanceSet& b) {
  if (a.provisional != b.provisional) return b.provisional;
  return a.observed_ms > b.observed_ms;
}

const InstanceSet* Find(const ClusterView& view, const std::string& key) {
  const auto it = view.instances.find(key);
  return it == view.instances.end() ? nullptr : &it->second;
}

}  // namespace

void MergeInstances(ClusterView* from, ClusterView* view) {
  for (auto& [key, set] : from->instances) {
    const auto [it, first] = view->instances.try_emplace(key, set);
    if (!first && IsBetter(set, it->second)) it->second = std::move(set);
  }
}

void TakeInstances(const WatcherConfig& config, uint32_t cluster,
                   const ClusterView* known,
                   const std::vector<const ClusterView*>& others,
                   ClusterView* view) {
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster || !line.instances()) continue;
    if (known != nullptr) {
      // The same question: what stands in for its answer stays, too.
      if (const InstanceSet* set = Find(*known, line.source)) {
        view->instances.emplace(line.source, *set);
        continue;
      }
    }
    const InstanceSet* best = nullptr;
    for (const ClusterView* other : others) {
      const InstanceSet* set = Find(*other, line.source);
      if (set == nullptr || set->instances.empty()) continue;
      if (best == nullptr || IsBetter(*set, *best)) best = set;
    }
    if (best == nullptr) continue;
    InstanceSet& held =
        view->instances.emplace(line.source, *best).first->second;
    held.provisional = true;
  }
}

void RetainInstances(std::set<std::pair<std::string, std::string>>* kept,
                     ClusterView* view) {
  for (auto it = view->instances.begin(); it != view->instances.end();) {
    const bool stays = !it->second.provisional &&
                       kept->insert({view->cluster, it->first}).second;
    it = stays ? std::next(it) : view->instances.erase(it);
  }
}

}  // namespace dynweight

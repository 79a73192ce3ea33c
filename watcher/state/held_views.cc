// See held_views.h.

#include "watcher/state/held_views.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "watcher/state/held_ingresses.h"
#include "watcher/state/held_instances.h"
#include "weightcalc/ingress_node.h"

namespace dynweight {
namespace {

constexpr size_t kNoView = SIZE_MAX;

std::vector<uint64_t> ApiIds(const ClusterConfig& cluster) {
  std::vector<uint64_t> ids;
  ids.reserve(cluster.api.size());
  for (const std::string& url : cluster.api) ids.push_back(ApiId(url));
  std::sort(ids.begin(), ids.end());
  return ids;
}

bool HasCommon(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
  return std::any_of(a.begin(), a.end(), [&b](uint64_t id) {
    return std::find(b.begin(), b.end(), id) != b.end();
  });
}

// The later word about one count.
void Later(const PodCount& word, PodCount* count) {
  if (word.observed_ms > count->observed_ms) *count = word;
}

// Puts what `from` knows of the same cluster into `view`; nodes of another
// source that lose go to `others`.
void Merge(ClusterView from, ClusterView* view,
           std::vector<ClusterView>* others) {
  for (const auto& [key, count] : from.pods) {
    Later(count, &view->pods.try_emplace(key, count).first->second);
  }
  MergeInstances(&from, view);
  if (view->api.empty()) view->api = from.api;
  if (view->lines.empty()) view->lines = std::move(from.lines);
  if (!from.nodes.has_value()) return;
  const bool same = from.node_source == view->node_source;
  const bool later = !view->nodes.has_value() ||
                     view->nodes->observed_ms < from.nodes->observed_ms;
  if (later) {
    std::swap(view->nodes, from.nodes);
    std::swap(view->node_source, from.node_source);
  }
  if (same || !from.nodes.has_value()) return;
  ClusterView other;
  other.cluster = from.cluster;
  other.api = from.api;
  other.node_source = std::move(from.node_source);
  other.nodes = std::move(from.nodes);
  others->push_back(std::move(other));
}

class Takeover {
 public:
  Takeover(const WatcherConfig& config, std::vector<ClusterView> held,
           int64_t now_ms)
      : config_(config), now_ms_(now_ms) {
    for (const LineConfig& line : config.lines) {
      upstreams_.emplace(line.cluster, line.upstream);
    }
    for (ClusterView& view : held) Sort(std::move(view));
    for (ClusterView& view : others_) {
      view.since_ms = now_ms_;
      retained_.push_back(std::move(view));
    }
    // The latest first; those of one time keep their order.
    std::multimap<int64_t, ClusterView, std::greater<>> by_time;
    for (ClusterView& view : retained_) {
      by_time.emplace(view.since_ms, std::move(view));
    }
    retained_.clear();
    for (auto& [since_ms, view] : by_time) {
      retained_.push_back(std::move(view));
    }
  }

  TakenOver Run() {
    TakenOver result;
    for (const ClusterConfig& cluster : config_.clusters) {
      ids_.push_back(ApiIds(cluster));
      result.views.push_back(InitialView(cluster, now_ms_));
      result.views.back().api = ids_.back();
    }
    Match();
    for (uint32_t c = 0; c < config_.clusters.size(); ++c) {
      TakeNodes(c, &result.views[c]);
      TakePods(c, &result.views[c]);
      TakeInstances(config_, c, Known(c), Akin(c), &result.views[c]);
    }
    for (const LineConfig& line : config_.lines) {
      result.views[line.cluster].lines.push_back(
          {line.upstream, line.source, std::nullopt, line.instances()});
    }
    AssumeCounts(&result.views);
    for (uint32_t c = 0; c < config_.clusters.size(); ++c) {
      AssumeIngresses(config_, c, Akin(c), &result.views[c]);
    }
    Retain(result.views, &result.retained);
    return result;
  }

 private:
  // What a line that the upstream has no longer counted on.
  struct Replaced {
    size_t view;  // in current_
    const ViewLine* line;
    PodCount count;
    bool used = false;
  };

  void Sort(ClusterView view) {
    if (view.nodes.has_value()) view.nodes = SaneNodes(*view.nodes);
    if (view.since_ms != 0) {
      // After a clock that was set back it begins anew.
      view.since_ms = std::min(view.since_ms, now_ms_);
      if (now_ms_ - view.since_ms <= kRetainMs) {
        retained_.push_back(std::move(view));
      }
      return;
    }
    for (ClusterView& known : current_) {
      if (known.cluster == view.cluster) {
        Merge(std::move(view), &known, &others_);
        return;
      }
    }
    current_.push_back(std::move(view));
  }

  bool Configured(const std::string& cluster) const {
    return std::any_of(
        config_.clusters.begin(), config_.clusters.end(),
        [&](const ClusterConfig& c) { return c.name == cluster; });
  }

  bool SharesUpstream(uint32_t cluster, const ClusterView& view) const {
    return std::any_of(view.lines.begin(), view.lines.end(),
                       [&](const ViewLine& held) {
                         return upstreams_.count({cluster, held.upstream}) != 0;
                       });
  }

  // Gives each cluster a view that is nobody else's, as `fits` says.
  template <typename Fits>
  void MatchBy(Fits&& fits) {
    for (uint32_t c = 0; c < config_.clusters.size(); ++c) {
      if (match_[c] != kNoView) continue;
      for (size_t i = 0; i < current_.size(); ++i) {
        if (claimed_[i] || !fits(c, current_[i])) continue;
        match_[c] = i;
        claimed_[i] = true;
        break;
      }
    }
  }

  void Match() {
    match_.assign(config_.clusters.size(), kNoView);
    claimed_.assign(current_.size(), false);
    const auto named = [this](uint32_t c, const ClusterView& view) {
      return view.cluster == config_.clusters[c].name;
    };
    const auto same_api = [this](uint32_t c, const ClusterView& view) {
      return HasCommon(ids_[c], view.api);
    };
    MatchBy([&](uint32_t c, const ClusterView& view) {
      return named(c, view) && (view.api == ids_[c] || same_api(c, view) ||
                                view.api.empty() || ids_[c].empty());
    });
    // Several clusters may be read from one API server: by their upstreams and
    // by the source of their nodes they are told apart.
    MatchBy([&](uint32_t c, const ClusterView& view) {
      return same_api(c, view) && !Configured(view.cluster) &&
             SharesUpstream(c, view);
    });
    MatchBy([&](uint32_t c, const ClusterView& view) {
      return same_api(c, view) &&
             view.node_source == config_.clusters[c].nodes.Key();
    });
    MatchBy([&](uint32_t c, const ClusterView& view) {
      return same_api(c, view) && !Configured(view.cluster);
    });
    MatchBy(named);
    MatchBy([&](uint32_t c, const ClusterView& view) {
      return !Configured(view.cluster) && SharesUpstream(c, view);
    });
  }

  const ClusterView* Matched(uint32_t cluster) const {
    return match_[cluster] == kNoView ? nullptr : &current_[match_[cluster]];
  }

  // The view that is known as this cluster's, not only taken for it.
  const ClusterView* Known(uint32_t cluster) const {
    const ClusterView* view = Matched(cluster);
    return view != nullptr && view->cluster == config_.clusters[cluster].name
               ? view
               : nullptr;
  }

  // Of the cluster's name; or of one that has gone, of the same API server.
  bool RetainedOf(uint32_t cluster, const ClusterView& view) const {
    return view.cluster == config_.clusters[cluster].name ||
           (HasCommon(ids_[cluster], view.api) && !Configured(view.cluster));
  }

  // What may be taken for this cluster.
  std::vector<const ClusterView*> Akin(uint32_t cluster) const {
    std::vector<const ClusterView*> views;
    if (Matched(cluster) != nullptr) views.push_back(Matched(cluster));
    for (const ClusterView& view : retained_) {
      if (RetainedOf(cluster, view)) views.push_back(&view);
    }
    return views;
  }

  // A document has room for as many nodes as its configuration had slots: with
  // more slots, the others are those that were retained then. Together they are
  // as many as there were.
  void CompleteNodes(uint32_t cluster, ClusterView* view) const {
    for (const ClusterView& held : retained_) {
      if (view->nodes->cut == 0) return;
      if (held.cluster != config_.clusters[cluster].name || !held.nodes ||
          held.node_source != view->node_source) {
        continue;
      }
      std::set<IpAddress> present;
      for (const IngressNode& node : view->nodes->nodes) {
        present.insert(node.address);
      }
      for (const IngressNode& node : held.nodes->nodes) {
        if (view->nodes->cut == 0) break;
        if (!present.insert(node.address).second) continue;
        view->nodes->nodes.push_back(node);
        --view->nodes->cut;
      }
      SortNodes(&view->nodes->nodes);
    }
  }

  void TakeNodes(uint32_t cluster, ClusterView* view) const {
    const NodeSource& asked = config_.clusters[cluster].nodes;
    if (asked.kind == NodeSource::Kind::kAddresses) return;
    const std::string key = asked.Key();
    const ClusterView* matched = Matched(cluster);
    const ClusterView* known = Known(cluster);
    // The same question: what stands in for its answer stays, too.
    if (known != nullptr && known->nodes.has_value() &&
        known->node_source == key) {
      view->nodes = known->nodes;
      CompleteNodes(cluster, view);
      if (!view->nodes->nodes.empty()) return;
      view->nodes.reset();
    }
    const ClusterView* best = nullptr;
    const auto consider = [&](const ClusterView& held, bool any_source) {
      if (!held.nodes.has_value() || held.nodes->nodes.empty() ||
          (!any_source && held.node_source != key)) {
        return;
      }
      if (best == nullptr ||
          best->nodes->observed_ms < held.nodes->observed_ms) {
        best = &held;
      }
    };
    if (matched != nullptr) consider(*matched, /*any_source=*/false);
    for (const ClusterView& held : retained_) {
      if (RetainedOf(cluster, held)) consider(held, /*any_source=*/false);
    }
    if (best == nullptr && matched != nullptr) consider(*matched, true);
    if (best == nullptr) {
      for (const ClusterView& held : retained_) {
        if (held.cluster == config_.clusters[cluster].name) {
          consider(held, /*any_source=*/true);
        }
      }
    }
    if (best == nullptr) return;
    view->nodes = best->nodes;
    view->nodes->provisional = true;
    view->node_source = best->node_source.substr(0, kMaxForeignKeyBytes);
    CompleteNodes(cluster, view);
  }

  void TakePods(uint32_t cluster, ClusterView* view) const {
    const ClusterView* known = Known(cluster);
    if (known == nullptr) return;
    for (const std::string& key : UsedSources(config_, cluster)) {
      const auto it = known->pods.find(key);
      if (it != known->pods.end()) view->pods.emplace(key, it->second);
    }
  }

  // The same count from where it is not certain any more.
  std::optional<PodCount> HeldCount(uint32_t cluster,
                                    const ViewLine& line) const {
    std::optional<PodCount> best;
    const auto consider = [&best](const PodCount& count) {
      if (!best || best->observed_ms < count.observed_ms) best = count;
    };
    const auto look = [&](const ClusterView& held) {
      const auto it = held.pods.find(line.source);
      if (it != held.pods.end()) consider(it->second);
    };
    if (const ClusterView* matched = Matched(cluster)) {
      look(*matched);
      for (const ViewLine& held : matched->lines) {
        if (held.upstream != line.upstream || held.source != line.source ||
            !held.assumed) {
          continue;
        }
        // The same line, still unanswered: what it counts on stays.
        if (Known(cluster) != nullptr) return held.assumed;
        consider(*held.assumed);
      }
    }
    for (const ClusterView& held : retained_) {
      if (RetainedOf(cluster, held)) look(held);
    }
    return best;
  }

  // Lines that no upstream has any longer, with what they counted on.
  std::vector<Replaced> ReplacedLines(const std::set<std::string>& upstreams) {
    std::set<std::tuple<size_t, std::string, std::string>> asked;
    for (const LineConfig& line : config_.lines) {
      if (line.instances()) continue;
      asked.emplace(match_[line.cluster], line.upstream, line.source);
    }
    std::vector<Replaced> replaced;
    for (size_t i = 0; i < current_.size(); ++i) {
      for (const ViewLine& line : current_[i].lines) {
        if (line.instances || upstreams.count(line.upstream) == 0 ||
            asked.count({i, line.upstream, line.source}) != 0) {
          continue;
        }
        const auto it = current_[i].pods.find(line.source);
        if (it != current_[i].pods.end()) {
          replaced.push_back({i, &line, it->second});
        } else if (line.assumed) {
          replaced.push_back({i, &line, *line.assumed});
        }
      }
    }
    return replaced;
  }

  void AssumeCounts(std::vector<ClusterView>* views) {
    struct Open {
      uint32_t cluster;
      ViewLine* line;
    };
    std::vector<Open> open;
    std::set<std::string> upstreams;
    for (uint32_t c = 0; c < views->size(); ++c) {
      ClusterView& view = (*views)[c];
      for (ViewLine& line : view.lines) {
        if (line.instances || view.pods.count(line.source) != 0) continue;
        line.assumed = HeldCount(c, line);
        if (line.assumed) continue;
        open.push_back({c, &line});
        upstreams.insert(line.upstream);
      }
    }
    if (open.empty()) return;
    std::vector<Replaced> replaced = ReplacedLines(upstreams);
    for (const bool same_cluster : {true, false}) {
      for (Open& o : open) {
        if (o.line->assumed) continue;
        for (Replaced& r : replaced) {
          if (r.used || r.line->upstream != o.line->upstream ||
              (same_cluster && r.view != match_[o.cluster])) {
            continue;
          }
          o.line->assumed = r.count;
          r.used = true;
          break;
        }
      }
    }
    for (Open& o : open) {
      if (!o.line->assumed) o.line->assumed = RetainedGuess(o.cluster, *o.line);
    }
  }

  // For an upstream that had no line of the cluster lately: its last one.
  std::optional<PodCount> RetainedGuess(uint32_t cluster,
                                        const ViewLine& line) const {
    if (const ClusterView* matched = Matched(cluster)) {
      for (const ViewLine& held : matched->lines) {
        if (held.upstream == line.upstream) return std::nullopt;
      }
    }
    for (const ClusterView& view : retained_) {
      if (!RetainedOf(cluster, view)) continue;
      for (const ViewLine& held : view.lines) {
        const auto it = view.pods.find(held.source);
        if (held.upstream == line.upstream && it != view.pods.end()) {
          return it->second;
        }
      }
    }
    return std::nullopt;
  }

  void Retain(const std::vector<ClusterView>& views,
              std::vector<ClusterView>* retained) {
    std::vector<ClusterView> all;
    for (ClusterView& view : current_) {
      view.since_ms = now_ms_;
      // Of what a document had no room for more was retained before.
      if (view.nodes && (view.nodes->provisional || view.nodes->cut != 0)) {
        view.nodes.reset();
      }
      all.push_back(std::move(view));
    }
    for (ClusterView& view : retained_) all.push_back(std::move(view));
    std::set<std::pair<std::string, std::string>> nodes, pods, instances;
    for (uint32_t c = 0; c < views.size(); ++c) {
      const ClusterView& view = views[c];
      if (view.nodes && !view.nodes->provisional && view.nodes->cut == 0 &&
          view.nodes->nodes.size() <= MaxUsableNodes(config_, c)) {
        nodes.insert({view.cluster, view.node_source});
      }
      for (const auto& [key, count] : view.pods) {
        pods.insert({view.cluster, key});
      }
      for (const auto& [key, set] : view.instances) {
        if (!set.provisional) instances.insert({view.cluster, key});
      }
    }
    for (ClusterView& view : all) {
      if (view.nodes &&
          !nodes.insert({view.cluster, view.node_source}).second) {
        view.nodes.reset();
      }
      for (auto it = view.pods.begin(); it != view.pods.end();) {
        it = pods.insert({view.cluster, it->first}).second
                 ? std::next(it)
                 : view.pods.erase(it);
      }
      RetainInstances(&instances, &view);
      if (!view.nodes && view.pods.empty() && view.instances.empty()) continue;
      view.lines.erase(
          std::remove_if(view.lines.begin(), view.lines.end(),
                         [&view](const ViewLine& line) {
                           return line.instances
                                      ? view.instances.count(line.source) == 0
                                      : view.pods.count(line.source) == 0;
                         }),
          view.lines.end());
      for (ViewLine& line : view.lines) {
        line.assumed.reset();
        line.no_ingress = false;
      }
      retained->push_back(std::move(view));
      if (retained->size() == kMaxRetainedViews) break;
    }
  }

  const WatcherConfig& config_;
  const int64_t now_ms_;
  std::vector<ClusterView> current_;   // what was asked for, by cluster
  std::vector<ClusterView> retained_;  // the rest, the latest first
  std::vector<ClusterView> others_;    // what the merger left over
  std::set<std::pair<uint32_t, std::string>> upstreams_;  // of each cluster
  std::vector<std::vector<uint64_t>> ids_;  // of the configured clusters
  std::vector<size_t> match_;               // of each, in current_
  std::vector<bool> claimed_;               // of each of current_
};

}  // namespace

TakenOver TakeOver(const WatcherConfig& config, std::vector<ClusterView> held,
                   int64_t now_ms) {
  return Takeover(config, std::move(held), now_ms).Run();
}

}  // namespace dynweight

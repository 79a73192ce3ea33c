// See tuning_marks.h.

#include "watcher/tuning/tuning_marks.h"

#include <utility>

#include "weightcalc/weight_computation.h"

namespace dynweight {

TuningMarker::TuningMarker(const WatcherConfig& config,
                           std::vector<PeerTable> tables)
    : config_(config) {
  if (config.tuning_file.empty()) return;
  for (const PeerTable& table : tables) {
    tables_.push_back({table, {}, {}, {}, {}});
  }
  for (uint32_t i = 0; i < config.lines.size(); ++i) {
    tables_[config.lines[i].table].lines.push_back(i);
  }
  for (uint32_t i = 0; i < config.servers.size(); ++i) {
    tables_[config.servers[i].table].servers.push_back(i);
  }
  OnRules();
}

void TuningMarker::OnRules() {
  for (uint32_t i = 0; i < tables_.size(); ++i) dirty_.insert(i);
}

std::optional<uint32_t> TuningMarker::Mark(const Tuning& tuning,
                                           TuningMarks* marks) {
  marks->clear();
  if (dirty_.empty() || tables_.empty()) return std::nullopt;
  const uint32_t index = *dirty_.begin();
  dirty_.erase(dirty_.begin());
  Table& table = tables_[index];
  TuningMarks fresh(table.table.capacity());
  table.peers.clear();
  for (const uint32_t i : table.servers) {
    const ServerConfig& server = config_.servers[i];
    MarkSlot(tuning,
             EffectOn(tuning.Select(server.upstream, ""), AsTunedPeer(server)),
             server.slot, &table, &fresh);
  }
  for (const uint32_t i : table.lines) {
    const LineConfig& line = config_.lines[i];
    const Tuning::Selection rules =
        tuning.Select(line.upstream, config_.clusters[line.cluster].name);
    if (rules.empty()) continue;
    for (uint32_t n = 0; n < line.range.count; ++n) {
      const uint32_t slot = line.range.first + n;
      Peer peer;
      if (!table.table.Read(slot, &peer)) continue;
      MarkSlot(tuning, EffectOn(rules, AsTunedPeer(peer.identity)), slot,
               &table, &fresh);
    }
  }
  if (table.marks != fresh) {
    table.marks = fresh;
    *marks = std::move(fresh);
  }
  return index;
}

void TuningMarker::MarkSlot(const Tuning& tuning, const TuningEffect& effect,
                            uint32_t slot, Table* table, TuningMarks* marks) {
  if (const TuningRule* deciding = effect.Deciding()) {
    (*marks)[slot] = static_cast<uint16_t>(1 + tuning.IndexOf(deciding));
  }
  std::set<const TuningRule*> rules = {
      effect.drain, effect.weight, effect.freeze,   effect.scale,
      effect.min,   effect.max,    effect.no_drain, effect.no_freeze};
  rules.erase(nullptr);
  for (const TuningRule* rule : rules) ++table->peers[tuning.IndexOf(rule)];
}

std::vector<uint32_t> TuningMarker::Peers(const Tuning& tuning) const {
  std::vector<uint32_t> peers(tuning.rules().size());
  for (const Table& table : tables_) {
    for (const auto& [rule, count] : table.peers) {
      if (rule < peers.size()) peers[rule] += count;
    }
  }
  return peers;
}

}  // namespace dynweight

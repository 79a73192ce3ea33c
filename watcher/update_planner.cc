// See update_planner.h.

#include "watcher/update_planner.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "watcher/weight_text.h"

namespace dynweight {
namespace {

// `sent_ms` + `pace_ms`, or at once when nothing was ever sent.
int64_t After(int64_t sent_ms, int64_t pace_ms, int64_t now_ms) {
  if (sent_ms == INT64_MIN) return now_ms;
  return std::max(now_ms, sent_ms + pace_ms);
}

}  // namespace

UpdatePlanner::UpdatePlanner(const WatcherConfig& config,
                             std::vector<PeerTable> tables,
                             const std::vector<ClusterView>& views,
                             LogQueue* log, WeightChangeLog* change_log,
                             TuningFile* tuning, int64_t now_ms)
    : config_(config),
      views_(views),
      log_(log),
      change_log_(change_log),
      tuning_(tuning),
      marker_(config, tables),
      tuning_due_ms_(config.tuning_file.empty() ? kNever : now_ms),
      lines_(config.lines.size()),
      clusters_(config.clusters.size()) {
  tables_.reserve(tables.size());
  for (const PeerTable& table : tables) tables_.emplace_back(table);
  for (uint32_t i = 0; i < config.servers.size(); ++i) {
    const uint32_t table = config.servers[i].table;
    tables_[table].servers.push_back(i);
    MarkServers(table, now_ms);
  }
  for (uint32_t i = 0; i < config.lines.size(); ++i) {
    const LineConfig& line = config.lines[i];
    Cluster& cluster = clusters_[line.cluster];
    cluster.lines.push_back(i);
    cluster.lines_of_source[line.source].push_back(i);
    if (!line.ingress.empty()) {
      cluster.lines_of_source[line.ingress].push_back(i);
    }
    const Tuning::Selection rules = RulesFor(line);
    const std::optional<LineWeight> frozen =
        FrozenWeight(change_log->record(i));
    if (frozen && LineFreeze(rules) != nullptr) {
      lines_[i].held =
          ResumeFreeze(line, *frozen, rules, tables_[line.table].table);
      lines_[i].weight = frozen;
    } else {
      lines_[i].weight = ComputeLineWeight(line, views[line.cluster], rules);
    }
    // As the master or a predecessor left it.
    const LineRecord& record = change_log->record(i);
    Table& table = tables_[line.table];
    table.lines.push_back(i);
    if (record.known != 0) {
      table.scale = std::max<uint64_t>(record.scale, 1);
      lines_[i].largest = record.weight * table.scale;
    }
    if (lines_[i].weight) lines_[i].weight->scale = table.scale;
    MarkLine(i, now_ms);
  }
  for (uint32_t i = 0; i < clusters_.size(); ++i) {
    clusters_[i].room = RoomFor(config, i);
    clusters_[i].view_due_ms = now_ms;
    clusters_[i].status_due_ms = now_ms;
  }
}

void UpdatePlanner::OnChanges(uint32_t index, const ClusterChanges& changes,
                              int64_t now_ms) {
  Cluster& cluster = clusters_[index];
  if (changes.nodes) {
    for (const uint32_t line : cluster.lines) {
      if (!config_.lines[line].instances()) MarkLine(line, now_ms);
    }
  }
  for (const std::string& source : changes.sources) {
    cluster.texts.Forget(source);
    const auto it = cluster.lines_of_source.find(source);
    if (it == cluster.lines_of_source.end()) continue;
    for (const uint32_t line : it->second) MarkLine(line, now_ms);
  }
  if (changes.nodes || !changes.sources.empty()) {
    const auto pace = static_cast<int64_t>(cluster.view_bytes / kBytesPerMs);
    cluster.view_due_ms =
        std::min(cluster.view_due_ms,
                 After(cluster.view_sent_ms,
                       std::clamp(pace, kSmallPaceMs, kLargePaceMs), now_ms));
  } else if (changes.observed) {
    cluster.view_due_ms =
        std::min(cluster.view_due_ms,
                 After(cluster.view_sent_ms, kObservedPaceMs, now_ms));
  }
  if (changes.status) {
    cluster.status_due_ms =
        std::min(cluster.status_due_ms,
                 changes.status_at_once
                     ? now_ms
                     : After(cluster.status_sent_ms, kStatusPaceMs, now_ms));
  }
}

void UpdatePlanner::MarkLine(uint32_t index, int64_t now_ms) {
  Line& line = lines_[index];
  if (line.dirty) return;
  line.dirty = true;
  const uint32_t table = config_.lines[index].table;
  tables_[table].dirty_lines.push_back(index);
  MarkTable(table, now_ms);
}

void UpdatePlanner::MarkServers(uint32_t table, int64_t now_ms) {
  tables_[table].dirty_servers = true;
  MarkTable(table, now_ms);
}

void UpdatePlanner::MarkTable(uint32_t index, int64_t now_ms) {
  Table& table = tables_[index];
  if (table.waits) return;
  table.waits = true;
  due_tables_.insert({std::max(now_ms, table.next_write_ms), index});
}

void UpdatePlanner::OnTuning(const TuningFile::Changes& changes,
                             int64_t now_ms) {
  if (changes.status) tuning_due_ms_ = std::min(tuning_due_ms_, now_ms);
  if (!changes.rules) return;
  marker_.OnRules();
  for (uint32_t i = 0; i < lines_.size(); ++i) MarkLine(i, now_ms);
  for (uint32_t i = 0; i < tables_.size(); ++i) {
    if (!tables_[i].servers.empty()) MarkServers(i, now_ms);
  }
}

int64_t UpdatePlanner::DeadlineMs() const {
  int64_t deadline =
      std::min({log_->DeadlineMs(), decisions_due_ms_, tuning_due_ms_});
  if (!due_tables_.empty()) {
    deadline = std::min(deadline, due_tables_.begin()->first);
  }
  for (const Cluster& cluster : clusters_) {
    deadline = std::min({deadline, cluster.view_due_ms, cluster.status_due_ms});
  }
  return deadline;
}

std::unique_ptr<Update> UpdatePlanner::Build(
    int64_t now_ms, const std::function<std::string(uint32_t)>& status) {
  if (DeadlineMs() > now_ms) return nullptr;
  auto update = std::make_unique<Update>();
  while (!due_tables_.empty() && due_tables_.begin()->first <= now_ms) {
    const uint32_t table = due_tables_.begin()->second;
    due_tables_.erase(due_tables_.begin());
    PlanTable(table, now_ms, update.get());
  }
  const int64_t due_ms = update->lines.empty() ? now_ms : now_ms + kAlongMs;
  AddDocuments(now_ms, due_ms, status, update.get());
  AddTuning(now_ms, update.get());
  update->log = log_->Take(now_ms);
  AddDecisions(now_ms, due_ms, update.get());
  if (update->tables.empty() && update->lines.empty() &&
      update->documents.empty() && update->decisions.empty() &&
      update->marks.empty() && update->tuning.text.empty() &&
      update->tuning.status.empty() && update->log.empty()) {
    return nullptr;  // dirty lines that turned out to be right already
  }
  return update;
}

void UpdatePlanner::PlanTable(uint32_t index, int64_t now_ms, Update* update) {
  Table& table = tables_[index];
  table.waits = false;
  TableUpdate writes;
  writes.table = index;
  const uint64_t previous_scale = Rescale(index, now_ms);
  for (const uint32_t line : table.dirty_lines) {
    PlanLineOf(line, previous_scale, now_ms, update, &writes.writes);
  }
  table.dirty_lines.clear();
  if (table.dirty_servers) {
    for (const uint32_t i : table.servers) {
      const ServerConfig& server = config_.servers[i];
      const std::optional<SlotWrite> write =
          PlanServer(server, tuning_->tuning().Select(server.upstream, ""),
                     table.table, table.scale);
      if (write) writes.writes.push_back(*write);
    }
    table.dirty_servers = false;
  }
  if (writes.writes.empty()) return;
  table.next_write_ms = now_ms + config_.coalesce_ms;
  update->tables.push_back(std::move(writes));
  if (!config_.tuning_file.empty()) {
    marker_.OnPeers(index);
    // The next update's: by then these writes are in the table.
    tuning_due_ms_ = std::min(tuning_due_ms_, now_ms + 1);
  }
}

// What is to change may make other weights of the table too large, or let them
// be larger again: then all of them change. Returns the scale that the table
// has.
uint64_t UpdatePlanner::Rescale(uint32_t index, int64_t now_ms) {
  Table& table = tables_[index];
  for (const uint32_t i : table.dirty_lines) {
    const LineConfig& config = config_.lines[i];
    const Tuning::Selection rules = RulesFor(config);
    const std::optional<LineTarget> target =
        TargetOf(config, views_[config.cluster], rules, &lines_[i].held);
    if (target) lines_[i].largest = LargestWeight(config, *target, rules);
  }
  if (table.dirty_servers) {
    table.largest_server = 0;
    for (const uint32_t i : table.servers) {
      const ServerConfig& server = config_.servers[i];
      table.largest_server = std::max(
          table.largest_server,
          TunedWeight(server, tuning_->tuning().Select(server.upstream, "")));
    }
  }
  uint64_t largest = table.largest_server;
  for (const uint32_t i : table.lines) {
    largest = std::max(largest, lines_[i].largest);
  }
  const uint64_t previous = std::exchange(table.scale, WeightScale(largest));
  if (table.scale != previous) {
    for (const uint32_t i : table.lines) {
      if (std::exchange(lines_[i].dirty, true)) continue;
      table.dirty_lines.push_back(i);
    }
    table.dirty_servers = !table.servers.empty();
  }
  if (table.scale > 1 && table.scale != table.warned_scale &&
      !table.lines.empty()) {
    log_->Add(LogLine::Level::kWarn,
              ScaleText(config_.lines[table.lines[0]], largest, table.scale),
              now_ms);
  }
  table.warned_scale = table.scale;
  return previous;
}

void UpdatePlanner::PlanLineOf(uint32_t index, uint64_t previous_scale,
                               int64_t now_ms, Update* update,
                               std::vector<SlotWrite>* writes) {
  Line& line = lines_[index];
  const LineConfig& config = config_.lines[index];
  const Tuning::Selection rules = RulesFor(config);
  line.dirty = false;
  const PeerTable& table = tables_[config.table].table;
  std::optional<LineTarget> target =
      TargetOf(config, views_[config.cluster], rules, &line.held);
  std::optional<LineWeight> weight;
  std::vector<SlotWrite> plan;
  if (target) {
    target->weight.scale = tables_[config.table].scale;
    weight = target->weight;
    plan = PlanLine(config, *target, rules, table, previous_scale);
  }
  if (!plan.empty() || !(weight == line.weight)) {
    clusters_[config.cluster].explains = true;
  }
  const bool changed =
      weight ? change_log_->Note(index, line.weight, weight)
             : change_log_->NoteUnknown(index, views_[config.cluster]);
  if (changed || !line.recorded) {
    line.recorded = true;
    update->lines.push_back({index, change_log_->record(index)});
  }
  NoteWeight(index, weight, now_ms);
  writes->insert(writes->end(), std::make_move_iterator(plan.begin()),
                 std::make_move_iterator(plan.end()));
}

Tuning::Selection UpdatePlanner::RulesFor(const LineConfig& line) const {
  return tuning_->tuning().Select(line.upstream,
                                  config_.clusters[line.cluster].name);
}

void UpdatePlanner::AddTuning(int64_t now_ms, Update* update) {
  if (tuning_due_ms_ > now_ms) return;
  tuning_due_ms_ = kNever;
  TuningMarks marks;
  while (const std::optional<uint32_t> table =
             marker_.Mark(tuning_->tuning(), &marks)) {
    if (!marks.empty()) update->marks.push_back({*table, std::move(marks)});
  }
  const std::vector<uint32_t> peers = marker_.Peers(tuning_->tuning());
  tuning_->NotePeers(peers);
  TuningUpdate texts = {tuning_->text(), tuning_->EncodeStatus(peers)};
  if (texts.text != tuning_sent_.text) update->tuning.text = texts.text;
  if (texts.status != tuning_sent_.status) update->tuning.status = texts.status;
  tuning_sent_ = std::move(texts);
}

void UpdatePlanner::NoteWeight(uint32_t index,
                               const std::optional<LineWeight>& weight,
                               int64_t now_ms) {
  if (!weight) return;
  Line& line = lines_[index];
  const LineConfig& config = config_.lines[index];
  const std::string& cluster = config_.clusters[config.cluster].name;
  if (!line.weight || !line.weight->same_but_held(*weight)) {
    log_->Add(LogLine::Level::kNotice,
              WeightChangeText(config, cluster, line.weight, *weight), now_ms);
  }
  line.weight = weight;
  const bool short_of_slots = weight->ingress_nodes > weight->assigned_nodes();
  if (short_of_slots && line.warned_nodes != weight->ingress_nodes) {
    log_->Add(LogLine::Level::kWarn, SlotShortageText(config, cluster, *weight),
              now_ms);
  }
  line.warned_nodes = short_of_slots ? weight->ingress_nodes : 0;
}

void UpdatePlanner::AddDecisions(int64_t now_ms, int64_t due_ms,
                                 Update* update) {
  if (change_log_->changed()) {
    decisions_due_ms_ = After(decisions_sent_ms_, kDecisionsPaceMs, now_ms);
  }
  if (decisions_due_ms_ > due_ms) return;
  update->decisions = change_log_->EncodeDecisions();
  decisions_sent_ms_ = now_ms;
  decisions_due_ms_ = kNever;
}

void UpdatePlanner::AddDocuments(
    int64_t now_ms, int64_t due_ms,
    const std::function<std::string(uint32_t)>& status, Update* update) {
  for (uint32_t i = 0; i < clusters_.size(); ++i) {
    Cluster& cluster = clusters_[i];
    DocumentUpdate document;
    document.cluster = i;
    const bool with_writes =
        cluster.explains && cluster.view_bytes <= kSmallDocument;
    cluster.explains = false;
    if (cluster.view_due_ms <= due_ms ||
        (with_writes && cluster.view_due_ms != kNever)) {
      if (now_ms - cluster.texts_ms >= kObservedPaceMs) {
        cluster.texts.Clear();
        cluster.texts_ms = now_ms;
      }
      document.view =
          EncodeClusterView(views_[i], cluster.room, &cluster.texts);
      cluster.view_bytes = document.view.size();
      cluster.view_sent_ms = now_ms;
      cluster.view_due_ms = kNever;
    }
    if (cluster.status_due_ms <= due_ms) {
      document.status = status(i);
      cluster.status_sent_ms = now_ms;
      cluster.status_due_ms = kNever;
    }
    if (!document.view.empty() || !document.status.empty()) {
      update->documents.push_back(std::move(document));
    }
  }
}

}  // namespace dynweight

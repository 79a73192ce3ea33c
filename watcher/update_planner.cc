// See update_planner.h.

#include "watcher/update_planner.h"

#include <algorithm>
#include <iterator>

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
                             ChangeLog* log, int64_t now_ms)
    : config_(config),
      views_(views),
      log_(log),
      lines_(config.lines.size()),
      clusters_(config.clusters.size()) {
  tables_.reserve(tables.size());
  for (const PeerTable& table : tables) {
    tables_.push_back({table, {}, INT64_MIN, false});
  }
  for (uint32_t i = 0; i < config.lines.size(); ++i) {
    const LineConfig& line = config.lines[i];
    Cluster& cluster = clusters_[line.cluster];
    cluster.lines.push_back(i);
    cluster.lines_of_source[line.source.Key()].push_back(i);
    lines_[i].weight = WeighLine(line, views[line.cluster]);
    MarkLine(i, now_ms);
  }
  for (uint32_t i = 0; i < clusters_.size(); ++i) {
    clusters_[i].max_nodes = MaxUsableNodes(config, i);
    clusters_[i].view_due_ms = now_ms;
    clusters_[i].status_due_ms = now_ms;
  }
}

void UpdatePlanner::OnChanges(uint32_t index, const ClusterChanges& changes,
                              int64_t now_ms) {
  Cluster& cluster = clusters_[index];
  if (changes.nodes) {
    for (const uint32_t line : cluster.lines) MarkLine(line, now_ms);
  }
  for (const std::string& source : changes.sources) {
    const auto it = cluster.lines_of_source.find(source);
    if (it == cluster.lines_of_source.end()) continue;
    for (const uint32_t line : it->second) MarkLine(line, now_ms);
  }
  if (changes.nodes || !changes.sources.empty()) {
    const int64_t pace =
        cluster.view_bytes > kSmallDocument ? kLargePaceMs : kSmallPaceMs;
    cluster.view_due_ms = std::min(cluster.view_due_ms,
                                   After(cluster.view_sent_ms, pace, now_ms));
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
  const uint32_t table_index = config_.lines[index].table;
  Table& table = tables_[table_index];
  table.dirty_lines.push_back(index);
  if (table.waits) return;
  table.waits = true;
  due_tables_.insert({std::max(now_ms, table.next_write_ms), table_index});
}

int64_t UpdatePlanner::DeadlineMs() const {
  int64_t deadline = log_->DeadlineMs();
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
  AddDocuments(now_ms, status, update.get());
  update->log = log_->Take(now_ms);
  if (update->tables.empty() && update->documents.empty() &&
      update->log.empty()) {
    return nullptr;  // dirty lines that turned out to be right already
  }
  return update;
}

void UpdatePlanner::PlanTable(uint32_t index, int64_t now_ms, Update* update) {
  Table& table = tables_[index];
  table.waits = false;
  TableUpdate writes;
  writes.table = index;
  for (const uint32_t i : table.dirty_lines) {
    const LineConfig& line = config_.lines[i];
    const ClusterView& view = views_[line.cluster];
    lines_[i].dirty = false;
    std::vector<SlotWrite> plan = PlanLine(line, view, table.table);
    const std::optional<LineWeight> weight = WeighLine(line, view);
    if (!plan.empty() || !(weight == lines_[i].weight)) {
      clusters_[line.cluster].explains = true;
    }
    NoteWeight(i, weight, now_ms);
    writes.writes.insert(writes.writes.end(),
                         std::make_move_iterator(plan.begin()),
                         std::make_move_iterator(plan.end()));
  }
  table.dirty_lines.clear();
  if (writes.writes.empty()) return;
  table.next_write_ms = now_ms + config_.coalesce_ms;
  update->tables.push_back(std::move(writes));
}

void UpdatePlanner::NoteWeight(uint32_t index,
                               const std::optional<LineWeight>& weight,
                               int64_t now_ms) {
  if (!weight) return;
  Line& line = lines_[index];
  const LineConfig& config = config_.lines[index];
  const std::string& cluster = config_.clusters[config.cluster].name;
  if (!(line.weight == weight)) {
    log_->Add(LogLine::Level::kNotice,
              WeightChangeText(config, cluster, line.weight, *weight), now_ms);
    line.weight = weight;
  }
  const bool short_of_slots = weight->ingress_nodes > weight->used_nodes;
  if (short_of_slots && line.warned_nodes != weight->ingress_nodes) {
    log_->Add(LogLine::Level::kWarn, SlotShortageText(config, cluster, *weight),
              now_ms);
  }
  line.warned_nodes = short_of_slots ? weight->ingress_nodes : 0;
}

void UpdatePlanner::AddDocuments(
    int64_t now_ms, const std::function<std::string(uint32_t)>& status,
    Update* update) {
  for (uint32_t i = 0; i < clusters_.size(); ++i) {
    Cluster& cluster = clusters_[i];
    DocumentUpdate document;
    document.cluster = i;
    const bool with_writes =
        cluster.explains && cluster.view_bytes <= kSmallDocument;
    cluster.explains = false;
    if (cluster.view_due_ms <= now_ms ||
        (with_writes && cluster.view_due_ms != kNever)) {
      document.view = EncodeClusterView(views_[i], cluster.max_nodes);
      cluster.view_bytes = document.view.size();
      cluster.view_sent_ms = now_ms;
      cluster.view_due_ms = kNever;
    }
    if (cluster.status_due_ms <= now_ms) {
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

// See weight_change_log.h.

#include "watcher/weight_change_log.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/weight_text.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

std::string InstancesReason(const LineConfig& line, const LineWeight& weight) {
  if (weight.pods == 0) {
    return weight.weight == 0 ? "no instance serves, empty=drain: no request"
                              : "no instance serves, empty=keep: the last have "
                                "the least weight";
  }
  std::string reason = "base * an instance's own weight";
  if (weight.drained_nodes != 0) {
    absl::StrAppend(&reason, ", ", weight.drained_nodes, " drained by tuning");
  }
  if (weight.assigned_nodes() < weight.ingress_nodes) {
    absl::StrAppend(&reason, ", slots=", line.range.count,
                    " are used: raise slots=");
  }
  if (weight.scale != 1) {
    absl::StrAppend(&reason, ", divided by ", weight.scale, ": too large");
  }
  return reason;
}

// Why the weight is what it is, for a person.
std::string Reason(const LineConfig& line, const LineWeight& weight) {
  if (weight.frozen) return "frozen by tuning: the numbers of that time hold";
  if (weight.provisional) {
    return "provisional: the previous numbers hold until the API has answered";
  }
  if (line.instances()) return InstancesReason(line, weight);
  if (weight.no_ingress) {
    return absl::StrCat(
        "no ", line.ingress, ", its pods don't count, empty=",
        weight.weight == 0 ? "drain: no request" : "keep: the least weight");
  }
  if (weight.pods == 0) {
    return weight.weight == 0 ? "no ready pod, empty=drain: no request"
                              : "no ready pod, empty=keep: the least weight";
  }
  std::string reason = "pods * base / ingress_nodes";
  if (weight.drained_nodes != 0) {
    absl::StrAppend(&reason, ", ", weight.drained_nodes,
                    " of them drained by tuning");
  }
  if (weight.assigned_nodes() < weight.ingress_nodes) {
    absl::StrAppend(&reason, ", slots=", line.range.count,
                    " of them are used: raise slots=");
  }
  if (weight.scale != 1) {
    absl::StrAppend(&reason, ", divided by ", weight.scale,
                    " with the whole upstream: too large");
  }
  if (weight.pods * line.base < weight.used_nodes) {
    return reason + ", raised to the least weight";
  }
  return reason;
}

}  // namespace

LineRecord MakeLineRecord(const LineConfig& line,
                          const std::optional<LineWeight>& weight) {
  LineRecord record;
  if (!weight) {
    record.reason.Set("not known yet: the weight holds");
    return record;
  }
  record.known = 1;
  record.pods = weight->pods;
  record.ingress_nodes = weight->ingress_nodes;
  record.used_nodes = weight->used_nodes;
  record.drained_nodes = weight->drained_nodes;
  record.frozen = weight->frozen;
  record.provisional = weight->provisional;
  record.no_ingress = weight->no_ingress;
  record.weight = weight->in_force();
  record.scale = weight->scale;
  record.reason.Set(Reason(line, *weight));
  return record;
}

std::optional<LineWeight> FrozenWeight(const LineRecord& record) {
  if (record.known == 0 || record.frozen == 0) return std::nullopt;
  LineWeight weight;
  weight.pods = record.pods;
  weight.ingress_nodes = record.ingress_nodes;
  weight.used_nodes = record.used_nodes;
  weight.drained_nodes = record.drained_nodes;
  weight.no_ingress = record.no_ingress != 0;
  weight.scale = std::max<uint64_t>(record.scale, 1);
  weight.weight = record.weight * weight.scale;
  weight.frozen = true;
  return weight;
}

std::vector<Decision> DecodeDecisions(std::string_view bytes) {
  std::vector<Decision> decisions(
      std::min(bytes.size() / sizeof(Decision), kMaxDecisions));
  if (!decisions.empty()) {
    std::memcpy(static_cast<void*>(decisions.data()), bytes.data(),
                decisions.size() * sizeof(Decision));
  }
  return decisions;
}

WeightChangeLog::WeightChangeLog(const WatcherConfig& config,
                                 const Clock* clock)
    : config_(config), clock_(clock), records_(config.lines.size()) {}

void WeightChangeLog::Restore(
    const std::vector<std::optional<LineRecord>>& lines,
    std::string_view decisions) {
  for (size_t i = 0; i < std::min(lines.size(), records_.size()); ++i) {
    if (lines[i]) records_[i] = *lines[i];
  }
  for (const Decision& decision : DecodeDecisions(decisions)) Add(decision);
}

void WeightChangeLog::Add(const Decision& decision) {
  decisions_.push_back(decision);
  auto it = decisions_of_.find(decision.upstream.view());
  if (it == decisions_of_.end()) {
    it = decisions_of_.emplace(decision.upstream.view(), 0u).first;
  }
  if (++it->second == 2) ++with_more_;
  if (decisions_.size() > kMaxDecisions) MakeRoom();
}

// Drops the oldest one that is not its upstream's last.
void WeightChangeLog::MakeRoom() {
  auto drop = decisions_.begin();
  auto of = decisions_of_.find(drop->upstream.view());
  while (with_more_ != 0 && of->second == 1) {
    of = decisions_of_.find((++drop)->upstream.view());
  }
  if (--of->second == 1) --with_more_;
  if (of->second == 0) decisions_of_.erase(of);
  decisions_.erase(drop);
}

bool WeightChangeLog::Note(uint32_t index,
                           const std::optional<LineWeight>& before,
                           const std::optional<LineWeight>& after) {
  // What is not known any more holds, and so does what explains it.
  if (!after) return false;
  const LineConfig& line = config_.lines[index];
  LineRecord record = MakeLineRecord(line, after);
  record.generation = records_[index].generation;
  record.changed_ms = records_[index].changed_ms;
  if (!before || !before->same_but_held(*after)) {
    Decision decision;
    decision.time_ms = clock_->UnixMs();
    decision.old_weight = before ? before->in_force() : 0;
    decision.new_weight = after->in_force();
    decision.first = before ? 0 : 1;
    decision.upstream.Set(line.upstream);
    decision.cluster.Set(config_.clusters[line.cluster].name);
    decision.why.Set(CauseText(line, before, *after));
    if (!before || before->in_force() != after->in_force()) {
      ++record.generation;
      record.changed_ms = decision.time_ms;
    }
    Add(decision);
    changed_ = true;
  }
  const bool same = std::memcmp(&record, &records_[index], sizeof record) == 0;
  records_[index] = record;
  return !same;
}

bool WeightChangeLog::NoteUnknown(uint32_t index, const ClusterView& view) {
  LineRecord& record = records_[index];
  if (record.known != 0) return false;
  LineRecord fresh = MakeLineRecord(config_.lines[index], std::nullopt);
  const LineConfig& line = config_.lines[index];
  if (line.instances()) {
    if (view.instances.count(line.source) != 0) {
      fresh.reason.Set("no instance is found: see the cluster's warnings");
    }
  } else if (view.nodes && view.nodes->nodes.empty()) {
    fresh.reason.Set("no ingress node is found: see the cluster's warnings");
  }
  const bool same = std::memcmp(&fresh, &record, sizeof fresh) == 0;
  record = fresh;
  return !same;
}

std::string WeightChangeLog::EncodeDecisions() {
  if (!std::exchange(changed_, false)) return std::string();
  std::string bytes;
  bytes.reserve(decisions_.size() * sizeof(Decision));
  for (const Decision& decision : decisions_) {
    bytes.append(reinterpret_cast<const char*>(&decision), sizeof(decision));
  }
  return bytes;
}

}  // namespace dynweight

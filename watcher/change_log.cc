// See change_log.h.

#include "watcher/change_log.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

std::string LineName(const LineConfig& line, const std::string& cluster) {
  return absl::StrCat("upstream \"", line.upstream, "\" cluster \"", cluster,
                      "\": ");
}

template <typename Number>
std::string Change(const char* what, const std::optional<Number>& before,
                   Number after) {
  if (!before || *before == after) return absl::StrCat(what, " ", after);
  return absl::StrCat(what, " ", *before, " -> ", after);
}

}  // namespace

std::string PrintableText(std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  static constexpr std::string_view kCut = "...";
  std::string printable;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte < 0x7f;
    if (printable.size() + (plain ? 1 : 4) > kMaxLogText - kCut.size()) {
      return printable.append(kCut);
    }
    if (plain) {
      printable.push_back(c);
    } else {
      printable.append({'\\', 'x', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  return printable;
}

std::string CauseText(const std::optional<LineWeight>& before,
                      const LineWeight& after) {
  std::optional<uint64_t> pods, nodes, drained;
  if (before) {
    pods = before->pods;
    nodes = before->ingress_nodes;
    drained = before->drained_nodes;
  }
  std::string text = absl::StrCat(Change("pods", pods, after.pods), ", ",
                                  Change("nodes", nodes, after.ingress_nodes));
  if (after.drained_nodes != drained.value_or(0)) {
    absl::StrAppend(&text, ", ",
                    Change("drained", drained, after.drained_nodes));
  }
  if (after.frozen != (before && before->frozen)) {
    absl::StrAppend(&text, after.frozen ? ", frozen" : ", no longer frozen");
  }
  const uint64_t scale = before ? before->scale : 1;
  if (after.scale != scale) {
    absl::StrAppend(&text, ", ",
                    Change("scale", std::optional<uint64_t>(scale),
                           after.scale));
  }
  if (after.provisional != (before && before->provisional)) {
    absl::StrAppend(&text, after.provisional ? ", provisional" : ", confirmed");
  }
  return text;
}

std::string WeightChangeText(const LineConfig& line, const std::string& cluster,
                             const std::optional<LineWeight>& before,
                             const LineWeight& after) {
  std::optional<uint32_t> weight;
  if (before) weight = before->in_force();
  return absl::StrCat(LineName(line, cluster), CauseText(before, after), ", ",
                      Change("weight", weight, after.in_force()));
}

std::string ScaleText(const LineConfig& line, uint64_t largest,
                      uint64_t scale) {
  return absl::StrCat("upstream \"", line.upstream, "\": a weight of ", largest,
                      " is too large: all of the upstream's weights are "
                      "divided by ",
                      scale, "; lower dynamic_weight_base (", line.base, ")");
}

std::string SlotShortageText(const LineConfig& line, const std::string& cluster,
                             const LineWeight& weight) {
  return absl::StrCat(LineName(line, cluster), weight.ingress_nodes,
                      " ingress nodes are live, but slots=", line.range.count,
                      ": only the first ", weight.seated_nodes(),
                      " by address are used; raise slots= and reload");
}

void ChangeLog::Add(LogLine::Level level, std::string_view text,
                    int64_t now_ms) {
  CloseWindow(now_ms);
  if (now_ms >= window_end_) {
    window_end_ = now_ms + kWindowMs;
    in_window_ = warnings_in_window_ = 0;
  }
  if (level != LogLine::Level::kError) {
    uint32_t* const lines =
        level == LogLine::Level::kWarn ? &warnings_in_window_ : &in_window_;
    if (*lines >= kMaxLines) {
      ++dropped_;
      return;
    }
    ++*lines;
  }
  if (lines_.size() >= kMaxWaiting && !MakeRoom(level)) {
    ++dropped_;
    return;
  }
  lines_.push_back(LogLine{level, PrintableText(text)});
}

// Drops the last waiting line of less weight than `level`; whether there is
// one.
bool ChangeLog::MakeRoom(LogLine::Level level) {
  auto least = lines_.end();
  for (auto line = lines_.begin(); line != lines_.end(); ++line) {
    if (line->level > level &&
        (least == lines_.end() || line->level >= least->level)) {
      least = line;
    }
  }
  if (least == lines_.end()) return false;
  lines_.erase(least);
  ++dropped_;
  return true;
}

int64_t ChangeLog::DeadlineMs() const {
  if (!lines_.empty()) return INT64_MIN;
  return dropped_ != 0 ? window_end_ : kNever;
}

std::vector<LogLine> ChangeLog::Take(int64_t now_ms) {
  CloseWindow(now_ms);
  return std::exchange(lines_, {});
}

void ChangeLog::CloseWindow(int64_t now_ms) {
  if (dropped_ == 0 || now_ms < window_end_ || lines_.size() > kMaxWaiting) {
    return;
  }
  lines_.push_back(
      LogLine{LogLine::Level::kWarn,
              absl::StrCat("dynamic weight: ", dropped_,
                           " log lines were left out, at most ", kMaxLines,
                           " are written in a second")});
  dropped_ = 0;
}

}  // namespace dynweight

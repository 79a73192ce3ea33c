// See log_queue.h.

#include "watcher/text/log_queue.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace dynweight {

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

void LogQueue::Add(LogLine::Level level, std::string_view text,
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
bool LogQueue::MakeRoom(LogLine::Level level) {
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

int64_t LogQueue::DeadlineMs() const {
  if (!lines_.empty()) return INT64_MIN;
  return dropped_ != 0 ? window_end_ : kNever;
}

std::vector<LogLine> LogQueue::Take(int64_t now_ms) {
  CloseWindow(now_ms);
  return std::exchange(lines_, {});
}

void LogQueue::CloseWindow(int64_t now_ms) {
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

// See source_health.h.

#include "watcher/source_health.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "watcher/text/log_queue.h"

namespace dynweight {
namespace {

// Two failures have the same reason when they differ in numbers only (bytes
// received, milliseconds, ports): those change with every attempt. The HTTP
// status is the exception.
std::string ReasonOf(std::string_view text) {
  static constexpr std::string_view kStatus = "HTTP ";
  static constexpr size_t kStatusDigits = 3;
  std::string reason;
  size_t keep_until = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, kStatus.size()) == kStatus) {
      keep_until = i + kStatus.size() + kStatusDigits;
    }
    if (i < keep_until ||
        !absl::ascii_isdigit(static_cast<unsigned char>(text[i]))) {
      reason.push_back(text[i]);
    }
  }
  return reason;
}

}  // namespace

std::optional<LogLine> SourceHealth::OnError(std::string_view reason,
                                             const Clock& clock) {
  last_error_ = PrintableText(reason);
  last_error_ms_ = clock.UnixMs();
  const bool first = !failing();
  if (first) {
    failing_since_ms_ = last_error_ms_;
    failing_since_monotonic_ = clock.MonotonicMs();
  }
  const int64_t now = clock.MonotonicMs();
  if (told_.size() >= kMaxReasons && now - told_monotonic_ >= kForgetMs) {
    told_.clear();
  }
  if (told_.size() >= kMaxReasons || !told_.insert(ReasonOf(reason)).second) {
    return std::nullopt;
  }
  told_monotonic_ = now;
  return LogLine{
      LogLine::Level::kError,
      first ? absl::StrCat(last_error_, "; weights hold at what was last known")
            : absl::StrCat("still failing, now: ", last_error_)};
}

std::optional<LogLine> SourceHealth::OnTrouble(std::string_view text) {
  if (text.empty() && trouble_.empty()) return std::nullopt;
  const std::string previous = std::exchange(trouble_, PrintableText(text));
  if (text.empty()) {
    return LogLine{LogLine::Level::kNotice,
                   absl::StrCat("no longer: ", previous)};
  }
  return LogLine{LogLine::Level::kWarn, trouble_};
}

std::optional<LogLine> SourceHealth::OnHealthy(std::string_view name,
                                               const Clock& clock) {
  last_success_ms_ = clock.UnixMs();
  if (!failing()) return std::nullopt;
  const int64_t failed_ms = clock.MonotonicMs() - failing_since_monotonic_;
  failing_since_ms_ = 0;
  last_error_.clear();
  told_.clear();
  return LogLine{LogLine::Level::kNotice,
                 absl::StrFormat("%s: works again after failing for %.1f s",
                                 name, static_cast<double>(failed_ms) / 1000)};
}

}  // namespace dynweight

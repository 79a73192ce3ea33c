// Whether one list+watch goes well, and the few log lines about it: one when
// it starts failing, one for each new reason, one when it is well again; none
// for the hundreds of failed attempts in between.

#ifndef DYNAMIC_WEIGHT_WATCHER_SOURCE_HEALTH_H_
#define DYNAMIC_WEIGHT_WATCHER_SOURCE_HEALTH_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "watcher/text/log_line.h"
#include "weightcalc/clock.h"

namespace dynweight {

// Not thread-safe.
class SourceHealth {
 public:
  // Different reasons told at once; the next is told when kForgetMs have passed
  // since the last, and so are these anew.
  static constexpr size_t kMaxReasons = 8;
  static constexpr int64_t kForgetMs = 60000;

  // Each returns the line to log, if one is due, without saying whose it is:
  // `name` is only part of the line about the recovery.
  std::optional<LogLine> OnError(std::string_view reason, const Clock& clock);
  std::optional<LogLine> OnHealthy(std::string_view name, const Clock& clock);
  // Nothing fails, but something is in the way; empty: no longer.
  std::optional<LogLine> OnTrouble(std::string_view text);

  bool failing() const { return failing_since_ms_ != 0; }
  // Unix milliseconds; 0: not failing, never, never.
  int64_t failing_since_ms() const { return failing_since_ms_; }
  int64_t last_error_ms() const { return last_error_ms_; }
  int64_t last_success_ms() const { return last_success_ms_; }
  // Printable; "" when all is well. What is in the way, if nothing fails.
  const std::string& last_error() const {
    return failing() ? last_error_ : trouble_;
  }

 private:
  std::string last_error_;
  std::string trouble_;
  int64_t last_error_ms_ = 0;
  int64_t last_success_ms_ = 0;
  int64_t failing_since_ms_ = 0;
  int64_t failing_since_monotonic_ = 0;
  std::set<std::string> told_;  // reasons since it fails
  int64_t told_monotonic_ = 0;  // the last of them
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_SOURCE_HEALTH_H_

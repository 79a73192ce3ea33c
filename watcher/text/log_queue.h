// The lines an operator reads: that they are harmless to print, and how many
// there may be.

#ifndef DYNAMIC_WEIGHT_WATCHER_TEXT_LOG_QUEUE_H_
#define DYNAMIC_WEIGHT_WATCHER_TEXT_LOG_QUEUE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "watcher/text/log_line.h"
#include "weightcalc/clock.h"

namespace dynweight {

// Longest text of a line; a longer one is cut and ends in "...".
inline constexpr size_t kMaxLogText = 1000;

// `text` as one printable ASCII line: every other byte is written \xNN, since
// names and messages come from a cluster and may hold anything.
std::string PrintableText(std::string_view text);

// Lines waiting for the event loop, at most kMaxLines in a second, and as many
// warnings; what is beyond is counted, and one line tells the count when the
// second is over. Errors are not among those: who reports them says each once,
// and a line of less weight makes room where none is left. Not thread-safe.
class LogQueue {
 public:
  static constexpr uint32_t kMaxLines = 100;
  static constexpr int64_t kWindowMs = 1000;
  // Most lines that wait when the event loop does not take them.
  static constexpr size_t kMaxWaiting = 1000;

  void Add(LogLine::Level level, std::string_view text, int64_t now_ms);

  // When Take() would give something; kNever when nothing waits.
  int64_t DeadlineMs() const;

  std::vector<LogLine> Take(int64_t now_ms);

 private:
  void CloseWindow(int64_t now_ms);
  bool MakeRoom(LogLine::Level level);

  std::vector<LogLine> lines_;
  int64_t window_end_ = INT64_MIN;
  uint32_t in_window_ = 0;  // notices and less
  uint32_t warnings_in_window_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TEXT_LOG_QUEUE_H_

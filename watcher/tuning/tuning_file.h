// The tuning file while it may change: looked at every moment, loaded when
// it is good, and reported when it is not.
//
//                  another content      the same in the next look
//   IN FORCE ──────────────────► SEEN ONCE ─────────────► checked whole
//    ▲  ▲                          │  ▲                    │        │
//    │  │   as it was before       │  └── another one      │ good   │ bad, or
//    │  └──────────────────────────┘                       │        │ no file
//    └─────────────────────────────────────────────────────┘        ▼
//    └──────────────── the last good content stays ◄────────── told once

#ifndef DYNAMIC_WEIGHT_WATCHER_TUNING_TUNING_FILE_H_
#define DYNAMIC_WEIGHT_WATCHER_TUNING_TUNING_FILE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/config/config.h"
#include "watcher/text/log_queue.h"
#include "weightcalc/clock.h"
#include "weightcalc/tuning.h"

namespace dynweight {

// Most bytes of TuningFile::EncodeStatus().
inline constexpr size_t kMaxTuningStatusBytes = size_t{128} << 10;

// What the file at `path` says now, links followed.
absl::StatusOr<std::string> ReadTuningFile(const std::string& path);

// The file's content counts, not its times: a look reads it whole. A content
// counts when two looks in a row found it, so that one that is being written
// in place is left alone; a bad or missing one is reported and changes nothing.
// Not thread-safe.
class TuningFile {
 public:
  static constexpr int64_t kLookMs = 200;
  using Read = std::function<absl::StatusOr<std::string>(const std::string&)>;

  struct Changes {
    bool rules = false;   // others are in force
    bool status = false;  // EncodeStatus() gives another text
  };

  // No file in `config`: nothing ever happens. `read` is ReadTuningFile().
  TuningFile(const WatcherConfig& config, Read read, const Clock* clock,
             LogQueue* log);

  // What was last good, from before; in force at once. Before the first
  // Tick().
  void Restore(std::string_view text);

  int64_t DeadlineMs() const { return due_ms_; }
  // Looks at the file and lets rules expire, if it is time.
  Changes Tick();

  const Tuning& tuning() const { return tuning_; }
  // What tuning() was read from.
  const std::string& text() const { return text_; }

  // {"file":...,"taken_up":...,"error":...,"error_at":...,"rules":[...]} as
  // JSON, for the status: one line for each rule, the first of them the second,
  // in which it has a comma behind it. `peers`: how many peers each rule is
  // for. Rules that find no room are cut down to their line.
  std::string EncodeStatus(const std::vector<uint32_t>& peers) const;

  // Warns of rules that are in force for no peer; once for each text.
  void NotePeers(const std::vector<uint32_t>& peers);

 private:
  struct Look {
    bool good = false;  // the file could be read
    std::string text;   // or why not

    friend bool operator==(const Look& a, const Look& b) {
      return a.good == b.good && a.text == b.text;
    }
  };

  bool TakeUp(const Look& look);
  void Fail(const std::string& error);
  void Log(LogLine::Level level, const std::string& text);
  void LogRules();
  bool Expire();

  const WatcherConfig& config_;
  Read read_;
  const Clock* clock_;
  LogQueue* log_;

  Tuning tuning_;
  std::string text_;
  int64_t taken_up_ms_ = 0;  // Unix
  bool peers_noted_ = true;

  int64_t due_ms_;
  Look last_;   // what the last look found
  Look acted_;  // what was loaded or reported last
  std::string error_;
  int64_t error_ms_ = 0;  // Unix
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TUNING_TUNING_FILE_H_

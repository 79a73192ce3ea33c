// When the state file is written: soon after a change, not for every change,
// and what is logged when it cannot be.
//
//             OnChanged()            due, and its pace kept
//   SAVED ─────────────► WAITING ─────────────────────────► WRITING ──► SAVED
//              200 ms       ▲  └──── what changes meanwhile ──┘ │ ▲
//                           └─── written, but changed since ────┤ │ over 10 s:
//                           └─── failed: again in 10 s, told ───┘ └── told
//
// OnObserved() alone, newer times of the same numbers, waits for a minute.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_STATE_SAVER_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_STATE_SAVER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "watcher/state/cluster_view_json.h"
#include "watcher/state/state_file.h"
#include "watcher/state/state_writer.h"
#include "watcher/text/log_queue.h"
#include "weightcalc/clock.h"

namespace dynweight {

// Not thread-safe.
class StateSaver {
 public:
  using Write = std::function<absl::Status(
      const std::string& path, std::string_view text, const StateAuthor&)>;

  // A change is saved so long after it, with those that follow it.
  static constexpr int64_t kDebounceMs = 200;
  static constexpr int64_t kPaceMs = 1000;
  // A large one is written less often.
  static constexpr size_t kBytesPerMs = 64;
  // From a failure to the next attempt.
  static constexpr int64_t kRetryMs = 10000;
  // When only the times of observation moved.
  static constexpr int64_t kObservedPaceMs = 60000;
  // A write that takes longer is told of.
  static constexpr int64_t kHangMs = 10000;
  // How long Flush() waits for the disk.
  static constexpr int64_t kPatienceMs = 500;

  // `path` empty: nothing is ever saved. `write` is WriteStateFile(); it runs
  // on a thread of its own, which calls `on_written` when Tick() has to look
  // how it went.
  StateSaver(std::string path, const Write& write, LogQueue* log,
             std::function<void()> on_written);

  // A view has other numbers; or only newer times of observation.
  void OnChanged(int64_t now_ms);
  void OnObserved(int64_t now_ms);

  // When Tick() has something to do; kNever when all is saved.
  int64_t DeadlineMs() const;

  // Begins to save if it is time: the views, and what is retained.
  void Tick(const std::vector<ClusterView>& views,
            const std::vector<ClusterView>& retained, int64_t now_ms);

  // Saves now if other numbers are unsaved, and waits for kPatienceMs at most:
  // before the thread ends.
  void Flush(const std::vector<ClusterView>& views,
             const std::vector<ClusterView>& retained, int64_t now_ms);

  // For tests: until Tick() has a result to look at.
  void WaitForWriter() { writer_.Finish(60000); }

 private:
  void Save(const std::vector<ClusterView>& views,
            const std::vector<ClusterView>& retained, int64_t now_ms);
  void OnSaved(int64_t now_ms);
  void OnFailure(const std::string& failure, int64_t now_ms);
  void LogFailure(const std::string& failure, int64_t now_ms);

  const std::string path_;
  const StateAuthor author_;
  LogQueue* log_;
  int64_t due_ms_ = kNever;
  int64_t not_before_ms_ = INT64_MIN;
  int64_t hang_ms_ = kNever;  // when the write under way takes too long
  bool unsaved_ = false;
  std::string failure_;  // the one that was logged; "" when the last write
                         // went well
  StateWriter writer_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_STATE_SAVER_H_

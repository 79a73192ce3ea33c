// When the state file is written: soon after a change, not for every change,
// and what is logged when it cannot be.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_SAVER_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_SAVER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "watcher/change_log.h"
#include "watcher/clock.h"
#include "watcher/cluster_view.h"

namespace dynweight {

// Not thread-safe.
class StateSaver {
 public:
  using Write = std::function<absl::Status(const std::string&,
                                           const std::vector<ClusterView>&)>;

  // A change is saved so long after it, with those that follow it.
  static constexpr int64_t kDebounceMs = 200;
  static constexpr int64_t kPaceMs = 1000;
  // From a failure to the next attempt.
  static constexpr int64_t kRetryMs = 10000;
  // When only the times of observation moved.
  static constexpr int64_t kObservedPaceMs = 60000;

  // `path` empty: nothing is ever saved. `write` is WriteStateFile().
  StateSaver(std::string path, Write write, ChangeLog* log)
      : path_(std::move(path)), write_(std::move(write)), log_(log) {}

  // A view has other numbers; or only newer times of observation.
  void OnChanged(int64_t now_ms);
  void OnObserved(int64_t now_ms);

  // When Tick() has something to do; kNever when all is saved.
  int64_t DeadlineMs() const { return due_ms_; }

  // Saves if it is time. Blocks on the disk.
  void Tick(const std::vector<ClusterView>& views, int64_t now_ms);

  // Saves now if other numbers are unsaved: before the thread ends.
  void Flush(const std::vector<ClusterView>& views, int64_t now_ms);

 private:
  void Save(const std::vector<ClusterView>& views, int64_t now_ms);

  std::string path_;
  Write write_;
  ChangeLog* log_;
  int64_t due_ms_ = kNever;
  int64_t not_before_ms_ = INT64_MIN;
  bool unsaved_ = false;
  std::string failure_;  // the one that was logged; "" when the last write
                         // went well
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_SAVER_H_

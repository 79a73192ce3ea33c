// See state_saver.h.

#include "watcher/state_saver.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace dynweight {

void StateSaver::OnChanged(int64_t now_ms) {
  if (path_.empty()) return;
  unsaved_ = true;
  due_ms_ = std::min(due_ms_, std::max(now_ms + kDebounceMs, not_before_ms_));
}

void StateSaver::OnObserved(int64_t now_ms) {
  if (path_.empty()) return;
  due_ms_ = std::min(due_ms_, now_ms + kObservedPaceMs);
}

void StateSaver::Tick(const std::vector<ClusterView>& views, int64_t now_ms) {
  if (now_ms >= due_ms_) Save(views, now_ms);
}

void StateSaver::Flush(const std::vector<ClusterView>& views, int64_t now_ms) {
  if (unsaved_) Save(views, now_ms);
}

void StateSaver::Save(const std::vector<ClusterView>& views, int64_t now_ms) {
  const absl::Status written = write_(path_, views);
  if (written.ok()) {
    unsaved_ = false;
    due_ms_ = kNever;
    not_before_ms_ = now_ms + kPaceMs;
    if (!failure_.empty()) {
      log_->Add(LogLine::Level::kNotice,
                absl::StrCat("state file \"", path_, "\" is written again"),
                now_ms);
      failure_.clear();
    }
    return;
  }
  not_before_ms_ = now_ms + kRetryMs;
  due_ms_ = not_before_ms_;
  std::string failure(written.message());
  if (failure == failure_) return;
  failure_ = std::move(failure);
  log_->Add(LogLine::Level::kError,
            absl::StrCat(failure_,
                         "; the weights go on without it, but would be lost "
                         "in a restart"),
            now_ms);
}

}  // namespace dynweight

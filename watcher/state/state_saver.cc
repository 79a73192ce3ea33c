// See state_saver.h.

#include "watcher/state/state_saver.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"

namespace dynweight {

StateSaver::StateSaver(std::string path, const Write& write, LogQueue* log,
                       std::function<void()> on_written)
    : path_(std::move(path)),
      author_(StateAuthor::Now()),
      log_(log),
      writer_(
          [write, path = path_, author = author_](const std::string& text) {
            return write(path, text, author);
          },
          std::move(on_written)) {}

void StateSaver::OnChanged(int64_t now_ms) {
  if (path_.empty()) return;
  unsaved_ = true;
  due_ms_ = std::min(due_ms_, std::max(now_ms + kDebounceMs, not_before_ms_));
}

void StateSaver::OnObserved(int64_t now_ms) {
  if (path_.empty()) return;
  due_ms_ = std::min(due_ms_, now_ms + kObservedPaceMs);
}

int64_t StateSaver::DeadlineMs() const {
  // What is due waits for the write under way, which wakes the thread.
  return writer_.busy() ? hang_ms_ : due_ms_;
}

void StateSaver::Tick(const std::vector<ClusterView>& views,
                      const std::vector<ClusterView>& retained,
                      int64_t now_ms) {
  if (const std::optional<absl::Status> result = writer_.TakeResult()) {
    hang_ms_ = kNever;
    if (result->ok()) {
      OnSaved(now_ms);
    } else {
      OnFailure(std::string(result->message()), now_ms);
    }
  }
  if (!writer_.busy()) {
    if (now_ms >= due_ms_) Save(views, retained, now_ms);
  } else if (now_ms >= hang_ms_) {
    hang_ms_ = kNever;
    LogFailure(absl::StrCat("state file \"", path_,
                            "\": writing it takes more "
                            "than ",
                            kHangMs / 1000, " s; see to the disk"),
               now_ms);
  }
}

void StateSaver::Flush(const std::vector<ClusterView>& views,
                       const std::vector<ClusterView>& retained,
                       int64_t now_ms) {
  if (unsaved_) Save(views, retained, now_ms);
  writer_.Finish(kPatienceMs);
}

void StateSaver::Save(const std::vector<ClusterView>& views,
                      const std::vector<ClusterView>& retained,
                      int64_t now_ms) {
  unsaved_ = false;
  due_ms_ = kNever;
  hang_ms_ = now_ms + kHangMs;
  std::vector<ClusterView> all = views;
  all.insert(all.end(), retained.begin(), retained.end());
  std::string text = EncodeState(all, author_);
  not_before_ms_ =
      now_ms +
      std::max(kPaceMs, static_cast<int64_t>(text.size() / kBytesPerMs));
  writer_.Begin(std::move(text));
}

void StateSaver::OnSaved(int64_t now_ms) {
  if (failure_.empty()) return;
  log_->Add(LogLine::Level::kNotice,
            absl::StrCat("state file \"", path_, "\" is written again"),
            now_ms);
  failure_.clear();
}

void StateSaver::OnFailure(const std::string& failure, int64_t now_ms) {
  unsaved_ = true;
  not_before_ms_ = now_ms + kRetryMs;
  due_ms_ = not_before_ms_;
  LogFailure(failure, now_ms);
}

void StateSaver::LogFailure(const std::string& failure, int64_t now_ms) {
  if (failure == failure_) return;
  failure_ = failure;
  log_->Add(LogLine::Level::kError,
            absl::StrCat(failure_,
                         "; the weights go on without it, but would be lost "
                         "in a restart"),
            now_ms);
}

}  // namespace dynweight

// See state_writer.h.

#include "watcher/state/state_writer.h"

#include <pthread.h>

#include <exception>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/threads/mutex.h"
#include "watcher/threads/pinned_library.h"

namespace dynweight {

struct StateWriter::Shared {
  const Write write;
  Mutex mutex;
  CondVar changed;
  // Empty once the writer is gone.
  std::function<void()> on_result ABSL_GUARDED_BY(mutex);
  std::optional<std::string> waiting ABSL_GUARDED_BY(mutex);
  std::optional<absl::Status> result ABSL_GUARDED_BY(mutex);
  bool writing ABSL_GUARDED_BY(mutex) = false;
  bool ended ABSL_GUARDED_BY(mutex) = false;  // the writer is gone

  explicit Shared(Write w, std::function<void()> r)
      : write(std::move(w)), on_result(std::move(r)) {}
  bool busy() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return writing || waiting.has_value();
  }
};

namespace {

absl::Status WriteGuarded(const StateWriter::Write& write,
                          const std::string& text) {
  try {
    return write(text);
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the state file could not be written: ", error.what()));
  }
}

}  // namespace

StateWriter::StateWriter(Write write, std::function<void()> on_result)
    : shared_(
          std::make_shared<Shared>(std::move(write), std::move(on_result))) {}

StateWriter::~StateWriter() {
  {
    MutexLock lock(&shared_->mutex);
    shared_->ended = true;
    shared_->on_result = nullptr;
    shared_->waiting.reset();
    shared_->changed.WakeAll();
    if (shared_->writing) {
      PinThisLibrary();
      thread_.detach();
    }
  }
  if (thread_.joinable()) thread_.join();
}

void StateWriter::Begin(std::string text) {
  MutexLock lock(&shared_->mutex);
  shared_->waiting = std::move(text);
  shared_->changed.WakeAll();
  if (thread_.joinable()) return;
  try {
    thread_ = std::thread([shared = shared_]() noexcept { Main(shared); });
    pthread_setname_np(thread_.native_handle(), "state_writer");
  } catch (const std::system_error& error) {
    shared_->waiting.reset();
    shared_->result = absl::ResourceExhaustedError(
        absl::StrCat("no thread to write the state file: ", error.what(),
                     "; raise the limit on processes (ulimit -u, pids.max)"));
  }
}

bool StateWriter::busy() const {
  MutexLock lock(&shared_->mutex);
  return shared_->busy();
}

std::optional<absl::Status> StateWriter::TakeResult() {
  MutexLock lock(&shared_->mutex);
  return std::exchange(shared_->result, std::nullopt);
}

bool StateWriter::Finish(int64_t patience_ms) {
  const auto end = TimeIn(patience_ms);
  MutexLock lock(&shared_->mutex);
  while (shared_->busy()) {
    if (!shared_->changed.WaitUntil(&shared_->mutex, end)) break;
  }
  return !shared_->busy();
}

void StateWriter::Main(const std::shared_ptr<Shared>& shared) noexcept {
  for (;;) {
    std::string text;
    {
      MutexLock lock(&shared->mutex);
      while (!shared->ended && !shared->waiting) {
        shared->changed.Wait(&shared->mutex);
      }
      if (!shared->waiting) return;
      text = std::move(*shared->waiting);
      shared->waiting.reset();
      shared->writing = true;
    }
    absl::Status result = WriteGuarded(shared->write, text);
    MutexLock lock(&shared->mutex);
    shared->writing = false;
    shared->result = std::move(result);
    shared->changed.WakeAll();
    if (shared->on_result) shared->on_result();
  }
}

}  // namespace dynweight

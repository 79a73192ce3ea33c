// See state_writer.h.

#include "watcher/state/state_writer.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/files/pinned_library.h"

namespace dynweight {

struct StateWriter::Shared {
  const Write write;
  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> on_result;  // empty once the writer is gone
  std::optional<std::string> waiting;
  std::optional<absl::Status> result;
  bool writing = false;
  bool ended = false;  // the writer is gone

  explicit Shared(Write w, std::function<void()> r)
      : write(std::move(w)), on_result(std::move(r)) {}
  bool busy() const { return writing || waiting.has_value(); }
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
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->ended = true;
    shared_->on_result = nullptr;
    shared_->waiting.reset();
    shared_->changed.notify_all();
    if (shared_->writing) {
      PinThisLibrary();
      thread_.detach();
    }
  }
  if (thread_.joinable()) thread_.join();
}

void StateWriter::Begin(std::string text) {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  shared_->waiting = std::move(text);
  shared_->changed.notify_all();
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
  std::lock_guard<std::mutex> lock(shared_->mutex);
  return shared_->busy();
}

std::optional<absl::Status> StateWriter::TakeResult() {
  std::lock_guard<std::mutex> lock(shared_->mutex);
  return std::exchange(shared_->result, std::nullopt);
}

bool StateWriter::Finish(int64_t patience_ms) {
  std::unique_lock<std::mutex> lock(shared_->mutex);
  return shared_->changed.wait_for(lock, std::chrono::milliseconds(patience_ms),
                                   [this] { return !shared_->busy(); });
}

void StateWriter::Main(const std::shared_ptr<Shared>& shared) noexcept {
  std::unique_lock<std::mutex> lock(shared->mutex);
  for (;;) {
    shared->changed.wait(
        lock, [&shared] { return shared->ended || shared->waiting; });
    if (!shared->waiting) return;
    const std::string text = std::move(*shared->waiting);
    shared->waiting.reset();
    shared->writing = true;
    lock.unlock();
    absl::Status result = WriteGuarded(shared->write, text);
    lock.lock();
    shared->writing = false;
    shared->result = std::move(result);
    shared->changed.notify_all();
    if (shared->on_result) shared->on_result();
  }
}

}  // namespace dynweight

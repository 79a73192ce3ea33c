// Looks at something again and again on a thread of its own, because a look may
// never come back: a file on a network file system whose server is gone.

#ifndef DYNAMIC_WEIGHT_WATCHER_THREADS_BACKGROUND_LOOK_H_
#define DYNAMIC_WEIGHT_WATCHER_THREADS_BACKGROUND_LOOK_H_

#include <pthread.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "watcher/threads/mutex.h"
#include "watcher/threads/pinned_library.h"

namespace dynweight {

// T is copyable and comparable with ==. Used by one thread; what it waits for
// is never more than a mutex that is held for moments.
template <typename T>
class BackgroundLook {
 public:
  using Answer = absl::StatusOr<T>;
  using Look = std::function<Answer()>;

  // Begins to look, with a pause of `pause_ms` between two looks, with the
  // signal mask of the caller. `look` may still be running when this is gone:
  // it must own all that it uses; what it throws is no answer.
  // `on_change` is called by the looking thread when an answer differs from the
  // one before, and not once this is gone. Throws std::system_error when there
  // is no thread.
  BackgroundLook(Look look, int64_t pause_ms, std::function<void()> on_change)
      : shared_(std::make_shared<Shared>(std::move(on_change))) {
    thread_ =
        std::thread([shared = shared_, look = std::move(look),
                     pause_ms]() noexcept { Main(shared, look, pause_ms); });
    pthread_setname_np(thread_.native_handle(), "file_look");
  }

  // Does not wait for a look that is under way: it ends alone.
  ~BackgroundLook() {
    {
      MutexLock lock(&shared_->mutex);
      shared_->ended = true;
      shared_->on_change = nullptr;
      shared_->changed.WakeAll();
      if (shared_->looking) {
        PinThisLibrary();
        thread_.detach();
      }
    }
    if (thread_.joinable()) thread_.join();
  }
  BackgroundLook(const BackgroundLook&) = delete;
  BackgroundLook& operator=(const BackgroundLook&) = delete;

  // What the last look that came back saw; nothing: none has.
  std::optional<Answer> Latest() const {
    MutexLock lock(&shared_->mutex);
    return shared_->latest;
  }

  // The same when it differs from what the last call gave.
  std::optional<Answer> TakeNew() {
    MutexLock lock(&shared_->mutex);
    if (!std::exchange(shared_->is_new, false)) return std::nullopt;
    return shared_->latest;
  }

  // How long the look that is under way has taken; 0 when none is.
  int64_t LookingMs() const {
    MutexLock lock(&shared_->mutex);
    if (!shared_->looking) return 0;
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now() - shared_->began)
        .count();
  }

  // Until a look has come back, at most so long; whether one has.
  bool WaitForFirst(int64_t patience_ms) const {
    const auto end = TimeIn(patience_ms);
    MutexLock lock(&shared_->mutex);
    while (!shared_->latest) {
      if (!shared_->changed.WaitUntil(&shared_->mutex, end)) break;
    }
    return shared_->latest.has_value();
  }

 private:
  struct Shared {
    explicit Shared(std::function<void()> tell) : on_change(std::move(tell)) {}

    Mutex mutex;
    CondVar changed;
    std::function<void()> on_change ABSL_GUARDED_BY(mutex);
    std::optional<Answer> latest ABSL_GUARDED_BY(mutex);
    bool is_new ABSL_GUARDED_BY(mutex) = false;
    bool looking ABSL_GUARDED_BY(mutex) = true;
    bool ended ABSL_GUARDED_BY(mutex) = false;
    std::chrono::steady_clock::time_point began ABSL_GUARDED_BY(mutex) =
        std::chrono::steady_clock::now();
  };

  static bool Same(const Answer& a, const Answer& b) {
    return a.status() == b.status() && (!a.ok() || *a == *b);
  }

  static void Main(const std::shared_ptr<Shared>& shared, const Look& look,
                   int64_t pause_ms) noexcept {
    for (;;) {
      std::optional<Answer> seen;
      try {
        seen.emplace(look());
      } catch (const std::exception&) {
        // No memory: the next look may have some.
      }
      MutexLock lock(&shared->mutex);
      shared->looking = false;
      if (seen && !(shared->latest && Same(*shared->latest, *seen))) {
        shared->latest = std::move(seen);
        shared->is_new = true;
        shared->changed.WakeAll();
        if (shared->on_change) shared->on_change();
      }
      const auto next = TimeIn(pause_ms);
      while (!shared->ended) {
        if (!shared->changed.WaitUntil(&shared->mutex, next)) break;
      }
      if (shared->ended) return;
      shared->looking = true;
      shared->began = std::chrono::steady_clock::now();
    }
  }

  // Whoever of the two threads goes last destroys it.
  const std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_THREADS_BACKGROUND_LOOK_H_

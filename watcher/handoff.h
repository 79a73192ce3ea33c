// What the watcher thread and the event loop have between them.

#ifndef DYNAMIC_WEIGHT_WATCHER_HANDOFF_H_
#define DYNAMIC_WEIGHT_WATCHER_HANDOFF_H_

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "watcher/threads/mutex.h"
#include "watcher/transport/curl_transport.h"
#include "watcher/update.h"

namespace dynweight {

// One update at a time, and the wish to stop. All functions may be called by
// any thread.
class Handoff {
 public:
  explicit Handoff(int wake_fd) : wake_fd_(wake_fd) {}

  // The thread's side.
  bool stopping() const { return stopping_; }
  // Whether no update is outstanding. When one is, its Done() wakes the
  // thread.
  bool Free() {
    MutexLock lock(&mutex_);
    wanted_ = outstanding_;
    return !outstanding_;
  }
  // Frees what the event loop is done with.
  void DropApplied() {
    std::unique_ptr<Update> applied;
    MutexLock lock(&mutex_);
    applied.swap(applied_);
  }
  void Offer(std::unique_ptr<Update> update) {
    {
      MutexLock lock(&mutex_);
      ready_ = std::move(update);
      outstanding_ = true;
    }
    const uint64_t one = 1;
    // Fails only when the counter is full, and then the fd is readable.
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
  }
  // What is woken from now on; null: nothing.
  void SetTransport(CurlTransport* transport) {
    MutexLock lock(&mutex_);
    transport_ = transport;
  }
  // Ends the thread's present or next sleep.
  void Wake() {
    MutexLock lock(&mutex_);
    if (transport_ != nullptr) transport_->Wakeup();
  }
  // Sleeps, unless or until it is to stop.
  void WaitForStop(int64_t timeout_ms) {
    const auto end = TimeIn(timeout_ms);
    MutexLock lock(&mutex_);
    while (!stopping_) {
      if (!stopped_.WaitUntil(&mutex_, end)) break;
    }
  }

  // The event loop's side.
  std::unique_ptr<Update> Take() {
    MutexLock lock(&mutex_);
    return std::move(ready_);
  }
  void Done(std::unique_ptr<Update> applied) {
    MutexLock lock(&mutex_);
    applied_ = std::move(applied);
    outstanding_ = ready_ != nullptr;
    if (wanted_ && transport_ != nullptr) transport_->Wakeup();
    wanted_ = false;
  }
  void Stop() {
    MutexLock lock(&mutex_);
    stopping_ = true;
    stopped_.WakeAll();
    if (transport_ != nullptr) transport_->Wakeup();
  }

 private:
  const int wake_fd_;
  Mutex mutex_;
  CondVar stopped_;
  std::atomic<bool> stopping_{false};  // set under the mutex, for stopped_
  // From Offer() to Done().
  bool outstanding_ ABSL_GUARDED_BY(mutex_) = false;
  // The next update waits for that Done().
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Update> ready_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Update> applied_ ABSL_GUARDED_BY(mutex_);
  CurlTransport* transport_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_HANDOFF_H_

// What the watcher thread and the event loop have between them.

#ifndef DYNAMIC_WEIGHT_WATCHER_HANDOFF_H_
#define DYNAMIC_WEIGHT_WATCHER_HANDOFF_H_

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

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
    std::lock_guard<std::mutex> lock(mutex_);
    wanted_ = outstanding_;
    return !outstanding_;
  }
  // Frees what the event loop is done with.
  void DropApplied() {
    std::unique_ptr<Update> applied;
    std::lock_guard<std::mutex> lock(mutex_);
    applied.swap(applied_);
  }
  void Offer(std::unique_ptr<Update> update) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ready_ = std::move(update);
      outstanding_ = true;
    }
    const uint64_t one = 1;
    // Fails only when the counter is full, and then the fd is readable.
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
  }
  // What is woken from now on; null: nothing.
  void SetTransport(CurlTransport* transport) {
    std::lock_guard<std::mutex> lock(mutex_);
    transport_ = transport;
  }
  // Ends the thread's present or next sleep.
  void Wake() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (transport_ != nullptr) transport_->Wakeup();
  }
  // Sleeps, unless or until it is to stop.
  void WaitForStop(int64_t timeout_ms) {
    std::unique_lock<std::mutex> lock(mutex_);
    stopped_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                      [this] { return stopping_.load(); });
  }

  // The event loop's side.
  std::unique_ptr<Update> Take() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::move(ready_);
  }
  void Done(std::unique_ptr<Update> applied) {
    std::lock_guard<std::mutex> lock(mutex_);
    applied_ = std::move(applied);
    outstanding_ = ready_ != nullptr;
    if (wanted_ && transport_ != nullptr) transport_->Wakeup();
    wanted_ = false;
  }
  void Stop() {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    stopped_.notify_all();
    if (transport_ != nullptr) transport_->Wakeup();
  }

 private:
  const int wake_fd_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  std::atomic<bool> stopping_{false};  // set under the mutex, for stopped_
  bool outstanding_ = false;           // from Offer() to Done()
  bool wanted_ = false;                // the next update waits for that Done()
  std::unique_ptr<Update> ready_;
  std::unique_ptr<Update> applied_;
  CurlTransport* transport_ = nullptr;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_HANDOFF_H_

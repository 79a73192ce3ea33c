// std::mutex as clang's thread safety analysis knows it: ABSL_GUARDED_BY says
// what a mutex guards, and ./check's clang build refuses what touches that
// without it. As LevelDB's port::Mutex. (absl::Mutex itself keeps things of
// threads in a library that nginx would unload under them.)

#ifndef DYNAMIC_WEIGHT_WATCHER_THREADS_MUTEX_H_
#define DYNAMIC_WEIGHT_WATCHER_THREADS_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/base/thread_annotations.h"

namespace dynweight {

// Thread-safe.
class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds it while it lives.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

// Wakes without a cause, too: callers look at their condition in a loop.
class CondVar {
 public:
  void Wait(Mutex* mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    woken_.wait(lock);
    lock.release();
  }
  // False: it is that late.
  bool WaitUntil(Mutex* mutex, std::chrono::steady_clock::time_point time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    const bool in_time =
        woken_.wait_until(lock, time) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  void WakeAll() { woken_.notify_all(); }

 private:
  std::condition_variable woken_;
};

// Of a wait that begins now.
inline std::chrono::steady_clock::time_point TimeIn(int64_t ms) {
  return std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_THREADS_MUTEX_H_

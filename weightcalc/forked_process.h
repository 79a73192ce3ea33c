// For tests: processes that share memory and can be killed at any moment.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_FORKED_PROCESS_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_FORKED_PROCESS_H_

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace dynweight {

// Zeroed memory that every process forked later shares.
class SharedMapping {
 public:
  explicit SharedMapping(size_t size) : size_(size) {
    memory_ = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
  }
  ~SharedMapping() { munmap(memory_, size_); }
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;

  void* get() const { return memory_; }
  size_t size() const { return size_; }

 private:
  void* memory_;
  size_t size_;
};

// A T in memory of its own that every process forked later shares.
template <typename T>
class Shared {
 public:
  Shared() : mapping_(sizeof(T)), value_(new (mapping_.get()) T()) {}
  T* operator->() const { return value_; }
  T& operator*() const { return *value_; }

 private:
  SharedMapping mapping_;
  T* value_;
};

// A child that runs a function and exits. Killed, if it still runs, when the
// object goes. Fork from a process with one thread only.
class ForkedProcess {
 public:
  template <typename Function>
  explicit ForkedProcess(Function&& run) : pid_(fork()) {
    if (pid_ < 0) throw std::bad_alloc();
    if (pid_ == 0) {
      run();
      _exit(0);
    }
  }
  ForkedProcess(ForkedProcess&& other) : pid_(std::exchange(other.pid_, -1)) {}
  ForkedProcess& operator=(ForkedProcess&&) = delete;
  ~ForkedProcess() { Kill(); }

  // SIGKILL; returns when the process is gone.
  void Kill() {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    Join();
  }

  // Waits for the function's end; whether the process exited of itself.
  bool Join() {
    int status = 0;
    if (waitpid(std::exchange(pid_, -1), &status, 0) < 0) return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  pid_t pid_;
};

// Runs `run` in a child and stops it before each of its instructions, to call
// `look` here: what it sees is what a kill at that instruction would leave.
// Returns the number of instructions; 0 when this system forbids tracing.
template <typename Run, typename Look>
uint64_t StopAtEachInstruction(Run&& run, Look&& look) {
  const pid_t pid = fork();
  if (pid < 0) throw std::bad_alloc();
  if (pid == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(0);
    raise(SIGSTOP);
    run();
    _exit(0);
  }
  uint64_t steps = 0;
  int status = 0;
  while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
    look();
    if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) != 0) {
      kill(pid, SIGKILL);
      continue;  // to wait for its end
    }
    steps++;
  }
  return steps;
}

// Lets others run until `condition()` holds.
template <typename Condition>
void WaitUntil(Condition&& condition) {
  while (!condition()) sched_yield();
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_FORKED_PROCESS_H_

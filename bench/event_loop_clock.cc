// How long an event loop is held: preloaded (LD_PRELOAD) into nginx, this
// stands between it and epoll_wait() and takes the time from each return to
// the next call. The thread's CPU clock, not the wall's, tells what the loop
// itself did, however busy the machine is.
//
// Each process keeps a file of its own, named by its pid, in the directory that
// EVENT_LOOP_CLOCK names; bench/control_plane reads it, and writes zeros to
// begin again.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

constexpr uint64_t kStallNs = 1000000;

struct Record {
  std::atomic<uint64_t> turns;
  std::atomic<uint64_t> stalls;       // turns of more than kStallNs of CPU
  std::atomic<uint64_t> max_cpu_ns;   // of the longest turn
  std::atomic<uint64_t> max_wall_ns;  // of the longest turn
};

char directory[4096];  // nginx's workers have no environment: asked at start

__attribute__((constructor)) void RememberFolder() {
  const char* name = getenv("EVENT_LOOP_CLOCK");
  if (name != nullptr) snprintf(directory, sizeof(directory), "%s", name);
}

Record* OpenRecord() {
  char path[sizeof(directory) + 16];
  snprintf(path, sizeof(path), "%s/%d", directory, static_cast<int>(getpid()));
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return nullptr;
  void* memory = MAP_FAILED;
  if (ftruncate(fd, sizeof(Record)) == 0) {
    memory = mmap(nullptr, sizeof(Record), PROT_READ | PROT_WRITE, MAP_SHARED,
                  fd, 0);
  }
  close(fd);
  return memory == MAP_FAILED ? nullptr : static_cast<Record*>(memory);
}

uint64_t Now(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 +
         static_cast<uint64_t>(now.tv_nsec);
}

void Raise(std::atomic<uint64_t>* max, uint64_t value) {
  if (value > max->load(std::memory_order_relaxed)) {
    max->store(value, std::memory_order_relaxed);
  }
}

void NoteTurn(Record* record, uint64_t cpu_ns, uint64_t wall_ns) {
  record->turns.fetch_add(1, std::memory_order_relaxed);
  if (cpu_ns > kStallNs) {
    record->stalls.fetch_add(1, std::memory_order_relaxed);
  }
  Raise(&record->max_cpu_ns, cpu_ns);
  Raise(&record->max_wall_ns, wall_ns);
}

}  // namespace

extern "C" int epoll_wait(int epfd, epoll_event* events, int maxevents,
                          int timeout) {
  using EpollWait = int (*)(int, epoll_event*, int, int);
  static const auto next =
      reinterpret_cast<EpollWait>(dlsym(RTLD_NEXT, "epoll_wait"));
  // The event loop is the process's first thread.
  static thread_local const bool is_event_loop = gettid() == getpid();
  if (!is_event_loop) return next(epfd, events, maxevents, timeout);
  static Record* const record = OpenRecord();
  static uint64_t cpu_ns = 0;
  static uint64_t wall_ns = 0;
  // With room for one event nginx only tries what the kernel can do.
  if (record == nullptr || maxevents == 1) {
    return next(epfd, events, maxevents, timeout);
  }

  if (wall_ns != 0) {
    NoteTurn(record, Now(CLOCK_THREAD_CPUTIME_ID) - cpu_ns,
             Now(CLOCK_MONOTONIC) - wall_ns);
  }
  const int ready = next(epfd, events, maxevents, timeout);
  wall_ns = Now(CLOCK_MONOTONIC);
  cpu_ns = Now(CLOCK_THREAD_CPUTIME_ID);
  return ready;
}

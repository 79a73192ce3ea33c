// A wall clock that can be set: preloaded (LD_PRELOAD) into nginx, this adds
// the seconds that the file named by WALL_CLOCK holds (an int64_t) to what the
// process is told of the date. The monotonic clock stays as it is, as when an
// operator or NTP sets the date.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

std::atomic<int64_t> none{0};
std::atomic<int64_t>* offset = &none;  // shared with the test

// nginx's workers have no environment, but what is mapped stays.
__attribute__((constructor)) void OpenOffset() {
  const char* name = getenv("WALL_CLOCK");
  const int fd = name == nullptr ? -1 : open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void* memory =
      mmap(nullptr, sizeof(*offset), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (memory != MAP_FAILED) offset = static_cast<std::atomic<int64_t>*>(memory);
}

int RealTime(clockid_t clock, timespec* now) {
  return static_cast<int>(syscall(SYS_clock_gettime, clock, now));
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const int rc = RealTime(clock, now);
  if (rc == 0 &&
      (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    now->tv_sec += offset->load(std::memory_order_relaxed);
  }
  return rc;
}

extern "C" int gettimeofday(timeval* __restrict now, void*) noexcept {
  timespec exact;
  const int rc = clock_gettime(CLOCK_REALTIME, &exact);
  if (rc == 0) {
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
  }
  return rc;
}

extern "C" time_t time(time_t* result) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != nullptr) *result = now.tv_sec;
  return now.tv_sec;
}

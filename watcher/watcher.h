// The watcher: one thread that keeps up with every cluster's API server and
// turns what they say into writes to the peer tables.
//
// The thread calls no nginx function and writes no shared memory. It hands
// finished updates to the event loop through a mutex-guarded slot and one
// wake-up (an eventfd); the event loop takes an update, applies it in pieces
// as small as it likes, and gives it back with Done(); meanwhile the thread
// gathers what changes and hands out the next one after that. So at most one
// update is outstanding, and a slow event loop gets fewer, larger ones.

#ifndef DYNAMIC_WEIGHT_WATCHER_WATCHER_H_
#define DYNAMIC_WEIGHT_WATCHER_WATCHER_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/config/config.h"
#include "watcher/update.h"
#include "weightcalc/peer_table.h"

namespace dynweight {

class Watcher {
 public:
  // Starts the thread, with all signals blocked but SIGILL, SIGFPE, SIGSEGV
  // and SIGBUS. `config` must outlive the watcher; `tables` are what
  // LineConfig::table indexes. `wake_fd` is an eventfd that is written when an
  // update is ready.
  // curl_global_init() must have been called; calls UseJsonArenas(). Errors: no
  // thread, no memory.
  static absl::StatusOr<std::unique_ptr<Watcher>> Start(
      const WatcherConfig& config, std::vector<PeerTable> tables,
      const Held& held, int wake_fd);

  // Stop(), if not done.
  virtual ~Watcher() = default;

  // Event loop only: the update that is ready, or nothing.
  virtual std::unique_ptr<Update> Take() = 0;

  // Event loop only: the update last taken is in the tables. The thread frees
  // it.
  virtual void Done(std::unique_ptr<Update> update) = 0;

  // When the thread was last at work, on CLOCK_MONOTONIC in milliseconds. It
  // looks up each kWatcherSleepMs at the latest. Any thread.
  virtual int64_t SeenMs() const = 0;

  // Ends the thread and joins it: within a second, also in the middle of a
  // transfer that hangs; normally within milliseconds. Any thread but its own.
  virtual void Stop() = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_WATCHER_H_

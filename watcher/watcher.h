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

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/cluster_view.h"
#include "watcher/config.h"
#include "watcher/tuning_marks.h"
#include "watcher/weight_journal.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

struct LogLine {
  enum class Level : uint8_t { kError, kWarn, kNotice, kInfo };
  Level level = Level::kInfo;
  std::string text;  // one line, printable, no secret
};

// Writes to one table; Publish() it after the last.
struct TableUpdate {
  uint32_t table = 0;
  std::vector<SlotWrite> writes;
};

// What explains the weight of a line; `line` indexes WatcherConfig::lines.
struct LineUpdate {
  uint32_t line = 0;
  LineRecord record;
};

// New texts for a cluster's documents in shared memory; an empty one stays.
struct DocumentUpdate {
  uint32_t cluster = 0;
  std::string view;    // EncodeClusterView()
  std::string status;  // PackClusterStatus()
};

// New marks for the slots of a table.
struct MarkUpdate {
  uint32_t table = 0;
  TuningMarks marks;
};

// New texts about the tuning file in shared memory; an empty one stays.
struct TuningUpdate {
  std::string text;    // its last good content
  std::string status;  // TuningFile::EncodeStatus()
};

// What is held from before, by a former run or a killed predecessor.
struct Held {
  std::vector<ClusterView> views;                // one a cluster
  std::vector<ClusterView> retained;             // see held_views.h
  std::vector<std::optional<LineRecord>> lines;  // one a line
  std::string decisions;                         // EncodeDecisions()
  std::string tuning;                            // the file's last good content
};

struct Update {
  std::vector<TableUpdate> tables;
  std::vector<LineUpdate> lines;
  std::string decisions;  // WeightJournal's; empty: they stay
  std::vector<DocumentUpdate> documents;
  TuningUpdate tuning;
  std::vector<MarkUpdate> marks;
  std::vector<LogLine> log;
};

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

  // Ends the thread and joins it: within a second, also in the middle of a
  // transfer that hangs; normally within milliseconds. Any thread but its own.
  virtual void Stop() = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_WATCHER_H_

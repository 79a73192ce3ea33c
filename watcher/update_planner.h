// What goes to the event loop next, and when: writes to the tables for the
// lines whose numbers changed, the documents that explain them, log lines.

#ifndef DYNAMIC_WEIGHT_WATCHER_UPDATE_PLANNER_H_
#define DYNAMIC_WEIGHT_WATCHER_UPDATE_PLANNER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "watcher/cluster_watcher.h"
#include "watcher/config/config.h"
#include "watcher/state/cluster_view_json.h"
#include "watcher/text/log_queue.h"
#include "watcher/tuning/tuning_file.h"
#include "watcher/tuning/tuning_marks.h"
#include "watcher/update.h"
#include "watcher/weight_change_log.h"
#include "weightcalc/clock.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/weight_computation.h"

namespace dynweight {

// Work is in proportion to what changed: an index leads from a source to its
// lines, and only tables with such lines are looked at.
//
// A table is written at once when it was not written for coalesce_ms, else
// when that time is over, with whatever has changed by then. A view document
// of up to kSmallDocument goes out with the writes it explains, since a reload
// carries it, not the table, into the new cycle; of a larger one no more than
// kBytesPerMs are encoded, but it follows within kLargePaceMs.
//
// Not thread-safe. All pointers and references outlive it.
class UpdatePlanner {
 public:
  static constexpr size_t kSmallDocument = 4096;
  static constexpr size_t kBytesPerMs = 64;
  static constexpr int64_t kSmallPaceMs = 50;
  static constexpr int64_t kLargePaceMs = 1000;
  static constexpr int64_t kStatusPaceMs = 1000;
  static constexpr int64_t kDecisionsPaceMs = 1000;  // always all of them
  // A view whose numbers stand still is written again so often, so that its
  // times of observation are not far off.
  static constexpr int64_t kObservedPaceMs = 60000;
  // What is due so soon goes along with a change: an update for itself would
  // wake both threads once more.
  static constexpr int64_t kAlongMs = 50;

  // Remembers the weights of `views` as those in force: only changes are
  // logged. Everything is due at once: a killed predecessor may have left the
  // tables half-written.
  UpdatePlanner(const WatcherConfig& config, std::vector<PeerTable> tables,
                const std::vector<ClusterView>& views, LogQueue* log,
                WeightChangeLog* change_log, TuningFile* tuning,
                int64_t now_ms);

  // Takes up what happened to the view of a cluster.
  void OnChanges(uint32_t cluster, const ClusterChanges& changes,
                 int64_t now_ms);

  // Takes up that the tuning file changed.
  void OnTuning(const TuningFile::Changes& changes, int64_t now_ms);

  // When Build() will give something; kNever when nothing waits.
  int64_t DeadlineMs() const;

  // The next update, or nothing when none is due. Only while no update is
  // outstanding: it reads the tables. `status` encodes a cluster's status
  // document.
  std::unique_ptr<Update> Build(
      int64_t now_ms, const std::function<std::string(uint32_t)>& status);

 private:
  struct Table {
    explicit Table(const PeerTable& t) : table(t) {}

    PeerTable table;
    std::vector<uint32_t> dirty_lines;
    std::vector<uint32_t> servers;  // of it
    bool dirty_servers = false;
    std::vector<uint32_t> lines;  // of it
    uint64_t largest_server = 0;  // weight, tuned
    uint64_t scale = 1;           // of the weights in the table
    uint64_t warned_scale = 1;
    int64_t next_write_ms = INT64_MIN;  // not before, because of coalescing
    bool waits = false;                 // stands in due_tables_
  };
  struct Line {
    std::optional<LineWeight> weight;  // as last planned
    std::optional<HeldTarget> held;    // TargetOf()'s
    uint64_t largest = 0;              // weight of its nodes, tuned
    uint64_t warned_nodes = 0;         // too many for the slots, and said so
    bool dirty = false;
    bool recorded = false;  // its record was handed out
  };
  struct Cluster {
    std::map<std::string, std::vector<uint32_t>, std::less<>> lines_of_source;
    std::vector<uint32_t> lines;
    ViewRoom room;           // of its view's document
    InstanceSetTexts texts;  // of that
    int64_t texts_ms = 0;    // since when they are kept
    int64_t view_due_ms = kNever;
    int64_t view_sent_ms = INT64_MIN;
    size_t view_bytes = 0;  // of the last document
    bool explains = false;  // the update being built has writes of its lines
    int64_t status_due_ms = kNever;
    int64_t status_sent_ms = INT64_MIN;
  };

  void MarkLine(uint32_t line, int64_t now_ms);
  void MarkServers(uint32_t table, int64_t now_ms);
  void MarkTable(uint32_t table, int64_t now_ms);
  Tuning::Selection RulesFor(const LineConfig& line) const;
  void PlanTable(uint32_t table, int64_t now_ms, Update* update);
  uint64_t Rescale(uint32_t table, int64_t now_ms);
  void PlanLineOf(uint32_t line, uint64_t previous_scale, int64_t now_ms,
                  Update* update, std::vector<SlotWrite>* writes);
  void AddTuning(int64_t now_ms, Update* update);
  void NoteWeight(uint32_t line, const std::optional<LineWeight>& weight,
                  int64_t now_ms);
  void AddDecisions(int64_t now_ms, int64_t due_ms, Update* update);
  // Those due by `due_ms`.
  void AddDocuments(int64_t now_ms, int64_t due_ms,
                    const std::function<std::string(uint32_t)>& status,
                    Update* update);

  const WatcherConfig& config_;
  const std::vector<ClusterView>& views_;
  LogQueue* log_;
  WeightChangeLog* change_log_;
  TuningFile* tuning_;
  TuningMarker marker_;
  int64_t tuning_due_ms_;  // marks and the two texts
  TuningUpdate tuning_sent_;
  std::vector<Table> tables_;
  std::vector<Line> lines_;
  std::vector<Cluster> clusters_;
  int64_t decisions_due_ms_ = kNever;
  int64_t decisions_sent_ms_ = INT64_MIN;
  std::set<std::pair<int64_t, uint32_t>> due_tables_;  // when, which
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_UPDATE_PLANNER_H_

// What the watcher thread hands to the event loop, and what it was given at the
// start.

#ifndef DYNAMIC_WEIGHT_WATCHER_UPDATE_H_
#define DYNAMIC_WEIGHT_WATCHER_UPDATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "watcher/outlier/outlier_detector.h"
#include "watcher/probe/prober.h"
#include "watcher/state/cluster_view_json.h"
#include "watcher/text/log_line.h"
#include "watcher/tuning/tuning_marks.h"
#include "watcher/weight_change_log.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

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

// All that the event loop is to do.
struct Update {
  std::vector<TableUpdate> tables;
  std::vector<TableProbes> probes;  // after those
  std::vector<TableEjections> ejections;
  std::vector<LineUpdate> lines;
  std::string decisions;  // WeightChangeLog's; empty: they stay
  std::vector<DocumentUpdate> documents;
  TuningUpdate tuning;
  std::vector<MarkUpdate> marks;
  std::vector<LogLine> log;
};

// What is held from before, by a previous run or a killed predecessor.
struct Held {
  std::vector<ClusterView> views;                // one a cluster
  std::vector<ClusterView> retained;             // see held_views.h
  std::vector<std::optional<LineRecord>> lines;  // one a line
  std::string decisions;                         // EncodeDecisions()
  std::string tuning;                            // the file's last good content
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_UPDATE_H_

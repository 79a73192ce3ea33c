// Which rule of the tuning file decides over the peer in each slot, for the
// status: so that a worker can say why without asking the rules.

#ifndef DYNAMIC_WEIGHT_WATCHER_TUNING_TUNING_MARKS_H_
#define DYNAMIC_WEIGHT_WATCHER_TUNING_TUNING_MARKS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "watcher/config/config.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/tuning.h"

namespace dynweight {

// A mark: 1 + the index of the rule; 0: none.
using TuningMarks = std::vector<uint16_t>;
static_assert(kMaxTuningRules < UINT16_MAX);

// Not thread-safe. `config` outlives it.
class TuningMarker {
 public:
  TuningMarker(const WatcherConfig& config, std::vector<PeerTable> tables);

  // A table has other peers, every table has other rules: it is marked anew.
  void OnPeers(uint32_t table) { dirty_.insert(table); }
  void OnRules();

  // Marks a table of those, if there is one: which, or nothing when all are
  // done. `marks`, one a slot, are empty when they stayed as they were.
  std::optional<uint32_t> Mark(const Tuning& tuning, TuningMarks* marks);

  // How many peers each rule is for, of the tables that were marked.
  std::vector<uint32_t> Peers(const Tuning& tuning) const;

 private:
  struct Table {
    PeerTable table;
    std::vector<uint32_t> lines;
    std::vector<uint32_t> servers;
    std::optional<TuningMarks> marks;  // as last given out
    std::map<size_t, uint32_t> peers;  // by rule
  };

  void MarkSlot(const Tuning& tuning, const TuningEffect& effect, uint32_t slot,
                Table* table, TuningMarks* marks);

  const WatcherConfig& config_;
  std::vector<Table> tables_;
  std::set<uint32_t> dirty_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TUNING_TUNING_MARKS_H_

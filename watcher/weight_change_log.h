// What explains the weights: for each line the numbers that its
// present weight was computed from, and the last decisions of all lines. Both
// lie in shared memory as plain values, so that every worker shows them
// without parsing anything.

#ifndef DYNAMIC_WEIGHT_WATCHER_WEIGHT_CHANGE_LOG_H_
#define DYNAMIC_WEIGHT_WATCHER_WEIGHT_CHANGE_LOG_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "watcher/config/config.h"
#include "watcher/state/cluster_view_json.h"
#include "weightcalc/clock.h"
#include "weightcalc/weight_computation.h"

namespace dynweight {

// A text of fixed room, zero-terminated, cut when it is too long.
template <size_t kBytes>
struct FixedText {
  std::array<char, kBytes> bytes{};

  void Set(std::string_view text) {
    bytes.fill(0);
    text.substr(0, kBytes - 1).copy(bytes.data(), kBytes - 1);
  }
  std::string_view view() const { return bytes.data(); }
};

// The arithmetic of a line: of LineWeight, what it says of instances, too.
struct LineRecord {
  uint64_t pods = 0;
  uint64_t ingress_nodes = 0;  // live in the cluster
  uint64_t used_nodes = 0;     // that have a slot, undrained; the divisor
  uint64_t generation = 0;     // how often the weight has changed
  int64_t changed_ms = 0;      // when it last did, Unix ms; 0: never
  uint32_t weight = 0;
  uint32_t known = 0;          // 0: the API has not said enough; weights hold
  uint64_t drained_nodes = 0;  // by tuning, of those that have a slot
  uint32_t frozen = 0;         // by tuning
  uint16_t provisional = 0;    // nodes or pods are held from before
  uint16_t no_ingress = 0;     // so that its pods don't count
  uint64_t scale = 1;          // what the upstream's weights are divided by
  FixedText<120> reason;
};
static_assert(std::has_unique_object_representations_v<LineRecord>);

// One change of what a line's weight is computed from.
struct Decision {
  int64_t time_ms = 0;  // Unix
  uint32_t old_weight = 0;
  uint32_t new_weight = 0;
  uint64_t first = 0;  // 1: there was no weight before
  FixedText<64> upstream;
  FixedText<64> cluster;
  FixedText<104> why;
};
static_assert(sizeof(Decision) == 256);

inline constexpr size_t kMaxDecisions = 256;
inline constexpr size_t kMaxDecisionBytes = kMaxDecisions * sizeof(Decision);

// The record of a line that weighs `weight`; generation and time are 0.
LineRecord MakeLineRecord(const LineConfig& line,
                          const std::optional<LineWeight>& weight);

// What the record of a frozen line holds; nothing for another line.
std::optional<LineWeight> FrozenWeight(const LineRecord& record);

// The decisions in `bytes`, as EncodeDecisions() wrote them, oldest first.
std::vector<Decision> DecodeDecisions(std::string_view bytes);

// Not thread-safe; both references outlive it.
class WeightChangeLog {
 public:
  WeightChangeLog(const WatcherConfig& config, const Clock* clock);

  // What a predecessor left in shared memory; its decisions go on.
  void Restore(const std::vector<std::optional<LineRecord>>& lines,
               std::string_view decisions);

  // A line was planned: what it weighed before, what it weighs now. Whether
  // its record has changed. It is a decision unless only a freeze begins or
  // ends, or what was held turns out to be so.
  bool Note(uint32_t line, const std::optional<LineWeight>& before,
            const std::optional<LineWeight>& after);

  // A line was planned of which the API has not said enough, or that has no
  // node. Whether its record has changed: one that explains what holds does
  // not.
  bool NoteUnknown(uint32_t line, const ClusterView& view);

  const LineRecord& record(uint32_t line) const { return records_[line]; }

  // Whether EncodeDecisions() would give something.
  bool changed() const { return changed_; }

  // The last kMaxDecisions as bytes for shared memory; "" when there is no new
  // one since the last call. An upstream's last one stays for as long as
  // another upstream has more.
  std::string EncodeDecisions();

 private:
  void Add(const Decision& decision);
  void MakeRoom();

  const WatcherConfig& config_;
  const Clock* clock_;
  std::vector<LineRecord> records_;
  std::deque<Decision> decisions_;
  std::map<std::string, uint32_t, std::less<>> decisions_of_;  // by upstream
  uint32_t with_more_ = 0;  // upstreams that have more than one
  bool changed_ = false;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_WEIGHT_CHANGE_LOG_H_

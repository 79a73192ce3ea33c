// Probes the ingress nodes of all clusters that ask for it, and the servers and
// instances of upstreams that do: one probe for each address and port, however
// many upstreams have a peer there, and the words that the peers get for it. A
// peer that has two, as the application behind an ingress node is asked for as
// well, serves when both pass.
//
//   tables ── peers that carry weight ──► targets ── due, within the rate ──►
//   checks ── outcomes ──► results ── what differs from the tables ──► words
//
// A target is probed for the first time at once, then at a moment of the
// interval that chance says, and from then on once an interval: edges that
// learn of a node together do not probe it together. There are kMoments of
// them, which chance has shifted, as probes that begin together cost the thread
// much less than as many wake-ups; and no more probes begin than
// PlannedProbe::Rate(). What the tables say of a target when it is met
// first, from a killed predecessor or the cycle before, is where it goes on.
//
// When every target of every probe fails, that is taken for a fault of this
// edge or of its network: no word keeps requests away until a probe passes.
// What the edge itself cannot do (no descriptor) tells nothing of a node.
//
// Not thread-safe; lives on the watcher's thread. All pointers and references
// outlive it. Times are of the monotonic clock in milliseconds.

#ifndef DYNAMIC_WEIGHT_WATCHER_PROBE_PROBER_H_
#define DYNAMIC_WEIGHT_WATCHER_PROBE_PROBER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "watcher/config/config.h"
#include "watcher/config/probe_plan.h"
#include "watcher/probe/probe_check.h"
#include "watcher/probe/probe_target.h"
#include "watcher/text/log_queue.h"
#include "watcher/transport/http_transport.h"
#include "weightcalc/clock.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/probe_result.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

// Words for the peers of a table.
struct TableProbes {
  uint32_t table = 0;
  std::vector<ProbeWrite> writes;
};

// Of a cluster, for its status.
struct ProbeCounts {
  uint64_t probes = 0;    // that told something
  uint64_t failures = 0;  // of these
  uint32_t targets = 0;
  uint32_t passing = 0;
  uint32_t failing = 0;
  bool ignored = false;  // everything fails
};

class Prober {
 public:
  static constexpr int64_t kBatchMs = 50;  // between two turns of beginning
  static constexpr int64_t kMoments = 10;  // of an interval, or more:
  static constexpr int64_t kMaxMomentMs = 200;

  // `random` gives uniform numbers of [0, 1).
  Prober(const WatcherConfig& config, std::vector<PeerTable> tables,
         HttpTransport* transport, const Clock* clock, LogQueue* log,
         std::function<double()> random);

  // Whether anybody asks for probes; if not, nothing below does anything.
  bool active() const { return !probes_.empty(); }

  // Begins what is due.
  void Tick(int64_t now_ms);
  // When Tick() has something to begin; kNever: nothing.
  int64_t DeadlineMs() const;

  // Gives writes to a table, about to be handed out, what is known of the peers
  // that they bring in.
  void Prepare(uint32_t table, std::vector<SlotWrite>* writes);

  // Whether TakeWords() may give something.
  bool HasWords() const { return !dirty_.empty() || words_changed_; }
  // The words that are not in the tables as yet. Only while no update is
  // outstanding: it reads the tables.
  std::vector<TableProbes> TakeWords(int64_t now_ms);

  ProbeCounts Counts(uint32_t cluster) const;
  // How a cluster's counts have changed since they were last asked for; numbers
  // alone are told once in kCountsPaceMs.
  enum class Change : uint8_t { kNone, kCounts, kResults };
  Change TakeChange(uint32_t cluster, int64_t now_ms);

 private:
  static constexpr int64_t kCountsPaceMs = 5000;

  struct Probe;

  struct Target {
    Probe* probe = nullptr;
    IpAddress address;
    uint16_t port = 0;
    ProbeTarget state;
    std::unique_ptr<ProbeCheck> check;
    int64_t due_ms = 0;
    bool begun = false;  // a probe of it, ever
    uint32_t seats = 0;  // peers that it is for

    explicit Target(const ProbeConfig* config) : state(config) {}
  };

  // One that is planned.
  struct Probe {
    const ProbeConfig* config = nullptr;
    std::string owner;
    double rate = 0;    // a second
    double tokens = 0;  // that may begin at once
    int64_t tokens_ms = 0;
    std::map<std::pair<IpAddress, uint16_t>, std::unique_ptr<Target>> targets;
    std::set<std::pair<int64_t, Target*>> due;
    ProbeCounts counts;
    Change change = Change::kResults;
    int64_t told_ms = INT64_MIN / 2;
  };

  // A peer that is probed.
  struct Seat {
    uint32_t slot = 0;
    uint64_t generation = 0;
    std::vector<Target*> targets;
  };

  struct Table {
    explicit Table(const PeerTable& t) : table(t) {}
    PeerTable table;
    std::vector<ProbedRange> ranges;
    std::vector<uint16_t> tags;  // by slot
    std::vector<Seat> seats;
  };

  static double RefillRate(const Probe& probe);
  static int64_t MomentMs(const Probe& probe);
  int64_t AnyMoment(const Probe& probe, int64_t now_ms);
  void Refill(Probe* probe, int64_t now_ms);
  void Begin(Probe* probe, Target* target, int64_t now_ms);
  void OnOutcome(Target* target, const ProbeOutcome& outcome);
  void SetDue(Target* target, int64_t due_ms);
  void ReadPeers(Table* table, int64_t now_ms);
  // Address and port that the range's probe asks of a peer.
  static std::pair<IpAddress, uint16_t> Asked(const ProbedRange& range,
                                              const PeerIdentity& identity);
  uint32_t WordOfNew(const Table& table, const SlotWrite& write,
                     const PeerIdentity& identity) const;
  Target* TargetFor(const ProbedRange& range,
                    const std::pair<IpAddress, uint16_t>& asked,
                    const ProbeResult& known, int64_t now_ms);
  void DropUnused();
  void LookAtAll();
  uint32_t WordFor(const std::vector<Target*>& targets, uint16_t tag,
                   uint32_t present) const;
  std::string Name(const Target& target) const;

  HttpTransport* const transport_;
  const Clock* const clock_;
  LogQueue* const log_;
  const std::function<double()> random_;
  const int64_t phase_ms_;                      // of the moments
  std::vector<std::unique_ptr<Probe>> probes_;  // in the order of the plan
  std::vector<Probe*> probe_of_;                // by cluster; nullptr: none
  std::vector<Table> tables_;
  int64_t batch_ms_ = 0;        // before that nothing begins
  std::set<uint32_t> dirty_;    // tables whose peers may be others
  bool words_changed_ = false;  // of any target
  bool ignored_ = false;        // everything fails
  bool own_failure_ = false;    // was logged
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_PROBE_PROBER_H_

// Ejects peers that answer much worse than they may: of an upstream with
// dynamic_weight_outlier, whose attempts within a window failed, or were
// answered 5xx, in too large a part. After Envoy's outlier detection (failure
// percentage; config.cluster.v3.OutlierDetection).
//
//                  an outlier, and `most` allows it: for eject * times
//   ┌────────────┐ ──────────────────────────────────────────────► ┌──────────┐
//   │ is counted │                                                 │ ejected  │
//   └────────────┘ ◄────────────────────────────────────────────── └──────────┘
//         │  ▲      the time is over: its window begins anew
//         └──┘
//    each window without another one forgets one of its times
//
// A fault of an application is not one of a peer: where more are outliers than
// `most` of the weight, those that answer worst are ejected as far as it goes,
// and the others serve on.
//
// What workers count lies in the tables, which are read here at any time; what
// follows is handed out and written by the event loop. Of a predecessor that
// was killed the tables tell who is ejected; what it had counted begins anew.
//
// Not thread-safe; lives on the watcher's thread. All pointers and references
// outlive it. Times are of the monotonic clock in milliseconds.

#ifndef DYNAMIC_WEIGHT_WATCHER_OUTLIER_OUTLIER_DETECTOR_H_
#define DYNAMIC_WEIGHT_WATCHER_OUTLIER_OUTLIER_DETECTOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "watcher/config/config.h"
#include "watcher/text/log_queue.h"
#include "weightcalc/outlier_window.h"
#include "weightcalc/peer_table.h"

namespace dynweight {

// For the peer of a slot, if `generation` still occupies it.
struct EjectionWrite {
  uint32_t slot = 0;
  uint64_t generation = 0;
  Ejection ejection;
  bool begins = false;  // false: only its number of times is another one
};

struct TableEjections {
  uint32_t table = 0;
  std::vector<EjectionWrite> writes;
};

class OutlierDetector {
 public:
  OutlierDetector(const WatcherConfig& config, std::vector<PeerTable> tables,
                  LogQueue* log, int64_t now_ms);

  // Whether any upstream asks for it; if not, nothing below does anything.
  bool active() const { return !watched_.empty(); }

  // Looks at the upstreams that are due.
  void Tick(int64_t now_ms);
  // When the next one is; kNever: there is none.
  int64_t DeadlineMs() const;

  bool HasWrites() const { return !writes_.empty(); }
  std::vector<TableEjections> TakeWrites();

 private:
  struct PeerState {
    uint64_t generation = 0;  // 0: nobody
    OutlierWindow window;
    Ejection ejection;
    int64_t good_since_ms = 0;  // of the times that are to be forgotten
    bool out = false;           // was ejected when it was last looked at
  };

  // The peers of one table.
  struct Watched {
    const OutlierConfig* config = nullptr;
    uint32_t table = 0;
    int64_t due_ms = 0;
    int64_t looked_ms = 0;
    std::vector<PeerState> peers;
    std::vector<const ServerConfig*> servers;  // of each slot; null: of a line
    std::vector<const LineConfig*> lines;
    bool limited = false;  // that more would be ejected was logged
  };

  // One that is an outlier.
  struct Candidate {
    uint32_t slot = 0;
    uint64_t weight = 0;
    double errors = 0;  // of its attempts
  };

  void NoteNames(const WatcherConfig& config);
  int64_t SliceMs(const Watched& watched) const;
  void Look(Watched* watched, int64_t now_ms);
  void LookAtPeer(Watched* watched, uint32_t slot, uint64_t slices,
                  int64_t now_ms);
  void Forget(Watched* watched, uint32_t slot, int64_t now_ms);
  void Choose(Watched* watched, int64_t now_ms);
  void Eject(Watched* watched, uint32_t slot, int64_t now_ms);
  void Write(const Watched& watched, uint32_t slot, bool begins);
  std::string Name(const Watched& watched, uint32_t slot) const;

  const WatcherConfig& config_;
  const std::vector<PeerTable> tables_;
  LogQueue* const log_;
  std::vector<Watched> watched_;
  std::vector<TableEjections> writes_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_OUTLIER_OUTLIER_DETECTOR_H_

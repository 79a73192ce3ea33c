// Health of one peer, shared by all workers. Passive, with nginx's semantics:
// `max_fails` failures within `fail_timeout` take the peer out for
// `fail_timeout`; then one request, of whichever worker comes first, probes
// it (ngx_http_upstream_round_robin.c, without its lock). And active: the word
// of probe_result.h, which the table's writer sets and every pick reads. And
// how a peer answers among the others: outlier detection ejects it for a time.
//
//                max_fails failed attempts
//   ┌──────┐ ──────────────────────────────────► ┌───────────┐
//   │  up  │                                     │  unavail  │
//   └──────┘ ◄────────────────────────────────── └───────────┘
//     ▲ ▲ │   after fail_timeout a request            │
//     │ │ │   went there, and well                    │ fails
//     │ │ │                                           ▼
//     │ │ │              fails                   ┌───────────┐
//     │ │ └────────────────────────────────────► │ unhealthy │
//     │ └─────────────────────────────────────── └───────────┘
//     │                  passes                       ▲
//     │ the first one passed                          │ fails
//   ┌──────────┐                                      │
//   │ checking │ ─────────────────────────────────────┘
//   └──────────┘ ◄── joins, where a first result is waited for
//
// fails, passes: so many probes in a row failed, or passed. Who comes back by
// its probes has its failed attempts forgotten, and begins by slow start.
//
//              answers worse than it may (watcher/outlier)
//   ┌──────┐ ──────────────────────────────────────────────► ┌──────────┐
//   │  up  │                                                 │ ejected  │
//   └──────┘ ◄────────────────────────────────────────────── └──────────┘
//              the time is over; by slow start
//
// Where several speak against a peer, its probe is named first, then the
// ejection, then the failed attempts; it serves when none of them does. A peer
// of weight 0 has none of these states: it is down in the configuration,
// draining while requests run there, or drained. While all peers of an upstream
// are out, and while everything that is probed anywhere fails, who is out is
// asked all the same, and is up.
//
// And slow start: a peer that joins others, or comes back from being out, gets
// a share that grows from nothing to its weight over a time; see StartSlowly().
//
// Every function may be called by any process at any time; none blocks.
// Times are milliseconds of the monotonic clock, which all processes share, as
// ngx_current_msec has them: a wall clock that jumps takes nobody out.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_PEER_HEALTH_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_PEER_HEALTH_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "weightcalc/probe_result.h"

namespace dynweight {

// What the configuration allows a peer.
struct HealthPolicy {
  uint32_t max_fails = 1;  // 0: never taken out
  int64_t fail_timeout_ms = 10000;
};

// What PeerHealth::Admit() says.
enum class Admission : uint8_t {
  kNo,
  kYes,
  kProbe,  // the one request that finds out whether a failed peer is back
};

// What outlier detection has said of a peer.
struct Ejection {
  int64_t until_ms = 0;      // out before that; 0: it never was
  uint32_t duration_ms = 0;  // how long that is
  uint32_t times = 0;        // ejections that are not forgotten as yet
};

class PeerHealth {
 public:
  // Only the table's writer, while it assigns a slot.
  void Reset();

  // Goes on where another one's stands; `slow_start`: its slow start as well.
  // Only the table's writer, while it assigns a slot.
  void CopyFrom(const PeerHealth& other, bool slow_start);

  // Whether a request may go to the peer now. Yes for a healthy peer; a failed
  // one may be probed by one caller each time that `fail_timeout_ms` has
  // passed: call it last, when everything else speaks for the peer.
  Admission Admit(int64_t now_ms, const HealthPolicy& policy);

  // The present word of probe_result.h, and since when it has said the same
  // of the peer; 0: never set.
  uint32_t probe() const { return probe_.load(std::memory_order_relaxed); }
  int64_t probe_since_ms() const {
    return probe_since_ms_.load(std::memory_order_relaxed);
  }

  // Whether probes keep requests away from the peer.
  bool ProbedOut() const { return (probe() & ProbeResult::kOut) != 0; }

  // Only the table's writer. True when the peer was out and is no longer.
  bool SetProbe(uint32_t word, int64_t now_ms);

  // The last ejection. The writer may be at it: its parts may be of two.
  Ejection ejection() const {
    return {ejected_until_ms(), ejected_for_ms_.load(std::memory_order_relaxed),
            ejections_.load(std::memory_order_relaxed)};
  }
  int64_t ejected_until_ms() const {
    return ejected_until_ms_.load(std::memory_order_relaxed);
  }

  // Whether it goes on.
  bool Ejected(int64_t now_ms) const { return now_ms < ejected_until_ms(); }

  // Only the table's writer. It ends by itself, and by slow start.
  void SetEjection(const Ejection& ejection);

  // Whether failures took the peer out and nothing has brought it back, though
  // it may be due for a probe. Changes nothing, as the next two.
  bool Failed(const HealthPolicy& policy) const {
    return policy.max_fails != 0 &&
           fails_.load(std::memory_order_acquire) >= policy.max_fails;
  }

  // Whether a pick may not go to the peer: its probes say so; or it is ejected;
  // or it failed and is not due for a request that finds out, or that is under
  // way.
  bool Out(int64_t now_ms, const HealthPolicy& policy) const {
    return ProbedOut() || Ejected(now_ms) ||
           (Failed(policy) && now_ms < due_ms(policy));
  }

  // When a time out that began at `since_ms`, and that nothing ended before, is
  // over by itself; `now_ms` for one that goes on.
  int64_t OutUntilMs(int64_t since_ms, int64_t now_ms,
                     const HealthPolicy& policy) const;

  // From when on Admit() lets a probe to a failed peer.
  int64_t due_ms(const HealthPolicy& policy) const {
    return checked_.load(std::memory_order_relaxed) + policy.fail_timeout_ms +
           1;
  }

  // An attempt failed. True when this failure took the peer out: of failures
  // that come together, one says so; a failed probe, which keeps the peer out,
  // does not say it again.
  bool OnFailure(int64_t now_ms, const HealthPolicy& policy);

  // An attempt succeeded: as in nginx the failures are forgotten when none
  // came since the request (or the probe) was let in. True when this brought
  // back a peer that was taken out.
  bool OnSuccess(const HealthPolicy& policy);

  // Forgets the failures of a peer that answered though it was out. True when
  // this brought it back.
  bool Restore(const HealthPolicy& policy);

  // From `now_ms` on (more than 0) the peer is to get its share bit by bit.
  void StartSlowly(int64_t now_ms) {
    started_ms_.store(now_ms, std::memory_order_relaxed);
  }

  // The last StartSlowly(), whether or not its ramp has ended; 0: none.
  int64_t started_ms() const {
    return started_ms_.load(std::memory_order_relaxed);
  }

  // Whether a pick may go to the peer, of which `dice` is a hash: during the
  // `ramp_ms` after StartSlowly() true with a probability that grows evenly
  // from 0 to 1, else always. Changes nothing.
  bool Admits(int64_t now_ms, int64_t ramp_ms, uint32_t dice) const {
    return Ramp(now_ms, ramp_ms) > dice;
  }

  // That probability in parts of 2^32, of which it is 2^32 when no ramp goes
  // on. `ramp_ms`: below 2^31; 0: there is none.
  uint64_t Ramp(int64_t now_ms, int64_t ramp_ms) const {
    const int64_t started = started_ms();
    if (started == 0 || now_ms - started >= ramp_ms) return uint64_t{1} << 32;
    const auto age =
        static_cast<uint64_t>(now_ms < started ? 0 : now_ms - started);
    return (age << 32) / static_cast<uint64_t>(ramp_ms);
  }

  uint32_t fails() const { return fails_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> fails_;
  std::atomic<uint32_t> probe_;
  std::atomic<int64_t> accessed_;    // last failure
  std::atomic<int64_t> checked_;     // last failure or probe
  std::atomic<int64_t> started_ms_;  // of a slow start; 0: none
  std::atomic<int64_t> probe_since_ms_;
  std::atomic<int64_t> ejected_until_ms_;
  std::atomic<uint32_t> ejected_for_ms_;
  std::atomic<uint32_t> ejections_;
};

static_assert(std::atomic<uint32_t>::is_always_lock_free);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_PEER_HEALTH_H_

// What the probes of one node have said so far, and what follows from it.
//
//               one that passed            `fails` in a row failed
//   unknown ───────────────────► passing ──────────────────────────► failing
//      │                            ▲                                 ▲  │
//      │                            └─────────────────────────────────┼──┘
//      │                                `passes` in a row passed      │
//      └──────────────────────────────────────────────────────────────┘
//                      `fails` in a row failed
//
// A value of its own: no clock, no I/O. Not thread-safe.

#ifndef DYNAMIC_WEIGHT_WATCHER_PROBE_PROBE_TARGET_H_
#define DYNAMIC_WEIGHT_WATCHER_PROBE_PROBE_TARGET_H_

#include <cstdint>

#include "watcher/config/probe_config.h"
#include "weightcalc/probe_result.h"

namespace dynweight {

// How one probe ended.
struct ProbeOutcome {
  // False: it tells nothing of the node, as the edge itself had no descriptor.
  bool tells = true;
  bool passed = false;
  ProbeReason reason = ProbeReason::kNone;  // when it did not
  uint16_t status = 0;                      // of ProbeReason::kStatus
};

class ProbeTarget {
 public:
  // `config` outlives it.
  explicit ProbeTarget(const ProbeConfig* config) : config_(config) {}

  // Goes on from what a previous run left of the same probe.
  void Resume(const ProbeResult& known) {
    result_ = known.result;
    reason_ = known.reason;
    status_ = known.status;
  }

  // True when the result changed.
  bool Note(const ProbeOutcome& outcome) {
    if (!outcome.tells) return false;
    if (outcome.passed != last_passed_) in_a_row_ = 0;
    last_passed_ = outcome.passed;
    if (in_a_row_ < UINT32_MAX) ++in_a_row_;
    if (outcome.passed) {
      if (result_ == ProbeResult::kPassing) return false;
      if (result_ == ProbeResult::kFailing && in_a_row_ < config_->passes) {
        return false;
      }
      result_ = ProbeResult::kPassing;
      reason_ = ProbeReason::kNone;
      status_ = 0;
      return true;
    }
    if (result_ == ProbeResult::kFailing || in_a_row_ < config_->fails) {
      return false;
    }
    result_ = ProbeResult::kFailing;
    reason_ = outcome.reason;
    status_ = outcome.status;
    return true;
  }

  ProbeResult::Result result() const { return result_; }
  // Of the failure that made it fail.
  ProbeReason reason() const { return reason_; }
  uint16_t status() const { return status_; }
  // Whether the last probe failed, of a target that may not be failing yet.
  bool last_failed() const { return in_a_row_ > 0 && !last_passed_; }

 private:
  const ProbeConfig* config_;
  ProbeResult::Result result_ = ProbeResult::kUnknown;
  ProbeReason reason_ = ProbeReason::kNone;
  uint16_t status_ = 0;
  bool last_passed_ = false;
  uint32_t in_a_row_ = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_PROBE_PROBE_TARGET_H_

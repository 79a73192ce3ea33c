// What an operator overrides for a while: the rules of the tuning file, and
// what they make of a peer's weight.
//
//   // comments as in C and C++
//   { "rules": [
//     { "server": "10.1.0.17", "drain": true, "reason": "new kernel, Li" },
//     { "upstream": "orders", "cluster": "sh", "scale": 0.5,
//       "expires": "2026-12-01T18:00:00+08:00" },
//     { "freeze": true }
//   ] }
//
// A rule is for the peers that agree with all of `upstream`, `cluster`,
// `server` and `node` that it gives. Of the rules for a peer, drain wins over
// weight, and weight over what the clusters say, held by freeze or not, as
// scale, then min, then max change it. Of two rules that say the same the
// later one in the file counts, so that a later `"drain": false` or
// `"freeze": false` exempts from an earlier rule.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_TUNING_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_TUNING_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weightcalc/clock.h"
#include "weightcalc/ip_address.h"
#include "weightcalc/peer_set.h"
#include "weightcalc/peer_table.h"

namespace dynweight {

inline constexpr size_t kMaxTuningBytes = size_t{64} << 10;
inline constexpr size_t kMaxTuningRules = 256;
inline constexpr size_t kMaxTuningReason = 256;  // bytes
inline constexpr double kMinTuningScale = 0.001;
inline constexpr double kMaxTuningScale = 1000;

// An address with or without a port (0: any).
struct PeerAddress {
  IpAddress ip;
  uint16_t port = 0;

  // "10.0.0.1", "10.0.0.1:80", "fd00::1", "[fd00::1]:80".
  static std::optional<PeerAddress> Parse(std::string_view text);
};

struct TuningRule {
  uint32_t line = 0;  // in the file

  // Which peers; "" is all.
  std::string upstream;
  std::string cluster;
  std::string server;
  std::string node;
  std::optional<PeerAddress> address;  // that `server` is

  std::optional<bool> drain;
  std::optional<bool> freeze;
  std::optional<uint32_t> weight;
  std::optional<double> scale;
  std::optional<uint32_t> min;
  std::optional<uint32_t> max;

  int64_t expires_ms = kNever;  // Unix
  std::string expires;          // as the file has it
  std::string reason;

  bool for_whole_lines() const { return server.empty() && node.empty(); }
};

// A peer as rules see it.
struct TunedPeer {
  PeerAddress address;
  std::string_view node;  // of an ingress node
  const ServerConfig* server = nullptr;
};

// How rules see the occupant of a slot, and a server. The identity outlives it.
TunedPeer AsTunedPeer(const PeerIdentity& identity);
TunedPeer AsTunedPeer(const ServerConfig& server);

// The rules that decide over a peer; nullptr: none.
struct TuningEffect {
  const TuningRule* drain = nullptr;
  const TuningRule* weight = nullptr;
  const TuningRule* freeze = nullptr;
  const TuningRule* scale = nullptr;
  const TuningRule* min = nullptr;
  const TuningRule* max = nullptr;
  // That kept an earlier rule from draining or freezing it.
  const TuningRule* no_drain = nullptr;
  const TuningRule* no_freeze = nullptr;

  // The first of them, which the status shows.
  const TuningRule* Deciding() const;

  // What becomes of the weight that the clusters or the configuration give.
  // Where that is 0, no pod is there or the server is down: only `weight`,
  // which says more than scale and its like, is stronger, and never for a
  // server. Pure.
  uint64_t OnNode(uint64_t given) const;
  uint64_t OnServer(uint64_t given) const;
};

// A value; const functions are thread-safe.
class Tuning {
 public:
  Tuning() = default;
  explicit Tuning(std::vector<TuningRule> rules);

  const std::vector<TuningRule>& rules() const { return rules_; }

  // Lets rules expire; the indices of those that did (or came back, when the
  // clock was set back). Before the first call no rule is in force.
  std::vector<size_t> Advance(int64_t unix_ms);
  bool in_force(size_t rule) const { return in_force_[rule]; }

  // Of a rule that Select() gave: its index in rules().
  size_t IndexOf(const TuningRule* rule) const {
    return static_cast<size_t>(rule - rules_.data());
  }

  // The rules in force that may be for peers of an upstream that are of
  // `cluster`; "": for its servers. In the file's order.
  using Selection = std::vector<const TuningRule*>;
  Selection Select(std::string_view upstream, std::string_view cluster) const;

 private:
  std::vector<TuningRule> rules_;
  std::vector<bool> in_force_;
};

// What of a selection is for the peer.
TuningEffect EffectOn(const Tuning::Selection& selection,
                      const TunedPeer& peer);

// The rule of a selection that freezes all peers there at once, or nullptr.
const TuningRule* LineFreeze(const Tuning::Selection& selection);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_TUNING_H_

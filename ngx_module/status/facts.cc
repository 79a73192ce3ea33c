// See facts.h.

#include "ngx_module/status/facts.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ngx_module/status/number_text.h"

namespace dynweight {
namespace {

uint64_t Load(const std::atomic<uint64_t>& counter) {
  return counter.load(std::memory_order_relaxed);
}

// Previous times out, and the present one. That of failed requests ends when
// the peer is due for another: from then on it is not kept out any longer.
uint64_t Downtime(const PeerCounters& counters, const PeerHealth& health,
                  const HealthPolicy& policy, int64_t now_ms) {
  const int64_t since = counters.down_since_ms.load(std::memory_order_relaxed);
  const uint64_t previous = Load(counters.downtime_ms);
  if (since == 0) return previous;
  const int64_t end = health.OutUntilMs(since, now_ms, policy);
  return previous + static_cast<uint64_t>(std::max<int64_t>(end - since, 0));
}

// What a request would find, of a peer of some weight.
PeerState HealthState(const PeerHealth& health, const HealthPolicy& policy,
                      int64_t now_ms) {
  if (health.ProbedOut()) {
    return ProbeResult::Decode(health.probe()).result == ProbeResult::kFailing
               ? PeerState::kUnhealthy
               : PeerState::kChecking;
  }
  if (health.Ejected(now_ms)) return PeerState::kEjected;
  return health.Out(now_ms, policy) ? PeerState::kUnavail : PeerState::kUp;
}

}  // namespace

const char* StateName(PeerState state) {
  switch (state) {
    case PeerState::kUp:
      return "up";
    case PeerState::kDraining:
      return "draining";
    case PeerState::kDown:
      return "down";
    case PeerState::kUnavail:
      return "unavail";
    case PeerState::kChecking:
      return "checking";
    case PeerState::kUnhealthy:
      return "unhealthy";
    case PeerState::kDrained:
      return "drained";
    case PeerState::kEjected:
      return "ejected";
  }
  return "unknown";
}

std::string PeerFacts::Address() const {
  if (server != nullptr) return std::string(server->address);
  const IpAddress& address = peer.identity.address;
  std::string text = address.ToString();
  if (address.family == IpAddress::kIpv6) text = "[" + text + "]";
  text += ':';
  AppendNumber(peer.identity.port, &text);
  return text;
}

std::string PeerFacts::WhyOut() const {
  switch (state) {
    case PeerState::kUnavail:
      return absl::StrCat(
          health().max_fails,
          health().max_fails == 1 ? " failed attempt" : " failed attempts",
          " within ", health().fail_timeout_ms / 1000, " s");
    case PeerState::kChecking:
      return "its probe has no result yet";
    case PeerState::kUnhealthy:
      return probe.Text();
    case PeerState::kEjected:
      return absl::StrCat("it answered badly, for ",
                          (ejection.duration_ms + 500) / 1000, " s");
    default:
      return "";
  }
}

void PeerCursor::Begin(const UpstreamModel& upstream, bool all_out,
                       std::vector<PriorityLoad> loads) {
  upstream_ = &upstream;
  all_out_ = all_out;
  loads_ = std::move(loads);
  BeginGroup(false);
}

void PeerCursor::BeginGroup(bool backup) {
  backup_ = backup;
  group_ = &upstream_->groups[backup ? 1 : 0];
  slot_ = 0;
  line_ = nullptr;
  line_end_ = static_cast<uint32_t>(group_->servers.size());
  next_line_ = 0;
}

PeerCursor::Found PeerCursor::Next(int64_t now_ms, int* slots,
                                   PeerFacts* facts) {
  for (;;) {
    if (slot_ == group_->slots) {
      if (backup_) return Found::kEnd;
      BeginGroup(true);
      continue;
    }
    if (*slots <= 0) return Found::kPause;
    --*slots;
    while (slot_ == line_end_) {
      line_ = &upstream_->lines[next_line_++];
      if (line_->backup == backup_) line_end_ += line_->slots;
    }
    const bool found = Read(now_ms, facts);
    ++slot_;
    if (found) return Found::kPeer;
  }
}

// Of a peer of the present line. Where there are priorities each has its part,
// whatever the others weigh.
uint64_t PeerCursor::TargetOf(uint32_t weight) const {
  static constexpr uint64_t kPrecision = uint64_t{1} << 24;
  if (loads_.empty() || backup_) return weight;
  const PriorityLoad& load = loads_[line_ == nullptr ? 0 : line_->rank];
  if (load.weight == 0) return 0;
  return uint64_t{weight} * load.percent * kPrecision / 100 / load.weight;
}

// False when nobody occupies the slot.
bool PeerCursor::Read(int64_t now_ms, PeerFacts* facts) const {
  const PeerTable& table = *group_->table;
  if (!table.Read(slot_, &facts->peer)) return false;
  facts->group = group_;
  facts->server = line_ == nullptr ? &group_->servers[slot_] : nullptr;
  facts->line = line_;
  facts->slot = slot_;
  facts->zone = table.zone(slot_);
  facts->backup = backup_;
  facts->id = slot_ + (backup_ ? upstream_->groups[0].slots : 0);

  const PeerCounters& counters = table.counters(slot_);
  facts->weight = table.weight(slot_);
  facts->target = TargetOf(facts->weight);
  facts->rule = group_->marks == nullptr
                    ? uint16_t{0}
                    : group_->marks[slot_].load(std::memory_order_relaxed);
  facts->active = table.Active(slot_);
  facts->requests = Load(counters.requests);
  facts->fails = Load(counters.fails);
  facts->unavail = Load(counters.unavail);
  for (size_t i = 0; i < facts->responses.size(); ++i) {
    facts->responses[i] = Load(counters.responses[i]);
  }
  facts->sent = Load(counters.sent);
  facts->received = Load(counters.received);
  facts->response_ms = Load(counters.response_ms);
  facts->selected = counters.selected.load(std::memory_order_relaxed);
  facts->recent = group_->window->Since(slot_, facts->requests);

  const PeerHealth& health = table.health(slot_);
  facts->downtime_ms = Downtime(counters, health, facts->health(), now_ms);
  facts->probe = ProbeResult::Decode(health.probe());
  facts->probe_since_ms = health.probe_since_ms();
  facts->ejection = health.ejection();
  facts->out_since_ms = 0;
  if (facts->weight > 0) {
    facts->state = all_out_ ? PeerState::kUp
                            : HealthState(health, facts->health(), now_ms);
    if (facts->state == PeerState::kUnavail) {
      facts->out_since_ms =
          counters.down_since_ms.load(std::memory_order_relaxed);
    } else if (facts->state == PeerState::kEjected) {
      facts->out_since_ms =
          facts->ejection.until_ms - facts->ejection.duration_ms;
    } else if (IsOut(facts->state)) {
      facts->out_since_ms = facts->probe_since_ms;
    }
  } else if (facts->server != nullptr && facts->server->down) {
    facts->state = PeerState::kDown;
  } else {
    facts->state =
        facts->active > 0 ? PeerState::kDraining : PeerState::kDrained;
  }
  return true;
}

void PeerSum::Add(const PeerFacts& facts) {
  weight += facts.weight;
  target += facts.target;
  requests += facts.requests;
  recent += facts.recent;
  active += facts.active;
  ++peers;
  if (facts.state == PeerState::kUp) ++serving;
  if (IsOut(facts.state)) ++failed;
  if (facts.rule == 0) return;
  ++tuned;
  if (facts.weight == 0) return;
  tuned_least =
      tuned_most == 0 ? facts.weight : std::min(tuned_least, facts.weight);
  tuned_most = std::max(tuned_most, facts.weight);
}

void UpstreamSums::Add(const UpstreamModel& upstream, const PeerFacts& facts) {
  const size_t backup = facts.backup ? 1 : 0;
  group[backup].Add(facts);
  if (facts.weight > 0 && facts.probe.probed()) ++probed[facts.probe.result];
  if (facts.line == nullptr) {
    servers[backup].Add(facts);
  } else {
    lines[static_cast<size_t>(facts.line - upstream.lines.data())].Add(facts);
  }
}

namespace {

// Requests of an upstream below which shares say little.
constexpr uint64_t kMinRecent = 1000;
constexpr double kMaxShareError = 0.1;

double Fraction(uint64_t part, uint64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

bool IsOffTarget(const PeerSum& sum, const PeerSum& whole) {
  if (whole.target == 0 || whole.recent == 0) return false;
  return std::abs(Fraction(sum.target, whole.target) -
                  Fraction(sum.recent, whole.recent)) > kMaxShareError;
}

}  // namespace

bool HasProblem(const UpstreamModel& upstream, const UpstreamSums& sums) {
  if (sums.health_ignored) return true;
  // Other methods do not promise the share of the weight alone.
  const bool shares_tell =
      upstream.method == "round_robin" &&
      sums.group[0].recent + sums.group[1].recent >= kMinRecent;
  bool any_pod = sums.servers[0].peers + sums.servers[1].peers > 0;
  for (size_t i = 0; i < upstream.lines.size(); ++i) {
    const std::optional<LineRecord> record = upstream.lines[i].record->Read();
    if (!record || !record->known) return true;
    any_pod |= record->pods > 0;
    const size_t group = upstream.lines[i].backup ? 1 : 0;
    if (shares_tell && IsOffTarget(sums.lines[i], sums.group[group])) {
      return true;
    }
  }
  for (const size_t group : {0, 1}) {
    if (sums.group[group].failed > 0) return true;
    if (shares_tell && IsOffTarget(sums.servers[group], sums.group[group])) {
      return true;
    }
  }
  return !any_pod;
}

ClusterStatus ReadClusterStatus(const ClusterModel& cluster) {
  return UnpackClusterStatus(cluster.status->ReadText());
}

int64_t WatcherAgeMs(const std::atomic<int64_t>* seen_ms, const Moment& now) {
  if (seen_ms == nullptr) return 0;
  return std::max<int64_t>(
      0, now.monotonic_ms - seen_ms->load(std::memory_order_relaxed));
}

ClusterStatus ReadClusterStatus(const ClusterModel& cluster,
                                const Moment& now) {
  ClusterStatus status = ReadClusterStatus(cluster);
  const int64_t age_ms = WatcherAgeMs(cluster.watcher_seen_ms, now);
  if (age_ms <= kWatcherLateMs) return status;
  status.last_error = absl::StrCat(
      "the watcher has not been seen at work for ", age_ms / 1000,
      " s: its thread, or worker 0, hangs or could not start; weights hold");
  status.last_error_ms = now.unix_ms;
  if (status.failing_since_ms == 0) {
    status.failing_since_ms = now.unix_ms - age_ms;
  }
  return status;
}

bool IsUp(const ClusterStatus& status) {
  return status.synced && status.failing_since_ms == 0;
}

}  // namespace dynweight

// See prober.h.

#include "watcher/probe/prober.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

// Of the rate so much may begin together, about those of a moment, and the rest
// goes into the refill: no second has more than the rate.
constexpr double kBurst = 0.16;

}  // namespace

Prober::Prober(const WatcherConfig& config, std::vector<PeerTable> tables,
               HttpTransport* transport, const Clock* clock, LogQueue* log,
               std::function<double()> random)
    : transport_(transport),
      clock_(clock),
      log_(log),
      random_(std::move(random)),
      phase_ms_(static_cast<int64_t>(random_() * kMaxMomentMs)),
      probe_of_(config.clusters.size()) {
  const ProbePlan plan = MakeProbePlan(config);
  for (const PlannedProbe& planned : plan.probes) {
    auto probe = std::make_unique<Probe>();
    probe->config = planned.config;
    probe->owner = planned.owner;
    probe->rate = planned.Rate();
    probe->tokens = 1;
    probe->tokens_ms = clock->MonotonicMs();
    if (planned.cluster) probe_of_[*planned.cluster] = probe.get();
    probes_.push_back(std::move(probe));
  }
  if (!active()) return;
  for (const PeerTable& table : tables) {
    const auto index = static_cast<uint32_t>(tables_.size());
    tables_.emplace_back(table);
    tables_.back().tags = ProbeTags(plan, index, table.capacity());
  }
  for (const ProbedRange& range : plan.ranges) {
    tables_[range.table].ranges.push_back(range);
    dirty_.insert(range.table);
  }
}

double Prober::RefillRate(const Probe& probe) {
  return probe.rate * (1 - kBurst);
}

int64_t Prober::MomentMs(const Probe& probe) {
  return std::clamp<int64_t>(probe.config->interval_ms / kMoments, 1,
                             kMaxMomentMs);
}

// The moment of the next interval that chance says, no later than its end.
int64_t Prober::AnyMoment(const Probe& probe, int64_t now_ms) {
  const int64_t moment_ms = MomentMs(probe);
  const auto within = static_cast<int64_t>(
      random_() * static_cast<double>(probe.config->interval_ms));
  const int64_t at_ms = now_ms + 1 + within;
  const int64_t moment_at_ms =
      at_ms - (at_ms + moment_ms - phase_ms_ % moment_ms) % moment_ms;
  return moment_at_ms > now_ms ? moment_at_ms : moment_at_ms + moment_ms;
}

void Prober::Refill(Probe* probe, int64_t now_ms) {
  const auto passed = static_cast<double>(now_ms - probe->tokens_ms);
  probe->tokens_ms = now_ms;
  probe->tokens = std::min(probe->tokens + RefillRate(*probe) * passed / 1000,
                           std::max(1.0, probe->rate * kBurst));
}

void Prober::Tick(int64_t now_ms) {
  if (now_ms < DeadlineMs()) return;
  batch_ms_ = now_ms + kBatchMs;
  for (const auto& probe : probes_) {
    Refill(probe.get(), now_ms);
    while (!probe->due.empty() && probe->due.begin()->first <= now_ms &&
           probe->tokens >= 1) {
      Begin(probe.get(), probe->due.begin()->second, now_ms);
    }
  }
}

int64_t Prober::DeadlineMs() const {
  int64_t deadline = kNever;
  for (const auto& probe : probes_) {
    if (probe->due.empty()) continue;
    int64_t at = probe->due.begin()->first;
    if (probe->tokens < 1) {
      const double wait_ms = (1 - probe->tokens) * 1000 / RefillRate(*probe);
      at = std::max(at, probe->tokens_ms + static_cast<int64_t>(wait_ms) + 1);
    }
    deadline = std::min(deadline, at);
  }
  return deadline == kNever ? kNever : std::max(deadline, batch_ms_);
}

void Prober::Begin(Probe* probe, Target* target, int64_t now_ms) {
  const int64_t interval = probe->config->interval_ms;
  int64_t next = target->due_ms + interval;
  // The thread stood still, or it was met just now: at a moment of its own.
  if (!target->begun || next <= now_ms) next = AnyMoment(*probe, now_ms);
  SetDue(target, next);
  if (target->check->running()) return;  // its timeout is over and is seen soon
  probe->tokens -= 1;
  target->begun = true;
  target->check->Start();
}

void Prober::SetDue(Target* target, int64_t due_ms) {
  target->probe->due.erase({target->due_ms, target});
  target->due_ms = due_ms;
  target->probe->due.insert({due_ms, target});
}

void Prober::OnOutcome(Target* target, const ProbeOutcome& outcome) {
  Probe* const probe = target->probe;
  const int64_t now_ms = clock_->MonotonicMs();
  if (!outcome.tells) {
    if (!own_failure_) {
      log_->Add(LogLine::Level::kWarn,
                absl::StrCat("the probe of ", Name(*target),
                             " could not be sent: are there descriptors left "
                             "(worker_rlimit_nofile)? The last results hold"),
                now_ms);
    }
    own_failure_ = true;
    return;
  }
  own_failure_ = false;
  ++probe->counts.probes;
  if (!outcome.passed) ++probe->counts.failures;
  probe->change = std::max(probe->change, Change::kCounts);
  const ProbeResult::Result before = target->state.result();
  if (!target->state.Note(outcome)) {
    if (before == ProbeResult::kUnknown) LookAtAll();
    return;
  }
  words_changed_ = true;
  LookAtAll();
  if (target->state.result() == ProbeResult::kFailing) {
    log_->Add(LogLine::Level::kWarn,
              absl::StrCat("the probe of ", Name(*target), " fails: ",
                           ProbeResult::Decode(WordFor({target}, 1, 0)).Text()),
              now_ms);
  } else if (before == ProbeResult::kFailing) {
    log_->Add(LogLine::Level::kNotice,
              absl::StrCat("the probe of ", Name(*target), " passes again"),
              now_ms);
  }
}

std::string Prober::Name(const Target& target) const {
  std::string address = target.address.ToString();
  if (target.address.family == IpAddress::kIpv6) {
    address = absl::StrCat("[", address, "]");
  }
  return absl::StrCat(address, ":", target.port, " (", target.probe->owner,
                      ", ", target.probe->config->Text(), ")");
}

// Counts results, and finds out whether everything fails.
void Prober::LookAtAll() {
  uint32_t all = 0;
  uint32_t passing = 0;
  uint32_t failing = 0;
  uint32_t suspect = 0;  // fails, or has failed and not passed
  for (const auto& probe : probes_) {
    ProbeCounts counts = probe->counts;
    counts.targets = static_cast<uint32_t>(probe->targets.size());
    counts.passing = counts.failing = 0;
    for (const auto& [key, target] : probe->targets) {
      const ProbeResult::Result result = target->state.result();
      if (result == ProbeResult::kPassing) ++counts.passing;
      if (result == ProbeResult::kFailing) ++counts.failing;
      if (result == ProbeResult::kFailing ||
          (result == ProbeResult::kUnknown && target->state.last_failed())) {
        ++suspect;
      }
    }
    if (counts.targets != probe->counts.targets ||
        counts.passing != probe->counts.passing ||
        counts.failing != probe->counts.failing) {
      probe->change = Change::kResults;
    }
    probe->counts = counts;
    all += counts.targets;
    passing += counts.passing;
    failing += counts.failing;
  }
  // Once it is so, nodes that join do not end it: only a probe that passes.
  const bool ignored =
      failing > 0 && passing == 0 && (ignored_ || suspect == all);
  if (ignored == ignored_) return;
  ignored_ = ignored;
  words_changed_ = true;
  for (const auto& probe : probes_) {
    probe->counts.ignored = ignored;
    probe->change = Change::kResults;
  }
  const int64_t now_ms = clock_->MonotonicMs();
  if (ignored) {
    log_->Add(LogLine::Level::kError,
              absl::StrCat("all ", all,
                           " probes fail: that is "
                           "taken for a fault of this edge or its network, and "
                           "keeps no request from a node until one passes"),
              now_ms);
  } else {
    log_->Add(LogLine::Level::kNotice,
              "not all probes fail any longer: they count again", now_ms);
  }
}

// The word of a peer that has `present`.
uint32_t Prober::WordFor(const std::vector<Target*>& targets, uint16_t tag,
                         uint32_t present) const {
  ProbeResult word;
  word.tag = tag;
  word.result = ProbeResult::kPassing;
  for (const Target* target : targets) {
    switch (target->state.result()) {
      case ProbeResult::kPassing:
        break;
      case ProbeResult::kFailing:
        word.result = ProbeResult::kFailing;
        word.out = !ignored_;
        word.reason = target->state.reason();
        word.status = target->state.status();
        return word.Encode();
      case ProbeResult::kUnknown:
        word.result = ProbeResult::kUnknown;
        break;
    }
  }
  if (word.result == ProbeResult::kUnknown) {
    // It may wait for its first result: that was said when it joined.
    const ProbeResult before = ProbeResult::Decode(present);
    word.out = before.tag == word.tag &&
               before.result == ProbeResult::kUnknown && before.out;
  }
  return word.Encode();
}

std::pair<IpAddress, uint16_t> Prober::Asked(const ProbedRange& range,
                                             const PeerIdentity& identity) {
  return {range.address.family == IpAddress::kNone ? identity.address
                                                   : range.address,
          range.port != 0 ? range.port : identity.port};
}

void Prober::Prepare(uint32_t index, std::vector<SlotWrite>* writes) {
  if (!active() || tables_[index].ranges.empty()) return;
  const Table& table = tables_[index];
  dirty_.insert(index);
  for (SlotWrite& write : *writes) {
    if (write.clear || write.weight == 0 || table.tags[write.slot] == 0) {
      continue;
    }
    if (!write.assign && table.table.weight(write.slot) != 0) continue;
    PeerIdentity identity = write.identity;
    if (!write.assign) {
      Peer peer;
      if (!table.table.Read(write.slot, &peer)) continue;
      identity = peer.identity;
    }
    write.probe = WordOfNew(table, write, identity);
  }
}

uint32_t Prober::WordOfNew(const Table& table, const SlotWrite& write,
                           const PeerIdentity& identity) const {
  std::vector<Target*> targets;
  bool known = true;
  ProbeResult joins;
  joins.tag = table.tags[write.slot];
  for (const ProbedRange& range : table.ranges) {
    if (write.slot - range.range.first >= range.range.count) continue;
    joins.out |= write.joins && range.waits;
    const auto& of_probe = probes_[range.probe]->targets;
    const auto found = of_probe.find(Asked(range, identity));
    if (found == of_probe.end()) {
      known = false;
    } else {
      targets.push_back(found->second.get());
    }
  }
  if (!known) return joins.Encode();
  return WordFor(targets, joins.tag, joins.Encode());
}

std::vector<TableProbes> Prober::TakeWords(int64_t now_ms) {
  const std::set<uint32_t> read = std::exchange(dirty_, {});
  for (const uint32_t table : read) ReadPeers(&tables_[table], now_ms);
  if (!read.empty()) {
    DropUnused();
    LookAtAll();
  }
  const bool all = std::exchange(words_changed_, false);
  std::vector<TableProbes> words;
  for (uint32_t i = 0; i < tables_.size(); ++i) {
    if (!all && read.count(i) == 0) continue;
    Table& table = tables_[i];
    TableProbes probes;
    probes.table = i;
    for (const Seat& seat : table.seats) {
      const uint32_t present = table.table.health(seat.slot).probe();
      const uint32_t word =
          WordFor(seat.targets, table.tags[seat.slot], present);
      if (word == present) continue;
      probes.writes.push_back({seat.slot, seat.generation, word});
    }
    if (!probes.writes.empty()) words.push_back(std::move(probes));
  }
  return words;
}

void Prober::ReadPeers(Table* table, int64_t now_ms) {
  for (const Seat& seat : table->seats) {
    for (Target* target : seat.targets) --target->seats;
  }
  table->seats.clear();
  std::map<uint32_t, Seat> seats;
  for (const ProbedRange& range : table->ranges) {
    for (uint32_t n = 0; n < range.range.count; ++n) {
      const uint32_t slot = range.range.first + n;
      Peer peer;
      if (table->table.weight(slot) == 0 || !table->table.Read(slot, &peer)) {
        continue;
      }
      ProbeResult known =
          ProbeResult::Decode(table->table.health(slot).probe());
      if (known.tag != table->tags[slot]) known = ProbeResult();
      Target* const target =
          TargetFor(range, Asked(range, peer.identity), known, now_ms);
      ++target->seats;
      Seat& seat = seats[slot];
      if (!seat.targets.empty() && seat.generation != peer.generation) {
        // It passed to another one meanwhile: it is met again by that.
        --target->seats;
        continue;
      }
      seat.slot = slot;
      seat.generation = peer.generation;
      seat.targets.push_back(target);
    }
  }
  for (auto& [slot, seat] : seats) table->seats.push_back(std::move(seat));
}

// `known`: what the table says of a peer there.
Prober::Target* Prober::TargetFor(const ProbedRange& range,
                                  const std::pair<IpAddress, uint16_t>& asked,
                                  const ProbeResult& known, int64_t now_ms) {
  Probe* const probe = probes_[range.probe].get();
  std::unique_ptr<Target>& target = probe->targets[asked];
  if (target != nullptr) return target.get();
  target = std::make_unique<Target>(probe->config);
  target->probe = probe;
  target->address = asked.first;
  target->port = asked.second;
  target->check = std::make_unique<ProbeCheck>(
      probe->config, asked.first, asked.second, transport_,
      [this, t = target.get()](const ProbeOutcome& outcome) {
        OnOutcome(t, outcome);
      });
  int64_t due_ms = now_ms;
  if (known.result != ProbeResult::kUnknown) {
    target->state.Resume(known);
    target->begun = true;
    due_ms = AnyMoment(*probe, now_ms);
  }
  SetDue(target.get(), due_ms);
  return target.get();
}

void Prober::DropUnused() {
  for (const auto& probe : probes_) {
    for (auto it = probe->targets.begin(); it != probe->targets.end();) {
      Target* const target = it->second.get();
      if (target->seats > 0) {
        ++it;
        continue;
      }
      probe->due.erase({target->due_ms, target});
      it = probe->targets.erase(it);
    }
  }
}

ProbeCounts Prober::Counts(uint32_t cluster) const {
  return probe_of_[cluster] == nullptr ? ProbeCounts()
                                       : probe_of_[cluster]->counts;
}

Prober::Change Prober::TakeChange(uint32_t cluster, int64_t now_ms) {
  Probe* const probe = probe_of_[cluster];
  if (probe == nullptr || probe->change == Change::kNone) return Change::kNone;
  if (probe->change == Change::kCounts &&
      now_ms - probe->told_ms < kCountsPaceMs) {
    return Change::kNone;
  }
  probe->told_ms = now_ms;
  return std::exchange(probe->change, Change::kNone);
}

}  // namespace dynweight

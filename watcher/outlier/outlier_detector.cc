// See outlier_detector.h.

#include "watcher/outlier/outlier_detector.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "weightcalc/clock.h"

namespace dynweight {
namespace {

// Attempts that told something.
uint64_t Attempts(const PeerCounters& counters) {
  uint64_t sum = counters.unanswered.load(std::memory_order_relaxed);
  for (const std::atomic<uint64_t>& responses : counters.responses) {
    sum += responses.load(std::memory_order_relaxed);
  }
  return sum;
}

uint64_t Errors(const PeerCounters& counters) {
  return counters.errors.load(std::memory_order_relaxed);
}

}  // namespace

OutlierDetector::OutlierDetector(const WatcherConfig& config,
                                 std::vector<PeerTable> tables, LogQueue* log,
                                 int64_t now_ms)
    : config_(config), tables_(std::move(tables)), log_(log) {
  for (const OutlierConfig& outlier : config.outliers) {
    for (const uint32_t table : outlier.tables) {
      Watched watched;
      watched.config = &outlier;
      watched.table = table;
      watched.looked_ms = now_ms;
      watched.peers.resize(tables_[table].capacity());
      watched.servers.resize(watched.peers.size());
      watched_.push_back(std::move(watched));
    }
  }
  NoteNames(config);
  // Not all in one turn of the thread.
  for (size_t i = 0; i < watched_.size(); ++i) {
    const auto phase =
        static_cast<double>(i) / static_cast<double>(watched_.size());
    const int64_t slice_ms = SliceMs(watched_[i]);
    watched_[i].due_ms =
        now_ms + static_cast<int64_t>(phase * static_cast<double>(slice_ms)) +
        1;
  }
}

// What peers are called, lest each log line look for it among all.
void OutlierDetector::NoteNames(const WatcherConfig& config) {
  std::vector<Watched*> watched_of(tables_.size());
  for (Watched& watched : watched_) watched_of[watched.table] = &watched;
  for (const ServerConfig& server : config.servers) {
    Watched* const watched = watched_of[server.table];
    if (watched != nullptr) watched->servers[server.slot] = &server;
  }
  for (const LineConfig& line : config.lines) {
    Watched* const watched = watched_of[line.table];
    if (watched != nullptr) watched->lines.push_back(&line);
  }
}

int64_t OutlierDetector::SliceMs(const Watched& watched) const {
  return std::max<int64_t>(
      1, watched.config->policy.window_ms / OutlierWindow::kSlices);
}

int64_t OutlierDetector::DeadlineMs() const {
  int64_t deadline = kNever;
  for (const Watched& watched : watched_) {
    deadline = std::min(deadline, watched.due_ms);
  }
  return deadline;
}

void OutlierDetector::Tick(int64_t now_ms) {
  for (Watched& watched : watched_) {
    if (watched.due_ms <= now_ms) Look(&watched, now_ms);
  }
}

void OutlierDetector::Look(Watched* watched, int64_t now_ms) {
  const int64_t slice_ms = SliceMs(*watched);
  const int64_t passed = std::max<int64_t>(now_ms - watched->looked_ms, 0);
  // What is left of a slice belongs to the next one.
  const int64_t slices = std::max<int64_t>(passed / slice_ms, 1);
  watched->looked_ms = std::min(now_ms, watched->looked_ms + slices * slice_ms);
  watched->due_ms = now_ms + slice_ms;
  for (uint32_t slot = 0; slot < watched->peers.size(); ++slot) {
    LookAtPeer(watched, slot, static_cast<uint64_t>(slices), now_ms);
  }
  Choose(watched, now_ms);
}

void OutlierDetector::LookAtPeer(Watched* watched, uint32_t slot,
                                 uint64_t slices, int64_t now_ms) {
  const PeerTable& table = tables_[watched->table];
  PeerState& peer = watched->peers[slot];
  const uint64_t generation = table.generation(slot);
  if (generation == 0) {
    peer.generation = 0;
    return;
  }
  const PeerCounters& counters = table.counters(slot);
  const uint64_t attempts = Attempts(counters);
  const uint64_t errors = Errors(counters);
  if (generation != peer.generation) {
    peer = PeerState();
    peer.generation = generation;
    peer.window.Reset(attempts, errors);
    peer.ejection = table.health(slot).ejection();
    peer.out = now_ms < peer.ejection.until_ms;
    peer.good_since_ms = std::max(now_ms, peer.ejection.until_ms);
    return;
  }
  if (now_ms < peer.ejection.until_ms) {
    peer.out = true;
    return;
  }
  if (std::exchange(peer.out, false)) {
    peer.window.Reset(attempts, errors);
    peer.good_since_ms = now_ms;
    log_->Add(LogLine::Level::kNotice,
              absl::StrCat("upstream \"", watched->config->upstream,
                           "\": ", Name(*watched, slot),
                           " serves again, its ejection is over"),
              now_ms);
    return;
  }
  peer.window.Advance(slices, attempts, errors);
  Forget(watched, slot, now_ms);
}

// One of the peer's times, after a window without another one.
void OutlierDetector::Forget(Watched* watched, uint32_t slot, int64_t now_ms) {
  PeerState& peer = watched->peers[slot];
  if (peer.ejection.times == 0 ||
      now_ms - peer.good_since_ms < watched->config->policy.window_ms ||
      peer.window.IsOutlier(watched->config->policy)) {
    return;
  }
  peer.good_since_ms = now_ms;
  --peer.ejection.times;
  Write(*watched, slot, false);
}

// The worst first, as far as the weight that may be ejected goes.
void OutlierDetector::Choose(Watched* watched, int64_t now_ms) {
  const PeerTable& table = tables_[watched->table];
  uint64_t whole = 0;
  uint64_t ejected = 0;
  std::vector<Candidate> candidates;
  for (uint32_t slot = 0; slot < watched->peers.size(); ++slot) {
    const PeerState& peer = watched->peers[slot];
    const uint64_t weight = table.weight(slot);
    if (peer.generation == 0 || weight == 0) continue;
    whole += weight;
    if (peer.out) {
      ejected += weight;
    } else if (peer.window.IsOutlier(watched->config->policy)) {
      candidates.push_back({slot, weight,
                            static_cast<double>(peer.window.errors()) /
                                static_cast<double>(peer.window.attempts())});
    }
  }
  if (candidates.empty()) {
    watched->limited = false;
    return;
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) {
              return std::tie(b.errors, a.slot) < std::tie(a.errors, b.slot);
            });
  const uint32_t most = watched->config->policy.most_percent;
  size_t left = 0;
  for (const Candidate& candidate : candidates) {
    if ((ejected + candidate.weight) * 100 > whole * most) {
      ++left;
      continue;
    }
    ejected += candidate.weight;
    Eject(watched, candidate.slot, now_ms);
  }
  if (left == 0 || std::exchange(watched->limited, true)) return;
  log_->Add(LogLine::Level::kWarn,
            absl::StrCat("upstream \"", watched->config->upstream, "\": ", left,
                         left == 1 ? " peer answers" : " peers answer",
                         " as badly and stay, as no more than ", most,
                         " % of the weight may be ejected"),
            now_ms);
}

void OutlierDetector::Eject(Watched* watched, uint32_t slot, int64_t now_ms) {
  PeerState& peer = watched->peers[slot];
  const OutlierPolicy& policy = watched->config->policy;
  peer.ejection.times = std::min(peer.ejection.times + 1, uint32_t{1000});
  const int64_t for_ms =
      std::min<int64_t>(policy.EjectMs(peer.ejection.times), UINT32_MAX);
  peer.ejection.duration_ms = static_cast<uint32_t>(for_ms);
  peer.ejection.until_ms = now_ms + for_ms;
  peer.out = true;
  Write(*watched, slot, true);
  log_->Add(LogLine::Level::kWarn,
            absl::StrCat("upstream \"", watched->config->upstream,
                         "\": ", Name(*watched, slot), " is ejected for ",
                         static_cast<double>(for_ms) / 1000, " s: of its last ",
                         peer.window.attempts(), " attempts ",
                         peer.window.errors(), " failed or were answered 5xx"),
            now_ms);
}

void OutlierDetector::Write(const Watched& watched, uint32_t slot,
                            bool begins) {
  auto table = std::find_if(
      writes_.begin(), writes_.end(),
      [&](const TableEjections& t) { return t.table == watched.table; });
  if (table == writes_.end()) {
    writes_.push_back({watched.table, {}});
    table = std::prev(writes_.end());
  }
  const PeerState& peer = watched.peers[slot];
  table->writes.push_back({slot, peer.generation, peer.ejection, begins});
}

std::vector<TableEjections> OutlierDetector::TakeWrites() {
  return std::exchange(writes_, {});
}

std::string OutlierDetector::Name(const Watched& watched, uint32_t slot) const {
  if (watched.servers[slot] != nullptr) {
    return absl::StrCat("server ", watched.servers[slot]->address);
  }
  Peer peer;
  if (!tables_[watched.table].Read(slot, &peer)) return "a peer";
  const IpAddress& address = peer.identity.address;
  const bool ipv6 = address.family == IpAddress::kIpv6;
  std::string name =
      absl::StrCat("server ", ipv6 ? "[" : "", address.ToString(),
                   ipv6 ? "]:" : ":", peer.identity.port);
  for (const LineConfig* line : watched.lines) {
    if (slot - line->range.first >= line->range.count) continue;
    absl::StrAppend(&name, " (cluster \"", config_.clusters[line->cluster].name,
                    "\")");
  }
  return name;
}

}  // namespace dynweight

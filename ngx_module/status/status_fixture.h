// For tests: a model and the memory that it leads to, as a configuration and a
// zone make them, and documents of it.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_STATUS_FIXTURE_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_STATUS_FIXTURE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ngx_module/status/document.h"
#include "ngx_module/status/model.h"
#include "ngx_module/status/query.h"
#include "watcher/cluster_status.h"
#include "watcher/weight_change_log.h"

namespace dynweight {

// Everything that some format minds, and what is no UTF-8.
inline constexpr std::string_view kHostile =
    "<hostile a=\"b\" c='d'>&amp;\\\n\r\t\x01\x7F\xFF\xC0\xAF{}\xE2\x80\xA8,";
// The same with each ill-formed byte replaced.
inline constexpr std::string_view kHostileUtf8 =
    "<hostile a=\"b\" c='d'>&amp;\\\n\r\t\x01\x7F\xEF\xBF\xBD\xEF\xBF\xBD"
    "\xEF\xBF\xBD{}\xE2\x80\xA8,";

// An upstream is filled first (AddServer(), AddLine()) and then sealed, which
// gives it its tables. Not thread-safe.
class Estate {
 public:
  explicit Estate(std::string_view zone = "main") {
    model.zone = Keep(zone);
    model.ready = &ready_.emplace_back(0);
    model.watcher_seen_ms = &watcher_seen_ms;
  }
  Estate(const Estate&) = delete;
  Estate& operator=(const Estate&) = delete;

  StatusModel model;
  std::atomic<int64_t> watcher_seen_ms{kNow.monotonic_ms};

  static constexpr Moment kNow = {1'000'000, 1'780'000'000'123};

  uint32_t AddCluster(std::string_view name,
                      const ClusterStatus& status = ClusterStatus(),
                      std::string_view view = "") {
    ClusterModel cluster;
    cluster.name = Keep(name);
    cluster.status = Document(kMaxStatusBytes, PackClusterStatus(status));
    cluster.view = Document(4096, view);
    cluster.watcher_seen_ms = &watcher_seen_ms;
    model.clusters.push_back(cluster);
    return static_cast<uint32_t>(model.clusters.size() - 1);
  }

  UpstreamModel& AddUpstream(std::string_view name) {
    UpstreamModel& upstream = model.upstreams.emplace_back();
    upstream.name = Keep(name);
    upstream.method = "round_robin";
    upstream.base = 10;
    upstream.ready = &ready_.emplace_back(0);
    return upstream;
  }

  void AddServer(UpstreamModel* upstream, bool backup, std::string_view address,
                 bool down = false) {
    ServerModel server;
    server.address = Keep(address);
    server.name = server.address;
    server.down = down;
    upstream->groups[backup ? 1 : 0].servers.push_back(server);
  }

  LineModel& AddLine(UpstreamModel* upstream, bool backup, uint32_t cluster,
                     uint32_t slots,
                     std::string_view source = "service=prod/orders") {
    LineModel& line = upstream->lines.emplace_back();
    line.cluster = cluster;
    line.cluster_name = model.clusters[cluster].name;
    line.source = line.source_key = Keep(source);
    line.port = 80;
    line.base = 10;
    line.backup = backup;
    line.slots = slots;
    line.record = &records_.emplace_back(SharedRecord<LineRecord>::Create(
        Memory(SharedRecord<LineRecord>::Bytes())));
    return line;
  }

  static void Write(const LineModel& line, const LineRecord& record) {
    SharedRecord<LineRecord>(*line.record).Write(record);
  }

  // Servers have their slots; nodes are for the test to assign.
  void Seal(UpstreamModel* upstream) {
    for (GroupModel& group : upstream->groups) {
      const bool backup = &group == &upstream->groups[1];
      group.slots = static_cast<uint32_t>(group.servers.size());
      for (const LineModel& line : upstream->lines) {
        if (line.backup == backup) group.slots += line.slots;
      }
      if (group.slots == 0) continue;
      PeerTable table = PeerTable::Create(
          Memory(PeerTable::Bytes(group.slots, 1)), group.slots, 1);
      for (uint32_t slot = 0; slot < group.servers.size(); ++slot) {
        table.SetPeer(slot, PeerIdentity());
      }
      group.table = &tables_.emplace_back(table);
      group.window = &windows_.emplace_back(
          SamplingWindow::Create(Memory(SamplingWindow::Bytes(group.slots)),
                                 group.slots, kNow.unix_ms - 90'000));
    }
  }

  // The tuning's status, and a mark for each slot of all groups: `mark`.
  void Tune(std::string_view status, uint16_t mark) {
    model.tuning = Document(4096, status);
    for (UpstreamModel& upstream : model.upstreams) {
      for (GroupModel& group : upstream.groups) {
        auto& marks = marks_.emplace_back(group.slots);
        for (std::atomic<uint16_t>& m : marks) m = mark;
        group.marks = marks.data();
      }
    }
  }

  void Decide(const std::vector<Decision>& decisions) {
    model.decisions = Document(kMaxDecisionBytes,
                               {reinterpret_cast<const char*>(decisions.data()),
                                decisions.size() * sizeof(Decision)});
  }

  StatusQuery Query() const {
    StatusQuery query;
    query.model = &model;
    query.nonce = "0123456789abcdef";
    query.process.nginx = "1.22.1";
    query.process.pid = 4711;
    query.process.worker = 1;
    query.process.all_out = [](size_t) { return false; };
    query.process.loads = [](size_t) { return std::vector<PriorityLoad>(); };
    return query;
  }

  std::string_view Keep(std::string_view text) {
    return texts_.emplace_back(text);
  }

 private:
  void* Memory(size_t bytes) {
    memory_.emplace_back(std::aligned_alloc(64, bytes), &std::free);
    return memory_.back().get();
  }

  const SharedDocument* Document(size_t capacity, std::string_view text) {
    SharedDocument document = SharedDocument::Create(
        Memory(SharedDocument::Bytes(capacity)), capacity);
    if (!document.Write(text).ok()) std::abort();
    return &documents_.emplace_back(document);
  }

  std::deque<std::string> texts_;
  std::deque<std::unique_ptr<void, void (*)(void*)>> memory_;
  std::deque<PeerTable> tables_;
  std::deque<SamplingWindow> windows_;
  std::deque<SharedDocument> documents_;
  std::deque<SharedRecord<LineRecord>> records_;
  std::deque<std::vector<std::atomic<uint16_t>>> marks_;
  std::deque<std::atomic<uint64_t>> ready_;
};

// A pointer to the table that its writer may use.
inline PeerTable TableOf(const UpstreamModel& upstream, bool backup) {
  return *upstream.groups[backup ? 1 : 0].table;
}

inline PeerIdentity Node(uint32_t n, std::string_view name) {
  PeerIdentity identity;
  identity.address.family = IpAddress::kIpv4;
  for (int i = 0; i < 4; ++i) {
    identity.address.bytes[static_cast<size_t>(i)] =
        static_cast<uint8_t>(n >> (24 - 8 * i));
  }
  identity.port = 80;
  identity.set_node(name);
  return identity;
}

// Upstreams of 60 peers: ten servers, two of them down, and lines of twice 20
// slots; two backup servers and a backup line of eight. Weights, counters and
// health differ from peer to peer.
inline void AddUpstreams(size_t count, Estate* estate) {
  const uint32_t bj = estate->AddCluster("bj");
  const uint32_t sh = estate->AddCluster("sh");
  estate->model.upstreams.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    UpstreamModel& upstream =
        estate->AddUpstream("app-" + std::to_string(i + 10'000));
    for (int n = 0; n < 12; ++n) {
      estate->AddServer(&upstream, n >= 10,
                        "10.20.0." + std::to_string(n) + ":8080", n % 5 == 3);
    }
    estate->AddLine(&upstream, false, bj, 20);
    estate->AddLine(&upstream, true, sh, 8);
    estate->AddLine(&upstream, false, sh, 20);
    for (const LineModel& line : upstream.lines) {
      LineRecord record;
      record.pods = 7 + i;
      record.ingress_nodes = record.used_nodes = line.slots;
      record.known = 1;
      record.weight = 3;
      Estate::Write(line, record);
    }
    estate->Seal(&upstream);
    for (const GroupModel& group : upstream.groups) {
      PeerTable table = *group.table;
      for (uint32_t slot = 0; slot < group.slots; ++slot) {
        const uint32_t n = static_cast<uint32_t>(i * 64) + slot;
        const bool server = slot < group.servers.size();
        if (!server) table.SetPeer(slot, Node(n, "node-" + std::to_string(n)));
        if (server ? !group.servers[slot].down : n % 7 != 0) {
          table.SetWeight(slot, 1 + n % 90);
        }
        PeerCounters& counters = table.counters(slot);
        counters.requests = n * 3;
        counters.responses[1] = n * 2;
        counters.responses[4] = n;
        counters.sent = n * 100;
        counters.selected = Estate::kNow.unix_ms / 1000 - n;
        if (n % 11 == 0) {
          counters.fails = 1;
          (void)table.health(slot).OnFailure(Estate::kNow.monotonic_ms,
                                             HealthPolicy());
        }
        if (n % 14 == 0) table.Acquire(slot, table.generation(slot), 0);
      }
      table.Publish();
    }
  }
}

struct Rendered {
  std::string text;
  size_t pieces = 0;
  size_t largest = 0;  // of the pieces
};

inline Rendered Render(std::unique_ptr<Document> document) {
  Rendered rendered;
  for (bool last = false; !last; ++rendered.pieces) {
    std::string piece;
    last = document->Piece(Estate::kNow, &piece);
    rendered.largest = std::max(rendered.largest, piece.size());
    rendered.text += piece;
  }
  return rendered;
}

inline size_t CountOf(std::string_view what, std::string_view text) {
  size_t n = 0;
  for (size_t at = text.find(what); at != text.npos;
       at = text.find(what, at + what.size())) {
    ++n;
  }
  return n;
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_STATUS_FIXTURE_H_

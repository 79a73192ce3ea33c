// Many edges in one process, for bench/fleet: each is the project's watcher as
// nginx runs it, with its thread, its connections and its tables.
//
//   fleet_edges EDGES SERVICES TOTAL URL TOKEN_FILE CA_FILE
//
// The edge i follows SERVICES of the Services app0 to app(TOTAL - 1) of the
// namespace "prod", beginning with app(i * SERVICES % TOTAL); each also the
// Service "marker"; and the Nodes with role=ingress. Commands come as lines on
// stdin, each is answered by one line of JSON:
//
//   plan    what each edge asks the API server for
//   start   starts all of them
//   stats   sums over all edges, and what all connections have carried
//   seen N  how many edges count N pods or more of the marker, and when the
//           first and the last of them came to (Unix seconds)
//
// Ends with its stdin.

#include <curl/curl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "watcher/cluster_status.h"
#include "watcher/kubernetes/subscriptions.h"
#include "watcher/testing/table_memory.h"
#include "watcher/watcher.h"

namespace {

std::atomic<uint64_t> received{0};
std::atomic<uint64_t> sent{0};

ssize_t Count(ssize_t bytes, std::atomic<uint64_t>* sum) {
  if (bytes > 0) {
    sum->fetch_add(static_cast<uint64_t>(bytes), std::memory_order_relaxed);
  }
  return bytes;
}

}  // namespace

// libcurl finds these before those of libc: bytes of connections, TLS and all.
extern "C" {
ssize_t recv(int fd, void* data, size_t size, int flags) {
  return Count(recvfrom(fd, data, size, flags, nullptr, nullptr), &received);
}
ssize_t send(int fd, const void* data, size_t size, int flags) {
  return Count(sendto(fd, data, size, flags, nullptr, 0), &sent);
}
}

namespace dynweight {
namespace {

constexpr uint32_t kSlots = 4;
constexpr char kNamespace[] = "prod";

double UnixSeconds() {
  return std::chrono::duration<double>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class Edge {
 public:
  Edge(const ClusterConfig& cluster, const std::vector<std::string>& services)
      : wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    config_.clusters.push_back(cluster);
    for (const std::string& service : services) {
      LineConfig line;
      line.upstream = service;
      line.source = absl::StrCat("service=", kNamespace, "/", service);
      line.port = 80;
      line.table = static_cast<uint32_t>(config_.lines.size());
      line.range = {0, kSlots};
      config_.lines.push_back(std::move(line));
      tables_.push_back(std::make_unique<TableMemory>(kSlots));
    }
  }

  int wake_fd() const { return wake_fd_; }
  const ClusterStatus& status() const { return status_; }
  uint64_t log_lines() const { return log_lines_; }

  std::string Plan() const {
    std::vector<std::string> asks;
    for (const Subscription& subscription :
         PlanSubscriptions(SourcesOf(config_, 0))) {
      const ReflectorOptions& options = subscription.options;
      asks.push_back(absl::StrCat("{\"path\":\"", options.path,
                                  "\",\"labels\":\"", options.label_selector,
                                  "\",\"fields\":\"", options.field_selector,
                                  "\"}"));
    }
    return absl::StrCat("[", absl::StrJoin(asks, ","), "]");
  }

  void Start() {
    std::vector<PeerTable> tables;
    for (const auto& memory : tables_) tables.push_back(memory->table());
    Held held;
    held.views.resize(1);
    held.views[0].cluster = config_.clusters[0].name;
    auto watcher = Watcher::Start(config_, std::move(tables), held, wake_fd_);
    if (!watcher.ok()) {
      fprintf(stderr, "%s\n", watcher.status().ToString().c_str());
      exit(1);
    }
    watcher_ = *std::move(watcher);
  }
  void Stop() { watcher_.reset(); }

  // What nginx's event loop does.
  void Apply() {
    uint64_t count = 0;
    if (read(wake_fd_, &count, sizeof(count)) < 0) return;
    std::unique_ptr<Update> update = watcher_->Take();
    if (update == nullptr) return;
    for (const TableUpdate& table : update->tables) {
      PeerTable target = tables_[table.table]->table();
      ApplySlotWrites(target, table.writes);
      target.Publish();
    }
    for (const LineUpdate& line : update->lines) {
      // The last line is the marker's.
      if (line.line + 1 == config_.lines.size() && line.record.known != 0) {
        NoteMarker(line.record.pods);
      }
    }
    for (const DocumentUpdate& document : update->documents) {
      if (!document.status.empty()) {
        status_ = UnpackClusterStatus(document.status);
      }
    }
    for (const LogLine& line : update->log) {
      if (log_lines_++ < 3 || line.level <= LogLine::Level::kWarn) {
        fprintf(stderr, "%p %s\n", static_cast<void*>(this), line.text.c_str());
      }
    }
    watcher_->Done(std::move(update));
  }

  // When the marker came to have so many pods; 0: it has not.
  double SeenAt(uint64_t pods) const {
    for (const auto& [value, time] : seen_) {
      if (value >= pods) return time;
    }
    return 0;
  }

 private:
  void NoteMarker(uint64_t pods) {
    if (seen_.empty() || pods > seen_.back().first) {
      seen_.push_back({pods, UnixSeconds()});
    }
  }

  WatcherConfig config_;
  std::vector<std::unique_ptr<TableMemory>> tables_;
  const int wake_fd_;
  std::unique_ptr<Watcher> watcher_;
  ClusterStatus status_;
  std::vector<std::pair<uint64_t, double>> seen_;  // pods of the marker: rising
  uint64_t log_lines_ = 0;
};

using Edges = std::vector<std::unique_ptr<Edge>>;

std::string Seen(const Edges& edges, uint64_t pods) {
  uint64_t count = 0;
  double first = 0;
  double last = 0;
  for (const auto& edge : edges) {
    const double time = edge->SeenAt(pods);
    if (time == 0) continue;
    if (count++ == 0) first = time;
    first = std::min(first, time);
    last = std::max(last, time);
  }
  char text[128];
  snprintf(text, sizeof(text), "{\"edges\":%ju,\"first\":%.3f,\"last\":%.3f}",
           static_cast<uintmax_t>(count), first, last);
  return text;
}

std::string Stats(const Edges& edges) {
  ClusterStatus sum;
  uint64_t log_lines = 0;
  for (const auto& edge : edges) {
    const ClusterStatus& status = edge->status();
    sum.requests += status.requests;
    sum.lists += status.lists;
    sum.relists += status.relists;
    sum.watches += status.watches;
    sum.events += status.events;
    sum.failures += status.failures;
    sum.bytes += status.bytes;
    sum.held_back += status.held_back;
    log_lines += edge->log_lines();
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_usec) / 1e6;
  };
  return absl::StrCat(
      "{\"requests\":", sum.requests, ",\"lists\":", sum.lists,
      ",\"relists\":", sum.relists, ",\"watches\":", sum.watches,
      ",\"events\":", sum.events, ",\"failures\":", sum.failures,
      ",\"bodies\":", sum.bytes, ",\"held_back\":", sum.held_back,
      ",\"log_lines\":", log_lines, ",\"received\":", received.load(),
      ",\"sent\":", sent.load(),
      ",\"cpu\":", seconds(usage.ru_utime) + seconds(usage.ru_stime), "}");
}

std::string Plan(const Edges& edges) {
  std::vector<std::string> plans;
  for (const auto& edge : edges) plans.push_back(edge->Plan());
  return absl::StrCat("[", absl::StrJoin(plans, ","), "]");
}

std::string Answer(const std::string& command, const Edges& edges) {
  if (command == "plan") return Plan(edges);
  if (command == "stats") return Stats(edges);
  if (command == "start") {
    for (const auto& edge : edges) edge->Start();
    return "{}";
  }
  if (command.rfind("seen ", 0) == 0) {
    return Seen(edges, strtoull(command.c_str() + 5, nullptr, 10));
  }
  return "{\"error\":\"unknown command\"}";
}

// Every watcher has an epoll instance, eventfds and a connection a watch.
void RaiseFileLimit() {
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Run(int argc, char** argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: %s EDGES SERVICES TOTAL URL TOKEN_FILE CA_FILE\n",
            argv[0]);
    return 2;
  }
  const int count = atoi(argv[1]);
  const int services = atoi(argv[2]);
  const int total = atoi(argv[3]);
  signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();
  curl_global_init(CURL_GLOBAL_DEFAULT);

  ClusterConfig cluster;
  cluster.name = "fleet";
  cluster.api = {argv[4]};
  cluster.credentials.token_file = argv[5];
  cluster.credentials.ca_file = argv[6];
  cluster.nodes.kind = NodeSource::Kind::kNodes;
  cluster.nodes.name = "role=ingress";

  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event = {};
  event.events = EPOLLIN;
  epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
  Edges edges;
  for (int i = 0; i < count; ++i) {
    std::vector<std::string> names;
    for (int k = 0; k < services; ++k) {
      names.push_back(absl::StrCat("app", (i * services + k) % total));
    }
    names.push_back("marker");
    edges.push_back(std::make_unique<Edge>(cluster, names));
    event.data.ptr = edges.back().get();
    epoll_ctl(epoll, EPOLL_CTL_ADD, edges.back()->wake_fd(), &event);
  }

  std::string input;
  while (true) {
    epoll_event ready[64];
    const int n = epoll_wait(epoll, ready, 64, -1);
    for (int i = 0; i < n; ++i) {
      if (ready[i].data.ptr != nullptr) {
        static_cast<Edge*>(ready[i].data.ptr)->Apply();
        continue;
      }
      char data[4096];
      const ssize_t got = read(STDIN_FILENO, data, sizeof(data));
      // The threads end with the process, all at once.
      if (got <= 0) _exit(0);
      input.append(data, static_cast<size_t>(got));
      for (size_t end; (end = input.find('\n')) != std::string::npos;
           input.erase(0, end + 1)) {
        printf("%s\n", Answer(input.substr(0, end), edges).c_str());
        fflush(stdout);
      }
    }
  }
}

}  // namespace
}  // namespace dynweight

int main(int argc, char** argv) { return dynweight::Run(argc, argv); }

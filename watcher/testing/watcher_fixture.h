// The whole watcher under test: its real thread and real HTTP, fake clusters
// in this process, and a test that plays the event loop.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_WATCHER_FIXTURE_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_WATCHER_FIXTURE_H_

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "t/fake_cluster/fake_cluster.h"
#include "watcher/cluster_status.h"
#include "watcher/testing/table_memory.h"
#include "watcher/watcher.h"

namespace dynweight {

inline constexpr auto kWatch = ClusterConfig::Mode::kWatch;
inline constexpr auto kPoll = ClusterConfig::Mode::kPoll;

class WatcherTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSlots = 4;

  static void SetUpTestSuite() { curl_global_init(CURL_GLOBAL_DEFAULT); }

  ~WatcherTest() override {
    watcher_.reset();
    close(wake_fd_);
  }

  // Adds a cluster with three ingress nodes, behind a fake API server.
  FakeCluster* AddCluster(const std::string& name, ClusterConfig::Mode mode) {
    fakes_.push_back(FakeCluster::Start());
    FakeCluster* fake = fakes_.back().get();
    fake->SetIngressService("edge", "controller",
                            {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    ClusterConfig cluster;
    cluster.name = name;
    cluster.api = {fake->url()};
    cluster.nodes.kind = NodeSource::Kind::kService;
    cluster.nodes.ns = "edge";
    cluster.nodes.name = "controller";
    cluster.mode = mode;
    cluster.interval_ms = 20;
    cluster.timeout_ms = 60000;
    cluster.guard.confirm_ms = 300;
    config_.clusters.push_back(std::move(cluster));
    return fake;
  }

  // Adds an upstream whose one line is `app` in namespace "prod" of `cluster`.
  void AddLine(uint32_t cluster, const std::string& app) {
    LineConfig line;
    line.upstream = app;
    line.cluster = cluster;
    line.source = absl::StrCat("service=prod/", app);
    line.port = 80;
    line.table = static_cast<uint32_t>(memory_.size());
    line.range = {0, kSlots};
    config_.lines.push_back(std::move(line));
    memory_.push_back(std::make_unique<TableMemory>(kSlots));
  }

  void Start(std::vector<ClusterView> views = {}) {
    Held held;
    held.views = std::move(views);
    std::vector<PeerTable> tables;
    for (const auto& memory : memory_) tables.push_back(memory->table());
    auto watcher = Watcher::Start(config_, tables, held, wake_fd_);
    ASSERT_TRUE(watcher.ok()) << watcher.status();
    watcher_ = std::move(*watcher);
  }

  // Plays the event loop until `condition` holds.
  [[nodiscard]] bool Until(const std::function<bool()>& condition) {
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      pollfd ready = {wake_fd_, POLLIN, 0};
      // Conditions may also wait for the fake cluster, which wakes nobody.
      if (poll(&ready, 1, /*timeout=*/10) == 1) ApplyUpdate();
    }
    return true;
  }

  void ApplyUpdate() {
    uint64_t count = 0;
    ASSERT_EQ(read(wake_fd_, &count, sizeof(count)),
              static_cast<ssize_t>(sizeof(count)));
    std::unique_ptr<Update> update = watcher_->Take();
    ASSERT_NE(update, nullptr);
    for (const TableUpdate& table : update->tables) {
      PeerTable target = memory_[table.table]->table();
      ApplySlotWrites(target, table.writes);
      target.Publish();
      ++table_writes_;
    }
    for (const TableProbes& probes : update->probes) {
      PeerTable target = memory_[probes.table]->table();
      for (const ProbeWrite& write : probes.writes) {
        if (target.generation(write.slot) != write.generation) continue;
        (void)target.health(write.slot).SetProbe(write.word, 1);
      }
    }
    for (const DocumentUpdate& document : update->documents) {
      if (!document.view.empty()) views_[document.cluster] = document.view;
      if (!document.status.empty()) {
        statuses_[document.cluster] =
            EncodeClusterStatus(UnpackClusterStatus(document.status));
      }
    }
    log_.insert(log_.end(), update->log.begin(), update->log.end());
    watcher_->Done(std::move(update));
  }

  uint32_t Weight(size_t upstream) const {
    return memory_[upstream]->table().weight(0);
  }
  // Of the cluster's last status document.
  double StatusNumber(uint32_t cluster, const char* member) const {
    const auto it = statuses_.find(cluster);
    if (it == statuses_.end()) return 0;
    const std::unique_ptr<cJSON, decltype(&cJSON_Delete)> json(
        cJSON_Parse(it->second.c_str()), &cJSON_Delete);
    const cJSON* value = cJSON_GetObjectItem(json.get(), member);
    return cJSON_IsNumber(value) ? value->valuedouble : 0;
  }
  int LogLines(LogLine::Level level, const std::string& part = "") const {
    int lines = 0;
    for (const LogLine& line : log_) {
      if (line.level == level && absl::StrContains(line.text, part)) ++lines;
    }
    return lines;
  }
  std::string LogText() const {
    std::string text;
    for (const LogLine& line : log_) absl::StrAppend(&text, line.text, "\n");
    return text;
  }

  WatcherConfig config_;
  std::vector<std::unique_ptr<FakeCluster>> fakes_;
  std::vector<std::unique_ptr<TableMemory>> memory_;
  std::unique_ptr<Watcher> watcher_;
  int wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

  // What came through so far.
  int table_writes_ = 0;
  std::map<uint32_t, std::string> views_;
  std::map<uint32_t, std::string> statuses_;
  std::vector<LogLine> log_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_WATCHER_FIXTURE_H_

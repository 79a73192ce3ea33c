// A cluster's watcher whose reflectors are played by the test.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_CLUSTER_WATCHER_FIXTURE_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_CLUSTER_WATCHER_FIXTURE_H_

#include <cjson/cJSON.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "watcher/cluster_watcher.h"
#include "watcher/kubernetes/kubernetes_discovery.h"
#include "watcher/testing/manual_clock.h"

namespace dynweight {

class PlayedReflector : public Reflector {
 public:
  PlayedReflector(ReflectorOptions options, ObjectSink* sink,
                  DiscoveryDelegate* delegate)
      : options_(std::move(options)), sink_(sink), delegate_(delegate) {}

  void Start(int64_t) override { started = true; }
  int64_t Deadline() const override { return kNever; }
  void Tick(int64_t) override {}
  void RequestFreshList(int64_t now_ms) override {
    ++consistent_requests;
    requested_ms = now_ms;
  }
  void Retry(int64_t) override { ++retries; }
  void WithdrawList() override { ++withdrawn; }
  const DiscoveryStats& stats() const override { return stats_; }

  // `consistent`: the list that was asked for.
  void List(const std::vector<std::string>& objects, bool consistent = false) {
    ListAskedAt(objects,
                consistent ? std::optional(requested_ms) : std::nullopt);
  }
  void ListAskedAt(const std::vector<std::string>& objects,
                   std::optional<int64_t> asked_ms) {
    sink_->BeginList();
    for (const std::string& object : objects) {
      ASSERT_TRUE(With(object, [this](const cJSON* json) {
                    return sink_->Stage(json);
                  }).ok());
    }
    sink_->CommitList();
    ++stats_.lists;
    delegate_->OnList(asked_ms);
    delegate_->OnHealthy();
  }
  void Event(ObjectSink::EventType type, const std::string& object) {
    ASSERT_TRUE(With(object, [this, type](const cJSON* json) {
                  return sink_->Apply(type, json);
                }).ok());
    delegate_->OnEvent();
    delegate_->OnHealthy();
  }
  void Modify(const std::string& object) {
    Event(ObjectSink::EventType::kModified, object);
  }
  void Fail(const std::string& reason) {
    delegate_->OnApiFailure(delegate_->ApiBase());
    delegate_->OnError(absl::UnavailableError(reason));
  }
  DiscoveryDelegate* delegate() { return delegate_; }
  const std::string& path() const { return options_.path; }

  bool started = false;
  int consistent_requests = 0;
  int retries = 0;
  int withdrawn = 0;
  int64_t requested_ms = 0;

 private:
  static absl::Status With(
      const std::string& text,
      const std::function<absl::Status(const cJSON*)>& use) {
    const std::unique_ptr<cJSON, decltype(&cJSON_Delete)> json(
        cJSON_Parse(text.c_str()), &cJSON_Delete);
    return use(json.get());
  }

  ReflectorOptions options_;
  ObjectSink* sink_;
  DiscoveryDelegate* delegate_;
  DiscoveryStats stats_;
};

// An EndpointSlice of `name` in "prod" with `ready` pods.
inline std::string Slice(const std::string& name, int ready) {
  std::string endpoints;
  for (int i = 0; i < ready; ++i) {
    absl::StrAppend(&endpoints, i == 0 ? "" : ",", R"({"addresses":["10.0.0.)",
                    i + 1, R"("],"targetRef":{"uid":")", name, i, R"("}})");
  }
  return absl::StrCat(
      R"({"metadata":{"name":")", name, R"(-1","namespace":"prod",)",
      R"("labels":{"kubernetes.io/service-name":")", name,
      R"("}},"addressType":"IPv4","endpoints":[)", endpoints, "]}");
}

class ClusterWatcherTest : public ::testing::Test {
 protected:
  ClusterWatcherTest() {
    config_.clusters.resize(1);
    ClusterConfig& cluster = config_.clusters[0];
    cluster.name = "bj";
    cluster.api = {"http://a", "http://b"};
    cluster.nodes.kind = NodeSource::Kind::kService;
    cluster.nodes.ns = "prod";
    cluster.nodes.name = "edge";
    LineConfig line;
    line.upstream = "orders";
    line.source = "service=prod/orders";
    config_.lines.push_back(line);
    view_.cluster = "bj";
  }

  void Hold(uint64_t pods, int nodes) {
    view_.pods["service=prod/orders"].pods = pods;
    view_.nodes.emplace();
    for (int i = 0; i < nodes; ++i) {
      view_.nodes->nodes.push_back(
          {*IpAddress::Parse(absl::StrCat("10.0.0.", i + 1)), ""});
    }
  }

  void Start() {
    watcher_ = std::make_unique<ClusterWatcher>(
        config_, 0,
        KubernetesDiscoveries(
            SourcesOf(config_, 0),
            [this](const ReflectorOptions& options, ObjectSink* sink,
                   DiscoveryDelegate* delegate) {
              auto reflector =
                  std::make_unique<PlayedReflector>(options, sink, delegate);
              reflector_ = reflector.get();
              reflectors_.push_back(reflector_);
              return reflector;
            }),
        &view_, &clock_, &log_, new_credentials_, [this] { return random_; });
    watcher_->Start();
  }

  void Pass(int64_t ms) {
    clock_.now += ms;
    watcher_->Tick();
  }
  uint64_t Pods() const {
    const auto it = view_.pods.find("service=prod/orders");
    return it == view_.pods.end() ? UINT64_MAX : it->second.pods;
  }
  size_t NodeCount() const { return view_.nodes->nodes.size(); }
  std::string LogText() {
    std::string text;
    for (const LogLine& line : log_.Take(clock_.now)) {
      absl::StrAppend(&text, line.text, "\n");
    }
    return text;
  }

  WatcherConfig config_;
  ClusterView view_;
  ManualClock clock_;
  LogQueue log_;
  ClusterWatcher::NewCredentials new_credentials_;
  std::unique_ptr<ClusterWatcher> watcher_;
  PlayedReflector* reflector_ = nullptr;      // the one of the EndpointSlices
  std::vector<PlayedReflector*> reflectors_;  // all there ever were
  double random_ = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_CLUSTER_WATCHER_FIXTURE_H_

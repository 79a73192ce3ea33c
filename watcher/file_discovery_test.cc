// A source that is not Kubernetes, behind the same door: numbers in a file.
// What it needs of the watcher is discovery.h; what the watcher needs of it,
// too.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "watcher/cluster_watcher.h"
#include "watcher/discovery/discovery.h"
#include "watcher/testing/manual_clock.h"
#include "watcher/testing/temporary_directory.h"

namespace dynweight {
namespace {

using ::testing::HasSubstr;

// Reads lines such as "orders 12", "node 10.0.0.1" and "vm 10.0.0.9" (an
// instance of "orders" on port 8080, with half a share) once a second; "doubt
// 1" says that nothing is known of instances.
class FileDiscovery : public Discovery {
 public:
  FileDiscovery(std::string path, std::vector<std::string> applications,
                DiscoveryDelegate* delegate)
      : path_(std::move(path)), delegate_(delegate) {
    for (std::string& name : applications) {
      quantities_.push_back({Quantity::Kind::kPods, std::move(name)});
    }
    quantities_.push_back({Quantity::Kind::kIngressNodes, ""});
    quantities_.push_back({Quantity::Kind::kInstances, "orders"});
  }

  std::string name() const override { return path_; }
  const std::vector<Quantity>& quantities() const override {
    return quantities_;
  }
  bool pushes() const override { return false; }

  void Start(int64_t now_ms) override { Read(now_ms); }
  int64_t DeadlineMs() const override { return next_ms_; }
  void Tick(int64_t now_ms) override {
    if (now_ms >= next_ms_) Read(now_ms);
  }
  void RequestConfirmation(int64_t now_ms) override { next_ms_ = now_ms; }

  bool listed() const override { return stats_.lists > 0; }
  std::vector<size_t> TakeChanged() override {
    std::vector<size_t> all(quantities_.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    if (doubt_) all.pop_back();
    return all;
  }
  Observation Observe(size_t quantity) override {
    Observation observation;
    observation.nodes = nodes_;
    observation.instances = instances_;
    const auto it = pods_.find(quantities_[quantity].source);
    if (it != pods_.end()) observation.pods = it->second;
    return observation;
  }
  void Accept(size_t) override {}
  std::string WhyUncertain(size_t quantity) const override {
    return doubt_ && quantity + 1 == quantities_.size() ? "just restarted" : "";
  }
  std::string WhyNone(size_t) const override { return "not in the file"; }
  const DiscoveryStats& stats() const override { return stats_; }

 private:
  void Read(int64_t now_ms) {
    next_ms_ = now_ms + 1000;
    std::ifstream file(path_);
    if (!file) return delegate_->OnError(absl::NotFoundError("no such file"));
    pods_.clear();
    nodes_.clear();
    instances_.clear();
    doubt_ = false;
    for (std::string word, value; file >> word >> value;) {
      if (word == "node") {
        nodes_.push_back({IpAddress::Parse(value).value(), ""});
      } else if (word == "vm") {
        instances_.push_back({IpAddress::Parse(value).value(), 8080, "", 500});
      } else if (word == "doubt") {
        doubt_ = true;
      } else {
        pods_[word] = std::stoull(value);
      }
    }
    ++stats_.lists;
    delegate_->OnList(now_ms);
    delegate_->OnHealthy();
  }

  const std::string path_;
  DiscoveryDelegate* const delegate_;
  std::vector<Quantity> quantities_;
  std::map<std::string, uint64_t> pods_;
  std::vector<IngressNode> nodes_;
  std::vector<Instance> instances_;
  bool doubt_ = false;
  DiscoveryStats stats_;
  int64_t next_ms_ = 0;
};

class FileDiscoveryTest : public ::testing::Test {
 protected:
  FileDiscoveryTest() : path_(directory_.File("numbers")) {
    config_.clusters.resize(1);
    config_.clusters[0].name = "file";
    config_.clusters[0].api = {"http://unused"};
    view_.cluster = "file";
  }
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  void Start() {
    watcher_ = std::make_unique<ClusterWatcher>(
        config_, 0,
        std::vector<DiscoveryMaker>{[this](DiscoveryDelegate* delegate) {
          return std::make_unique<FileDiscovery>(
              path_, std::vector<std::string>{"orders"}, delegate);
        }},
        &view_, &clock_, &log_);
    watcher_->Start();
  }
  void Pass(int64_t ms) {
    clock_.now += ms;
    watcher_->Tick();
  }

  TemporaryDirectory directory_;
  const std::string path_;
  WatcherConfig config_;
  ClusterView view_;
  ManualClock clock_;
  LogQueue log_;
  std::unique_ptr<ClusterWatcher> watcher_;
};

TEST_F(FileDiscoveryTest, ItsNumbersAreInForce) {
  Write("orders 12\nnode 10.0.0.1\nnode 10.0.0.2\n");
  Start();
  EXPECT_TRUE(watcher_->synced());
  EXPECT_EQ(view_.pods["orders"].pods, 12u);
  EXPECT_EQ(view_.nodes->nodes.size(), 2u);
  Write("orders 30\nnode 10.0.0.1\nnode 10.0.0.2\n");
  Pass(1000);
  EXPECT_EQ(view_.pods["orders"].pods, 30u);
}

TEST_F(FileDiscoveryTest, TheGuardStandsBeforeItToo) {
  Write("orders 12\nnode 10.0.0.1\n");
  Start();
  Write("orders 1\nnode 10.0.0.1\n");
  Pass(1000);
  EXPECT_EQ(view_.pods["orders"].pods, 12u);
  for (int i = 0; i < 10; ++i) Pass(1000);
  EXPECT_EQ(view_.pods["orders"].pods, 1u);
}

TEST_F(FileDiscoveryTest, WhatFailsIsToldAndHolds) {
  Write("orders 12\nnode 10.0.0.1\n");
  Start();
  std::remove(path_.c_str());
  Pass(1000);
  EXPECT_THAT(watcher_->Status().last_error, HasSubstr("no such file"));
  EXPECT_EQ(view_.pods["orders"].pods, 12u);
}

TEST_F(FileDiscoveryTest, InstancesComeFromItToo) {
  Write("vm 10.0.0.2\nvm 10.0.0.1\n");
  Start();
  const InstanceSet& set = view_.instances["orders"];
  ASSERT_EQ(set.instances.size(), 2u);
  EXPECT_EQ(set.instances[0].address.ToString(), "10.0.0.1");
  EXPECT_EQ(set.instances[0].weight_milli, 500u);
  Write("vm 10.0.0.1\nvm 10.0.0.2\nvm 10.0.0.3\n");
  Pass(1000);
  EXPECT_EQ(set.instances.size(), 3u);
}

TEST_F(FileDiscoveryTest, WhatIsNoEvidenceHolds) {
  Write("vm 10.0.0.1\n");
  Start();
  Write("doubt 1\n");
  for (int i = 0; i < 20; ++i) Pass(1000);
  EXPECT_EQ(view_.instances["orders"].instances.size(), 1u);
  EXPECT_THAT(watcher_->Status().warnings,
              testing::Contains(HasSubstr("just restarted; the last 1 hold")));
  // The same from a source that is sure of it.
  Write("");
  for (int i = 0; i < 20; ++i) Pass(1000);
  EXPECT_TRUE(view_.instances["orders"].none);
}

}  // namespace
}  // namespace dynweight

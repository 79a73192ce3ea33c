// Tests of a reflector over libcurl against the fake API server: each fault
// leaves what is known in force, and what is true arrives when it heals.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "t/fake_cluster/fake_cluster.h"
#include "watcher/kubernetes/endpoint_slices.h"
#include "watcher/kubernetes/reflector.h"
#include "watcher/transport/curl_transport.h"

namespace dynweight {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kPath[] =
    "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices";

class ReflectorCurlTest : public testing::Test, public DiscoveryDelegate {
 protected:
  ReflectorCurlTest() {
    options_.path = kPath;
    options_.interval_ms = options_.timeout_ms = 70000;
    sink_->Interest("prod", "orders");
  }

  std::string ApiBase() override { return cluster_->url(); }
  const Credentials* credentials() override { return &credentials_; }
  void OnApiFailure(const std::string&) override { ++api_failures_; }
  void OnApiBusy(const std::string&, int64_t) override {}
  void OnTrouble(const std::string&) override {}
  void OnList(std::optional<int64_t>) override { ++lists_; }
  void OnEvent() override {}
  void OnHealthy() override {}
  void OnError(const absl::Status& error) override {
    errors_.push_back(std::string(error.message()));
  }

  // Real time, but what the reflector only waits for comes at once.
  void PollUntil(const std::function<bool()>& condition) {
    while (!condition()) {
      const int64_t wait_ms = reflector_->Deadline() - Now();
      if (wait_ms > 0 && wait_ms <= kLongestWaitMs) skipped_ms_ += wait_ms;
      reflector_->Tick(Now());
      transport_->Poll(std::clamp<int64_t>(wait_ms, 0, 100));
    }
  }
  int64_t Now() const {
    using std::chrono::milliseconds;
    return std::chrono::duration_cast<milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
               .count() +
           skipped_ms_;
  }

  uint64_t Pods() const { return sink_->Ready("prod", "orders"); }
  void SetPods(int pods) { cluster_->SetApp({"prod", "orders", pods}); }
  void Start() {
    reflector_ = Reflector::Create(options_, transport_.get(), sink_.get(),
                                   this, [] { return 0.5; });
    reflector_->Start(Now());
  }
  // Knows 12 pods, then the fault sets in.
  void SyncThenFault(const std::string& kind,
                     const std::function<void(FakeFault*)>& set = {}) {
    SetPods(12);
    Start();
    PollUntil([this] { return Pods() == 12; });
    // The last state of a watch that is to be broken: it stands.
    if (options_.watch) {
      PollUntil([this] { return reflector_->stats().watches > 0; });
    }
    FakeFault fault;
    fault.kind = kind;
    fault.path_prefix = kPath;
    if (set) set(&fault);
    ASSERT_TRUE(cluster_->SetFault(fault));
  }
  void ExpectHeldUntilHealed(const std::string& error, size_t failures = 2) {
    const size_t before = errors_.size();
    PollUntil([&] { return errors_.size() >= before + failures; });
    EXPECT_EQ(Pods(), 12);
    for (const std::string& text : errors_) EXPECT_THAT(text, HasSubstr(kPath));
    EXPECT_THAT(errors_.back(), HasSubstr(error));
    cluster_->ClearFaults();
    SetPods(30);
    PollUntil([this] { return Pods() == 30; });
  }

  // Back-offs are shorter, all timeouts longer.
  static constexpr int64_t kLongestWaitMs = 61000;

  std::unique_ptr<FakeCluster> cluster_ = FakeCluster::Start();
  ReflectorOptions options_;
  Credentials credentials_;
  std::unique_ptr<EndpointSlices> sink_ = EndpointSlices::Create();
  std::unique_ptr<CurlTransport> transport_ = CurlTransport::Create();
  std::unique_ptr<Reflector> reflector_;
  int64_t skipped_ms_ = 0;
  int api_failures_ = 0;
  int lists_ = 0;
  std::vector<std::string> errors_;
};

class ReflectorCurlPollTest : public ReflectorCurlTest {
 protected:
  ReflectorCurlPollTest() {
    options_.watch = false;
    options_.interval_ms = 20;
  }
};

TEST_F(ReflectorCurlTest, FollowsTheWatch) {
  SetPods(12);
  Start();
  PollUntil([this] { return Pods() == 12; });
  SetPods(350);
  PollUntil([this] { return Pods() == 350; });
  SetPods(0);
  PollUntil([this] { return Pods() == 0; });
  EXPECT_EQ(lists_, 1);
  EXPECT_THAT(errors_, IsEmpty());
}

TEST_F(ReflectorCurlTest, ReadsPages) {
  options_.page_limit = 2;
  options_.max_list_bytes = 100000;  // too little for all
  SetPods(950);
  Start();
  PollUntil([this] { return Pods() == 950; });
  EXPECT_EQ(lists_, 1);
  EXPECT_GE(cluster_->requests().total.lists, 5u);
}

TEST_F(ReflectorCurlTest, FollowsAgainAfterConnectionsDrop) {
  SetPods(12);
  Start();
  PollUntil([this] { return reflector_->stats().watches > 0; });
  cluster_->DropConnections();
  SetPods(30);
  PollUntil([this] { return Pods() == 30; });
}

TEST_F(ReflectorCurlTest, FollowsAServerThatWentBackInTime) {
  SetPods(12);
  Start();
  PollUntil([this] { return reflector_->stats().watches > 0; });
  // As long as it takes to restore a cluster, nobody listens.
  FakeFault fault;
  fault.kind = "refuse";
  ASSERT_TRUE(cluster_->SetFault(fault));
  cluster_->DropConnections();
  PollUntil([this] { return !errors_.empty(); });
  cluster_->RewindVersion(1);
  cluster_->ClearFaults();
  const uint64_t watches = reflector_->stats().watches;
  PollUntil(
      [&] { return lists_ > 1 || reflector_->stats().watches > watches; });
  // It takes a watch from a version that it has not come to, and says nothing.
  skipped_ms_ += 100000;
  SetPods(30);
  PollUntil([this] { return Pods() == 30; });
}

TEST_F(ReflectorCurlTest, FollowsAfterACompaction) {
  SetPods(12);
  Start();
  PollUntil([this] { return reflector_->stats().watches > 0; });
  FakeFault fault;
  fault.kind = "watch_error";
  fault.code = 410;
  fault.times = 1;
  ASSERT_TRUE(cluster_->SetFault(fault));
  SetPods(30);
  PollUntil([this] { return lists_ >= 2 && Pods() == 30; });
}

TEST_F(ReflectorCurlTest, SurvivesAnEventCutWithinACharacter) {
  SyncThenFault("watch_cut_utf8");
  ExpectHeldUntilHealed("");
}

TEST_F(ReflectorCurlTest, SurvivesALineWithoutEnd) {
  SyncThenFault("watch_huge_line");
  ExpectHeldUntilHealed("longer than 4194304 bytes");
}

TEST_F(ReflectorCurlTest, ASilentWatchIsNoticed) {
  SyncThenFault("watch_silent");
  cluster_->SetApp({"prod", "orders", 30});
  // The clock, not the server, ends it; another one is silent, too.
  skipped_ms_ += 150000;
  const uint64_t watches = reflector_->stats().watches;
  PollUntil([&] { return reflector_->stats().watches > watches; });
  skipped_ms_ += 150000;
  PollUntil([this] { return Pods() == 30; });
  EXPECT_THAT(errors_, testing::IsEmpty());
}

TEST_F(ReflectorCurlPollTest, Holds500) {
  SyncThenFault("status", [](FakeFault* f) { f->code = 500; });
  ExpectHeldUntilHealed("HTTP 500");
  EXPECT_GT(api_failures_, 0);
}

TEST_F(ReflectorCurlPollTest, Holds403) {
  SyncThenFault("status", [](FakeFault* f) { f->code = 403; });
  ExpectHeldUntilHealed("conf.d/rbac");
  EXPECT_EQ(api_failures_, 0);
}

TEST_F(ReflectorCurlPollTest, HoldsAHangingServer) {
  options_.timeout_ms = 500;
  SyncThenFault("hang");
  ExpectHeldUntilHealed("no answer within timeout");
}

TEST_F(ReflectorCurlPollTest, HoldsAHangingBody) {
  options_.timeout_ms = 500;
  SyncThenFault("hang_body");
  ExpectHeldUntilHealed("nothing more of the answer within timeout");
}

TEST_F(ReflectorCurlPollTest, HoldsADrip) {
  options_.timeout_ms = 300;
  SyncThenFault("drip", [](FakeFault* f) { f->delay_ms = 100; });
  ExpectHeldUntilHealed("no complete answer");
}

TEST_F(ReflectorCurlPollTest, HoldsAListThatIsCutOff) {
  SyncThenFault("close_half");
  ExpectHeldUntilHealed("in the middle of the answer");
}

TEST_F(ReflectorCurlPollTest, HoldsChunksThatAreCutOff) {
  SyncThenFault("close_half", [](FakeFault* f) { f->chunked = true; });
  ExpectHeldUntilHealed("");
}

TEST_F(ReflectorCurlPollTest, HoldsResets) {
  SyncThenFault("reset");
  ExpectHeldUntilHealed("");
}

TEST_F(ReflectorCurlPollTest, HoldsAListWithoutEnd) {
  options_.max_list_bytes = 1 << 20;
  SyncThenFault("huge");
  ExpectHeldUntilHealed("");
}

TEST_F(ReflectorCurlPollTest, HoldsAGzipBomb) {
  options_.max_list_bytes = 1 << 20;
  SyncThenFault("gzip_bomb");
  ExpectHeldUntilHealed("");
}

TEST_F(ReflectorCurlPollTest, HoldsGarbage) {
  SyncThenFault("garbage");
  ExpectHeldUntilHealed("");
}

TEST_F(ReflectorCurlPollTest, HoldsGarbageInsteadOfHttp) {
  SyncThenFault("garbage", [](FakeFault* f) { f->raw = true; });
  ExpectHeldUntilHealed("");
}

TEST_F(ReflectorCurlPollTest, HoldsALoginPage) {
  SyncThenFault("html");
  ExpectHeldUntilHealed("no list of endpointslices");
}

TEST_F(ReflectorCurlPollTest, HoldsARedirect) {
  SyncThenFault("redirect",
                [](FakeFault* f) { f->location = "http://127.0.0.1:1/"; });
  ExpectHeldUntilHealed("redirects are not followed");
}

TEST_F(ReflectorCurlPollTest, HoldsNestedBrackets) {
  SyncThenFault("nested");
  ExpectHeldUntilHealed("");
}

TEST_F(ReflectorCurlPollTest, HoldsWrongTypes) {
  SyncThenFault("bad_types");
  ExpectHeldUntilHealed("", 6);  // of each sort
}

TEST_F(ReflectorCurlPollTest, HoldsPagesWithoutEnd) {
  SyncThenFault("continue_loop");
  ExpectHeldUntilHealed("");
}

TEST_F(ReflectorCurlPollTest, ReadsOnWhenPagesExpire) {
  options_.page_limit = 1;
  FakeFault fault;
  fault.kind = "expired_continue";
  cluster_->SetFault(fault);
  SetPods(350);
  Start();
  PollUntil([this] { return Pods() == 350; });
  EXPECT_THAT(errors_, IsEmpty());
}

TEST_F(ReflectorCurlPollTest, HoldsWhileNobodyListens) {
  SyncThenFault("refuse");
  ExpectHeldUntilHealed("Connection refused");
  EXPECT_GT(api_failures_, 0);
}

}  // namespace
}  // namespace dynweight

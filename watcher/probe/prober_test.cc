#include "watcher/probe/prober.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "watcher/testing/manual_clock.h"
#include "watcher/testing/reflector_fixture.h"
#include "watcher/testing/table_memory.h"

namespace dynweight {
namespace {

using ::testing::HasSubstr;

// Clusters whose nodes answer as the test says, and upstreams of their nodes.
class ProberTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kSlots = 8;

  uint32_t AddCluster(const std::vector<std::string_view>& probe) {
    ClusterConfig cluster;
    cluster.name = "c" + std::to_string(config_.clusters.size());
    if (!probe.empty()) cluster.probe = *ProbeConfig::Parse(probe);
    config_.clusters.push_back(std::move(cluster));
    return static_cast<uint32_t>(config_.clusters.size()) - 1;
  }
  // An upstream of its own; its number is that of its table.
  uint32_t AddUpstream(uint32_t cluster, uint16_t port = 80,
                       bool slow_start = false) {
    LineConfig line;
    line.cluster = cluster;
    line.port = port;
    line.slow_start = slow_start;
    line.table = static_cast<uint32_t>(memory_.size());
    line.range = {0, kSlots};
    config_.lines.push_back(line);
    memory_.push_back(std::make_unique<TableMemory>(kSlots));
    return line.table;
  }
  void Start() {
    std::vector<PeerTable> tables;
    for (const auto& memory : memory_) tables.push_back(memory->table());
    prober_ =
        std::make_unique<Prober>(config_, std::move(tables), &transport_,
                                 &clock_, &log_, [this] { return dice_; });
    Apply();
  }
  PeerTable Table(uint32_t upstream) { return memory_[upstream]->table(); }
  static PeerIdentity Node(int n, uint16_t port = 80) {
    PeerIdentity identity;
    identity.address = *IpAddress::Parse("10.0.0." + std::to_string(n));
    identity.port = port;
    return identity;
  }
  // As an update of the planner does it, whose words are in it.
  void Assign(uint32_t upstream, uint32_t slot, int node, bool joins = false,
              uint16_t port = 80) {
    std::vector<SlotWrite> writes(1);
    writes[0].slot = slot;
    writes[0].assign = true;
    writes[0].weight = 10;
    writes[0].identity = Node(node, port);
    writes[0].joins = joins;
    if (prober_ != nullptr) prober_->Prepare(upstream, &writes);
    ApplySlotWrites(Table(upstream), writes, clock_.now);
  }
  void SetWeight(uint32_t upstream, uint32_t slot, uint32_t weight) {
    std::vector<SlotWrite> writes(1);
    writes[0].slot = slot;
    writes[0].weight = weight;
    prober_->Prepare(upstream, &writes);
    ApplySlotWrites(Table(upstream), writes, clock_.now);
  }
  // Writes words as the event loop does; how many.
  size_t Apply() {
    size_t words = 0;
    if (!prober_->HasWords()) return 0;
    for (const TableProbes& probes : prober_->TakeWords(clock_.now)) {
      for (const ProbeWrite& write : probes.writes) {
        PeerTable table = Table(probes.table);
        if (table.generation(write.slot) != write.generation) continue;
        (void)table.health(write.slot).SetProbe(write.word, clock_.now);
        ++words;
      }
    }
    return words;
  }
  // Lets time pass, and every probe be answered: those of the nodes in bad_
  // fail. Returns the probes that began.
  int Run(int64_t ms) {
    int begun = 0;
    for (const int64_t end = clock_.now + ms; clock_.now < end; ++clock_.now) {
      prober_->Tick(clock_.now);
      for (auto& transfer : transport_.transfers) {
        if (!transfer.open()) continue;
        ++begun;
        ++probes_[transfer.request.url];
        EXPECT_LE(transfer.request.total_timeout_ms, 1000);
        HttpHandler* const handler = transfer.handler;
        HttpResult result;
        for (const int node : bad_) {
          const std::string name = "10.0.0." + std::to_string(node) + ":";
          if (transfer.request.url.find(name) == std::string::npos) continue;
          result.transport = absl::UnavailableError("refused");
          result.failure = failure_;
        }
        if (result.transport.ok() && !transfer.request.connect_only) {
          handler->OnStatus(200, "");
        } else {
          transfer.handler = nullptr;
          handler->OnDone(result, "");
        }
      }
      Apply();
    }
    return begun;
  }
  ProbeResult Word(uint32_t upstream, uint32_t slot) {
    return ProbeResult::Decode(Table(upstream).health(slot).probe());
  }
  std::string LogText() {
    std::string text;
    for (const LogLine& line : log_.Take(clock_.now)) text += line.text + "\n";
    return text;
  }

  WatcherConfig config_;
  std::vector<std::unique_ptr<TableMemory>> memory_;
  ScriptedTransport transport_;
  ManualClock clock_;
  LogQueue log_;
  double dice_ = 0.5;
  std::vector<int> bad_;
  HttpFailure failure_ = HttpFailure::kConnect;
  std::map<std::string, int> probes_;  // by URL
  std::unique_ptr<Prober> prober_;
};

TEST_F(ProberTest, AsksANodeOnceForAllUpstreams) {
  const uint32_t bj = AddCluster({"tcp"});
  for (int i = 0; i < 50; ++i) {
    const uint32_t upstream = AddUpstream(bj);
    for (int n = 0; n < 4; ++n) Assign(upstream, n, n + 1);
  }
  Start();
  Run(2000);
  probes_.clear();
  EXPECT_EQ(Run(20000), 4 * 10);
  EXPECT_EQ(probes_["http://10.0.0.1:80/"], 10);
  bad_ = {2};
  Run(6000);
  for (uint32_t i = 0; i < 50; ++i) {
    EXPECT_TRUE(Word(i, 1).out);
    EXPECT_EQ(Word(i, 1).reason, ProbeReason::kRefused);
    EXPECT_FALSE(Word(i, 0).out);
  }
  EXPECT_THAT(LogText(), HasSubstr("the probe of 10.0.0.2:80 (cluster \"c0\", "
                                   "tcp) fails: the connection is refused"));
  bad_ = {};
  Run(4000);
  EXPECT_FALSE(Word(0, 1).out);
  EXPECT_THAT(LogText(), HasSubstr("passes again"));
  EXPECT_EQ(prober_->Counts(bj).targets, 4u);
  EXPECT_EQ(prober_->Counts(bj).passing, 4u);
}

TEST_F(ProberTest, AsksEachPortUnlessOneIsNamed) {
  const uint32_t each = AddCluster({"tcp"});
  const uint32_t one = AddCluster({"tcp", "port=10254"});
  const uint32_t none = AddCluster({});
  Assign(AddUpstream(each, 80), 0, 1, false, 80);
  Assign(AddUpstream(each, 81), 0, 1, false, 81);
  Assign(AddUpstream(one, 80), 0, 2, false, 80);
  Assign(AddUpstream(one, 81), 0, 2, false, 81);
  Assign(AddUpstream(none, 80), 0, 3);
  Start();
  Run(2000);
  std::vector<std::string> urls;
  for (const auto& [url, count] : probes_) urls.push_back(url);
  EXPECT_THAT(
      urls, ::testing::ElementsAre("http://10.0.0.1:80/", "http://10.0.0.1:81/",
                                   "http://10.0.0.2:10254/"));
  EXPECT_FALSE(Word(4, 0).probed());
}

TEST_F(ProberTest, FindsOutWithinItsIntervals) {
  const uint32_t bj = AddCluster({"tcp"});
  const uint32_t upstream = AddUpstream(bj);
  for (int n = 0; n < 4; ++n) Assign(upstream, n, n + 1);
  Start();
  Run(5000);
  bad_ = {3};
  Run(3 * 2000 + Prober::kBatchMs + 1);  // the answers take no time here
  EXPECT_TRUE(Word(upstream, 2).out);
}

TEST_F(ProberTest, BeginsNoMoreThanItsRate) {
  const uint32_t bj = AddCluster({"tcp", "interval=400ms", "timeout=400ms"});
  const uint32_t hourly = AddCluster({"tcp", "interval=1h"});
  const uint32_t upstream = AddUpstream(bj);
  AddUpstream(hourly);
  for (uint32_t n = 0; n < kSlots; ++n) {
    Assign(upstream, n, 1 + static_cast<int>(n));
  }
  Start();
  EXPECT_DOUBLE_EQ(MakeProbePlan(config_).probes[bj].Rate(), 25.0);
  EXPECT_DOUBLE_EQ(MakeProbePlan(config_).probes[hourly].Rate(), 10.0);
  int all = 0;
  for (int second = 0; second < 10; ++second) {
    const int begun = Run(1000);
    EXPECT_LE(begun, 25 + 2) << second;
    all += begun;
  }
  EXPECT_NEAR(all, 10 * 20, 10);
}

// Nor after the thread stood still, when all are late.
TEST_F(ProberTest, BeginsNoMoreThanItsRateAfterAStandstill) {
  const uint32_t bj = AddCluster({"tcp", "interval=400ms", "timeout=400ms"});
  const uint32_t upstream = AddUpstream(bj);
  for (uint32_t n = 0; n < kSlots; ++n) {
    Assign(upstream, n, 1 + static_cast<int>(n));
  }
  Start();
  Run(5000);
  clock_.now += 10000;
  EXPECT_LE(Run(1000), 25);
}

TEST_F(ProberTest, DoesNotProbeInStepWithWhoLearnsAtTheSameTime) {
  const uint32_t bj = AddCluster({"tcp"});
  Assign(AddUpstream(bj), 0, 1);
  const auto second_probe = [&](double dice) {
    dice_ = dice;
    prober_.reset();
    transport_.transfers.clear();
    Table(0).health(0).Reset();
    Start();
    EXPECT_EQ(Run(1), 1);
    int64_t wait = 0;
    while (Run(1) == 0) ++wait;
    return wait;
  };
  EXPECT_LT(second_probe(0.1), 300);
  EXPECT_GE(second_probe(0.9), 1800 - Prober::kMaxMomentMs);
}

TEST_F(ProberTest, GoesOnFromWhatTheTablesSay) {
  const uint32_t bj = AddCluster({"tcp"});
  const uint32_t upstream = AddUpstream(bj);
  for (int n = 0; n < 3; ++n) Assign(upstream, n, n + 1);
  Start();
  bad_ = {1};
  Run(8000);
  ASSERT_TRUE(Word(upstream, 0).out);
  prober_.reset();
  transport_.transfers.clear();
  Start();
  EXPECT_TRUE(Word(upstream, 0).out);
  EXPECT_EQ(prober_->Counts(bj).failing, 1u);
  EXPECT_EQ(Run(900), 0) << "what is known is not asked at once";
  EXPECT_TRUE(Word(upstream, 0).out);
}

// Another probe's results are none.
TEST_F(ProberTest, ForgetsWhatAnotherProbeSaid) {
  const uint32_t bj = AddCluster({"http", "uri=/a"});
  const uint32_t upstream = AddUpstream(bj);
  for (int n = 0; n < 2; ++n) Assign(upstream, n, n + 1);
  Start();
  bad_ = {1};
  Run(8000);
  ASSERT_TRUE(Word(upstream, 0).out);
  prober_.reset();
  transport_.transfers.clear();
  config_.clusters[bj].probe = *ProbeConfig::Parse({"http", "uri=/b"});
  Start();
  EXPECT_FALSE(Word(upstream, 0).out);
  EXPECT_EQ(Word(upstream, 0).result, ProbeResult::kUnknown);
}

TEST_F(ProberTest, LetsAKnownFailureNotJoinASecondUpstream) {
  const uint32_t bj = AddCluster({"tcp"});
  const uint32_t first = AddUpstream(bj);
  const uint32_t second = AddUpstream(bj);
  for (int n = 0; n < 2; ++n) Assign(first, n, n + 1);
  Start();
  bad_ = {1};
  Run(8000);
  Assign(second, 0, 1);
  EXPECT_TRUE(Word(second, 0).out) << "before any probe of its own";
}

TEST_F(ProberTest, LetsWhoJoinsWaitWhereThatIsAsked) {
  const uint32_t bj = AddCluster({"tcp"});
  const uint32_t must = AddCluster({"tcp", "mandatory"});
  const uint32_t plain = AddUpstream(bj);
  const uint32_t slow = AddUpstream(bj, 80, /*slow_start=*/true);
  const uint32_t mandatory = AddUpstream(must);
  for (const uint32_t upstream : {plain, slow, mandatory}) {
    Assign(upstream, 0, 1);
  }
  Start();
  for (const uint32_t upstream : {plain, slow, mandatory}) {
    EXPECT_FALSE(Word(upstream, 0).out) << "all begin at once";
  }
  Run(4000);
  bad_ = {2};
  for (const uint32_t upstream : {plain, slow, mandatory}) {
    Assign(upstream, 1, 2, /*joins=*/true);
  }
  Apply();
  EXPECT_FALSE(Word(plain, 1).out);
  EXPECT_TRUE(Word(slow, 1).out);
  EXPECT_TRUE(Word(mandatory, 1).out);
  Run(1000);
  EXPECT_TRUE(Word(mandatory, 1).out);
  EXPECT_EQ(Word(mandatory, 1).result, ProbeResult::kUnknown);
  bad_ = {};
  Run(2000);
  EXPECT_FALSE(Word(slow, 1).out);
  EXPECT_FALSE(Word(mandatory, 1).out);
}

TEST_F(ProberTest, LeavesDrainedNodesAlone) {
  const uint32_t bj = AddCluster({"tcp"});
  const uint32_t upstream = AddUpstream(bj);
  for (int n = 0; n < 2; ++n) Assign(upstream, n, n + 1);
  Start();
  Run(4000);
  SetWeight(upstream, 0, 0);
  Apply();
  probes_.clear();
  Run(8000);
  EXPECT_EQ(probes_["http://10.0.0.1:80/"], 0);
  EXPECT_EQ(prober_->Counts(bj).targets, 1u);
  SetWeight(upstream, 0, 10);
  Apply();
  EXPECT_EQ(Word(upstream, 0).result, ProbeResult::kUnknown);
  Run(8000);
  EXPECT_GE(probes_["http://10.0.0.1:80/"], 3);
}

TEST_F(ProberTest, TakesNoWordToWhoHasLeft) {
  const uint32_t bj = AddCluster({"tcp"});
  const uint32_t upstream = AddUpstream(bj);
  for (int n = 0; n < 2; ++n) Assign(upstream, n, n + 1);
  Start();
  Run(4000);
  bad_ = {1};
  for (int i = 0; i < 8000; ++i) {
    ++clock_.now;
    prober_->Tick(clock_.now);
  }
  Assign(upstream, 0, 3);
  Run(8000);
  EXPECT_FALSE(Word(upstream, 0).out);
}

TEST_F(ProberTest, TellsALostClusterFromALostEdge) {
  const uint32_t bj = AddCluster({"tcp"});
  const uint32_t sh = AddCluster({"tcp"});
  const uint32_t a = AddUpstream(bj);
  const uint32_t b = AddUpstream(sh);
  for (int n = 0; n < 2; ++n) {
    Assign(a, n, n + 1);
    Assign(b, n, n + 11);
  }
  Start();
  Run(4000);
  bad_ = {1, 2};
  Run(8000);
  EXPECT_TRUE(Word(a, 0).out && Word(a, 1).out);
  EXPECT_FALSE(prober_->Counts(bj).ignored);
  LogText();
  bad_ = {1, 2, 11, 12};
  Run(8000);
  for (const uint32_t upstream : {a, b}) {
    for (const uint32_t slot : {0, 1}) {
      EXPECT_FALSE(Word(upstream, slot).out);
      EXPECT_EQ(Word(upstream, slot).result, ProbeResult::kFailing);
    }
  }
  EXPECT_TRUE(prober_->Counts(bj).ignored && prober_->Counts(sh).ignored);
  EXPECT_THAT(LogText(), HasSubstr("all 4 probes fail"));
  // Who joins now does not end it.
  bad_ = {1, 2, 11, 12, 13};
  Assign(b, 2, 13);
  Run(8000);
  EXPECT_TRUE(prober_->Counts(bj).ignored);
  bad_ = {1, 2, 12, 13};
  Run(8000);
  EXPECT_FALSE(prober_->Counts(bj).ignored);
  EXPECT_TRUE(Word(a, 0).out && Word(a, 1).out && Word(b, 1).out);
  EXPECT_FALSE(Word(b, 0).out);
}

TEST_F(ProberTest, HoldsWhatItKnowsWhenTheEdgeCannotProbe) {
  const uint32_t bj = AddCluster({"tcp"});
  const uint32_t upstream = AddUpstream(bj);
  for (int n = 0; n < 2; ++n) Assign(upstream, n, n + 1);
  Start();
  Run(4000);
  bad_ = {1, 2};
  failure_ = HttpFailure::kOwn;
  Run(20000);
  EXPECT_EQ(Word(upstream, 0).result, ProbeResult::kPassing);
  const std::string said = LogText();
  EXPECT_THAT(said, HasSubstr("worker_rlimit_nofile"));
  EXPECT_EQ(said.find("could not be sent"), said.rfind("could not be sent"));
}

TEST_F(ProberTest, TellsItsCounts) {
  const uint32_t bj = AddCluster({"tcp"});
  const uint32_t upstream = AddUpstream(bj);
  for (int n = 0; n < 2; ++n) Assign(upstream, n, n + 1);
  Start();
  Run(4000);
  EXPECT_EQ(prober_->TakeChange(bj, clock_.now), Prober::Change::kResults);
  Run(2000);
  EXPECT_EQ(prober_->TakeChange(bj, clock_.now), Prober::Change::kNone);
  Run(4000);
  EXPECT_EQ(prober_->TakeChange(bj, clock_.now), Prober::Change::kCounts);
  bad_ = {1};
  Run(8000);
  EXPECT_EQ(prober_->TakeChange(bj, clock_.now), Prober::Change::kResults);
}

}  // namespace
}  // namespace dynweight

// What a pick costs, and how far it strays, for 8 to 100,000 peers of weights
// 1 to 60: the three methods of weightcalc/, smooth weighted round robin as
// nginx does it, and weighted random by binary search.
//
//   bench_pick --benchmark_counters_tabular=true

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "weightcalc/connection_load.h"
#include "weightcalc/consistent_hash.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/pick_sequence.h"

namespace dynweight {
namespace {

std::vector<uint32_t> Weights(size_t n) {
  std::mt19937 random(n);
  std::vector<uint32_t> weights(n);
  for (auto& w : weights) w = 1 + random() % 60;
  return weights;
}

class GoldenLattice {
 public:
  explicit GoldenLattice(const std::vector<uint32_t>& weights)
      : index_(weights.size()) {
    Build(weights);
  }
  void Build(const std::vector<uint32_t>& weights) {
    index_.Build(weights.size(), [&](uint32_t i) { return weights[i]; });
  }
  uint32_t Pick() { return index_.Pick(k_++); }

 private:
  PickIndex index_;
  uint64_t k_ = 0;
};

// ngx_http_upstream_get_peer() without the checks of health and connections:
// a list of structs of the size of ngx_http_upstream_rr_peer_t.
class SmoothWeightedRoundRobin {
 public:
  explicit SmoothWeightedRoundRobin(const std::vector<uint32_t>& weights)
      : peers_(weights.size()) {
    for (size_t i = 0; i < peers_.size(); i++) {
      peers_[i].weight = peers_[i].effective_weight = weights[i];
      peers_[i].next = i + 1 < peers_.size() ? &peers_[i + 1] : nullptr;
    }
  }
  uint32_t Pick() {
    Peer* best = nullptr;
    int64_t total = 0;
    for (Peer* peer = peers_.data(); peer != nullptr; peer = peer->next) {
      peer->current_weight += peer->effective_weight;
      total += peer->effective_weight;
      if (peer->effective_weight < peer->weight) peer->effective_weight++;
      if (best == nullptr || peer->current_weight > best->current_weight) {
        best = peer;
      }
    }
    best->current_weight -= total;
    return static_cast<uint32_t>(best - peers_.data());
  }

 private:
  struct Peer {
    char names[48];
    int64_t current_weight = 0;
    int64_t effective_weight = 0;
    int64_t weight = 0;
    char health_and_session[112];
    Peer* next = nullptr;
  };
  std::vector<Peer> peers_;
};

class WeightedRandom {
 public:
  explicit WeightedRandom(const std::vector<uint32_t>& weights)
      : cumulative_(weights.size()) {
    Build(weights);
  }
  void Build(const std::vector<uint32_t>& weights) {
    uint64_t sum = 0;
    for (size_t i = 0; i < weights.size(); i++) {
      cumulative_[i] = sum += weights[i];
    }
  }
  uint32_t Pick() {
    const uint64_t x = random_() % cumulative_.back();
    return std::upper_bound(cumulative_.begin(), cumulative_.end(), x) -
           cumulative_.begin();
  }

 private:
  std::mt19937_64 random_;
  std::vector<uint64_t> cumulative_;
};

template <typename Method>
void BM_Pick(benchmark::State& state) {
  Method method(Weights(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(method.Pick());
}

template <typename Method>
void BM_Build(benchmark::State& state) {
  const std::vector<uint32_t> weights = Weights(state.range(0));
  Method method(weights);
  for (auto _ : state) {
    method.Build(weights);
    benchmark::ClobberMemory();
  }
}

// The largest number of requests that any peer is away from its exact share
// at any prefix. A peer's lead changes direction at its own picks only, so it
// suffices to look before and after them, and at the end.
template <typename Method>
void BM_Deviation(benchmark::State& state) {
  const std::vector<uint32_t> weights = Weights(state.range(0));
  const uint64_t picks = state.range(1);
  double total = 0;
  for (uint32_t w : weights) total += w;
  double farthest = 0;
  for (auto _ : state) {
    Method method(weights);
    std::vector<uint64_t> count(weights.size());
    const auto look = [&](uint32_t i, uint64_t k) {
      const double exact = weights[i] / total * static_cast<double>(k);
      farthest =
          std::max(farthest, std::abs(static_cast<double>(count[i]) - exact));
    };
    for (uint64_t k = 0; k < picks; k++) {
      const uint32_t i = method.Pick();
      look(i, k);
      count[i]++;
      look(i, k + 1);
    }
    for (uint32_t i = 0; i < weights.size(); i++) look(i, picks);
  }
  state.counters["picks"] = static_cast<double>(picks);
  state.counters["astray"] = farthest;
}

// A table of peers as the workers share it, for the methods that look at it.
class Table {
 public:
  static constexpr uint32_t kWorkers = 8;

  explicit Table(const std::vector<uint32_t>& weights)
      : memory_(
            std::aligned_alloc(64, PeerTable::Bytes(weights.size(), kWorkers))),
        table_(PeerTable::Create(memory_, weights.size(), kWorkers)) {
    for (uint32_t i = 0; i < weights.size(); i++) {
      table_.SetPeer(i, PeerIdentity());
      table_.SetWeight(i, weights[i]);
    }
    table_.Publish();
  }
  ~Table() { std::free(memory_); }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  PeerTable* operator->() { return &table_; }
  const PeerTable& operator*() const { return table_; }

 private:
  void* memory_;
  PeerTable table_;
};

// `dynamic_weight least_conn`, with the connections of eight workers counted.
class LeastConnections {
 public:
  explicit LeastConnections(const std::vector<uint32_t>& weights)
      : table_(weights), index_(weights.size()) {
    index_.Build(weights.size(), [&](uint32_t i) { return weights[i]; });
  }
  uint32_t Pick() {
    return PickLessLoaded(index_, *table_, k_++,
                          [&](uint32_t i) { return table_->weight(i); });
  }

 private:
  Table table_;
  PickIndex index_;
  uint64_t k_ = 0;
};

// `dynamic_weight hash`, a new key each time, with bounded loads.
class Hash {
 public:
  explicit Hash(const std::vector<uint32_t>& weights)
      : table_(weights), hash_(weights.size()) {
    hash_.Invalidate();
    hash_.Advance(weights.size(), weights.size(),
                  [](uint32_t i) { return Mix64(i + 1); });
    for (uint32_t w : weights) total_ += w;
    levels_ = DartLevels(*std::max_element(weights.begin(), weights.end()));
  }
  uint32_t Pick() {
    Darts darts(k_++);
    uint32_t slot;
    do {
      slot = hash_.Next(&darts, levels_,
                        [&](uint32_t i) { return table_->weight(i); });
    } while (slot != ConsistentHash::kNone &&
             IsOverloaded(*table_, slot, table_->weight(slot), total_, 125));
    return slot;
  }

 private:
  Table table_;
  ConsistentHash hash_;
  uint64_t total_ = 0;
  uint32_t levels_ = 0;
  uint64_t k_ = 0;
};

// All that a request does to find its peer, on one table of 1,000 peers for
// all threads: a pick number, the index, the address. With `range(0)` changes
// of a weight a second beside it.
class TablePick : public benchmark::Fixture {
 public:
  void SetUp(const benchmark::State& state) override {
    if (state.thread_index() != 0) return;
    table_ = std::make_unique<Table>(Weights(kPeers));
    stop_ = false;
    if (state.range(0) == 0) return;
    writer_ = std::thread(
        [this, pause = std::chrono::microseconds(1000000 / state.range(0))] {
          while (!stop_) {
            (*table_)->SetWeight(7, 1 + (*table_)->version() % 60);
            (*table_)->Publish();
            std::this_thread::sleep_for(pause);
          }
        });
  }
  void TearDown(const benchmark::State& state) override {
    if (state.thread_index() != 0) return;
    stop_ = true;
    if (writer_.joinable()) writer_.join();
    table_.reset();
  }

 protected:
  static constexpr uint32_t kPeers = 1000;
  std::unique_ptr<Table> table_;
  std::atomic<bool> stop_{false};
  std::thread writer_;
};

BENCHMARK_DEFINE_F(TablePick, NumberIndexRead)(benchmark::State& state) {
  PickIndex index(kPeers);
  uint64_t seen = 0;
  Peer peer;
  for (auto _ : state) {
    // The fixture's memory is there only once the threads run together.
    PeerTable& table = *table_->operator->();
    if (table.version() != seen) {
      seen = table.version();
      index.Build(kPeers, [&](uint32_t i) { return table.weight(i); });
    }
    benchmark::DoNotOptimize(table.Read(index.Pick(table.NextPick()), &peer));
  }
}
BENCHMARK_REGISTER_F(TablePick, NumberIndexRead)
    ->ArgName("changes_per_s")
    ->Arg(0)
    ->Arg(100)
    ->ThreadRange(1, 4);

#define PEERS ->Arg(8)->Arg(100)->Arg(1000)->Arg(8000)->Arg(100000)
BENCHMARK_TEMPLATE(BM_Pick, GoldenLattice) PEERS;
BENCHMARK_TEMPLATE(BM_Pick, LeastConnections) PEERS;
BENCHMARK_TEMPLATE(BM_Pick, Hash) PEERS;
BENCHMARK_TEMPLATE(BM_Pick, SmoothWeightedRoundRobin) PEERS;
BENCHMARK_TEMPLATE(BM_Pick, WeightedRandom) PEERS;
BENCHMARK_TEMPLATE(BM_Build, GoldenLattice) PEERS;
BENCHMARK_TEMPLATE(BM_Build, WeightedRandom) PEERS;
#undef PEERS

// Fewer picks where a pick is O(n): the run would take minutes.
#define DEVIATION(method, most_at_100000)  \
  BENCHMARK_TEMPLATE(BM_Deviation, method) \
      ->Args({8, 200000})                  \
      ->Args({100, 200000})                \
      ->Args({1000, 200000})               \
      ->Args({8000, 200000})               \
      ->Args({100000, most_at_100000})     \
      ->Iterations(1)                      \
      ->Unit(benchmark::kMillisecond)
DEVIATION(GoldenLattice, 2000000);
DEVIATION(SmoothWeightedRoundRobin, 10000);
DEVIATION(WeightedRandom, 2000000);
#undef DEVIATION

// Picks and nothing else, for whoever counts instructions.
template <typename Method>
void Loop(size_t peers, uint64_t picks) {
  Method method(Weights(peers));
  while (picks-- != 0) benchmark::DoNotOptimize(method.Pick());
}

}  // namespace

int LoopMain(const std::string& method, size_t peers, uint64_t picks) {
  if (method == "round_robin") {
    Loop<GoldenLattice>(peers, picks);
  } else if (method == "least_conn") {
    Loop<LeastConnections>(peers, picks);
  } else if (method == "hash") {
    Loop<Hash>(peers, picks);
  } else {
    return 1;
  }
  return 0;
}

}  // namespace dynweight

// bench_pick loop METHOD PEERS PICKS, or the benchmark.
int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "loop") {
    return dynweight::LoopMain(argv[2], std::strtoul(argv[3], nullptr, 10),
                               std::strtoull(argv[4], nullptr, 10));
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

// Tests of connection_load.h.

#include "weightcalc/connection_load.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "weightcalc/consistent_hash.h"
#include "weightcalc/peer_table_tester.h"

namespace dynweight {
namespace {

class LoadTest : public testing::Test {
 protected:
  void Assign(const std::vector<uint32_t>& weights) {
    for (uint32_t i = 0; i < weights.size(); i++) {
      table_->SetPeer(i, MadeUpPeer(i + 1));
      table_->SetWeight(i, weights[i]);
    }
    index_.Build(weights.size(), [&](uint32_t i) { return weights[i]; });
  }
  void Connect(uint32_t slot, int connections = 1) {
    for (int i = 0; i < connections; i++) {
      table_->Acquire(slot, table_->generation(slot), 0);
    }
  }

  uint32_t Pick(uint64_t k) {
    return PickLessLoaded(index_, *table_, k,
                          [&](uint32_t i) { return table_->weight(i); });
  }
  bool Overloaded(uint32_t slot, uint32_t percent = 125) {
    return IsOverloaded(*table_, slot, table_->weight(slot), index_.total(),
                        percent);
  }

  SharedTable table_{32, 1};
  PickIndex index_{32};
};

TEST_F(LoadTest, PicksNoneWithoutWeights) {
  Assign({0, 0});
  EXPECT_EQ(Pick(7), PickIndex::kNone);
}

TEST_F(LoadTest, OfTwoPeersTheOneWithFewerConnectionsPerWeight) {
  Assign({10, 30});
  Connect(0, 5);
  Connect(1, 10);
  for (uint64_t k = 0; k < 200; k++) {
    ASSERT_EQ(Pick(k), 1u) << "6 to 10, 11 to 30";
  }
  Connect(1, 25);
  int first = 0;
  for (uint64_t k = 0; k < 200; k++) first += Pick(k) == 0;
  EXPECT_GE(first, 100) << "6 to 10, 36 to 30, whenever both were drawn";
}

TEST_F(LoadTest, ThePeerOfTheSequenceStaysUpToItsShare) {
  Assign({10, 10, 20});
  Connect(0);
  Connect(1);
  Connect(2, 2);
  // With one more of 5 a quarter is 1.25, and a half 2.5.
  for (uint64_t k = 0; k < 200; k++) {
    ASSERT_EQ(Pick(k), index_.Pick(k));
  }
  Connect(0);
  for (uint64_t k = 0; k < 200; k++) {
    ASSERT_NE(Pick(k), 0u) << "2 of 5, and one to come";
  }
}

TEST_F(LoadTest, OfAFewRequestsNoneIsTooMany) {
  Assign({10, 30});
  Connect(0, 3);
  for (uint64_t k = 0; k < 200; k++) ASSERT_EQ(Pick(k), index_.Pick(k));
}

TEST_F(LoadTest, ALonePeerIsPicked) {
  Assign({0, 5, 0});
  Connect(1, 100);
  EXPECT_EQ(Pick(3), 1u);
}

// Any number of requests in flight, all of which last equally long: each peer
// gets its share, also the small ones beside large ones.
TEST_F(LoadTest, PeersShareByWeightHoweverFewRequestsRun) {
  const std::vector<std::vector<uint32_t>> sets = {
      {200, 200, 10, 10, 10, 10},
      {5, 10, 10, 15},
      {26, 10, 8, 6},
      {9, 6, 5},
      {10, 15, 20, 25, 30, 35, 40, 45, 50, 55}};
  for (const std::vector<uint32_t>& weights : sets) {
    Assign(weights);
    const auto total = static_cast<double>(index_.total());
    for (const size_t in_flight : {1, 2, 4, 8, 16, 64}) {
      std::vector<int> count(weights.size());
      std::deque<uint32_t> running;
      const auto picks = static_cast<uint64_t>(400 * total);
      for (uint64_t k = 0; k < picks; k++) {
        if (running.size() == in_flight) {
          const uint32_t done = running.front();
          table_->Release(done, table_->generation(done), 0);
          running.pop_front();
        }
        const uint32_t slot = Pick(k);
        count[slot]++;
        Connect(slot);
        running.push_back(slot);
      }
      for (uint32_t i = 0; i < weights.size(); i++) {
        EXPECT_NEAR(count[i] / 400.0 / weights[i], 1, 0.12)
            << "peer " << i << " of " << weights.size() << ", " << in_flight
            << " in flight";
      }
      table_->ClearWorker(0);
    }
  }
}

TEST_F(LoadTest, KeepsConnectionsEvenWhereRequestsLastDifferently) {
  Assign(std::vector<uint32_t>(20, 10));
  std::mt19937 random(5);
  for (uint64_t k = 0; k < 20000; k++) {
    Connect(Pick(k));
    // Peer 3 ends its requests ten times more slowly.
    for (uint32_t i = 0; i < 20; i++) {
      if (random() % (i == 3 ? 400 : 40) == 0) {
        table_->Release(i, table_->generation(i), 0);
      }
    }
  }
  uint32_t most = 0;
  for (uint32_t i = 0; i < 20; i++) most = std::max(most, table_->Active(i));
  EXPECT_LE(most, 2 * table_->ActiveTotal() / 20 + 3);
}

TEST_F(LoadTest, APeerIsOverloadedAboveFiveFourthsOfItsShare) {
  Assign({10, 10, 20});
  Connect(0, 5);
  Connect(2, 12);
  // With one more it would have 6 of 18: more than 5/4 of a quarter, which are
  // 5.6.
  Connect(1, 4);
  EXPECT_FALSE(Overloaded(0)) << "6 of 22 are less than 6.9";
  Connect(0, 3);
  EXPECT_TRUE(Overloaded(0)) << "9 of 25 are more than 7.8";
  EXPECT_FALSE(Overloaded(0, 150)) << "which a higher bound allows";
  EXPECT_FALSE(Overloaded(2)) << "13 of 25 are less than 15.6";
}

TEST_F(LoadTest, AFewRequestsOverloadNobody) {
  Assign({10, 10, 20});
  for (uint64_t n = 0; n < kFewConnections; n++) {
    EXPECT_FALSE(Overloaded(0)) << n << " of " << n;
    Connect(0);
  }
  EXPECT_TRUE(Overloaded(0));
}

// Keys as Zipf's law has them, exponent 1.1: the hottest gets about a seventh
// of all requests, three times what its peer should have.
TEST_F(LoadTest, BoundedLoadsHoldUnderHotKeys) {
  constexpr uint32_t kPeers = 20;
  constexpr int kConcurrent = 400;
  constexpr int kKeys = 10000;
  Assign(std::vector<uint32_t>(kPeers, 10));
  ConsistentHash hash(kPeers);
  hash.Invalidate();
  hash.Advance(kPeers, kPeers, [](uint32_t i) { return Mix64(i + 1); });

  std::vector<double> weights(kKeys);
  for (int i = 0; i < kKeys; i++) weights[i] = std::pow(i + 1, -1.1);
  std::discrete_distribution<int> keys(weights.begin(), weights.end());
  std::mt19937 random(7);
  std::vector<uint32_t> running;
  std::vector<int> served(kPeers), first_choice(kPeers);
  constexpr int kRequests = 100000;
  for (int n = 0; n < kRequests; n++) {
    Darts darts(keys(random));
    const auto weight = [&](uint32_t i) { return table_->weight(i); };
    uint32_t slot = hash.Next(&darts, DartLevels(10), weight);
    first_choice[slot]++;
    while (Overloaded(slot)) {
      slot = hash.Next(&darts, DartLevels(10), weight);
      ASSERT_NE(slot, ConsistentHash::kNone);
    }
    served[slot]++;
    Connect(slot);
    running.push_back(slot);
    if (running.size() < kConcurrent) continue;
    std::swap(running[random() % running.size()], running.back());
    table_->Release(running.back(), table_->generation(running.back()), 0);
    running.pop_back();
  }
  EXPECT_GT(*std::max_element(first_choice.begin(), first_choice.end()),
            2 * kRequests / static_cast<int>(kPeers));
  EXPECT_LE(*std::max_element(served.begin(), served.end()),
            1.25 * kRequests / kPeers + kConcurrent / kPeers);
}

}  // namespace
}  // namespace dynweight

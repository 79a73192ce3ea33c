// Tests of load.h.

#include "weightcalc/load.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "weightcalc/consistent_hash.h"
#include "weightcalc/peer_table_tester.h"

namespace dynweight {
namespace {

class LoadTest : public testing::Test {
 protected:
  void Seat(const std::vector<uint32_t>& weights) {
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

  SharedTable table_{32, 1};
  PickIndex index_{32};
};

TEST_F(LoadTest, PicksNoneWithoutWeights) {
  Seat({0, 0});
  EXPECT_EQ(PickLessLoaded(index_, *table_, 7), PickIndex::kNone);
}

TEST_F(LoadTest, OfTwoPeersTheOneWithFewerConnectionsPerWeight) {
  Seat({10, 30});
  Connect(0, 3);
  Connect(1, 10);
  for (uint64_t k = 0; k < 200; k++) {
    ASSERT_EQ(PickLessLoaded(index_, *table_, k), 1u) << "4 to 10, 11 to 30";
  }
  Connect(1, 2);
  int first = 0;
  for (uint64_t k = 0; k < 200; k++) {
    first += PickLessLoaded(index_, *table_, k) == 0;
  }
  EXPECT_GE(first, 100) << "4 to 10, 13 to 30, whenever both were drawn";
}

TEST_F(LoadTest, ALonePeerIsPicked) {
  Seat({0, 5, 0});
  Connect(1, 100);
  EXPECT_EQ(PickLessLoaded(index_, *table_, 3), 1u);
}

TEST_F(LoadTest, IdlePeersShareByWeight) {
  Seat({10, 20, 70});
  std::vector<int> count(3);
  for (uint64_t k = 0; k < 30000; k++) {
    count[PickLessLoaded(index_, *table_, k)]++;
  }
  // An idle peer of more weight is less loaded by the request to come.
  EXPECT_GT(count[2], count[1]);
  EXPECT_GT(count[1], count[0]);
}

TEST_F(LoadTest, KeepsConnectionsEvenWhereRequestsLastDifferently) {
  Seat(std::vector<uint32_t>(20, 10));
  std::mt19937 random(5);
  for (uint64_t k = 0; k < 20000; k++) {
    Connect(PickLessLoaded(index_, *table_, k));
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
  Seat({10, 10, 20});
  EXPECT_FALSE(IsOverloaded(*table_, 0, 40)) << "the first of all";
  Connect(0);
  EXPECT_TRUE(IsOverloaded(*table_, 0, 40)) << "1 of 1";
  Connect(1);
  Connect(2, 5);
  // With one more it would have 2 of 8, which is its share.
  EXPECT_FALSE(IsOverloaded(*table_, 0, 40));
  Connect(0, 3);
  EXPECT_TRUE(IsOverloaded(*table_, 0, 40)) << "4 of 10";
  EXPECT_FALSE(IsOverloaded(*table_, 2, 40));
}

TEST_F(LoadTest, APeerOfWeightZeroIsOverloaded) {
  Seat({10, 0});
  EXPECT_TRUE(IsOverloaded(*table_, 1, 10));
}

// Keys as Zipf's law has them, exponent 1.1: the hottest gets about a seventh
// of all requests, three times what its peer should have.
TEST_F(LoadTest, BoundedLoadsHoldUnderHotKeys) {
  constexpr uint32_t kPeers = 20;
  constexpr int kConcurrent = 400;
  constexpr int kKeys = 10000;
  Seat(std::vector<uint32_t>(kPeers, 10));
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
    while (IsOverloaded(*table_, slot, index_.total())) {
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

// Tests of consistent_hash.h.

#include "weightcalc/consistent_hash.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace dynweight {
namespace {

constexpr int kKeys = 200000;

// Peers in slots, and where keys go.
class Ring {
 public:
  explicit Ring(uint32_t slots)
      : hash_(slots), identities_(slots), weights_(slots) {}

  void Assign(uint32_t slot, int node, uint32_t weight) {
    identities_[slot] = HashBytes("10.0.0." + std::to_string(node) + ":80");
    weights_[slot] = weight;
  }
  void Clear(uint32_t slot) { identities_[slot] = weights_[slot] = 0; }
  void SetWeight(uint32_t slot, uint32_t weight) { weights_[slot] = weight; }

  void Settle() {
    hash_.Invalidate();
    while (!hash_.settled()) {
      hash_.Advance(16, 2, [&](uint32_t i) { return identities_[i]; });
    }
  }
  uint32_t Pick(uint64_t key) const {
    Darts darts(key);
    const uint32_t levels =
        DartLevels(*std::max_element(weights_.begin(), weights_.end()));
    return hash_.Next(&darts, levels, [&](uint32_t i) { return weights_[i]; });
  }
  std::vector<uint32_t> PickAll() const {
    std::vector<uint32_t> picks(kKeys);
    for (int i = 0; i < kKeys; i++) picks[i] = Pick(i);
    return picks;
  }
  // Picks by node instead of slot.
  std::vector<uint64_t> PickNodes() const {
    std::vector<uint64_t> nodes;
    for (uint32_t slot : PickAll()) nodes.push_back(identities_[slot]);
    return nodes;
  }

 private:
  ConsistentHash hash_;
  std::vector<uint64_t> identities_;
  std::vector<uint32_t> weights_;
};

Ring EqualPeers(uint32_t n, uint32_t slots, uint32_t weight = 10) {
  Ring ring(slots);
  for (uint32_t i = 0; i < n; i++) ring.Assign(i, i, weight);
  ring.Settle();
  return ring;
}

std::vector<double> Shares(const std::vector<uint32_t>& picks, uint32_t slots) {
  std::vector<double> shares(slots);
  for (uint32_t slot : picks) shares[slot] += 1.0 / picks.size();
  return shares;
}

TEST(ConsistentHash, PicksNoneWithoutPeers) {
  Ring ring(16);
  ring.Settle();
  for (uint64_t key = 0; key < 1000; key++) {
    ASSERT_EQ(ring.Pick(key), ConsistentHash::kNone);
  }
}

TEST(ConsistentHash, OnePeerGetsEverything) {
  const Ring ring = EqualPeers(1, 1);
  EXPECT_THAT(ring.PickAll(), testing::Each(0));
}

TEST(ConsistentHash, SharesKeysByWeight) {
  Ring ring = EqualPeers(20, 32);
  for (uint32_t i = 0; i < 20; i++) ring.SetWeight(i, i < 10 ? 10 : 75);
  const std::vector<double> shares = Shares(ring.PickAll(), 32);
  for (uint32_t i = 0; i < 20; i++) {
    const double fair = (i < 10 ? 10 : 75) / 850.0;
    EXPECT_NEAR(shares[i], fair, fair * 0.15) << "peer " << i;
  }
}

TEST(ConsistentHash, NeverPicksAWeightOfZero) {
  Ring ring = EqualPeers(20, 32);
  for (uint32_t i = 0; i < 20; i += 2) ring.SetWeight(i, 0);
  for (uint32_t slot : ring.PickAll()) ASSERT_EQ(slot % 2, 1u);
}

TEST(ConsistentHash, ADoubledWeightMovesItsNewKeysAndNoOthers) {
  Ring ring = EqualPeers(20, 32);
  const std::vector<uint32_t> before = ring.PickAll();
  ring.SetWeight(7, 20);
  const std::vector<uint32_t> after = ring.PickAll();
  int moved = 0;
  for (int i = 0; i < kKeys; i++) {
    if (before[i] == after[i]) continue;
    moved++;
    ASSERT_EQ(after[i], 7u) << "key " << i;
  }
  const double ideal = 2.0 / 21 - 1.0 / 20;
  EXPECT_LE(moved, 1.1 * ideal * kKeys);
  EXPECT_GE(moved, 0.9 * ideal * kKeys);
}

TEST(ConsistentHash, ALoweredWeightMovesKeysOfItsOwnOnly) {
  Ring ring = EqualPeers(20, 32, 40);
  const std::vector<uint32_t> before = ring.PickAll();
  ring.SetWeight(7, 13);
  const std::vector<uint32_t> after = ring.PickAll();
  for (int i = 0; i < kKeys; i++) {
    if (before[i] != after[i]) {
      ASSERT_EQ(before[i], 7u);
    }
  }
}

TEST(ConsistentHash, ANewLargestWeightMovesKeysToItAlone) {
  Ring ring = EqualPeers(20, 32);
  const std::vector<uint32_t> before = ring.PickAll();
  ring.SetWeight(3, 130);  // heights double three times
  const std::vector<uint32_t> after = ring.PickAll();
  for (int i = 0; i < kKeys; i++) {
    if (before[i] != after[i]) {
      ASSERT_EQ(after[i], 3u);
    }
  }
}

TEST(ConsistentHash, APeerThatLeavesMovesItsKeysOnly) {
  Ring ring = EqualPeers(20, 32);
  const std::vector<uint32_t> before = ring.PickAll();
  ring.Clear(7);
  ring.Settle();
  const std::vector<uint32_t> after = ring.PickAll();
  for (int i = 0; i < kKeys; i++) {
    ASSERT_NE(after[i], 7u);
    if (before[i] != after[i]) {
      ASSERT_EQ(before[i], 7u) << "key " << i;
    }
  }
}

TEST(ConsistentHash, ALightPeerThatLeavesHeavyOnesMovesFewOthers) {
  Ring ring = EqualPeers(20, 32);
  for (uint32_t i = 1; i < 20; i++) ring.SetWeight(i, 75);
  const std::vector<uint32_t> before = ring.PickAll();
  ring.Clear(0);
  ring.Settle();
  const std::vector<uint32_t> after = ring.PickAll();
  int moved = 0;
  for (int i = 0; i < kKeys; i++) moved += before[i] != after[i];
  EXPECT_LE(moved, 4 * 10.0 / (10 + 19 * 75) * kKeys);
}

TEST(ConsistentHash, DependsOnPeersAndWeightsAlone) {
  // The same twelve peers, in other slots, and after others came and went.
  std::mt19937 random(3);
  const std::vector<uint64_t> expected = EqualPeers(12, 16).PickNodes();
  for (int round = 0; round < 3; round++) {
    Ring ring(16);
    for (uint32_t i = 0; i < 16; i++) ring.Assign(i, 100 + random() % 50, 30);
    ring.Settle();
    std::vector<uint32_t> slots(16);
    for (uint32_t i = 0; i < 16; i++) slots[i] = i;
    std::shuffle(slots.begin(), slots.end(), random);
    for (int i = 0; i < 12; i++) {
      ring.Assign(slots[i], i, 10);
      if (i % 3 == 0) ring.Settle();
    }
    for (int i = 12; i < 16; i++) ring.Clear(slots[i]);
    ring.Settle();
    EXPECT_EQ(ring.PickNodes(), expected);
  }
}

TEST(ConsistentHash, WeightsFarApartAreSharedByAllButAFewKeys) {
  Ring ring(64);
  for (uint32_t i = 0; i < 64; i++) ring.Assign(i, i, i == 5 ? 640 : 1);
  ring.Settle();
  std::vector<uint32_t> picks = ring.PickAll();
  const auto missed =
      std::remove(picks.begin(), picks.end(), ConsistentHash::kNone);
  EXPECT_LE(picks.end() - missed, kKeys / 50);
  picks.erase(missed, picks.end());
  EXPECT_NEAR(Shares(picks, 64)[5], 640.0 / 703, 0.01);
}

TEST(ConsistentHash, AdvancesInBoundedSteps) {
  ConsistentHash hash(100);
  int looks = 0;
  const auto identity = [&](uint32_t i) -> uint64_t {
    looks++;
    return i + 1;
  };
  hash.Advance(16, 2, identity);
  EXPECT_EQ(looks, 0) << "nothing is said to have changed";
  hash.Invalidate();
  hash.Advance(16, 2, identity);
  EXPECT_EQ(looks, 3) << "two changes, and the one that has to wait";
  int steps = 1;
  for (; !hash.settled(); steps++) hash.Advance(16, 2, identity);
  EXPECT_EQ(steps, 50);
}

TEST(ConsistentHash, HoldsAsManyPeersAsItHasSlots) {
  for (uint32_t slots : {2, 3, 1000, 8000}) {
    const Ring ring = EqualPeers(slots, slots);
    std::vector<double> shares = Shares(ring.PickAll(), slots);
    const double served = std::count_if(shares.begin(), shares.end(),
                                        [](double s) { return s > 0; });
    EXPECT_GE(served, slots * 0.99);
  }
}

TEST(Darts, OfFewerLevelsAreThoseOfMoreThatAreLowEnough) {
  for (uint64_t key = 0; key < 100; key++) {
    for (uint32_t levels = 0; levels < 8; levels++) {
      Darts low(key), high(key);
      for (int i = 0; i < 16; i++) {
        const Darts::Dart expected = low.Next(levels);
        Darts::Dart dart;
        int passed = 0;
        do {
          dart = high.Next(levels + 1);
        } while (dart.height >> levels != 0 && ++passed < 100);
        ASSERT_EQ(dart.place, expected.place);
        ASSERT_EQ(dart.height, expected.height);
        if (!high.left()) break;
      }
    }
  }
}

TEST(DartLevels, ReachOverTheWeight) {
  EXPECT_EQ(DartLevels(0), 0u);
  EXPECT_EQ(DartLevels(1), 0u);
  EXPECT_EQ(DartLevels(2), 1u);
  EXPECT_EQ(DartLevels(10), 4u);
  EXPECT_EQ(DartLevels(16), 4u);
  EXPECT_EQ(DartLevels(17), 5u);
  EXPECT_EQ(DartLevels(1u << 30), 30u);
}

TEST(ConsistentHashMemory, GoesWithTheSlotsAndIsBounded) {
  EXPECT_LE(ConsistentHash::Bytes(48), 64u << 10);
  EXPECT_LE(ConsistentHash::Bytes(1u << 19), (4u << 20) + (8u << 19) + 1024);
}

}  // namespace
}  // namespace dynweight

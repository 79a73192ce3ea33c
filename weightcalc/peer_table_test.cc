// Tests of peer_table.h from one process; peer_table_kill_test.cc has those
// with several processes and threads.

#include "weightcalc/peer_table.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "weightcalc/peer_table_tester.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

constexpr uint32_t kCapacity = 8;
constexpr uint32_t kWorkers = 3;

class PeerTableTest : public testing::Test {
 protected:
  // Assigns peer `n` and returns its generation.
  uint64_t Assign(uint32_t slot, uint64_t n) {
    table_->SetPeer(slot, MadeUpPeer(n));
    return table_->generation(slot);
  }

  SharedTable table_{kCapacity, kWorkers};
  Peer peer_;
};

TEST_F(PeerTableTest, IsEmptyWhenCreated) {
  EXPECT_EQ(table_->capacity(), kCapacity);
  EXPECT_EQ(table_->workers(), kWorkers);
  EXPECT_EQ(table_->version(), 0u);
  EXPECT_EQ(table_->picks(), 0u);
  for (uint32_t slot = 0; slot < kCapacity; slot++) {
    EXPECT_FALSE(table_->Read(slot, &peer_));
    EXPECT_EQ(table_->generation(slot), 0u);
    EXPECT_EQ(table_->weight(slot), 0u);
    EXPECT_EQ(table_->Active(slot), 0u);
  }
}

TEST_F(PeerTableTest, CreateFormatsMemoryThatHeldSomethingElse) {
  std::memset(table_.mapping().get(), 0xff, table_.mapping().size());
  const PeerTable table =
      PeerTable::Create(table_.mapping().get(), kCapacity, kWorkers);
  for (uint32_t slot = 0; slot < kCapacity; slot++) {
    EXPECT_FALSE(table.Read(slot, &peer_));
    EXPECT_EQ(table.weight(slot), 0u);
  }
  EXPECT_EQ(table.picks(), 0u);
}

TEST_F(PeerTableTest, AZoneIsOfThePeerAndNoReasonForAGeneration) {
  const uint64_t generation = Assign(2, 1);
  EXPECT_STREQ(table_->zone(2).data(), "");
  table_->SetZone(2, MakeZoneName("cn-beijing-a"));
  EXPECT_STREQ(table_->zone(2).data(), "cn-beijing-a");
  EXPECT_STREQ(table_->zone(1).data(), "");
  EXPECT_STREQ(table_->zone(3).data(), "");
  EXPECT_EQ(table_->generation(2), generation);
  ASSERT_TRUE(table_->Read(2, &peer_));
  EXPECT_EQ(peer_.identity.node, MadeUpPeer(1).node);
  Assign(2, 2);
  EXPECT_STREQ(table_->zone(2).data(), "");
}

TEST_F(PeerTableTest, AZoneIsCutBetweenCharacters) {
  Assign(0, 1);
  table_->SetZone(0, MakeZoneName(std::string(100, 'z')));
  EXPECT_EQ(std::string(table_->zone(0).data()), std::string(39, 'z'));
  table_->SetZone(0, MakeZoneName(std::string(38, 'z') + "\u00e9"));
  EXPECT_EQ(std::string(table_->zone(0).data()), std::string(38, 'z'));
  table_->SetZone(0, MakeZoneName(""));
  EXPECT_STREQ(table_->zone(0).data(), "");
}

TEST_F(PeerTableTest, BytesAreWholeLinesAndGrowWithBoth) {
  for (uint32_t workers = 1; workers < 40; workers++) {
    EXPECT_EQ(PeerTable::Bytes(kCapacity, workers) % 64, 0u);
    EXPECT_GE(PeerTable::Bytes(kCapacity, workers + 1),
              PeerTable::Bytes(kCapacity, workers));
    EXPECT_GT(PeerTable::Bytes(kCapacity + 1, workers),
              PeerTable::Bytes(kCapacity, workers));
  }
  EXPECT_GT(PeerTable::Bytes(PeerTable::kMaxCapacity, PeerTable::kMaxWorkers),
            size_t{1} << 33);
}

TEST_F(PeerTableTest, AttachFindsWhatCreateMade) {
  Assign(3, 42);
  auto attached =
      PeerTable::Attach(table_.mapping().get(), table_.mapping().size());
  ASSERT_TRUE(attached.ok()) << attached.status();
  EXPECT_EQ(attached->capacity(), kCapacity);
  EXPECT_EQ(attached->workers(), kWorkers);
  ASSERT_TRUE(attached->Read(3, &peer_));
  EXPECT_TRUE(Same(peer_.identity, MadeUpPeer(42)));
}

TEST_F(PeerTableTest, AttachRefusesForeignAndCutMemory) {
  const size_t size = table_.mapping().size();
  const auto refused = [](void* memory, size_t size) {
    return PeerTable::Attach(memory, size).status().code() ==
           absl::StatusCode::kFailedPrecondition;
  };
  SharedMapping zeroes(size);
  EXPECT_TRUE(refused(zeroes.get(), size));
  EXPECT_TRUE(refused(table_.mapping().get(), 0));
  EXPECT_TRUE(refused(table_.mapping().get(), 64));
  EXPECT_TRUE(refused(table_.mapping().get(), size - 1));
  EXPECT_TRUE(
      refused(static_cast<char*>(table_.mapping().get()) + 8, size - 8));
}

TEST_F(PeerTableTest, AttachRefusesSizesBeyondTheLimits) {
  auto* words = static_cast<uint32_t*>(table_.mapping().get());
  const size_t size = table_.mapping().size();
  for (uint32_t wrong : {0u, PeerTable::kMaxCapacity + 1, UINT32_MAX}) {
    words[2] = wrong;  // after the magic: capacity, workers
    words[3] = kWorkers;
    EXPECT_FALSE(PeerTable::Attach(words, size).ok());
    words[2] = kCapacity;
    words[3] = wrong;
    EXPECT_FALSE(PeerTable::Attach(words, size).ok());
  }
}

TEST_F(PeerTableTest, ReadsBackWhatWasSeated) {
  Assign(0, 7);
  Assign(kCapacity - 1, 8);
  ASSERT_TRUE(table_->Read(0, &peer_));
  EXPECT_TRUE(Same(peer_.identity, MadeUpPeer(7)));
  EXPECT_EQ(peer_.generation, table_->generation(0));
  ASSERT_TRUE(table_->Read(kCapacity - 1, &peer_));
  EXPECT_TRUE(Same(peer_.identity, MadeUpPeer(8)));
  EXPECT_FALSE(table_->Read(1, &peer_));
}

TEST_F(PeerTableTest, AServerWithoutAnAddressCanBeRead) {
  table_->SetPeer(2, PeerIdentity());
  ASSERT_TRUE(table_->Read(2, &peer_));
  EXPECT_EQ(peer_.identity.address.family, IpAddress::kNone);
  EXPECT_NE(peer_.generation, 0u);
}

TEST_F(PeerTableTest, AClearedSlotReadsAsEmpty) {
  Assign(1, 5);
  table_->SetWeight(1, 10);
  table_->ClearPeer(1);
  EXPECT_FALSE(table_->Read(1, &peer_));
  EXPECT_EQ(table_->generation(1), 0u);
  EXPECT_EQ(table_->weight(1), 0u);
}

TEST_F(PeerTableTest, GenerationsNeverComeBack) {
  uint64_t last = 0;
  for (int i = 0; i < 100; i++) {
    const uint64_t generation = Assign(1, 5);
    EXPECT_GT(generation, last);
    last = generation;
    if (i % 3 == 0) table_->ClearPeer(1);
    if (i % 4 == 0) PeerTableTester::HalfWrite(*table_, 1, MadeUpPeer(6), 2);
  }
}

TEST_F(PeerTableTest, SeatingClearsWeightHealthAndCounters) {
  Assign(1, 5);
  table_->SetWeight(1, 10);
  HealthPolicy policy;
  table_->health(1).OnFailure(1700000000, policy);
  PeerCounters& c = table_->counters(1);
  c.requests = c.fails = c.unavail = c.sent = c.received = c.response_ms = 1;
  for (auto& responses : c.responses) responses = 1;
  c.selected = 1;

  Assign(1, 6);
  EXPECT_EQ(table_->weight(1), 0u);
  EXPECT_FALSE(table_->health(1).Failed(policy));
  EXPECT_EQ(
      c.requests + c.fails + c.unavail + c.sent + c.received + c.response_ms,
      0u);
  for (auto& responses : c.responses) EXPECT_EQ(responses, 0u);
  EXPECT_EQ(c.selected, 0);
}

TEST_F(PeerTableTest, AHalfWrittenSlotReadsAsNobodyUntilSeatedAgain) {
  for (size_t words = 0; words <= PeerTableTester::kIdentityWords; words++) {
    const uint64_t before = Assign(1, 5);
    PeerTableTester::HalfWrite(*table_, 1, MadeUpPeer(6), words);
    EXPECT_FALSE(table_->Read(1, &peer_));
    EXPECT_EQ(table_->generation(1), 0u);
    EXPECT_EQ(table_->Active(1), 0u);

    EXPECT_GT(Assign(1, 7), before);
    ASSERT_TRUE(table_->Read(1, &peer_));
    EXPECT_TRUE(Same(peer_.identity, MadeUpPeer(7)));
  }
}

TEST_F(PeerTableTest, ClearingHealsAHalfWrittenSlot) {
  PeerTableTester::HalfWrite(*table_, 1, MadeUpPeer(6), 2);
  table_->ClearPeer(1);
  EXPECT_EQ(PeerTableTester::RawGeneration(*table_, 1) & 1, 0u);
  EXPECT_FALSE(table_->Read(1, &peer_));
}

TEST_F(PeerTableTest, WeightsAreLimited) {
  table_->SetWeight(0, kMaxWeight);
  EXPECT_EQ(table_->weight(0), kMaxWeight);
  table_->SetWeight(0, UINT32_MAX);
  EXPECT_EQ(table_->weight(0), kMaxWeight);
}

TEST_F(PeerTableTest, VersionMovesWithPublishOnly) {
  Assign(0, 1);
  table_->SetWeight(0, 10);
  EXPECT_EQ(table_->version(), 0u);
  table_->Publish();
  EXPECT_EQ(table_->version(), 1u);
}

TEST_F(PeerTableTest, PicksGoOnFromTheSeed) {
  table_->SeedPicks(UINT64_MAX);
  EXPECT_EQ(table_->NextPick(), UINT64_MAX);
  EXPECT_EQ(table_->NextPick(), 0u);
  EXPECT_EQ(table_->picks(), 1u);
}

TEST_F(PeerTableTest, NodeNamesAreCutAndTerminated) {
  PeerIdentity identity;
  identity.set_node("node-1");
  EXPECT_STREQ(identity.node.data(), "node-1");
  identity.set_node(std::string(63, 'x'));
  EXPECT_EQ(std::string(identity.node.data()), std::string(63, 'x'));
  identity.set_node(std::string(64, 'y'));
  EXPECT_EQ(std::string(identity.node.data()), std::string(63, 'y'));
  identity.set_node("");
  EXPECT_EQ(identity.node, PeerIdentity().node);
}

TEST_F(PeerTableTest, NodeNamesAreNotCutInsideACharacter) {
  PeerIdentity identity;
  identity.set_node(std::string(61, 'x') + "\xe2\x82\xac");  // the euro sign
  EXPECT_EQ(std::string(identity.node.data()), std::string(61, 'x'));
  identity.set_node(std::string(60, 'x') + "\xe2\x82\xac");
  EXPECT_EQ(std::string(identity.node.data()).size(), 63u);
}

TEST_F(PeerTableTest, ActiveSumsTheWorkers) {
  const uint64_t generation = Assign(1, 5);
  for (uint32_t worker = 0; worker < kWorkers; worker++) {
    for (uint32_t i = 0; i <= worker; i++) {
      table_->Acquire(1, generation, worker);
    }
  }
  EXPECT_EQ(table_->Active(1), 6u);
  table_->Release(1, generation, 2);
  EXPECT_EQ(table_->Active(1), 5u);
  EXPECT_EQ(table_->Active(0), 0u);
  EXPECT_EQ(table_->Active(2), 0u);
}

TEST_F(PeerTableTest, AWorkerWithoutANumberCountsNothing) {
  const uint64_t generation = Assign(0, 5);
  for (const uint32_t worker : {table_->workers(), UINT32_MAX}) {
    table_->Acquire(0, generation, worker);
    EXPECT_EQ(table_->Active(0), 0u);
    EXPECT_EQ(table_->ActiveTotal(), 0u);
    table_->Release(0, generation, worker);
    table_->ClearWorker(worker);
  }
}

TEST_F(PeerTableTest, ReleaseNeverGoesBelowZero) {
  const uint64_t generation = Assign(1, 5);
  table_->Release(1, generation, 0);
  table_->Acquire(1, generation, 0);
  table_->Release(1, generation, 0);
  table_->Release(1, generation, 0);
  EXPECT_EQ(table_->Active(1), 0u);
  table_->Acquire(1, generation, 0);
  EXPECT_EQ(table_->Active(1), 1u);
}

TEST_F(PeerTableTest, ANewTenantStartsWithoutConnections) {
  const uint64_t previous = Assign(1, 5);
  table_->Acquire(1, previous, 0);
  table_->Acquire(1, previous, 1);
  const uint64_t present = Assign(1, 6);
  EXPECT_EQ(table_->Active(1), 0u);
  table_->Acquire(1, present, 0);
  EXPECT_EQ(table_->Active(1), 1u);
}

TEST_F(PeerTableTest, AFormerTenantsReleaseTouchesNothing) {
  const uint64_t previous = Assign(1, 5);
  table_->Acquire(1, previous, 0);
  const uint64_t present = Assign(1, 6);
  table_->Acquire(1, present, 0);
  table_->Release(1, previous, 0);
  EXPECT_EQ(table_->Active(1), 1u);
}

TEST_F(PeerTableTest, AFormerTenantsLateAcquireTouchesNothing) {
  const uint64_t previous = Assign(1, 5);
  const uint64_t present = Assign(1, 6);
  table_->Acquire(1, present, 0);
  table_->Acquire(1, previous, 0);
  EXPECT_EQ(table_->Active(1), 1u);
  table_->Release(1, previous, 0);
  EXPECT_EQ(table_->Active(1), 1u);
}

TEST_F(PeerTableTest, ADrainedPeersConnectionsStillCount) {
  const uint64_t generation = Assign(1, 5);
  table_->SetWeight(1, 10);
  table_->Acquire(1, generation, 0);
  table_->SetWeight(1, 0);
  EXPECT_EQ(table_->Active(1), 1u);
  table_->Release(1, generation, 0);
  EXPECT_EQ(table_->Active(1), 0u);
}

TEST_F(PeerTableTest, RetriesAreCountedApart) {
  const uint64_t generation = Assign(1, 1);
  for (uint32_t worker = 0; worker < kWorkers; worker++) {
    table_->Acquire(1, generation, worker);
    table_->BeginRetry(worker);
  }
  EXPECT_EQ(table_->Retries(), 3u);
  EXPECT_EQ(table_->ActiveTotal(), 3u);
  EXPECT_EQ(table_->Active(1), 3u);
  table_->EndRetry(0);
  table_->EndRetry(0);
  EXPECT_EQ(table_->Retries(), 2u) << "none is taken back twice";
  table_->ClearWorker(1);
  EXPECT_EQ(table_->Retries(), 1u) << "what a dead worker held is forgotten";
  table_->BeginRetry(kWorkers);
  table_->EndRetry(kWorkers);
  EXPECT_EQ(table_->Retries(), 1u) << "who has no column counts nothing";
}

TEST_F(PeerTableTest, ClearWorkerForgetsThatWorkersConnectionsOnly) {
  const uint64_t generation = Assign(1, 5);
  const uint64_t other = Assign(7, 6);
  for (uint32_t worker = 0; worker < kWorkers; worker++) {
    table_->Acquire(1, generation, worker);
    table_->Acquire(7, other, worker);
  }
  table_->ClearWorker(1);
  EXPECT_EQ(table_->Active(1), kWorkers - 1);
  EXPECT_EQ(table_->Active(7), kWorkers - 1);
  table_->Acquire(1, generation, 1);
  EXPECT_EQ(table_->Active(1), kWorkers);
}

TEST(PeerTable, KeepsEveryWorkersWordApart) {
  for (uint32_t workers : {1u, 2u, 3u, 5u, 8u, 9u, 17u, 64u}) {
    SharedTable table(4, workers);
    for (uint32_t slot = 0; slot < 4; slot++) {
      table->SetPeer(slot, MadeUpPeer(slot));
    }
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < 4; slot++) {
      for (uint32_t worker = 0; worker < workers; worker++) {
        table->Acquire(slot, table->generation(slot), worker);
      }
    }
    for (uint32_t slot = 0; slot < 4; slot++) count += table->Active(slot);
    EXPECT_EQ(count, 4 * workers);
  }
}

TEST_F(PeerTableTest, CountsTheConnectionsOfAllPeersAndOfThoseThatLeft) {
  EXPECT_EQ(table_->ActiveTotal(), 0u);
  const uint64_t first = Assign(1, 1);
  const uint64_t second = Assign(2, 2);
  table_->Acquire(1, first, 0);
  table_->Acquire(1, first, 2);
  table_->Acquire(2, second, 2);
  EXPECT_EQ(table_->ActiveTotal(), 3u);
  Assign(1, 3);
  EXPECT_EQ(table_->Active(1), 0u);
  EXPECT_EQ(table_->ActiveTotal(), 3u) << "they still run";
  table_->Release(1, first, 0);
  EXPECT_EQ(table_->ActiveTotal(), 2u);
  table_->ClearWorker(2);
  EXPECT_EQ(table_->ActiveTotal(), 0u);
}

}  // namespace
}  // namespace dynweight

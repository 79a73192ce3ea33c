// Tests of peer_table.h with several processes over one mapping, some of which
// are killed at moments they do not expect, and with several threads, for the
// race detector, which does not see across processes.

#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/peer_table_tester.h"
#include "weightcalc/thread_team.h"

namespace dynweight {
namespace {

constexpr uint32_t kSlots = 4;
constexpr int kKills = 200;

// What readers and writer tell the test.
struct Board {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> rewrites{0};
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> torn{0};
};

// One round of a reader: every peer it gets is whole.
void ReadAll(const PeerTable& table, Board& board) {
  for (uint32_t slot = 0; slot < kSlots; slot++) {
    Peer peer;
    if (table.Read(slot, &peer) &&
        (!IsWhole(peer.identity) || peer.generation == 0)) {
      board.torn++;
    }
  }
  board.reads++;
}

void RewriteForEver(PeerTable table, Board& board, uint64_t n) {
  for (;; n++) {
    const uint32_t slot = n % kSlots;
    if (n % 7 == 0) {
      table.ClearPeer(slot);
    } else {
      table.SetPeer(slot, MadeUpPeer(n));
      table.SetWeight(slot, 1 + n % 60);
    }
    table.Publish();
    board.rewrites.fetch_add(1, std::memory_order_relaxed);
  }
}

// Kills a writer after `rewrites` more of its rewrites and a little later, so
// that it is hit anywhere within one.
void KillAfter(ForkedProcess* writer, Board& board, uint64_t rewrites,
               uint64_t later) {
  const uint64_t target = board.rewrites + rewrites;
  WaitUntil([&] { return board.rewrites >= target; });
  for (std::atomic<uint64_t> i{0}; i < later;) i++;
  writer->Kill();
}

TEST(PeerTableProcesses, EachPickIsHandedOutOnce) {
  constexpr uint64_t kProcesses = 4;
  constexpr uint64_t kPicksEach = 50000;
  struct Seen {
    std::atomic<uint8_t> times[kProcesses * kPicksEach];
  };
  SharedTable table(kSlots, kProcesses);
  Shared<Seen> seen;
  std::vector<ForkedProcess> workers;
  for (uint64_t i = 0; i < kProcesses; i++) {
    workers.emplace_back([&] {
      for (uint64_t k = 0; k < kPicksEach; k++)
        seen->times[table->NextPick()]++;
    });
  }
  for (auto& worker : workers) EXPECT_TRUE(worker.Join());
  EXPECT_EQ(table->picks(), kProcesses * kPicksEach);
  for (const auto& times : seen->times) ASSERT_EQ(times, 1);
}

TEST(PeerTableProcesses, AKilledWriterHurtsNoReaderAndTheNextOneHeals) {
  SharedTable table(kSlots, 1);
  Shared<Board> board;
  std::vector<ForkedProcess> readers;
  for (int i = 0; i < 2; i++) {
    readers.emplace_back([&] {
      while (!board->stop) ReadAll(*table, *board);
    });
  }
  std::mt19937 random(1);
  int half_written = 0;
  uint64_t last_generation[kSlots] = {};
  for (int kill = 0; kill < kKills; kill++) {
    // The writer is a new process each time, and knows the table only.
    ForkedProcess writer(
        [&] { RewriteForEver(*table, *board, uint64_t{random()} << 20); });
    random();
    KillAfter(&writer, *board, 1 + random() % 50, random() % 2000);

    // Nobody waits for what the writer left.
    const uint64_t reads = board->reads;
    WaitUntil([&] { return board->reads >= reads + 10; });

    for (uint32_t slot = 0; slot < kSlots; slot++) {
      const uint64_t left = PeerTableTester::RawGeneration(*table, slot);
      half_written += left & 1;
      ASSERT_GE(left, last_generation[slot]);
      table->SetPeer(slot, MadeUpPeer(kill));
      Peer peer;
      ASSERT_TRUE(table->Read(slot, &peer));
      ASSERT_TRUE(Same(peer.identity, MadeUpPeer(kill)));
      ASSERT_GT(peer.generation, left);
      last_generation[slot] = peer.generation;
    }
  }
  board->stop = true;
  for (auto& reader : readers) EXPECT_TRUE(reader.Join());
  EXPECT_EQ(board->torn, 0u);
  RecordProperty("half_written", half_written);
}

// Steps through `write` on a table whose slot 1 holds peer 5, and looks at each
// instruction: slot 1 is peer 5, nobody or peer 6, in this order; its
// neighbours stay; and a new writer, on a copy of the memory, heals it.
template <typename Write>
void StepThroughRewrite(Write&& write) {
  SharedTable table(kSlots, 1);
  for (uint32_t slot = 0; slot < kSlots; slot++) {
    table->SetPeer(slot, MadeUpPeer(4 + slot));
    table->SetWeight(slot, 10);
  }
  const size_t size = table.mapping().size();
  const SharedMapping copy(size);
  enum { kFormer, kNobody, kNew } seen = kFormer;
  bool nobody_at_least_once = false;
  const uint64_t steps = StopAtEachInstruction(
      [&] { write(*table); },
      [&] {
        Peer peer;
        const auto now = !table->Read(1, &peer)               ? kNobody
                         : Same(peer.identity, MadeUpPeer(5)) ? kFormer
                                                              : kNew;
        ASSERT_GE(now, seen);
        ASSERT_TRUE(now != kNew || Same(peer.identity, MadeUpPeer(6)));
        ASSERT_TRUE(now != kNobody || table->weight(1) == 0);
        nobody_at_least_once |= now == kNobody;
        seen = now;
        for (uint32_t slot : {0, 2}) {
          ASSERT_TRUE(table->Read(slot, &peer));
          ASSERT_TRUE(Same(peer.identity, MadeUpPeer(4 + slot)));
        }

        std::memcpy(copy.get(), table.mapping().get(), size);
        auto successor = PeerTable::Attach(copy.get(), size);
        ASSERT_TRUE(successor.ok());
        const uint64_t left = PeerTableTester::RawGeneration(*successor, 1);
        successor->SetPeer(1, MadeUpPeer(7));
        ASSERT_TRUE(successor->Read(1, &peer));
        ASSERT_TRUE(Same(peer.identity, MadeUpPeer(7)));
        ASSERT_GT(peer.generation, left);
      });
  if (steps == 0) GTEST_SKIP() << "this system forbids ptrace()";
  EXPECT_TRUE(nobody_at_least_once);
}

TEST(PeerTableProcesses, SetPeerMayBeKilledAtEachInstruction) {
  StepThroughRewrite([](PeerTable table) { table.SetPeer(1, MadeUpPeer(6)); });
}

TEST(PeerTableProcesses, ClearPeerMayBeKilledAtEachInstruction) {
  StepThroughRewrite([](PeerTable table) { table.ClearPeer(1); });
}

// A worker's requests: connections come and go on all slots. At the end it
// holds exactly `worker` + 1 on each.
void Churn(PeerTable table, Board& board, uint32_t worker) {
  std::mt19937 random(worker);
  uint32_t held[kSlots] = {};
  const auto step = [&](uint32_t slot, bool more) {
    const uint64_t generation = table.generation(slot);
    if (more) {
      table.Acquire(slot, generation, worker);
      held[slot]++;
    } else if (held[slot] > 0) {
      table.Release(slot, generation, worker);
      held[slot]--;
    }
    board.rewrites.fetch_add(1, std::memory_order_relaxed);
  };
  while (!board.stop) step(random() % kSlots, random() % 2 == 0);
  for (uint32_t slot = 0; slot < kSlots; slot++) {
    while (held[slot] != worker + 1) step(slot, held[slot] < worker + 1);
  }
}

TEST(PeerTableProcesses, ConnectionsAreExactWhateverWorkerIsKilled) {
  constexpr uint32_t kWorkers = 4;
  SharedTable table(kSlots, kWorkers);
  for (uint32_t slot = 0; slot < kSlots; slot++) {
    table->SetPeer(slot, MadeUpPeer(slot));
  }
  std::mt19937 random(3);
  for (int round = 0; round < 50; round++) {
    Shared<Board> board;
    std::vector<ForkedProcess> workers;
    for (uint32_t worker = 0; worker < kWorkers; worker++) {
      table->ClearWorker(worker);
      workers.emplace_back([&] { Churn(*table, *board, worker); });
    }
    const uint32_t first = random() % kWorkers;
    const uint32_t second = (first + 1) % kWorkers;
    KillAfter(&workers[first], *board, 100 + random() % 100, random() % 500);
    KillAfter(&workers[second], *board, random() % 100, random() % 500);
    board->stop = true;
    uint32_t expected = 0;
    for (uint32_t worker = 0; worker < kWorkers; worker++) {
      if (worker == first || worker == second) continue;
      EXPECT_TRUE(workers[worker].Join());
      expected += worker + 1;
    }
    table->ClearWorker(first);
    table->ClearWorker(second);
    for (uint32_t slot = 0; slot < kSlots; slot++) {
      ASSERT_EQ(table->Active(slot), expected);
    }
    // The worker that takes the dead one's place counts from zero.
    table->Acquire(0, table->generation(0), first);
    ASSERT_EQ(table->Active(0), expected + 1);
  }
}

TEST(PeerTableThreads, ReadersNeverSeeHalfAPeer) {
  SharedTable table(kSlots, 1);
  Board board;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; i++) {
    readers.emplace_back([&] {
      while (!board.stop) ReadAll(*table, board);
    });
  }
  std::mt19937 random(4);
  for (uint64_t n = 0; n < 20000 || board.reads < 1000; n++) {
    const uint32_t slot = n % kSlots;
    if (n % 11 == 0) {
      // A writer dies here; the next round of this slot is another one's.
      PeerTableTester::HalfWrite(
          *table, slot, MadeUpPeer(n),
          random() % (PeerTableTester::kIdentityWords + 1));
    } else if (n % 7 == 0) {
      table->ClearPeer(slot);
    } else {
      table->SetPeer(slot, MadeUpPeer(n));
    }
  }
  board.stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(board.torn, 0u);
}

TEST(PeerTableThreads, WhatWasSetBeforePublishIsSeenAfter) {
  SharedTable table(kSlots, 1);
  std::atomic<uint64_t> stale{0};
  constexpr uint32_t kVersions = 20000;
  const auto read = [&] {
    for (uint64_t version = 0; version < kVersions;) {
      version = table->version();
      // Weights may be newer than the version, never older.
      for (uint32_t slot = 0; slot < kSlots; slot++) {
        stale += table->weight(slot) < version;
      }
    }
  };
  const auto write = [&] {
    for (uint32_t version = 1; version <= kVersions; version++) {
      for (uint32_t slot = 0; slot < kSlots; slot++) {
        table->SetWeight(slot, version);
      }
      table->Publish();
    }
  };
  RunTogether(2, [&](int i) { i == 0 ? read() : write(); });
  EXPECT_EQ(stale, 0u);
}

TEST(PeerTableThreads, EachPickIsHandedOutOnce) {
  constexpr int kThreads = 4;
  constexpr uint64_t kPicksEach = 20000;
  SharedTable table(kSlots, kThreads);
  std::vector<std::atomic<int>> seen(kThreads * kPicksEach);
  RunTogether(kThreads, [&](int) {
    for (uint64_t k = 0; k < kPicksEach; k++) seen[table->NextPick()]++;
  });
  for (const auto& times : seen) ASSERT_EQ(times, 1);
}

TEST(PeerTableThreads, ConnectionsAddUpWhileTenantsChange) {
  constexpr uint32_t kWorkers = 3;
  SharedTable table(1, kWorkers);
  table->SetPeer(0, MadeUpPeer(0));
  Board board;
  std::vector<std::thread> workers;
  for (uint32_t worker = 0; worker < kWorkers; worker++) {
    workers.emplace_back([&, worker] {
      while (!board.stop) {
        Peer peer;
        if (!table->Read(0, &peer)) continue;
        table->Acquire(0, peer.generation, worker);
        // More would mean that a occupant inherits connections.
        if (table->Active(0) > kWorkers) board.torn++;
        table->Release(0, peer.generation, worker);
        board.reads++;
      }
    });
  }
  for (uint64_t n = 0; n < 5000 || board.reads < 1000; n++) {
    table->SetPeer(0, MadeUpPeer(n));
  }
  board.stop = true;
  for (auto& worker : workers) worker.join();
  EXPECT_EQ(board.torn, 0u);
  EXPECT_EQ(table->Active(0), 0u);
}

}  // namespace
}  // namespace dynweight

// The peers of one upstream (or of its backup group) in shared memory.
//
// One process writes peers and weights (worker 0's event loop; the master
// before any worker runs). Every process picks, counts and reports failures.
// There is no lock: a process killed at any instruction leaves nothing that
// another waits for.
//
//   weights[capacity]       what the pick index is built from, packed
//   slots[capacity]         per peer: identity (seqlock), health, counters
//   active[capacity + 2][workers]   connections, one word per peer and worker
//                           process, one per process for all of them, and one
//                           for those that are retries
//
// A slot holds at most one peer. Its generation is a sequence lock: odd while
// the writer rewrites the identity, else it names the slot's present occupant.
// Whoever keeps a slot number for later (a running request) keeps the
// generation too, and every call that takes both does nothing once the slot
// has passed to another peer. A slot whose writer was killed midway reads as
// being rewritten, holds nobody up, and is whole again after the next
// SetPeer() or ClearPeer().
//
// All that a writer needs to know stands in the table: when it dies another
// process may go on, and calls Publish() first, since its predecessor may have
// died between a change and the Publish() that belongs to it.
//
// Connections are counted per worker, each word written by one worker only:
// the sum is exact whatever is killed when, and a restarted worker takes back
// what its predecessor held by clearing its own words (ClearWorker).
//
// A PeerTable is a pair of pointers: copy it freely. It does not own the
// memory. Unless a function says otherwise any process and thread may call it
// at any time, it never blocks, never allocates, and does not fail.
//
// Example (writer):          Example (worker):
//   table.SetPeer(3, id);      if (table.version() != seen) index.Build(...)
//   table.SetWeight(3, 40);    slot = index.Pick(table.NextPick());
//   table.Publish();           if (table.Read(slot, &peer)) ...

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_PEER_TABLE_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_PEER_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "weightcalc/ip_address.h"
#include "weightcalc/peer_health.h"

namespace dynweight {

// Who occupies a slot.
struct PeerIdentity {
  IpAddress address;  // kNone: a `server` line, whose address the
                      // configuration holds
  uint16_t port = 0;
  // The node's name, cut to 63 bytes; never used to route.
  std::array<char, 64> node{};  // zero-terminated

  void set_node(std::string_view name);
};

// Where a peer says that it runs, cut to 39 bytes; zero-terminated. Only shown.
using ZoneName = std::array<char, 40>;
ZoneName MakeZoneName(std::string_view zone);

// A consistent copy of a slot, taken by Read().
struct Peer {
  uint64_t generation = 0;
  PeerIdentity identity;
};

// Counters of one peer since it took its slot. Added to with relaxed order by
// all workers; they wrap at 2^64.
struct PeerCounters {
  // What a good request adds to comes first: one cache line.
  std::atomic<uint64_t> requests;      // times chosen
  std::atomic<int64_t> selected;       // last chosen, Unix seconds; 0: never
  std::atomic<uint64_t> sent;          // bytes to the peer
  std::atomic<uint64_t> received;      // bytes from the peer
  std::atomic<uint64_t> response_ms;   // sum of response times
  std::atomic<uint64_t> responses[5];  // by class: 1xx .. 5xx
  std::atomic<uint64_t> fails;         // attempts that failed
  std::atomic<uint64_t> unavail;       // times taken out by passive health
  std::atomic<int64_t> down_since_ms;  // taken out then, in health's time; 0:
                                       // it is not
  std::atomic<uint64_t> downtime_ms;   // previous times out, together
  // Of attempts that told something: those in `responses`, and those that
  // failed without one.
  std::atomic<uint64_t> unanswered;
  std::atomic<uint64_t> errors;  // that failed, or were answered 5xx
};

// Of all peers of a table; as PeerCounters.
struct RetryCounters {
  std::atomic<uint64_t> retries;  // begun
  std::atomic<uint64_t> refused;  // attempts that failed and were not followed
                                  // by another one, for want of budget
};

class PeerTable {
 public:
  static constexpr uint32_t kMaxCapacity = 1u << 20;
  static constexpr uint32_t kMaxWorkers = 2048;

  // Bytes that Create() needs, a multiple of 64. Both arguments at least 1
  // and at most the limits above.
  static size_t Bytes(uint32_t capacity, uint32_t workers);

  // Formats `memory` (64-byte aligned, Bytes() long) as an empty table:
  // weights 0, no peer. Only before another process can see it.
  static PeerTable Create(void* memory, uint32_t capacity, uint32_t workers);

  // A table that Create() made. FailedPrecondition when `memory` holds none
  // or one of another layout, or `size` is too small for it.
  static absl::StatusOr<PeerTable> Attach(void* memory, size_t size);

  uint32_t capacity() const { return header_->capacity; }
  uint32_t workers() const { return header_->workers; }

  // ---- For the one writer.

  // Assigns `slot` to a peer, under a new generation: weight 0, health and
  // counters cleared, connections of the previous occupant forgotten. Also
  // heals a slot that a killed writer left half-written.
  void SetPeer(uint32_t slot, const PeerIdentity& identity);

  // `weight` at most kMaxWeight; 0 drains: no new requests, running ones end
  // in their own time. Seen by picks after Publish().
  void SetWeight(uint32_t slot, uint32_t weight);

  // Where the peer of `slot` runs; SetPeer() and ClearPeer() forget it. The
  // peer stays the same under another one.
  void SetZone(uint32_t slot, const ZoneName& zone);

  // Empties `slot`: its peer leaves under a new generation.
  void ClearPeer(uint32_t slot);

  // Makes every change since the last Publish() known to the picks.
  void Publish();

  // Lets a new table go on where another one's sequence stands, and starts
  // each host at its own phase.
  void SeedPicks(uint64_t next);

  // ---- For every process.

  // Moves with each Publish(). Acquire: what was set before is seen after.
  uint64_t version() const {
    return header_->version.load(std::memory_order_acquire);
  }

  // Moves when a peer is taken out by its failures, is probed or comes back:
  // whoever changes that calls HealthChanged() afterwards. Another line of
  // memory than the picks'.
  uint64_t health_version() const {
    return header_->health_version.load(std::memory_order_acquire);
  }
  void HealthChanged() {
    header_->health_version.fetch_add(1, std::memory_order_release);
  }

  // The number of this pick; each number is handed out once among all
  // workers. One atomic increment.
  uint64_t NextPick() {
    return header_->picks.fetch_add(1, std::memory_order_relaxed);
  }
  uint64_t picks() const {
    return header_->picks.load(std::memory_order_relaxed);
  }

  uint32_t weight(uint32_t slot) const {
    return weights_[slot].load(std::memory_order_relaxed);
  }

  // Ejections of all peers, since the table was made. Only the writer counts.
  void CountEjection() {
    header_->ejections.fetch_add(1, std::memory_order_relaxed);
  }
  uint64_t ejections() const {
    return header_->ejections.load(std::memory_order_relaxed);
  }

  // Copies out who occupies `slot`. False when the slot is empty or being
  // rewritten: choose another. Never waits.
  bool Read(uint32_t slot, Peer* peer) const;

  // Where the peer of `slot` runs; "": it doesn't say. For a moment it may be a
  // mix of what it was and what it becomes.
  ZoneName zone(uint32_t slot) const;

  // The present generation; 0 when empty or being rewritten.
  uint64_t generation(uint32_t slot) const {
    const uint64_t generation =
        slots_[slot].generation.load(std::memory_order_acquire);
    return HasTenant(generation) ? generation : 0;
  }

  // Health and counters of the slot's present occupant; see peer_health.h.
  PeerHealth& health(uint32_t slot) { return slots_[slot].health; }
  const PeerHealth& health(uint32_t slot) const { return slots_[slot].health; }
  PeerCounters& counters(uint32_t slot) { return slots_[slot].counters; }
  const PeerCounters& counters(uint32_t slot) const {
    return slots_[slot].counters;
  }

  // ---- Connections. `worker` is a number that one living process has, and
  // only that may call the first three with it. One that is not below
  // workers() counts nothing.

  // Counts one more connection of `generation` to `slot`.
  void Acquire(uint32_t slot, uint64_t generation, uint32_t worker);
  // Takes it back; nothing when the slot has another generation by now, or
  // when nothing is counted.
  void Release(uint32_t slot, uint64_t generation, uint32_t worker);
  // Forgets what `worker`'s predecessor held when it died. At worker start.
  void ClearWorker(uint32_t worker);
  // Connections of all workers to the slot's present occupant. O(workers), in
  // one cache line for up to 8 workers.
  uint32_t Active(uint32_t slot) const;
  // Connections of all workers to all peers, those that left their slots
  // included. O(workers).
  uint32_t ActiveTotal() const;
  // Counts one of these connections as a retry, and takes it back. As Acquire()
  // and Release(), with which they are called, a table for all peers of an
  // upstream.
  void BeginRetry(uint32_t worker);
  void EndRetry(uint32_t worker);
  // Retries of all workers that run. O(workers).
  uint32_t Retries() const;
  RetryCounters& retry_counters() { return header_->retries; }
  const RetryCounters& retry_counters() const { return header_->retries; }

 private:
  struct alignas(64) Header {
    uint64_t magic;
    uint32_t capacity;
    uint32_t workers;
    // The writer's, the pickers': apart, so that picks never pull the line
    // that every request reads.
    alignas(64) std::atomic<uint64_t> version;
    std::atomic<uint64_t> health_version;
    std::atomic<uint64_t> ejections;
    alignas(64) std::atomic<uint64_t> picks;
    RetryCounters retries;
  };

  // A generation is a counter that moves with each rewrite, above two flags. A
  // occupant's generation is thus never 0, nor are its low 32 bits, the tag
  // that the words of `active` carry.
  static constexpr uint64_t kBeingWritten = 1;
  static constexpr uint64_t kOccupied = 2;
  static constexpr uint64_t kGenerationStep = 4;

  static bool HasTenant(uint64_t generation) {
    return (generation & (kBeingWritten | kOccupied)) == kOccupied;
  }

  // The identity is kept in words so that a reader and the writer may meet on
  // it without a data race; see Read().
  static constexpr size_t kIdentityWords = (sizeof(PeerIdentity) + 7) / 8;

  static constexpr size_t kZoneWords = sizeof(ZoneName) / 8;

  // What every request reads and seldom writes, on one line; what every request
  // writes; and what is read once a occupant, which leaves room for the zone.
  struct alignas(64) Slot {
    std::atomic<uint64_t> generation;
    PeerHealth health;
    alignas(64) PeerCounters counters;
    alignas(64) std::atomic<uint64_t> identity[kIdentityWords];
    std::atomic<uint64_t> zone[kZoneWords];
  };

  friend class PeerTableTester;  // leaves a slot as a killed writer does

  PeerTable(void* memory, uint32_t capacity, uint32_t workers);
  static size_t WeightsOffset();
  static size_t SlotsOffset(uint32_t capacity);
  static size_t ActiveOffset(uint32_t capacity);
  static uint32_t ActiveStride(uint32_t workers);
  // Rows after the slots': all connections, retries.
  uint32_t TotalRow() const { return capacity(); }
  uint32_t RetryRow() const { return capacity() + 1; }
  std::atomic<uint64_t>& ActiveWord(uint32_t row, uint32_t worker) const {
    return active_[size_t{row} * active_stride_ + worker];
  }
  uint32_t SumOf(uint32_t row) const;
  uint64_t BeginRewrite(uint32_t slot);
  void Rewrite(uint32_t slot, const PeerIdentity* identity);

  Header* header_ = nullptr;
  uint32_t active_stride_ = 0;
  std::atomic<uint32_t>* weights_ = nullptr;
  Slot* slots_ = nullptr;
  std::atomic<uint64_t>* active_ = nullptr;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_PEER_TABLE_H_

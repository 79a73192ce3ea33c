// The peers of one upstream in shared memory; see peer_table.h.
//
// Order of memory in the sequence lock of a slot (after Boehm, "Can Seqlocks
// Get Along With Programming Language Memory Models?", MSPC 2012, but without
// fences, which ThreadSanitizer does not follow): the writer makes the
// generation odd, stores each identity word with release, and stores the next
// even generation with release. A reader loads the generation with acquire,
// each word with acquire, and the generation again. A reader that got a word
// of a later rewrite therefore sees that rewrite's odd generation, or a later
// one, in its second look.

#include "weightcalc/peer_table.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "weightcalc/cache_line.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

constexpr uint64_t kTableMagic = 0x3942542d74687764;  // "dwht-TB9"

// A word of `active`: the tag of the occupant above the number of connections.
constexpr uint64_t kCountMask = UINT32_MAX;

// Rows of `active` that are of no slot.
constexpr size_t kMoreRows = 2;

uint32_t Tag(uint64_t generation) { return static_cast<uint32_t>(generation); }
uint32_t TagOf(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
uint32_t CountOf(uint64_t word) {
  return static_cast<uint32_t>(word & kCountMask);
}

}  // namespace

static_assert(std::is_trivially_copyable_v<PeerIdentity>);
static_assert(std::is_standard_layout_v<PeerIdentity>);
static_assert(std::is_standard_layout_v<PeerCounters>);
static_assert(sizeof(PeerIdentity) == 84 && sizeof(PeerHealth) == 56 &&
                  sizeof(PeerCounters) == 128,
              "a change of the layout changes kTableMagic");

namespace {

// As much of `text` as fits, and zeroes.
template <size_t N>
void Cut(std::string_view text, std::array<char, N>* cut) {
  size_t length = std::min(text.size(), N - 1);
  // Not in the middle of a UTF-8 character: the status prints it.
  while (length > 0 && length < text.size() &&
         (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) {
    length--;
  }
  cut->fill('\0');
  std::copy_n(text.begin(), length, cut->begin());
}

}  // namespace

void PeerIdentity::set_node(std::string_view name) { Cut(name, &node); }

ZoneName MakeZoneName(std::string_view zone) {
  ZoneName name;
  Cut(zone, &name);
  return name;
}

PeerTable::PeerTable(void* memory, uint32_t capacity, uint32_t workers)
    : header_(static_cast<Header*>(memory)),
      active_stride_(ActiveStride(workers)) {
  static_assert(std::is_standard_layout_v<Header> && sizeof(Header) == 192);
  static_assert(std::is_standard_layout_v<Slot> && sizeof(Slot) == 320);
  char* base = static_cast<char*>(memory);
  weights_ = reinterpret_cast<std::atomic<uint32_t>*>(base + WeightsOffset());
  slots_ = reinterpret_cast<Slot*>(base + SlotsOffset(capacity));
  active_ =
      reinterpret_cast<std::atomic<uint64_t>*>(base + ActiveOffset(capacity));
}

size_t PeerTable::WeightsOffset() { return sizeof(Header); }

size_t PeerTable::SlotsOffset(uint32_t capacity) {
  return WeightsOffset() + WholeCacheLines(capacity * sizeof(*weights_));
}

size_t PeerTable::ActiveOffset(uint32_t capacity) {
  return SlotsOffset(capacity) + capacity * sizeof(Slot);
}

// Words from a slot to the next: a power of two or whole lines, so that the
// words of up to 8 workers never lie on two lines.
uint32_t PeerTable::ActiveStride(uint32_t workers) {
  for (uint32_t stride = 1; stride < 8; stride *= 2) {
    if (workers <= stride) return stride;
  }
  return (workers + 7) / 8 * 8;
}

size_t PeerTable::Bytes(uint32_t capacity, uint32_t workers) {
  return WholeCacheLines(ActiveOffset(capacity) +
                         (size_t{capacity} + kMoreRows) *
                             ActiveStride(workers) * sizeof(*active_));
}

PeerTable PeerTable::Create(void* memory, uint32_t capacity, uint32_t workers) {
  Header* header = new (memory) Header();
  header->capacity = capacity;
  header->workers = workers;
  PeerTable table(memory, capacity, workers);
  for (uint32_t i = 0; i < capacity; i++) {
    new (&table.weights_[i]) std::atomic<uint32_t>(0);
    new (&table.slots_[i]) Slot();
  }
  const size_t words = (size_t{capacity} + kMoreRows) * table.active_stride_;
  for (size_t i = 0; i < words; i++) {
    new (&table.active_[i]) std::atomic<uint64_t>(0);
  }
  header->magic = kTableMagic;
  return table;
}

absl::StatusOr<PeerTable> PeerTable::Attach(void* memory, size_t size) {
  const Header* header = static_cast<Header*>(memory);
  if (reinterpret_cast<uintptr_t>(memory) % kCacheLineBytes != 0 ||
      size < sizeof(Header) || header->magic != kTableMagic ||
      header->capacity < 1 || header->capacity > kMaxCapacity ||
      header->workers < 1 || header->workers > kMaxWorkers) {
    return absl::FailedPreconditionError(
        "peer table: the memory holds none of this layout; create it anew");
  }
  const size_t needed = Bytes(header->capacity, header->workers);
  if (size < needed) {
    return absl::FailedPreconditionError(
        absl::StrCat("peer table: the memory is cut to ", size, " of ", needed,
                     " bytes; map all of it"));
  }
  return PeerTable(memory, header->capacity, header->workers);
}

// Shuts readers out of `slot` and returns the counter of the next generation.
// A predecessor that was killed midway left its odd generation: the counter
// moves past it all the same.
uint64_t PeerTable::BeginRewrite(uint32_t slot) {
  std::atomic<uint64_t>& generation = slots_[slot].generation;
  const uint64_t now = generation.load(std::memory_order_relaxed);
  generation.store(now | kBeingWritten, std::memory_order_relaxed);
  return (now & ~(kBeingWritten | kOccupied)) + kGenerationStep;
}

void PeerTable::Rewrite(uint32_t slot, const PeerIdentity* identity) {
  uint64_t words[kIdentityWords] = {};
  if (identity != nullptr) std::memcpy(words, identity, sizeof(*identity));
  Slot& s = slots_[slot];
  // First of all, so that a half-written slot never carries weight.
  SetWeight(slot, 0);
  const uint64_t next = BeginRewrite(slot);
  for (size_t i = 0; i < kIdentityWords; i++) {
    s.identity[i].store(words[i], std::memory_order_release);
  }
  for (std::atomic<uint64_t>& word : s.zone) {
    word.store(0, std::memory_order_relaxed);
  }
  s.health.Reset();
  PeerCounters& c = s.counters;
  for (std::atomic<uint64_t>* counter :
       {&c.requests, &c.fails, &c.unavail, &c.sent, &c.received, &c.response_ms,
        &c.downtime_ms}) {
    counter->store(0, std::memory_order_relaxed);
  }
  c.unanswered.store(0, std::memory_order_relaxed);
  c.errors.store(0, std::memory_order_relaxed);
  for (auto& responses : c.responses) {
    responses.store(0, std::memory_order_relaxed);
  }
  c.selected.store(0, std::memory_order_relaxed);
  c.down_since_ms.store(0, std::memory_order_relaxed);
  s.generation.store(next | (identity != nullptr ? kOccupied : 0),
                     std::memory_order_release);
}

void PeerTable::SetPeer(uint32_t slot, const PeerIdentity& identity) {
  Rewrite(slot, &identity);
}

void PeerTable::ClearPeer(uint32_t slot) { Rewrite(slot, nullptr); }

void PeerTable::SetZone(uint32_t slot, const ZoneName& zone) {
  uint64_t words[kZoneWords];
  std::memcpy(words, zone.data(), sizeof(words));
  for (size_t i = 0; i < kZoneWords; i++) {
    slots_[slot].zone[i].store(words[i], std::memory_order_relaxed);
  }
}

ZoneName PeerTable::zone(uint32_t slot) const {
  uint64_t words[kZoneWords];
  for (size_t i = 0; i < kZoneWords; i++) {
    words[i] = slots_[slot].zone[i].load(std::memory_order_relaxed);
  }
  ZoneName zone;
  std::memcpy(zone.data(), words, sizeof(words));
  return zone;
}

void PeerTable::SetWeight(uint32_t slot, uint32_t weight) {
  weights_[slot].store(std::min(weight, kMaxWeight), std::memory_order_relaxed);
}

void PeerTable::Publish() {
  header_->version.fetch_add(1, std::memory_order_release);
}

void PeerTable::SeedPicks(uint64_t next) {
  header_->picks.store(next, std::memory_order_relaxed);
}

bool PeerTable::Read(uint32_t slot, Peer* peer) const {
  const Slot& s = slots_[slot];
  const uint64_t generation = s.generation.load(std::memory_order_acquire);
  if (!HasTenant(generation)) return false;
  uint64_t words[kIdentityWords];
  for (size_t i = 0; i < kIdentityWords; i++) {
    words[i] = s.identity[i].load(std::memory_order_acquire);
  }
  if (s.generation.load(std::memory_order_relaxed) != generation) return false;
  peer->generation = generation;
  std::memcpy(&peer->identity, words, sizeof(peer->identity));
  return true;
}

void PeerTable::Acquire(uint32_t slot, uint64_t generation, uint32_t worker) {
  if (worker >= workers()) return;
  // One writer: no need for an atomic addition.
  std::atomic<uint64_t>& total = ActiveWord(TotalRow(), worker);
  total.store(total.load(std::memory_order_relaxed) + 1,
              std::memory_order_relaxed);
  std::atomic<uint64_t>& active = ActiveWord(slot, worker);
  const uint64_t word = active.load(std::memory_order_relaxed);
  const uint32_t tag = Tag(generation);
  uint32_t count = CountOf(word);
  if (TagOf(word) != tag) {
    // What is left of a previous occupant makes room. A request that was long
    // on its way to a previous occupant does not wipe out the present one's.
    const bool late = static_cast<int32_t>(tag - TagOf(word)) < 0;
    if (count != 0 && late) return;
    count = 0;
  }
  active.store(uint64_t{tag} << 32 | (uint64_t{count} + 1),
               std::memory_order_relaxed);
}

void PeerTable::Release(uint32_t slot, uint64_t generation, uint32_t worker) {
  if (worker >= workers()) return;
  std::atomic<uint64_t>& total = ActiveWord(TotalRow(), worker);
  const uint64_t all = total.load(std::memory_order_relaxed);
  if (all != 0) total.store(all - 1, std::memory_order_relaxed);
  std::atomic<uint64_t>& active = ActiveWord(slot, worker);
  const uint64_t word = active.load(std::memory_order_relaxed);
  if (TagOf(word) != Tag(generation) || CountOf(word) == 0) return;
  active.store(word - 1, std::memory_order_relaxed);
}

void PeerTable::ClearWorker(uint32_t worker) {
  if (worker >= workers()) return;
  for (uint32_t row = 0; row < capacity() + kMoreRows; row++) {
    ActiveWord(row, worker).store(0, std::memory_order_relaxed);
  }
}

uint32_t PeerTable::Active(uint32_t slot) const {
  const uint64_t occupant = generation(slot);
  if (occupant == 0) return 0;
  uint32_t sum = 0;
  for (uint32_t worker = 0; worker < workers(); worker++) {
    const uint64_t word =
        ActiveWord(slot, worker).load(std::memory_order_relaxed);
    if (TagOf(word) == Tag(occupant)) sum += CountOf(word);
  }
  return sum;
}

void PeerTable::BeginRetry(uint32_t worker) {
  if (worker >= workers()) return;
  std::atomic<uint64_t>& retries = ActiveWord(RetryRow(), worker);
  retries.store(retries.load(std::memory_order_relaxed) + 1,
                std::memory_order_relaxed);
}

void PeerTable::EndRetry(uint32_t worker) {
  if (worker >= workers()) return;
  std::atomic<uint64_t>& retries = ActiveWord(RetryRow(), worker);
  const uint64_t all = retries.load(std::memory_order_relaxed);
  if (all != 0) retries.store(all - 1, std::memory_order_relaxed);
}

uint32_t PeerTable::SumOf(uint32_t row) const {
  uint32_t sum = 0;
  for (uint32_t worker = 0; worker < workers(); worker++) {
    sum += static_cast<uint32_t>(
        ActiveWord(row, worker).load(std::memory_order_relaxed));
  }
  return sum;
}

uint32_t PeerTable::ActiveTotal() const { return SumOf(TotalRow()); }

uint32_t PeerTable::Retries() const { return SumOf(RetryRow()); }

}  // namespace dynweight

// For tests: a peer table with its memory, made-up peers whose parts can be
// checked against each other, and slots as a killed writer leaves them.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_PEER_TABLE_TESTER_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_PEER_TABLE_TESTER_H_

#include <cstdint>
#include <cstring>
#include <string>

#include "weightcalc/forked_process.h"
#include "weightcalc/peer_table.h"

namespace dynweight {

// A table in memory that forked processes share.
class SharedTable {
 public:
  SharedTable(uint32_t capacity, uint32_t workers)
      : mapping_(PeerTable::Bytes(capacity, workers)),
        table_(PeerTable::Create(mapping_.get(), capacity, workers)) {}
  PeerTable* operator->() { return &table_; }
  PeerTable& operator*() { return table_; }
  const SharedMapping& mapping() const { return mapping_; }

 private:
  SharedMapping mapping_;
  PeerTable table_;
};

// Peer number n: its number is in the address, and port and name follow from
// it, over the whole length of the identity.
inline PeerIdentity MadeUpPeer(uint64_t n) {
  PeerIdentity identity;
  identity.address.family = IpAddress::kIpv6;
  std::memcpy(identity.address.bytes.data(), &n, sizeof(n));
  const uint64_t inverse = ~n;
  std::memcpy(identity.address.bytes.data() + sizeof(n), &inverse,
              sizeof(inverse));
  identity.port = static_cast<uint16_t>(n * 40503);
  identity.set_node(std::string(63, static_cast<char>('a' + n % 26)));
  return identity;
}

inline uint64_t NumberOf(const PeerIdentity& identity) {
  uint64_t n;
  std::memcpy(&n, identity.address.bytes.data(), sizeof(n));
  return n;
}

inline bool Same(const PeerIdentity& a, const PeerIdentity& b) {
  return a.address == b.address && a.port == b.port && a.node == b.node;
}

// Whether address, port and name are those of one made-up peer.
inline bool IsWhole(const PeerIdentity& identity) {
  return Same(identity, MadeUpPeer(NumberOf(identity)));
}

class PeerTableTester {
 public:
  static constexpr size_t kIdentityWords = PeerTable::kIdentityWords;

  // What SetPeer() has done when its process is killed after the first
  // `words` words of the identity.
  static void HalfWrite(PeerTable table, uint32_t slot,
                        const PeerIdentity& identity, size_t words) {
    uint64_t all[kIdentityWords] = {};
    std::memcpy(all, &identity, sizeof(identity));
    table.SetWeight(slot, 0);
    table.BeginRewrite(slot);
    for (size_t i = 0; i < words; i++) {
      table.slots_[slot].identity[i].store(all[i], std::memory_order_release);
    }
  }

  // The generation as it stands in memory, flags and all.
  static uint64_t RawGeneration(const PeerTable& table, uint32_t slot) {
    return table.slots_[slot].generation.load(std::memory_order_acquire);
  }
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_PEER_TABLE_TESTER_H_

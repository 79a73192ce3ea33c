// A peer table in ordinary memory, for tests.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_TABLE_MEMORY_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_TABLE_MEMORY_H_

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "weightcalc/peer_table.h"

namespace dynweight {

class TableMemory {
 public:
  explicit TableMemory(uint32_t capacity)
      : memory_(std::aligned_alloc(64, PeerTable::Bytes(capacity, 1)),
                &std::free),
        table_(PeerTable::Create(memory_.get(), capacity, 1)) {}

  PeerTable table() const { return table_; }

 private:
  std::unique_ptr<void, decltype(&std::free)> memory_;
  PeerTable table_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_TABLE_MEMORY_H_

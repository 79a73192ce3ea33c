// See sampling_window.h.

#include "weightcalc/sampling_window.h"

#include <new>

#include "weightcalc/cache_line.h"

namespace dynweight {
namespace {

uint64_t Requests(const PeerTable& table, uint32_t slot) {
  return table.counters(slot).requests.load(std::memory_order_relaxed);
}

}  // namespace

size_t SamplingWindow::Bytes(uint32_t capacity) {
  static_assert(sizeof(Header) % kCacheLineBytes == 0);
  const size_t marks = size_t{capacity} * sizeof(Marks);
  return sizeof(Header) + WholeCacheLines(marks);
}

SamplingWindow::SamplingWindow(void* memory)
    : header_(static_cast<Header*>(memory)),
      marks_(reinterpret_cast<Marks*>(header_ + 1)) {}

SamplingWindow SamplingWindow::Create(void* memory, uint32_t capacity,
                                      int64_t now_ms) {
  Header* header = new (memory) Header();
  header->capacity = capacity;
  SamplingWindow window(memory);
  for (uint32_t slot = 0; slot < capacity; slot++) {
    for (std::atomic<uint64_t>& mark : window.marks_[slot]) {
      new (&mark) std::atomic<uint64_t>(0);
    }
  }
  window.Finish(/*restarted=*/true, now_ms);
  return window;
}

void SamplingWindow::Roll(const PeerTable& table, uint32_t first,
                          uint32_t count) {
  for (uint32_t slot = first; slot < first + count; slot++) {
    Marks& marks = marks_[slot];
    marks[0].store(marks[1].load(std::memory_order_relaxed),
                   std::memory_order_relaxed);
    marks[1].store(Requests(table, slot), std::memory_order_relaxed);
  }
}

void SamplingWindow::Restart(const PeerTable& table, uint32_t first,
                             uint32_t count) {
  for (uint32_t slot = first; slot < first + count; slot++) {
    for (std::atomic<uint64_t>& mark : marks_[slot]) {
      mark.store(Requests(table, slot), std::memory_order_relaxed);
    }
  }
}

void SamplingWindow::Finish(bool restarted, int64_t now_ms) {
  header_->began_ms[0].store(
      restarted ? now_ms : header_->began_ms[1].load(std::memory_order_relaxed),
      std::memory_order_relaxed);
  header_->began_ms[1].store(now_ms, std::memory_order_relaxed);
}

}  // namespace dynweight

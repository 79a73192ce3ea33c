// A value in shared memory that is replaced as a whole; see shared_document.h,
// whose promises it keeps.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_SHARED_RECORD_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_SHARED_RECORD_H_

#include <cstddef>
#include <cstring>
#include <optional>
#include <string_view>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weightcalc/shared_document.h"

namespace dynweight {

// A pointer to the memory: copy it freely. One writer; any process reads.
template <typename T>
class SharedRecord {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static size_t Bytes() { return SharedDocument::Bytes(sizeof(T)); }

  // Formats `memory` (64-byte aligned, Bytes() long): nothing written yet.
  static SharedRecord Create(void* memory) {
    return SharedRecord(SharedDocument::Create(memory, sizeof(T)));
  }

  // A record that Create() made; see SharedDocument::Attach().
  static absl::StatusOr<SharedRecord> Attach(void* memory, size_t size) {
    absl::StatusOr<SharedDocument> document =
        SharedDocument::Attach(memory, size);
    if (!document.ok()) return document.status();
    if (document->capacity() != sizeof(T)) {
      return absl::FailedPreconditionError("record: of another size");
    }
    return SharedRecord(*document);
  }

  void Write(const T& value) {
    // It fits: that was made sure of by Create().
    (void)document_.Write(
        {reinterpret_cast<const char*>(&value), sizeof(value)});
  }

  // Nothing when nothing was ever written, or, once in a very long while,
  // when the writer overtakes each attempt to read.
  std::optional<T> Read() const {
    char bytes[sizeof(T)];
    if (document_.Read(bytes) != sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes, sizeof(T));
    return value;
  }

 private:
  explicit SharedRecord(SharedDocument document) : document_(document) {}

  SharedDocument document_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_SHARED_RECORD_H_

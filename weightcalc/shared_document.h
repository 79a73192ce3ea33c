// A text in shared memory that is replaced as a whole: the last good view of
// a cluster, its status. Two halves: the writer fills the one that is not
// shown and then shows it, so a writer killed at any instruction leaves the
// previous text in place, and another process may write from then on.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_SHARED_DOCUMENT_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_SHARED_DOCUMENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dynweight {

// A pointer to the memory: copy it freely. One writer (worker 0's event loop;
// the master before any worker runs); any process reads at any time, without
// waiting.
class SharedDocument {
 public:
  // Bytes for texts of up to `capacity` bytes, a multiple of 64.
  static size_t Bytes(size_t capacity);

  // Formats `memory` (64-byte aligned) as an empty document.
  static SharedDocument Create(void* memory, size_t capacity);

  // A document that Create() made. FailedPrecondition when `memory` (of
  // `size` bytes) holds none.
  static absl::StatusOr<SharedDocument> Attach(void* memory, size_t size);

  size_t capacity() const { return header_->capacity; }

  // Replaces the text. ResourceExhausted, and nothing changes, when it is
  // longer than capacity().
  absl::Status Write(std::string_view text);

  // The same in pieces, for a writer that must not be held up for long:
  // Begin() with the length, which fails as Write() does; Fill() for each
  // piece, `offset` being its place in the text and a multiple of 8; Show().
  // A writer that gives up, or dies, between them leaves the previous text.
  absl::Status Begin(size_t length);
  void Fill(size_t offset, std::string_view piece);
  void Show();

  // Copies the text to `out`, room for capacity() bytes, and returns its
  // length; 0 when nothing was ever written. With less `room` a longer text is
  // not copied. Retries a few times when the writer overtakes it (two writes
  // during one read); then returns 0.
  size_t Read(char* out, size_t room = SIZE_MAX) const;

  // The same as a string of its own.
  std::string ReadText() const;

  // Length of the text that a Read() now would give.
  size_t size() const;

  // Moves with each Write() or Show(); 0 before the first.
  uint64_t version() const {
    return header_->version.load(std::memory_order_acquire);
  }

 private:
  struct alignas(64) Header {
    uint64_t magic;
    uint64_t capacity;
    std::atomic<uint64_t> version;  // the shown half is version & 1
    std::atomic<uint64_t> begun;    // the write that last began: version, or
                                    // version + 1 while it is under way
    std::atomic<uint64_t> length[2];
  };

  friend class SharedDocumentReader;

  explicit SharedDocument(void* memory);
  std::atomic<uint64_t>* half(uint64_t i) const;

  // Copies bytes [begin, end) of the half that `shown` shows; `begin` is a
  // multiple of 8. They are of that version if it is intact afterwards.
  void Copy(uint64_t shown, size_t begin, size_t end, char* out) const;
  bool IsIntact(uint64_t shown) const {
    return header_->begun.load(std::memory_order_relaxed) <= shown + 1;
  }

  Header* header_ = nullptr;
};

// Copies a document's text in bounded pieces, for a reader that must not be
// held up for long. It is the text that was shown at one moment. Not
// thread-safe.
class SharedDocumentReader {
 public:
  explicit SharedDocumentReader(const SharedDocument* document)
      : document_(document) {}

  // Copies at most `bytes` (a multiple of 8) more; true when text() is whole.
  // A text that the writer overtook is begun again, a few times; then it is
  // empty.
  bool Read(size_t bytes);

  const std::string& text() const { return text_; }

 private:
  bool Begin();

  const SharedDocument* document_;
  uint64_t shown_ = 0;
  size_t length_ = 0;
  int attempts_ = 0;  // so far
  std::string text_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_SHARED_DOCUMENT_H_

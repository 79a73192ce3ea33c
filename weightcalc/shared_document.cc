// A text in shared memory; see shared_document.h.
//
// Write number v + 1 fills the half that version v does not show. A reader of
// version v is disturbed only by write v + 2: it says so in `begun` before it
// touches the half. Texts are stored in words with release and loaded with
// acquire, so a reader that saw one word of write v + 2 sees `begun` as well.

#include "weightcalc/shared_document.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "weightcalc/cache_line.h"

namespace dynweight {
namespace {

constexpr uint64_t kDocumentMagic = 0x31434f4474687764;  // "dwhtDOC1"
constexpr size_t kWord = sizeof(uint64_t);
constexpr int kReadAttempts = 16;

}  // namespace

SharedDocument::SharedDocument(void* memory)
    : header_(static_cast<Header*>(memory)) {}

size_t SharedDocument::Bytes(size_t capacity) {
  static_assert(sizeof(Header) % kCacheLineBytes == 0);
  return sizeof(Header) + 2 * WholeCacheLines(capacity);
}

SharedDocument SharedDocument::Create(void* memory, size_t capacity) {
  Header* header = new (memory) Header();
  header->capacity = capacity;
  SharedDocument document(memory);
  for (uint64_t i = 0; i < 2; i++) {
    for (size_t w = 0; w < WholeCacheLines(capacity) / kWord; w++) {
      new (document.half(i) + w) std::atomic<uint64_t>(0);
    }
  }
  header->magic = kDocumentMagic;
  return document;
}

absl::StatusOr<SharedDocument> SharedDocument::Attach(void* memory,
                                                      size_t size) {
  const Header* header = static_cast<Header*>(memory);
  if (reinterpret_cast<uintptr_t>(memory) % kCacheLineBytes != 0 ||
      size < sizeof(Header) || header->magic != kDocumentMagic ||
      header->capacity > size || Bytes(header->capacity) > size) {
    return absl::FailedPreconditionError(
        "shared document: the memory holds none of this layout; create it "
        "anew");
  }
  return SharedDocument(memory);
}

std::atomic<uint64_t>* SharedDocument::half(uint64_t i) const {
  char* halves = reinterpret_cast<char*>(header_) + sizeof(Header);
  return reinterpret_cast<std::atomic<uint64_t>*>(
      halves + i * WholeCacheLines(header_->capacity));
}

absl::Status SharedDocument::Write(std::string_view text) {
  absl::Status fits = Begin(text.size());
  if (!fits.ok()) return fits;
  Fill(0, text);
  Show();
  return absl::OkStatus();
}

absl::Status SharedDocument::Begin(size_t length) {
  if (length > capacity()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "shared document: a text of ", length, " bytes does not fit its ",
        capacity(), " bytes; create it for the longest text"));
  }
  const uint64_t next = header_->version.load(std::memory_order_relaxed) + 1;
  header_->begun.store(next, std::memory_order_relaxed);
  header_->length[next & 1].store(length, std::memory_order_release);
  return absl::OkStatus();
}

void SharedDocument::Fill(size_t offset, std::string_view piece) {
  const uint64_t next = header_->version.load(std::memory_order_relaxed) + 1;
  std::atomic<uint64_t>* out = half(next & 1) + offset / kWord;
  // Whole words first: of a size that the compiler knows.
  for (; piece.size() >= kWord; piece.remove_prefix(kWord)) {
    uint64_t word;
    std::memcpy(&word, piece.data(), kWord);
    out++->store(word, std::memory_order_release);
  }
  if (piece.empty()) return;
  uint64_t word = 0;
  std::memcpy(&word, piece.data(), piece.size());
  out->store(word, std::memory_order_release);
}

void SharedDocument::Show() {
  const uint64_t next = header_->version.load(std::memory_order_relaxed) + 1;
  header_->version.store(next, std::memory_order_release);
}

void SharedDocument::Copy(uint64_t shown, size_t begin, size_t end,
                          char* out) const {
  const std::atomic<uint64_t>* in = half(shown & 1) + begin / kWord;
  for (; begin + kWord <= end; begin += kWord, out += kWord) {
    const uint64_t word = in++->load(std::memory_order_acquire);
    std::memcpy(out, &word, kWord);
  }
  if (begin == end) return;
  const uint64_t word = in->load(std::memory_order_acquire);
  std::memcpy(out, &word, end - begin);
}

size_t SharedDocument::Read(char* out, size_t room) const {
  for (int attempt = 0; attempt < kReadAttempts; attempt++) {
    const uint64_t shown = version();
    const size_t length =
        header_->length[shown & 1].load(std::memory_order_acquire);
    if (length > capacity()) continue;  // only foreign hands could do that
    if (length > room) return length;
    Copy(shown, 0, length, out);
    if (IsIntact(shown)) return length;
  }
  return 0;
}

std::string SharedDocument::ReadText() const {
  // Rarely is it longer than it was a moment before.
  std::string text(std::min(size(), capacity()), '\0');
  size_t length = Read(text.data(), text.size());
  if (length > text.size()) {
    text.resize(capacity());
    length = Read(text.data(), text.size());
  }
  text.resize(length);
  return text;
}

size_t SharedDocument::size() const {
  return header_->length[version() & 1].load(std::memory_order_relaxed);
}

bool SharedDocumentReader::Begin() {
  text_.clear();
  if (attempts_++ == kReadAttempts) {
    length_ = 0;
    return false;
  }
  shown_ = document_->version();
  length_ = std::min(
      document_->header_->length[shown_ & 1].load(std::memory_order_acquire),
      document_->capacity());
  text_.reserve(length_);
  return true;
}

bool SharedDocumentReader::Read(size_t bytes) {
  if (attempts_ == 0) Begin();
  const size_t begin = text_.size();
  const size_t end = begin + std::min(bytes, length_ - begin);
  text_.resize(end);
  document_->Copy(shown_, begin, end, text_.data() + begin);
  if (document_->IsIntact(shown_)) return end == length_;
  return !Begin();
}

}  // namespace dynweight

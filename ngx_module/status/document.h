// A document that is made while it is sent, and never whole in memory; but the
// rows of the page wait there until every upstream was looked at, since what is
// wrong comes first: about 1.5 kB an upstream.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_DOCUMENT_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_DOCUMENT_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace dynweight {

// The clocks at one moment.
struct Moment {
  int64_t monotonic_ms = 0;  // that of peers' health
  int64_t unix_ms = 0;
};

// Not thread-safe.
class Document {
 public:
  // A piece is about so many bytes and at most so many steps: some 0.3 ms.
  static constexpr size_t kPieceBytes = 49152;
  static constexpr int kPieceSteps = 64;

  virtual ~Document() = default;
  Document() = default;
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  // Appends a bounded piece, maybe none; true when it was the last.
  bool Piece(const Moment& now, std::string* out) {
    for (int n = 0; n < kPieceSteps; ++n) {
      if (Step(now, out)) return true;
      if (out->size() >= kPieceBytes) break;
    }
    return false;
  }

 protected:
  // Appends little: a peer, a line; true when the document is complete.
  virtual bool Step(const Moment& now, std::string* out) = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_DOCUMENT_H_

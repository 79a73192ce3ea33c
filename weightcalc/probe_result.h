// What active probing says of a peer, as one word of shared memory that one
// process writes and the others read: whether its probe passes, whether that
// keeps requests away, and why.
//
//   bit   0       out: no request goes to the peer; all that a pick looks at
//   bits  1 -  2  result
//   bits  3 -  6  reason, of a peer that fails
//   bits  7 - 16  HTTP status, where that is the reason
//   bits 17 - 31  tag of the probe's definition; 0: the peer is not probed
//
// Plain values, thread-safe.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_PROBE_RESULT_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_PROBE_RESULT_H_

#include <cstdint>
#include <string>

namespace dynweight {

// Why a probe failed.
enum class ProbeReason : uint8_t {
  kNone,
  kRefused,    // or unreachable: there is no connection
  kNoConnect,  // none within the timeout
  kTls,        // no handshake, or a certificate that is not trusted
  kNoAnswer,   // none, or none that is complete, within the timeout
  kClosed,     // in the middle of the answer
  kGarbage,    // an answer that is no HTTP
  kStatus,     // a status that is not asked for
  kBody,       // without the text that is asked for
};

struct ProbeResult {
  enum Result : uint8_t { kUnknown, kPassing, kFailing };

  static constexpr uint32_t kOut = 1;
  static constexpr uint16_t kMaxTag = 0x7fff;

  Result result = kUnknown;
  bool out = false;
  ProbeReason reason = ProbeReason::kNone;
  uint16_t status = 0;  // below 1024
  uint16_t tag = 0;

  uint32_t Encode() const {
    return (out ? kOut : 0) | static_cast<uint32_t>(result) << 1 |
           static_cast<uint32_t>(reason) << 3 | (status & 0x3ffu) << 7 |
           static_cast<uint32_t>(tag) << 17;
  }
  // Of any bits: what no Encode() gives reads as something that is valid.
  static ProbeResult Decode(uint32_t word);

  bool probed() const { return tag != 0; }

  // For a person: "no connection within the timeout"; "" without a reason.
  std::string Text() const;
};

// A new word for the peer of a slot, if `generation` still occupies it.
struct ProbeWrite {
  uint32_t slot = 0;
  uint64_t generation = 0;
  uint32_t word = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_PROBE_RESULT_H_

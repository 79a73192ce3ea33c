// See probe_result.h.

#include "weightcalc/probe_result.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace dynweight {

ProbeResult ProbeResult::Decode(uint32_t word) {
  ProbeResult result;
  result.out = (word & kOut) != 0;
  result.result =
      static_cast<Result>(std::min<uint32_t>(word >> 1 & 3, kFailing));
  result.reason = static_cast<ProbeReason>(std::min<uint32_t>(
      word >> 3 & 15, static_cast<uint32_t>(ProbeReason::kBody)));
  result.status = word >> 7 & 0x3ff;
  result.tag = static_cast<uint16_t>(word >> 17);
  return result;
}

std::string ProbeResult::Text() const {
  switch (reason) {
    case ProbeReason::kNone:
      return "";
    case ProbeReason::kRefused:
      return "the connection is refused, or there is no way";
    case ProbeReason::kNoConnect:
      return "no connection within the timeout";
    case ProbeReason::kTls:
      return "TLS failed";
    case ProbeReason::kNoAnswer:
      return "no answer within the timeout";
    case ProbeReason::kClosed:
      return "the connection was closed before the answer was complete";
    case ProbeReason::kGarbage:
      return "the answer is no HTTP";
    case ProbeReason::kStatus:
      return absl::StrCat("status ", status);
    case ProbeReason::kBody:
      return "the body lacks the text";
  }
  return "";
}

}  // namespace dynweight

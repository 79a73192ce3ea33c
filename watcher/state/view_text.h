// Parts of the state file that views and their sets of instances share. They
// are constants so that the longest text there can be is counted from what is
// written.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_VIEW_TEXT_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_VIEW_TEXT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_text.h"

namespace dynweight {

inline constexpr std::string_view kAddress = "{\"address\":\"";
inline constexpr std::string_view kObserved = ",\"observed\":";
inline constexpr std::string_view kProvisional = ",\"provisional\":true";
inline constexpr std::string_view kTotal = ",\"total\":";
inline constexpr size_t kMaxDigits = 16;  // of kMaxJsonInteger
inline constexpr size_t kMaxAddressText = 45;

inline void AppendCount(uint64_t count, std::string* out) {
  absl::StrAppend(out, std::min(count, kMaxJsonInteger));
}

inline void AppendTime(int64_t ms, std::string* out) {
  AppendCount(static_cast<uint64_t>(std::max<int64_t>(ms, 0)), out);
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_VIEW_TEXT_H_

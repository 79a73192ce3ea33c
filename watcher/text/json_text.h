// Writing JSON by hand, for the documents that are written often.

#ifndef DYNAMIC_WEIGHT_WATCHER_TEXT_JSON_TEXT_H_
#define DYNAMIC_WEIGHT_WATCHER_TEXT_JSON_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dynweight {

// Integers above this are no longer exact in every reader of JSON.
inline constexpr uint64_t kMaxJsonInteger = (uint64_t{1} << 53) - 1;

// Appends `text` as a JSON string, with its quotes. Safe as it stands inside
// HTML and a script (<, >, & and the line separators are escaped) and on one
// line of a log. Invalid UTF-8 becomes U+FFFD; what is longer than
// `max_bytes` (unescaped) is cut between two characters. Thread-safe.
void AppendJsonString(std::string_view text, size_t max_bytes,
                      std::string* out);

// The same as a value.
std::string JsonString(std::string_view text, size_t max_bytes);

// Most bytes that AppendJsonString() appends for `bytes` of text.
inline constexpr size_t MaxJsonStringBytes(size_t bytes) {
  return 2 + 6 * bytes;  // \u00XX for each
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TEXT_JSON_TEXT_H_

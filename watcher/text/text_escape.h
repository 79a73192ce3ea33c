// Texts from outside, made harmless for what they are printed into. Whatever
// is no UTF-8 becomes U+FFFD. All functions are thread-safe.

#ifndef DYNAMIC_WEIGHT_WATCHER_TEXT_TEXT_ESCAPE_H_
#define DYNAMIC_WEIGHT_WATCHER_TEXT_TEXT_ESCAPE_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace dynweight {

inline constexpr std::string_view kUtf8Replacement = "\xEF\xBF\xBD";

// Length of the well-formed UTF-8 sequence that `text` begins with (Unicode
// Standard, table 3-7: no overlong form, no surrogate, nothing above
// U+10FFFF), or 0.
size_t Utf8SequenceLength(std::string_view text);

// Appends `text` for a label value of the Prometheus text format, without the
// quotes.
void AppendLabelValue(std::string_view text, std::string* out);

// Appends `text` for HTML, inside an element or a quoted attribute. Control
// characters, which HTML has no way to write, become U+FFFD, too.
void AppendHtml(std::string_view text, std::string* out);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TEXT_TEXT_ESCAPE_H_

// Writing JSON by hand.

#include "watcher/json_text.h"

namespace dynweight {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Length of the well-formed UTF-8 sequence that `text` begins with (Unicode
// Standard, table 3-7: no overlong form, no surrogate, nothing above
// U+10FFFF), or 0.
size_t SequenceLength(std::string_view text) {
  const auto byte = [text](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : 0;
  };
  const auto continues = [&byte](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;
    if (lead == 0xED && byte(1) > 0x9F) return 0;
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (lead == 0xF0 && byte(1) < 0x90) return 0;
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

void AppendEscaped(std::string_view character, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  if (character.size() > 1) {
    // Line separators end a string literal in older JavaScript.
    if (character == "\xE2\x80\xA8") {
      *out += "\\u2028";
    } else if (character == "\xE2\x80\xA9") {
      *out += "\\u2029";
    } else {
      *out += character;
    }
    return;
  }
  const auto c = static_cast<uint8_t>(character[0]);
  switch (c) {
    case '"':
      *out += "\\\"";
      return;
    case '\\':
      *out += "\\\\";
      return;
    case '\n':
      *out += "\\n";
      return;
    case '\r':
      *out += "\\r";
      return;
    case '\t':
      *out += "\\t";
      return;
    default:
      break;
  }
  if (c < 0x20 || c == 0x7F || c == '<' || c == '>' || c == '&') {
    *out += "\\u00";
    *out += kHex[c >> 4];
    *out += kHex[c & 15];
    return;
  }
  *out += static_cast<char>(c);
}

}  // namespace

void AppendJsonString(std::string_view text, size_t max_bytes,
                      std::string* out) {
  *out += '"';
  size_t kept = 0;
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    const std::string_view character =
        length == 0 ? kReplacement : text.substr(0, length);
    if (character.size() > max_bytes - kept) break;
    kept += character.size();
    AppendEscaped(character, out);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  *out += '"';
}

std::string JsonString(std::string_view text, size_t max_bytes) {
  std::string out;
  AppendJsonString(text, max_bytes, &out);
  return out;
}

}  // namespace dynweight

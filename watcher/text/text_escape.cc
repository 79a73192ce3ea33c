// See text_escape.h.

#include "watcher/text/text_escape.h"

#include <cstdint>

namespace dynweight {
namespace {

// Calls `append` for each character, the ill-formed ones replaced.
template <typename Append>
void ForEachCharacter(std::string_view text, Append&& append) {
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    append(length == 0 ? kUtf8Replacement : text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

}  // namespace

size_t Utf8SequenceLength(std::string_view text) {
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

void AppendLabelValue(std::string_view text, std::string* out) {
  ForEachCharacter(text, [out](std::string_view character) {
    switch (character[0]) {
      case '\\':
        *out += "\\\\";
        break;
      case '"':
        *out += "\\\"";
        break;
      case '\n':
        *out += "\\n";
        break;
      default:
        *out += character;
    }
  });
}

void AppendHtml(std::string_view text, std::string* out) {
  ForEachCharacter(text, [out](std::string_view character) {
    const auto byte = static_cast<uint8_t>(character[0]);
    switch (byte) {
      case '&':
        *out += "&amp;";
        break;
      case '<':
        *out += "&lt;";
        break;
      case '>':
        *out += "&gt;";
        break;
      case '"':
        *out += "&quot;";
        break;
      case '\'':
        *out += "&#39;";
        break;
      case '\t':
      case '\n':
        *out += character;
        break;
      default:
        *out += byte < 0x20 || byte == 0x7F ? kUtf8Replacement : character;
    }
  });
}

}  // namespace dynweight

// Writing JSON by hand.

#include "watcher/text/json_text.h"

#include <algorithm>
#include <array>

#include "watcher/text/text_escape.h"

namespace dynweight {
namespace {

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

// The bytes that stand in a JSON string as they are.
constexpr std::array<bool, 256> PlainBytes() {
  std::array<bool, 256> plain{};
  for (size_t c = 0x20; c < 0x7F; ++c) {
    plain[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
  }
  return plain;
}

size_t PlainLength(std::string_view text) {
  static constexpr std::array<bool, 256> kPlain = PlainBytes();
  const auto end = std::find_if(text.begin(), text.end(), [](char c) {
    return !kPlain[static_cast<uint8_t>(c)];
  });
  return static_cast<size_t>(end - text.begin());
}

}  // namespace

void AppendJsonString(std::string_view text, size_t max_bytes,
                      std::string* out) {
  *out += '"';
  size_t kept = 0;
  while (!text.empty()) {
    // Nearly always all of it.
    const size_t plain = PlainLength(text.substr(0, max_bytes - kept));
    out->append(text.data(), plain);
    kept += plain;
    text.remove_prefix(plain);
    if (text.empty()) break;
    const size_t length = Utf8SequenceLength(text);
    const std::string_view character =
        length == 0 ? kUtf8Replacement : text.substr(0, length);
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

// See url_text.h.

#include "watcher/text/url_text.h"

#include "absl/strings/ascii.h"

namespace dynweight {

void AppendUrlEscaped(std::string_view text, std::string* out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || c == '-' || c == '.' || c == '_' ||
        c == '~') {
      *out += c;
    } else {
      *out += '%';
      *out += kHex[byte >> 4];
      *out += kHex[byte & 15];
    }
  }
}

void AppendUrlParameter(std::string_view name, std::string_view value,
                        std::string* url) {
  *url += url->find('?') == std::string::npos ? '?' : '&';
  *url += name;
  *url += '=';
  AppendUrlEscaped(value, url);
}

}  // namespace dynweight

// See number_text.h.

#include "ngx_module/status/number_text.h"

#include <charconv>

namespace dynweight {
namespace {

// `value` with zeros in front, so that it has `digits`.
void AppendPadded(uint64_t value, int digits, std::string* out) {
  char text[20];
  char* const end = std::to_chars(text, text + sizeof(text), value).ptr;
  for (auto n = end - text; n < digits; ++n) *out += '0';
  out->append(text, end);
}

}  // namespace

void AppendNumber(uint64_t value, std::string* out) {
  char text[20];
  out->append(text, std::to_chars(text, text + sizeof(text), value).ptr);
}

void AppendFixed(double value, int digits, std::string* out) {
  uint64_t scale = 1;
  for (int n = 0; n < digits; ++n) scale *= 10;
  auto whole = static_cast<uint64_t>(value);
  auto fraction = static_cast<uint64_t>(
      (value - static_cast<double>(whole)) * static_cast<double>(scale) + 0.5);
  if (fraction == scale) {
    ++whole;
    fraction = 0;
  }
  AppendNumber(whole, out);
  *out += '.';
  AppendPadded(fraction, digits, out);
}

void AppendSeconds(uint64_t ms, std::string* out) {
  AppendNumber(ms / 1000, out);
  *out += '.';
  AppendPadded(ms % 1000, 3, out);
}

void AppendShare(uint64_t part, uint64_t whole, std::string* out) {
  if (whole == 0) {
    *out += "null";
    return;
  }
  AppendFixed(static_cast<double>(part) / static_cast<double>(whole), 6, out);
}

}  // namespace dynweight

// See html_writer.h.

#include "ngx_module/status/html_writer.h"

#include <ctime>

#include "absl/strings/ascii.h"
#include "ngx_module/status/number_text.h"
#include "watcher/text/text_escape.h"

namespace dynweight {

HtmlWriter& HtmlWriter::Text(std::string_view value) {
  AppendHtml(value, out_);
  return *this;
}

HtmlWriter& HtmlWriter::Number(uint64_t value) {
  AppendNumber(value, out_);
  return *this;
}

HtmlWriter& HtmlWriter::Count(uint64_t value, const char* one,
                              const char* many) {
  return Number(value).Add(value == 1 ? one : many);
}

HtmlWriter& HtmlWriter::Percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return Add("–");
  AppendFixed(100 * static_cast<double>(part) / static_cast<double>(whole), 1,
              out_);
  return Add("%");
}

HtmlWriter& HtmlWriter::Share(uint64_t part, uint64_t whole) {
  AppendShare(whole == 0 ? 0 : part, whole == 0 ? 1 : whole, out_);
  return *this;
}

HtmlWriter& HtmlWriter::Time(int64_t ms) {
  if (ms == 0) return Add("never");
  const std::time_t seconds = ms / 1000;
  std::tm tm;
  char text[32];
  (void)gmtime_r(&seconds, &tm);
  return Add(
      {text, std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ", &tm)});
}

HtmlWriter& HtmlWriter::UrlValue(std::string_view value) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  static constexpr std::string_view kUnreserved = "-._~";
  for (const char c : value) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
        kUnreserved.find(c) != kUnreserved.npos) {
      *out_ += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      *out_ += '%';
      *out_ += kHex[byte >> 4];
      *out_ += kHex[byte & 15];
    }
  }
  return *this;
}

}  // namespace dynweight

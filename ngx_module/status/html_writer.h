// Writes the page's HTML piece by piece.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_HTML_WRITER_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_HTML_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace dynweight {

// Not thread-safe.
class HtmlWriter {
 public:
  // Where what follows is appended to.
  explicit HtmlWriter(std::string* out) : out_(out) {}

  // Markup of ours, as it stands.
  HtmlWriter& Add(std::string_view markup) {
    *out_ += markup;
    return *this;
  }
  // Whatever it is, inside an element or a quoted attribute.
  HtmlWriter& Text(std::string_view value);
  HtmlWriter& Number(uint64_t value);
  // A number of things: "1 pod", "2 pods".
  HtmlWriter& Count(uint64_t value, const char* one, const char* many);
  // "12.3%"; a dash when there is no whole.
  HtmlWriter& Percent(uint64_t part, uint64_t whole);
  // For an attribute that is a number; 0 when there is no whole.
  HtmlWriter& Share(uint64_t part, uint64_t whole);
  // Unix milliseconds, in UTC, so that edges in several places agree; 0: never.
  HtmlWriter& Time(int64_t ms);
  // A value of a query in a URL, in a quoted attribute.
  HtmlWriter& UrlValue(std::string_view value);

 private:
  std::string* out_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_HTML_WRITER_H_

// Writes JSON piece by piece and knows where commas go.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_JSON_WRITER_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_JSON_WRITER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ngx_module/status/number_text.h"
#include "watcher/text/json_text.h"

namespace dynweight {

// The caller closes what it opened and gives each member a key: that is not
// checked. Not thread-safe.
//
//   JsonWriter json;
//   json.set_out(&text);
//   json.BeginObject();
//   json.Number("weight", 40);
//   json.Key("peers");
//   json.BeginArray();
//   ...
class JsonWriter {
 public:
  // A name or text; what comes from clusters is cut long before.
  static constexpr size_t kMaxText = 4096;

  // Where what follows is appended to.
  void set_out(std::string* out) { out_ = out; }

  void BeginObject() { Begin('{'); }
  void EndObject() { End('}'); }
  void BeginArray() { Begin('['); }
  void EndArray() { End(']'); }

  // Of the next member. `name` is one of ours, and stands as it is.
  void Key(std::string_view name) {
    Separate();
    *out_ += '"';
    *out_ += name;
    *out_ += "\":";
    separate_ = false;
  }
  // `name` may be anything.
  void TextKey(std::string_view name) {
    Text(name);
    *out_ += ':';
    separate_ = false;
  }

  void Null() { Raw("null"); }
  void Flag(bool value) { Raw(value ? "true" : "false"); }
  // Above what is exact in every reader of JSON it stays there.
  void Number(uint64_t value) {
    Separate();
    AppendNumber(std::min(value, kMaxJsonInteger), out_);
  }
  // With so many digits behind the point.
  void Fixed(double value, int digits) {
    Separate();
    AppendFixed(value, digits, out_);
  }
  void Share(uint64_t part, uint64_t whole) {
    Separate();
    AppendShare(part, whole, out_);
  }
  // Escaped for JSON and HTML; what is no UTF-8 is replaced.
  void Text(std::string_view value) {
    Separate();
    AppendJsonString(value, kMaxText, out_);
  }
  // A JSON value as it stands; "": null.
  void Raw(std::string_view json) {
    Separate();
    *out_ += json.empty() ? std::string_view("null") : json;
  }

  // Members.
  void Null(std::string_view key) {
    Key(key);
    Null();
  }
  void Flag(std::string_view key, bool value) {
    Key(key);
    Flag(value);
  }
  void Number(std::string_view key, uint64_t value) {
    Key(key);
    Number(value);
  }
  void Fixed(std::string_view key, double value, int digits) {
    Key(key);
    Fixed(value, digits);
  }
  void Share(std::string_view key, uint64_t part, uint64_t whole) {
    Key(key);
    Share(part, whole);
  }
  void Text(std::string_view key, std::string_view value) {
    Key(key);
    Text(value);
  }
  void Raw(std::string_view key, std::string_view json) {
    Key(key);
    Raw(json);
  }

 private:
  void Separate() {
    if (separate_) *out_ += ',';
    separate_ = true;
  }
  void Begin(char bracket) {
    Separate();
    *out_ += bracket;
    separate_ = false;
  }
  void End(char bracket) {
    *out_ += bracket;
    separate_ = true;
  }

  std::string* out_ = nullptr;
  bool separate_ = false;  // the next value follows another
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_JSON_WRITER_H_

// See overrides.h.

#include "ngx_module/status/overrides.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

// Longer than the tuning file's reader lets any be.
constexpr size_t kMaxBytes = 65536;

// One a line, behind the first line; the last line closes the document.
std::vector<std::string_view> RulesOf(std::string_view status) {
  std::vector<std::string_view> rules;
  size_t begin = status.find('\n');
  while (begin != status.npos) {
    ++begin;
    const size_t end = status.find('\n', begin);
    if (end == status.npos) break;
    std::string_view rule = status.substr(begin, end - begin);
    if (!rule.empty() && rule.back() == ',') rule.remove_suffix(1);
    rules.push_back(rule);
    begin = end;
  }
  return rules;
}

void Append(const char* name, std::string_view value, std::string* out) {
  if (value.empty()) return;
  absl::StrAppend(out, out->empty() ? "" : ", ", name, " ",
                  absl::string_view(value.data(), value.size()));
}

std::string Whom(JsonReader* reader, const cJSON* rule) {
  std::string whom;
  for (const char* name : {"upstream", "cluster", "server", "node"}) {
    Append(name, reader->String(rule, name, kMaxBytes), &whom);
  }
  return whom.empty() ? "everything" : whom;
}

std::string What(JsonReader* reader, const cJSON* rule) {
  std::string what;
  for (const char* name : {"drain", "freeze"}) {
    const std::optional<bool> flag = reader->Bool(rule, name);
    if (!flag) continue;
    absl::StrAppend(&what, what.empty() ? "" : ", ", *flag ? "" : "no ", name);
  }
  for (const char* name : {"weight", "scale", "min", "max"}) {
    const std::optional<double> number = reader->Number(rule, name);
    if (number) Append(name, absl::StrCat(*number), &what);
  }
  return what;
}

}  // namespace

Overrides::Overrides(const SharedDocument* tuning) {
  if (tuning == nullptr) return;
  text_ = tuning->ReadText();
  rules_ = RulesOf(text_);
  for (const std::string_view rule : rules_) {
    in_force_ += rule.find("\"in_force\":true") != rule.npos ? 1 : 0;
  }
  const std::string head = text_.substr(0, text_.find('\n')) + "]}";
  const absl::StatusOr<JsonDocument> document = ParseJson(head);
  if (!document.ok()) return;
  JsonReader reader("tuning");
  error_ = std::string(
      reader.String(reader.Root(document->get()), "error", kMaxBytes));
}

OverrideText Overrides::Describe(size_t i) const {
  OverrideText text;
  const absl::StatusOr<JsonDocument> document = ParseJson(rules_[i]);
  if (!document.ok()) return text;
  JsonReader reader("rule");
  const cJSON* rule = reader.Root(document->get());
  text.line = reader.Count(rule, "line").value_or(0);
  text.in_force = reader.Bool(rule, "in_force").value_or(false);
  text.peers = reader.Count(rule, "peers").value_or(0);
  text.what = What(&reader, rule);
  // Of very many very long ones only the line is told.
  text.whom = text.what.empty()
                  ? absl::StrCat("see line ", text.line, " of the file")
                  : Whom(&reader, rule);
  text.expires = std::string(reader.String(rule, "expires", kMaxBytes));
  text.reason = std::string(reader.String(rule, "reason", kMaxBytes));
  return text;
}

}  // namespace dynweight

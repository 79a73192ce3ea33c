// The syntax of label selectors.

#include "watcher/kubernetes/label_selector.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/dns_name.h"

namespace dynweight {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// The part of a key after its prefix, and any value that is not empty.
bool IsLabelName(std::string_view text) {
  if (text.empty() || text.size() > 63) return false;
  if (!absl::ascii_isalnum(text.front()) || !absl::ascii_isalnum(text.back())) {
    return false;
  }
  for (const char c : text) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.') {
      return false;
    }
  }
  return true;
}

bool IsLabelKey(std::string_view text) {
  // The server reads these two as operators.
  if (text == "in" || text == "notin") return false;
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return IsLabelName(text);
  return IsDnsSubdomain(text.substr(0, slash)) &&
         IsLabelName(text.substr(slash + 1));
}

bool IsLabelValue(std::string_view text) {
  return text.empty() || IsLabelName(text);
}

absl::Status Wrong(std::string_view requirement, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", std::string(requirement), "\" in the label selector ", why));
}

absl::Status CheckKey(std::string_view requirement, std::string_view key) {
  if (IsLabelKey(key)) return absl::OkStatus();
  return Wrong(requirement,
               "has no valid label key; write a=b, a!=b, a, !a, \"a in (x,y)\" "
               "or \"a notin (x,y)\"");
}

// "a in (x,y)" or "a notin (x,y)"; `open` is where the bracket stands.
absl::Status CheckSet(std::string_view requirement, size_t open) {
  const std::string_view head = Trim(requirement.substr(0, open));
  const size_t space = head.find(' ');
  const std::string_view op =
      space == std::string_view::npos ? "" : Trim(head.substr(space));
  if ((op != "in" && op != "notin") || requirement.back() != ')') {
    return Wrong(requirement,
                 "is no set: write \"a in (x,y)\" or \"a notin (x,y)\"");
  }
  std::string_view values =
      requirement.substr(open + 1, requirement.size() - open - 2);
  if (Trim(values).empty()) {
    return Wrong(requirement, "has no value between the brackets");
  }
  for (;;) {
    const size_t comma = values.find(',');
    if (!IsLabelValue(Trim(values.substr(0, comma)))) {
      return Wrong(requirement, "has an invalid label value");
    }
    if (comma == std::string_view::npos) break;
    values.remove_prefix(comma + 1);
  }
  return CheckKey(requirement, head.substr(0, space));
}

absl::Status CheckRequirement(std::string_view requirement) {
  if (requirement.empty()) {
    return absl::InvalidArgumentError(
        "the label selector has an empty part; write a=b,c=d");
  }
  const size_t open = requirement.find('(');
  if (open != std::string_view::npos) return CheckSet(requirement, open);

  const size_t equals = requirement.find('=');
  if (equals == std::string_view::npos) {
    const bool negated = requirement.front() == '!';
    return CheckKey(requirement, Trim(requirement.substr(negated ? 1 : 0)));
  }
  std::string_view key = requirement.substr(0, equals);
  std::string_view value = requirement.substr(equals + 1);
  if (!key.empty() && key.back() == '!') {
    key.remove_suffix(1);
  } else if (!value.empty() && value.front() == '=') {
    value.remove_prefix(1);
  }
  if (!IsLabelValue(Trim(value))) {
    return Wrong(requirement, "has an invalid label value");
  }
  return CheckKey(requirement, Trim(key));
}

// Where the requirement that `text` begins with ends: at a comma outside
// brackets, or at the end.
size_t RequirementEnd(std::string_view text) {
  bool inside = false;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '(') inside = true;
    if (text[i] == ')') inside = false;
    if (text[i] == ',' && !inside) return i;
  }
  return text.size();
}

}  // namespace

absl::Status CheckLabelSelector(std::string_view text) {
  if (text.size() > kMaxSelectorBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the label selector is longer than ", kMaxSelectorBytes, " bytes"));
  }
  for (;;) {
    const size_t end = RequirementEnd(text);
    absl::Status status = CheckRequirement(Trim(text.substr(0, end)));
    if (!status.ok()) return status;
    if (end == text.size()) return absl::OkStatus();
    text.remove_prefix(end + 1);
  }
}

}  // namespace dynweight

#include "t/fake_cluster/label_selector.h"

#include <utility>

namespace dynweight::fake {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// At commas outside parentheses.
std::vector<std::string_view> Split(std::string_view text) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || (text[i] == ',' && depth == 0)) {
      parts.push_back(Trim(text.substr(begin, i - begin)));
      begin = i + 1;
    } else if (text[i] == '(') {
      ++depth;
    } else if (text[i] == ')') {
      --depth;
    }
  }
  return parts;
}

bool ValidKey(std::string_view key) {
  return !key.empty() && key.find_first_of(" ,=!()") == std::string_view::npos;
}

}  // namespace

std::optional<LabelSelector> LabelSelector::Parse(std::string_view text) {
  LabelSelector selector;
  if (Trim(text).empty()) return selector;
  for (std::string_view part : Split(text)) {
    std::optional<Requirement> requirement = ParseRequirement(part);
    if (!requirement.has_value()) return std::nullopt;
    selector.requirements_.push_back(*std::move(requirement));
  }
  return selector;
}

std::optional<LabelSelector::Requirement> LabelSelector::ParseRequirement(
    std::string_view text) {
  Requirement requirement;
  std::string_view key = text;
  if (size_t open = text.find('('); open != std::string_view::npos) {
    if (text.back() != ')') return std::nullopt;
    for (std::string_view value :
         Split(text.substr(open + 1, text.size() - open - 2))) {
      requirement.values.emplace(value);
    }
    std::string_view head = Trim(text.substr(0, open));
    size_t space = head.rfind(' ');
    if (space == std::string_view::npos) return std::nullopt;
    std::string_view op = head.substr(space + 1);
    if (op != "in" && op != "notin") return std::nullopt;
    requirement.op =
        op == "in" ? Requirement::Op::kIn : Requirement::Op::kNotIn;
    key = Trim(head.substr(0, space));
  } else if (size_t equals = text.find('='); equals != std::string_view::npos) {
    bool negated = equals > 0 && text[equals - 1] == '!';
    key = Trim(text.substr(0, equals - (negated ? 1 : 0)));
    std::string_view value = text.substr(equals + 1);
    if (!negated && !value.empty() && value.front() == '=') {
      value.remove_prefix(1);
    }
    requirement.op = negated ? Requirement::Op::kNotIn : Requirement::Op::kIn;
    requirement.values.emplace(Trim(value));
  } else if (!text.empty() && text.front() == '!') {
    requirement.op = Requirement::Op::kNotExists;
    key = Trim(text.substr(1));
  }
  if (!ValidKey(key)) return std::nullopt;
  requirement.key = std::string(key);
  return requirement;
}

bool LabelSelector::Matches(const Labels& labels) const {
  for (const Requirement& requirement : requirements_) {
    auto it = labels.find(requirement.key);
    bool present = it != labels.end();
    bool listed = present && requirement.values.count(it->second) > 0;
    switch (requirement.op) {
      case Requirement::Op::kIn:
        if (!listed) return false;
        break;
      case Requirement::Op::kNotIn:
        if (listed) return false;
        break;
      case Requirement::Op::kExists:
        if (!present) return false;
        break;
      case Requirement::Op::kNotExists:
        if (present) return false;
        break;
    }
  }
  return true;
}

}  // namespace dynweight::fake

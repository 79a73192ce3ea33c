// Label selectors as Kubernetes reads them: equality and set-based.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_LABEL_SELECTOR_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_LABEL_SELECTOR_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dynweight::fake {

using Labels = std::map<std::string, std::string>;

class LabelSelector {
 public:
  // "a=b,c!=d,e in (f,g),h notin (i),j,!k"; empty matches everything.
  // Nothing: malformed.
  static std::optional<LabelSelector> Parse(std::string_view text);

  bool Matches(const Labels& labels) const;
  bool empty() const { return requirements_.empty(); }

 private:
  struct Requirement {
    enum class Op { kIn, kNotIn, kExists, kNotExists };
    std::string key;
    Op op = Op::kExists;
    std::set<std::string> values;
  };
  static std::optional<Requirement> ParseRequirement(std::string_view text);

  std::vector<Requirement> requirements_;
};

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_LABEL_SELECTOR_H_

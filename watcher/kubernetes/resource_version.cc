// Which of two resource versions is newer.

#include "watcher/kubernetes/resource_version.h"

namespace dynweight {
namespace {

bool IsNumber(std::string_view version) {
  return !version.empty() && version.front() != '0' &&
         version.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::optional<int> CompareResourceVersions(std::string_view a,
                                           std::string_view b) {
  if (!IsNumber(a) || !IsNumber(b)) return std::nullopt;
  // However many digits: the longer one is larger.
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

}  // namespace dynweight

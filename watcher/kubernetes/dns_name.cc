// The names that Kubernetes allows.

#include "watcher/kubernetes/dns_name.h"

namespace dynweight {
namespace {

bool IsLowerAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool IsLabelOfAnyLength(std::string_view text) {
  if (text.empty() || text.front() == '-' || text.back() == '-') return false;
  for (const char c : text) {
    if (!IsLowerAlphanumeric(c) && c != '-') return false;
  }
  return true;
}

}  // namespace

bool IsDnsLabel(std::string_view text) {
  return text.size() <= 63 && IsLabelOfAnyLength(text);
}

bool IsDnsSubdomain(std::string_view text) {
  if (text.size() > 253) return false;
  for (;;) {
    const size_t dot = text.find('.');
    if (!IsLabelOfAnyLength(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace dynweight

// Label selectors as API servers read them (k8s.io/apimachinery,
// labels.Parse), checked when the configuration is read. They are evaluated
// by the server.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LABEL_SELECTOR_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LABEL_SELECTOR_H_

#include <string_view>

#include "absl/status/status.h"

namespace dynweight {

// Longest selector that is accepted.
inline constexpr size_t kMaxSelectorBytes = 1024;

// OK for requirements joined by commas: a=b, a==b, a!=b, a, !a, a in (x,y),
// a notin (x,y). InvalidArgument says which requirement is wrong and what to
// write. Thread-safe.
absl::Status CheckLabelSelector(std::string_view text);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LABEL_SELECTOR_H_

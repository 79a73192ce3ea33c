// Which of two resource versions is newer.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_RESOURCE_VERSION_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_RESOURCE_VERSION_H_

#include <optional>
#include <string_view>

namespace dynweight {

// Negative when `a` is older than `b`, 0 when they are the same, positive when
// it is newer. Nothing when one of them is no decimal number without leading
// zeros: such versions (Karmada's are base64) are opaque. Kubernetes promises
// the order from 1.35 on (KEP-5504) and has kept it since etcd is its store.
std::optional<int> CompareResourceVersions(std::string_view a,
                                           std::string_view b);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_RESOURCE_VERSION_H_

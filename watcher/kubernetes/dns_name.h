// The names that Kubernetes allows (k8s.io/apimachinery, util/validation).
// Pure functions, thread-safe.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_DNS_NAME_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_DNS_NAME_H_

#include <string_view>

namespace dynweight {

// RFC 1123 label: namespaces and Services. 1 to 63 of a-z, 0-9 and '-',
// beginning and ending with a letter or digit.
bool IsDnsLabel(std::string_view text);

// RFC 1123 subdomain: most other objects. 1 to 253 bytes of labels with dots
// between; as in Kubernetes a single label may be longer than 63.
bool IsDnsSubdomain(std::string_view text);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_DNS_NAME_H_

// Which of a Node's addresses is meant.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_NODE_ADDRESS_TYPE_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_NODE_ADDRESS_TYPE_H_

#include <cstdint>

namespace dynweight {

enum class NodeAddressType : uint8_t { kInternalIp, kExternalIp };

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_NODE_ADDRESS_TYPE_H_

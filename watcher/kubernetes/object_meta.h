// The metadata that every Kubernetes object carries, and the Ready condition of
// those that have a status.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_META_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_META_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "watcher/text/json_value.h"

namespace dynweight {

// Longest names, uids and addresses that are taken from a cluster.
inline constexpr size_t kMaxNameBytes = 253;  // RFC 1123 subdomain
inline constexpr size_t kMaxUidBytes = 128;
inline constexpr size_t kMaxResourceVersionBytes = 1024;
inline constexpr size_t kMaxAddressBytes = 64;
inline constexpr size_t kMaxWordBytes = 1024;  // types, keys, states
// Conditions, taints or addresses of one object.
inline constexpr size_t kMaxStatusEntries = 10000;

enum class ObjectScope { kCluster, kNamespace };

// Points into the document it was read from.
struct ObjectMeta {
  std::string_view ns;  // empty for objects of the cluster
  std::string_view name;
  const cJSON* labels = nullptr;
  bool deleting = false;  // has a deletionTimestamp

  std::string Key() const;  // "ns/name", or "name"
};

// "ns/name": identifies an object among those of its kind.
std::string ObjectKey(std::string_view ns, std::string_view name);

// Reads object.metadata, and lets the reader's messages speak of this object.
// A missing name (or namespace, by scope) is a mistake.
ObjectMeta ReadObjectMeta(const cJSON* object, ObjectScope scope,
                          JsonReader* reader);

// Whether status.conditions says Ready is "True".
bool IsConditionReady(const cJSON* status, JsonReader* reader);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_META_H_

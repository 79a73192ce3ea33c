// Metadata and conditions of Kubernetes objects.

#include "watcher/kubernetes/object_meta.h"

namespace dynweight {

std::string ObjectKey(std::string_view ns, std::string_view name) {
  std::string key;
  key.reserve(ns.size() + 1 + name.size());
  key += ns;
  key += '/';
  key += name;
  return key;
}

std::string ObjectMeta::Key() const {
  return ns.empty() ? std::string(name) : ObjectKey(ns, name);
}

ObjectMeta ReadObjectMeta(const cJSON* object, ObjectScope scope,
                          JsonReader* reader) {
  ObjectMeta meta;
  const cJSON* metadata = reader->Object(reader->Root(object), "metadata");
  meta.name = reader->RequiredString(metadata, "name", kMaxNameBytes);
  reader->set_subject(meta.name);
  if (scope == ObjectScope::kNamespace) {
    meta.ns = reader->RequiredString(metadata, "namespace", kMaxNameBytes);
  }
  meta.labels = reader->Object(metadata, "labels");
  meta.deleting =
      !reader->String(metadata, "deletionTimestamp", kMaxNameBytes).empty();
  return meta;
}

bool IsConditionReady(const cJSON* status, JsonReader* reader) {
  bool ready = false;
  reader->ForEachObject(
      reader->Array(status, "conditions"), "conditions", kMaxStatusEntries,
      [&ready, reader](const cJSON* condition) {
        if (reader->String(condition, "type", kMaxWordBytes) == "Ready") {
          ready = reader->String(condition, "status", kMaxWordBytes) == "True";
        }
      });
  return ready;
}

}  // namespace dynweight

// See resource_bindings.h.

#include "watcher/karmada/resource_bindings.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_meta.h"

namespace dynweight {

size_t ResourceBindings::Interest(std::string_view ns, std::string_view name,
                                  std::string_view member) {
  const size_t index = counts_.Add();
  wanted_[ObjectKey(ns, name)][std::string(member)].push_back(index);
  asked_.push_back({std::string(ns), std::string(name), std::string(member)});
  return index;
}

absl::Status ResourceBindings::Stage(const cJSON* object) {
  Counted counted;
  const absl::Status status = Read(EventType::kAdded, object, &counted);
  if (!status.ok()) return status;
  for (const auto& [index, count] : counted) counts_.Stage(index, count);
  return absl::OkStatus();
}

absl::Status ResourceBindings::Apply(EventType type, const cJSON* object) {
  Counted counted;
  const absl::Status status = Read(type, object, &counted);
  if (!status.ok()) return status;
  for (const auto& [index, count] : counted) counts_.Apply(index, count);
  return absl::OkStatus();
}

std::string ResourceBindings::WhyUnknown(size_t index) const {
  const ReplicaCount& count = counts_.present(index);
  if (count.said) return std::string();
  const Asked& asked = asked_[index];
  if (!count.exists) {
    return absl::StrCat("no ResourceBinding ", asked.name, " in ", asked.ns,
                        ": is there one of this name?");
  }
  return absl::StrCat("the ResourceBinding has no status of member cluster \"",
                      asked.member,
                      "\": if no policy places it there, remove the line or "
                      "drain it by a rule");
}

absl::Status ResourceBindings::Read(EventType type, const cJSON* object,
                                    Counted* counted) const {
  JsonReader reader("ResourceBinding");
  const ObjectMeta meta =
      ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
  if (!reader.ok()) return reader.status();
  const auto wanted = wanted_.find(meta.Key());
  if (wanted == wanted_.end()) return absl::OkStatus();
  const Members& members = wanted->second;
  const bool exists = type != EventType::kDeleted;
  absl::flat_hash_set<std::string_view> said;
  const auto read_member = [&](const cJSON* item) {
    const std::string_view name =
        reader.RequiredString(item, "clusterName", kMaxNameBytes);
    const auto member = members.find(std::string(name));
    if (!reader.ok() || member == members.end()) return;
    if (!said.insert(name).second) {
      return reader.Fail("aggregatedStatus", "has a member twice");
    }
    ReplicaCount count;
    count.exists = true;
    const cJSON* status = reader.Object(item, "status");
    count.said = status != nullptr;
    count.ready = reader.Count(status, "readyReplicas").value_or(0);
    count.all = reader.Count(status, "replicas").value_or(0);
    for (const size_t index : member->second) {
      counted->emplace_back(index, count);
    }
  };
  if (exists) {
    reader.ForEachObject(
        reader.Array(reader.Object(object, "status"), "aggregatedStatus"),
        "aggregatedStatus", kMaxBindingMembers, read_member);
    if (!reader.ok()) return reader.status();
  }
  for (const auto& [name, indices] : members) {
    if (said.contains(name)) continue;
    ReplicaCount silent;
    silent.exists = exists;
    for (const size_t index : indices) counted->emplace_back(index, silent);
  }
  return absl::OkStatus();
}

}  // namespace dynweight

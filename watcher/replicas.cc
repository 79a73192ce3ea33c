// Deployments, StatefulSets and Rollouts reduced to their ready replicas.

#include "watcher/replicas.h"

#include <optional>

#include "absl/container/flat_hash_map.h"
#include "watcher/object_meta.h"

namespace dynweight {
namespace {

class ReplicasImpl final : public Replicas {
 public:
  void Want(std::string_view ns, std::string_view name) override {
    const bool fresh =
        wanted_.try_emplace(ObjectKey(ns, name), names_.size()).second;
    if (!fresh) return;
    names_.emplace_back(ns, name);
    present_.push_back(0);
    staged_.push_back(0);
    changed_.push_back(false);
  }

  void BeginList() override { staged_.assign(names_.size(), 0); }

  absl::Status Stage(const cJSON* object) override {
    uint64_t ready = 0;
    std::optional<uint32_t> index;
    absl::Status status = Read(EventType::kAdded, object, &index, &ready);
    if (status.ok() && index.has_value()) staged_[*index] = ready;
    return status;
  }

  void CommitList() override {
    for (uint32_t i = 0; i < names_.size(); i++) {
      if (!listed_ || present_[i] != staged_[i]) changed_[i] = true;
    }
    listed_ = true;
    present_ = staged_;
  }

  absl::Status Apply(EventType type, const cJSON* object) override {
    uint64_t ready = 0;
    std::optional<uint32_t> index;
    absl::Status status = Read(type, object, &index, &ready);
    if (status.ok() && index.has_value() && present_[*index] != ready) {
      present_[*index] = ready;
      changed_[*index] = true;
    }
    return status;
  }

  bool listed() const override { return listed_; }

  uint64_t Ready(std::string_view ns, std::string_view name) const override {
    const auto at = wanted_.find(ObjectKey(ns, name));
    return at == wanted_.end() || !listed_ ? 0 : present_[at->second];
  }

  std::vector<std::pair<std::string, std::string>> TakeChanged() override {
    std::vector<std::pair<std::string, std::string>> result;
    for (uint32_t i = 0; i < names_.size(); i++) {
      if (!changed_[i]) continue;
      changed_[i] = false;
      result.push_back(names_[i]);
    }
    return result;
  }

 private:
  // `index` stays empty for an object nobody asked for; a deleted one has no
  // ready replicas.
  absl::Status Read(EventType type, const cJSON* object,
                    std::optional<uint32_t>* index, uint64_t* ready) const {
    JsonReader reader("workload");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
    if (!reader.ok()) return reader.status();
    const auto at = wanted_.find(meta.Key());
    if (at == wanted_.end()) return absl::OkStatus();
    *index = at->second;
    if (type != EventType::kDeleted) {
      *ready = reader.Count(reader.Object(object, "status"), "readyReplicas")
                   .value_or(0);
    }
    return reader.status();
  }

  absl::flat_hash_map<std::string, uint32_t> wanted_;  // "ns/name"
  std::vector<std::pair<std::string, std::string>> names_;
  std::vector<uint64_t> present_;
  std::vector<uint64_t> staged_;
  std::vector<bool> changed_;
  bool listed_ = false;
};

}  // namespace

std::unique_ptr<Replicas> Replicas::Create() {
  return std::make_unique<ReplicasImpl>();
}

}  // namespace dynweight

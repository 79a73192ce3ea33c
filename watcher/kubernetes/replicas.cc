// Deployments, StatefulSets and Rollouts reduced to their ready replicas.

#include "watcher/kubernetes/replicas.h"

#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_meta.h"
#include "watcher/kubernetes/replica_counts.h"

namespace dynweight {
namespace {

class ReplicasImpl final : public Replicas {
 public:
  explicit ReplicasImpl(Counts what)
      : presence_(what == Counts::kPresence), counts_(presence_) {}

  void Interest(std::string_view ns, std::string_view name) override {
    const bool fresh =
        wanted_.try_emplace(ObjectKey(ns, name), names_.size()).second;
    if (!fresh) return;
    names_.emplace_back(ns, name);
    counts_.Add();
  }

  void BeginList() override { counts_.BeginList(); }

  absl::Status Stage(const cJSON* object) override {
    ReplicaCount count;
    std::optional<size_t> index;
    absl::Status status = Read(EventType::kAdded, object, &index, &count);
    if (status.ok() && index.has_value()) counts_.Stage(*index, count);
    return status;
  }

  void CommitList() override { counts_.CommitList(); }

  absl::Status Apply(EventType type, const cJSON* object) override {
    ReplicaCount count;
    std::optional<size_t> index;
    absl::Status status = Read(type, object, &index, &count);
    if (status.ok() && index.has_value()) counts_.Apply(*index, count);
    return status;
  }

  bool listed() const override { return counts_.listed(); }

  uint64_t Ready(std::string_view ns, std::string_view name) const override {
    const std::optional<size_t> at = Find(ns, name);
    return at.has_value() ? counts_.present(*at).ready : 0;
  }

  std::vector<std::pair<std::string, std::string>> TakeChanged() override {
    std::vector<std::pair<std::string, std::string>> result;
    for (const size_t index : counts_.TakeChanged()) {
      result.push_back(names_[index]);
    }
    return result;
  }

  uint64_t TakeDeparted(std::string_view ns, std::string_view name) override {
    const std::optional<size_t> at = Find(ns, name);
    return at.has_value() ? counts_.TakeDeparted(*at) : 0;
  }

  void Accept(std::string_view ns, std::string_view name) override {
    const std::optional<size_t> at = Find(ns, name);
    if (at.has_value()) counts_.Accept(*at);
  }

  std::string WhyNone(std::string_view ns,
                      std::string_view name) const override {
    const std::optional<size_t> at = Find(ns, name);
    if (!at.has_value() || !listed() || counts_.present(*at).exists) {
      return std::string();
    }
    return absl::StrCat("no object ", std::string(name), " in ",
                        std::string(ns),
                        presence_ ? ": its lines count no pods"
                                  : ": is there one of this name?");
  }

 private:
  std::optional<size_t> Find(std::string_view ns, std::string_view name) const {
    const auto at = wanted_.find(ObjectKey(ns, name));
    if (at == wanted_.end()) return std::nullopt;
    return at->second;
  }

  // `index` stays empty for an object nobody asked for; a deleted one has no
  // ready replicas.
  absl::Status Read(EventType type, const cJSON* object,
                    std::optional<size_t>* index, ReplicaCount* count) const {
    JsonReader reader("workload");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
    if (!reader.ok()) return reader.status();
    const auto at = wanted_.find(meta.Key());
    if (at == wanted_.end()) return absl::OkStatus();
    *index = at->second;
    if (type == EventType::kDeleted) return reader.status();
    count->exists = count->said = true;
    if (presence_) {
      count->ready = count->all = 1;
    } else {
      const cJSON* status = reader.Object(object, "status");
      count->ready = reader.Count(status, "readyReplicas").value_or(0);
      count->all = reader.Count(status, "replicas").value_or(0);
    }
    return reader.status();
  }

  const bool presence_;
  absl::flat_hash_map<std::string, size_t> wanted_;  // "ns/name"
  std::vector<std::pair<std::string, std::string>> names_;
  ReplicaCounts counts_;
};

}  // namespace

std::unique_ptr<Replicas> Replicas::Create(Counts what) {
  return std::make_unique<ReplicasImpl>(what);
}

}  // namespace dynweight

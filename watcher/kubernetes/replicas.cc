// Deployments, StatefulSets and Rollouts reduced to their ready replicas.

#include "watcher/kubernetes/replicas.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_meta.h"

namespace dynweight {
namespace {

class ReplicasImpl final : public Replicas {
 public:
  explicit ReplicasImpl(Counts what) : presence_(what == Counts::kPresence) {}

  void Interest(std::string_view ns, std::string_view name) override {
    const bool fresh =
        wanted_.try_emplace(ObjectKey(ns, name), names_.size()).second;
    if (!fresh) return;
    names_.emplace_back(ns, name);
    present_.emplace_back();
    staged_.emplace_back();
    departures_.emplace_back();
    changed_.push_back(false);
  }

  void BeginList() override { staged_.assign(names_.size(), Seen()); }

  absl::Status Stage(const cJSON* object) override {
    Seen counts;
    std::optional<uint32_t> index;
    absl::Status status = Read(EventType::kAdded, object, &index, &counts);
    if (status.ok() && index.has_value()) staged_[*index] = counts;
    return status;
  }

  void CommitList() override {
    for (uint32_t i = 0; i < names_.size(); i++) {
      if (!listed_ || !(present_[i] == staged_[i])) changed_[i] = true;
      Depart(i, staged_[i], /*by_list=*/true);
    }
    listed_ = true;
    present_ = staged_;
  }

  absl::Status Apply(EventType type, const cJSON* object) override {
    Seen counts;
    std::optional<uint32_t> index;
    absl::Status status = Read(type, object, &index, &counts);
    if (status.ok() && index.has_value() && !(present_[*index] == counts)) {
      Depart(*index, counts, /*by_list=*/false);
      present_[*index] = counts;
      changed_[*index] = true;
    }
    return status;
  }

  bool listed() const override { return listed_; }

  uint64_t Ready(std::string_view ns, std::string_view name) const override {
    const auto at = wanted_.find(ObjectKey(ns, name));
    return at == wanted_.end() || !listed_ ? 0 : present_[at->second].ready;
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

  uint64_t TakeDeparted(std::string_view ns, std::string_view name) override {
    const auto at = wanted_.find(ObjectKey(ns, name));
    if (at == wanted_.end()) return 0;
    return std::exchange(departures_[at->second].departed, 0);
  }

  void Accept(std::string_view ns, std::string_view name) override {
    const auto at = wanted_.find(ObjectKey(ns, name));
    if (at != wanted_.end()) departures_[at->second].lost = 0;
  }

  std::string WhyNone(std::string_view ns,
                      std::string_view name) const override {
    const auto at = wanted_.find(ObjectKey(ns, name));
    if (at == wanted_.end() || !listed_ || present_[at->second].exists) {
      return std::string();
    }
    return absl::StrCat("no object ", std::string(name), " in ",
                        std::string(ns),
                        presence_ ? ": its lines count no pods"
                                  : ": is there one of this name?");
  }

 private:
  struct Seen {
    uint64_t ready = 0;
    uint64_t all = 0;
    bool exists = false;

    friend bool operator==(const Seen& a, const Seen& b) {
      return a.ready == b.ready && a.all == b.all && a.exists == b.exists;
    }
  };

  struct Departures {
    uint64_t departed = 0;
    uint64_t lost = 0;  // ready ones, without a word
  };

  // From what is present to `after`. A deleted object says nothing of its pods:
  // they may have been orphaned.
  void Depart(uint32_t index, const Seen& after, bool by_list) {
    const Seen& before = present_[index];
    Departures* const count = &departures_[index];
    if (after.ready > before.ready) {
      count->lost -= std::min(count->lost, after.ready - before.ready);
    } else {
      count->lost += before.ready - after.ready;
    }
    const bool tells = after.exists || presence_;
    if (by_list || !tells || after.all >= before.all) return;
    const uint64_t meant = std::min(count->lost, before.all - after.all);
    count->departed += meant;
    count->lost -= meant;
  }

  // `index` stays empty for an object nobody asked for; a deleted one has no
  // ready replicas.
  absl::Status Read(EventType type, const cJSON* object,
                    std::optional<uint32_t>* index, Seen* counts) const {
    JsonReader reader("workload");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
    if (!reader.ok()) return reader.status();
    const auto at = wanted_.find(meta.Key());
    if (at == wanted_.end()) return absl::OkStatus();
    *index = at->second;
    if (type == EventType::kDeleted) return reader.status();
    counts->exists = true;
    if (presence_) {
      counts->ready = counts->all = 1;
    } else {
      const cJSON* status = reader.Object(object, "status");
      counts->ready = reader.Count(status, "readyReplicas").value_or(0);
      counts->all = reader.Count(status, "replicas").value_or(0);
    }
    return reader.status();
  }

  const bool presence_;
  absl::flat_hash_map<std::string, uint32_t> wanted_;  // "ns/name"
  std::vector<std::pair<std::string, std::string>> names_;
  std::vector<Seen> present_;
  std::vector<Seen> staged_;
  std::vector<Departures> departures_;
  std::vector<bool> changed_;
  bool listed_ = false;
};

}  // namespace

std::unique_ptr<Replicas> Replicas::Create(Counts what) {
  return std::make_unique<ReplicasImpl>(what);
}

}  // namespace dynweight

// ResourceBindings of a Karmada control plane (work.karmada.io/v1alpha2),
// reduced to what each member cluster says there of an application:
//
//   status.aggregatedStatus[] = {clusterName, applied, health,
//                                status: {replicas, readyReplicas, ...}}
//
// readyReplicas is absent at 0. A member that is absent, or has no status, has
// said nothing: it may have just been chosen, or its Work not been looked at
// since the control plane restarted. spec.clusters[].replicas is only planned.

#ifndef DYNAMIC_WEIGHT_WATCHER_KARMADA_RESOURCE_BINDINGS_H_
#define DYNAMIC_WEIGHT_WATCHER_KARMADA_RESOURCE_BINDINGS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "watcher/kubernetes/object_sink.h"
#include "watcher/kubernetes/replica_counts.h"

namespace dynweight {

// Most members that a binding may name; a longer list is a mistake.
inline constexpr size_t kMaxBindingMembers = 4096;

// The bindings of one list+watch. Only those that were asked for are kept. Not
// thread-safe.
class ResourceBindings : public ObjectSink {
 public:
  // Before the first list: what `member` has of the binding. Gives the index by
  // which it is named below, each time another.
  size_t Interest(std::string_view ns, std::string_view name,
                  std::string_view member);

  void BeginList() override { counts_.BeginList(); }
  // InvalidArgument also where a member stands twice: which is meant is not for
  // us to guess.
  absl::Status Stage(const cJSON* object) override;
  void CommitList() override { counts_.CommitList(); }
  absl::Status Apply(EventType type, const cJSON* object) override;

  bool listed() const { return counts_.listed(); }
  uint64_t Ready(size_t index) const { return counts_.present(index).ready; }
  // Why nothing is known of it, for a person; "" when the member has spoken.
  std::string WhyUnknown(size_t index) const;
  // As ReplicaCounts has them.
  std::vector<size_t> TakeChanged() { return counts_.TakeChanged(); }
  uint64_t TakeDeparted(size_t index) { return counts_.TakeDeparted(index); }
  void Accept(size_t index) { counts_.Accept(index); }

 private:
  // Indices by the member's name.
  using Members = absl::flat_hash_map<std::string, std::vector<size_t>>;
  struct Asked {
    std::string ns, name, member;
  };
  using Counted = std::vector<std::pair<size_t, ReplicaCount>>;

  // What it says of each member that was asked for; nothing of a binding that
  // nobody asked for.
  absl::Status Read(EventType type, const cJSON* object,
                    Counted* counted) const;

  absl::flat_hash_map<std::string, Members> wanted_;  // by "ns/name"
  std::vector<Asked> asked_;                          // by index
  ReplicaCounts counts_{/*absence_says=*/false};
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KARMADA_RESOURCE_BINDINGS_H_

// Cluster objects of a Karmada control plane (cluster.karmada.io/v1alpha1),
// reduced to whether it hears the member. What it has of a member that it does
// not hear, the status in each ResourceBinding among it, stays as it was,
// without a time; only the condition Ready of the Cluster object shows it,
// some 70 seconds later.

#ifndef DYNAMIC_WEIGHT_WATCHER_KARMADA_MEMBER_CLUSTERS_H_
#define DYNAMIC_WEIGHT_WATCHER_KARMADA_MEMBER_CLUSTERS_H_

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "watcher/kubernetes/object_sink.h"

namespace dynweight {

// Only the members that were asked for are kept. Not thread-safe.
class MemberClusters : public ObjectSink {
 public:
  // Before the first list.
  void Interest(std::string_view name) { members_[std::string(name)]; }

  void BeginList() override;
  absl::Status Stage(const cJSON* object) override;
  void CommitList() override;
  absl::Status Apply(EventType type, const cJSON* object) override;

  bool listed() const { return listed_; }
  // Why what is said of the member is not to be relied on, for a person; ""
  // when it is ready. Of members that were asked for, after the first list.
  const std::string& WhyNotReady(std::string_view name) const;

 private:
  struct Member {
    std::string present = {};  // why it is not ready; "": it is
    std::string staged = {};
  };

  // The member that the object is of, nullptr when nobody asked for it, and why
  // it is not ready.
  absl::Status Read(EventType type, const cJSON* object, Member** member,
                    std::string* why);

  std::map<std::string, Member, std::less<>> members_;
  bool listed_ = false;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KARMADA_MEMBER_CLUSTERS_H_

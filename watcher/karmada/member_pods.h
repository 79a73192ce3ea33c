// The pods of the bindings that a member cluster is counted by, as a source of
// the cluster that it is.

#ifndef DYNAMIC_WEIGHT_WATCHER_KARMADA_MEMBER_PODS_H_
#define DYNAMIC_WEIGHT_WATCHER_KARMADA_MEMBER_PODS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "watcher/discovery/discovery.h"
#include "watcher/karmada/member_clusters.h"
#include "watcher/karmada/resource_bindings.h"

namespace dynweight {

// What a control plane has said until now, and how it goes.
struct KarmadaState {
  std::string control_plane;  // the name of its block
  bool watch = true;
  ResourceBindings bindings;
  MemberClusters clusters;
  absl::Status bindings_error;  // OK: they can be read
  absl::Status clusters_error;
  std::string resource_version;  // of the bindings

  bool listed() const { return bindings.listed() && clusters.listed(); }
};

// One member, of which it has these bindings, by their index in the state.
struct MemberOfKarmada {
  std::string name;
  std::vector<std::string> sources;  // PodSource::Key()
  std::vector<size_t> bindings;      // of each source; ascending
};

class MemberPods;

// Whom all members are behind. Outlives them.
class MemberPodsOwner {
 public:
  virtual ~MemberPodsOwner() = default;
  virtual KarmadaState* state() = 0;
  virtual void Join(MemberPods* member) = 0;
  virtual void Leave(MemberPods* member) = 0;
  // As Discovery has them, of the bindings.
  virtual void RequestConfirmation(int64_t now_ms) = 0;
  virtual void WithdrawConfirmation() = 0;
};

// Not thread-safe.
class MemberPods : public Discovery {
 public:
  MemberPods(std::shared_ptr<MemberPodsOwner> owner, MemberOfKarmada member,
             DiscoveryDelegate* delegate);
  ~MemberPods() override { owner_->Leave(this); }

  std::string name() const override;
  const std::vector<Quantity>& quantities() const override {
    return quantities_;
  }
  bool pushes() const override { return state().watch; }
  void Start(int64_t now_ms) override;
  int64_t DeadlineMs() const override { return INT64_MAX; }
  void Tick(int64_t /*now_ms*/) override {}
  void RequestConfirmation(int64_t now_ms) override;
  void WithdrawConfirmation() override;
  // Of a member that was never heard nothing is known.
  bool listed() const override { return heard_; }
  std::vector<size_t> TakeChanged() override;
  Observation Observe(size_t quantity) override;
  std::string WhyUncertain(size_t quantity) const override;
  void Accept(size_t quantity) override;
  std::string WhyNone(size_t /*quantity*/) const override { return {}; }
  const DiscoveryStats& stats() const override { return stats_; }

  // The owner says what has happened, once the state has it. These bindings
  // have changed, of whatever member; OnBindingsList() or OnEvent() follows.
  void OnBindings(const std::vector<size_t>& bindings);
  void OnBindingsList(std::optional<int64_t> asked_ms);
  void OnEvent();
  // Anything of the Cluster objects, or whether they can be read.
  void OnClusters();
  // One of the two can't be read; the bindings can.
  void OnError(const absl::Status& error);
  void OnBindingsHealthy();
  bool waits_for_list() const { return wanted_ms_.has_value(); }

 private:
  KarmadaState& state() const { return *owner_->state(); }
  std::string WhySilent() const;
  bool Silent();
  void FallBehind();
  bool CatchUp();
  void TellHealthy();

  const std::shared_ptr<MemberPodsOwner> owner_;
  const MemberOfKarmada member_;
  DiscoveryDelegate* const delegate_;
  std::vector<Quantity> quantities_;
  std::vector<size_t> changed_;  // quantities
  bool started_ = false;
  bool heard_ = false;
  bool behind_ = true;                // there is what was not told
  std::string told_;                  // why it is silent, as it was told last
  std::optional<int64_t> wanted_ms_;  // a list that was asked for
  DiscoveryStats stats_;              // requests are the control plane's
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KARMADA_MEMBER_PODS_H_

// See control_plane.h.

#include "watcher/karmada/control_plane.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "watcher/karmada/followed_collection.h"
#include "watcher/karmada/member_pods.h"
#include "watcher/kubernetes/subscriptions.h"

namespace dynweight {
namespace {

constexpr char kClustersPath[] = "/apis/cluster.karmada.io/v1alpha1/clusters";
// A Cluster is 10 kB and more, most of it the APIs that it serves.
constexpr uint32_t kClustersPage = 250;

class ControlPlaneImpl : public ControlPlane,
                         public MemberPodsOwner,
                         public std::enable_shared_from_this<ControlPlaneImpl> {
 public:
  ControlPlaneImpl(const KarmadaSources& sources,
                   ReflectorFactory create_reflector);

  std::vector<DiscoveryMaker> Sources() override;
  std::vector<DiscoveryMaker> SourcesOf(uint32_t cluster) override;

  KarmadaState* state() override { return &state_; }
  void Join(MemberPods* member) override { joined_.push_back(member); }
  void Leave(MemberPods* member) override {
    joined_.erase(std::remove(joined_.begin(), joined_.end(), member),
                  joined_.end());
  }
  void RequestConfirmation(int64_t now_ms) override {
    if (bindings_ != nullptr) bindings_->RequestConfirmation(now_ms);
  }
  void WithdrawConfirmation() override;

 private:
  // A collection that this points to for as long as it lives.
  class Bindings;

  CollectionListener OfBindings();
  CollectionListener OfClusters();
  void TakeBindings();
  template <typename Tell>
  void TellAll(Tell&& tell) {
    for (MemberPods* member : joined_) tell(member);
  }

  KarmadaState state_;
  const ReflectorFactory create_reflector_;
  ReflectorOptions bindings_options_;
  ReflectorOptions clusters_options_;
  std::map<uint32_t, MemberOfKarmada> members_;  // by cluster
  std::vector<MemberPods*> joined_;
  Discovery* bindings_ = nullptr;
};

class ControlPlaneImpl::Bindings : public FollowedCollection {
 public:
  Bindings(const std::shared_ptr<ControlPlaneImpl>& plane,
           dynweight::DiscoveryDelegate* delegate)
      : FollowedCollection(plane, plane->bindings_options_,
                           &plane->state_.bindings, plane->OfBindings(),
                           plane->create_reflector_, delegate),
        plane_(plane.get()) {
    plane_->bindings_ = this;
  }
  ~Bindings() override { plane_->bindings_ = nullptr; }

 private:
  ControlPlaneImpl* const plane_;
};

ControlPlaneImpl::ControlPlaneImpl(const KarmadaSources& sources,
                                   ReflectorFactory create_reflector)
    : create_reflector_(std::move(create_reflector)) {
  state_.control_plane = sources.control_plane;
  state_.watch = sources.options.watch;
  KubernetesSources bindings;
  bindings.options = sources.options;
  for (const KarmadaMember& member : sources.members) {
    MemberOfKarmada& known = members_[member.cluster];
    known.name = member.name;
    for (const PodSource& binding : member.bindings) {
      known.sources.push_back(binding.Key());
      known.bindings.push_back(
          state_.bindings.Interest(binding.ns, binding.name, member.name));
      bindings.pods.push_back(binding);
    }
    state_.clusters.Interest(member.name);
  }
  bindings_options_ = PlanSubscriptions(bindings).front().options;
  clusters_options_ = sources.options;
  clusters_options_.path = kClustersPath;
  clusters_options_.page_limit = kClustersPage;
}

std::vector<DiscoveryMaker> ControlPlaneImpl::Sources() {
  const std::shared_ptr<ControlPlaneImpl> self = shared_from_this();
  return {[self](DiscoveryDelegate* delegate) {
            return std::make_unique<Bindings>(self, delegate);
          },
          [self](DiscoveryDelegate* delegate) {
            return std::make_unique<FollowedCollection>(
                self, self->clusters_options_, &self->state_.clusters,
                self->OfClusters(), self->create_reflector_, delegate);
          }};
}

std::vector<DiscoveryMaker> ControlPlaneImpl::SourcesOf(uint32_t cluster) {
  const auto member = members_.find(cluster);
  if (member == members_.end()) return {};
  return {[self = shared_from_this(),
           member = member->second](DiscoveryDelegate* delegate) {
    return std::make_unique<MemberPods>(self, member, delegate);
  }};
}

void ControlPlaneImpl::WithdrawConfirmation() {
  const bool wanted = std::any_of(
      joined_.begin(), joined_.end(),
      [](const MemberPods* member) { return member->waits_for_list(); });
  if (!wanted && bindings_ != nullptr) bindings_->WithdrawConfirmation();
}

// Whose they are they know.
void ControlPlaneImpl::TakeBindings() {
  std::vector<size_t> changed = state_.bindings.TakeChanged();
  if (bindings_ != nullptr) {
    state_.resource_version = bindings_->stats().resource_version;
  }
  TellAll([&changed](MemberPods* member) { member->OnBindings(changed); });
}

CollectionListener ControlPlaneImpl::OfBindings() {
  CollectionListener listener;
  listener.on_list = [this](std::optional<int64_t> asked_ms) {
    TakeBindings();
    TellAll([=](MemberPods* member) { member->OnBindingsList(asked_ms); });
  };
  listener.on_event = [this] {
    TakeBindings();
    TellAll([](MemberPods* member) { member->OnEvent(); });
  };
  listener.on_healthy = [this] {
    state_.bindings_error = absl::OkStatus();
    TellAll([](MemberPods* member) { member->OnBindingsHealthy(); });
  };
  listener.on_error = [this](const absl::Status& error) {
    state_.bindings_error = error;
    TellAll([&error](MemberPods* member) { member->OnError(error); });
  };
  return listener;
}

// Whatever comes of them, it says that they can be read.
CollectionListener ControlPlaneImpl::OfClusters() {
  const auto heard = [this] {
    state_.clusters_error = absl::OkStatus();
    TellAll([](MemberPods* member) { member->OnClusters(); });
  };
  CollectionListener listener;
  listener.on_list = [heard](std::optional<int64_t>) { heard(); };
  listener.on_event = heard;
  listener.on_healthy = heard;
  listener.on_error = [this](const absl::Status& error) {
    state_.clusters_error = error;
    TellAll([&error](MemberPods* member) { member->OnError(error); });
  };
  return listener;
}

}  // namespace

std::shared_ptr<ControlPlane> ControlPlane::Create(
    const KarmadaSources& sources, const ReflectorFactory& create_reflector) {
  if (sources.members.empty()) return nullptr;
  return std::make_shared<ControlPlaneImpl>(sources, create_reflector);
}

}  // namespace dynweight

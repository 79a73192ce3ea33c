// See kubernetes_discovery.h.

#include "watcher/kubernetes/kubernetes_discovery.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_counter.h"

namespace dynweight {
namespace {

// A subscription at work: its reflector, and what is read of the objects.
class KubernetesDiscovery : public Discovery {
 public:
  KubernetesDiscovery(Subscription subscription, NodeAddressType address_type,
                      const ReflectorFactory& create_reflector,
                      DiscoveryDelegate* delegate)
      : subscription_(std::move(subscription)),
        address_type_(address_type),
        create_reflector_(create_reflector),
        counter_(ObjectCounter::Create(subscription_, address_type)) {
    const auto& interests = subscription_.interests;
    of_interest_.resize(interests.size());
    for (size_t i = 0; i < interests.size(); ++i) {
      if (!interests[i].pod_source.empty()) {
        const bool presence =
            subscription_.kind->sink == KubernetesKind::Sink::kPresence;
        Add(i, {presence ? Quantity::Kind::kObjects : Quantity::Kind::kPods,
                interests[i].pod_source});
      }
      if (interests[i].nodes) Add(i, {Quantity::Kind::kIngressNodes, ""});
      for (const PortChoice& port : interests[i].instances) {
        const InstanceSource source = {interests[i].ns, interests[i].name,
                                       port};
        ports_[quantities_.size()] = port;
        Add(i, {Quantity::Kind::kInstances, source.Key()});
      }
    }
    departed_.resize(quantities_.size());
    reflector_ =
        create_reflector_(subscription_.options, counter_->sink(), delegate);
  }

  // The path, and the selector where there is one.
  std::string name() const override {
    const ReflectorOptions& options = subscription_.options;
    const bool all =
        options.label_selector.empty() && options.field_selector.empty();
    return absl::StrCat(options.path, all ? "" : "?", options.label_selector,
                        options.field_selector);
  }
  const std::vector<Quantity>& quantities() const override {
    return quantities_;
  }
  bool pushes() const override { return subscription_.options.watch; }

  void Start(int64_t now_ms) override { reflector_->Start(now_ms); }
  int64_t DeadlineMs() const override { return reflector_->Deadline(); }
  void Tick(int64_t now_ms) override { reflector_->Tick(now_ms); }
  void RequestConfirmation(int64_t now_ms) override {
    reflector_->RequestFreshList(now_ms);
  }
  void Retry(int64_t now_ms) override { reflector_->Retry(now_ms); }
  void WithdrawConfirmation() override { reflector_->WithdrawList(); }

  bool listed() const override { return counter_->listed(); }
  std::vector<size_t> TakeChanged() override {
    std::vector<size_t> changed;
    for (const size_t interest : counter_->TakeChanged()) {
      const Departed departed = counter_->TakeDeparted(interest);
      for (const size_t quantity : of_interest_[interest]) {
        departed_[quantity] = departed;
        TakeInstances(quantity);
        changed.push_back(quantity);
      }
    }
    return changed;
  }
  Observation Observe(size_t quantity) override {
    const size_t interest = interest_of_[quantity];
    Observation observation;
    switch (quantities_[quantity].kind) {
      case Quantity::Kind::kPods:
      case Quantity::Kind::kObjects:
        observation.pods = counter_->Pods(interest);
        break;
      case Quantity::Kind::kIngressNodes:
        observation.nodes = counter_->Nodes(interest);
        observation.unready_nodes = counter_->UnreadyNodes(interest);
        break;
      case Quantity::Kind::kInstances:
        observation.instances =
            counter_->Instances(interest, ports_.at(quantity)).instances;
        break;
    }
    observation.departed = std::exchange(departed_[quantity], {});
    return observation;
  }
  void Accept(size_t quantity) override {
    counter_->Accept(interest_of_[quantity]);
  }
  std::string WhyUncertain(size_t quantity) const override {
    const auto it = no_port_.find(quantity);
    return it == no_port_.end() ? std::string() : it->second;
  }
  std::string WhyNone(size_t quantity) const override {
    return counter_->WhyNone(
        interest_of_[quantity],
        quantities_[quantity].kind == Quantity::Kind::kIngressNodes ||
            quantities_[quantity].kind == Quantity::Kind::kInstances);
  }

  const DiscoveryStats& stats() const override { return reflector_->stats(); }
  // By namespace.
  std::vector<DiscoveryMaker> Split() const override;

 private:
  void Add(size_t interest, Quantity quantity) {
    of_interest_[interest].push_back(quantities_.size());
    interest_of_.push_back(interest);
    quantities_.push_back(std::move(quantity));
  }

  // Where no port is found nobody knows where the instances are.
  void TakeInstances(size_t quantity) {
    const auto port = ports_.find(quantity);
    if (port == ports_.end()) return;
    std::string why =
        counter_->Instances(interest_of_[quantity], port->second).no_port;
    if (why.empty()) {
      no_port_.erase(quantity);
    } else {
      no_port_[quantity] = std::move(why);
    }
  }

  const Subscription subscription_;
  const NodeAddressType address_type_;
  const ReflectorFactory create_reflector_;
  const std::unique_ptr<ObjectCounter> counter_;
  std::vector<Quantity> quantities_;
  std::vector<size_t> interest_of_;               // by quantity
  std::vector<std::vector<size_t>> of_interest_;  // quantities
  std::vector<Departed> departed_;  // by quantity; since it was observed last
  // By quantity, of instances.
  std::map<size_t, PortChoice> ports_;
  std::map<size_t, std::string> no_port_;  // why; those that are uncertain
  std::unique_ptr<Reflector> reflector_;   // last: it points to all above
};

DiscoveryMaker Maker(Subscription subscription, NodeAddressType address_type,
                     ReflectorFactory create_reflector) {
  return [subscription = std::move(subscription), address_type,
          create_reflector =
              std::move(create_reflector)](DiscoveryDelegate* delegate) {
    return std::make_unique<KubernetesDiscovery>(subscription, address_type,
                                                 create_reflector, delegate);
  };
}

std::vector<DiscoveryMaker> KubernetesDiscovery::Split() const {
  std::vector<DiscoveryMaker> parts;
  for (Subscription& part : SplitByNamespace(subscription_)) {
    parts.push_back(Maker(std::move(part), address_type_, create_reflector_));
  }
  return parts;
}

}  // namespace

std::vector<DiscoveryMaker> KubernetesDiscoveries(
    const KubernetesSources& sources,
    const ReflectorFactory& create_reflector) {
  std::vector<DiscoveryMaker> makers;
  for (Subscription& subscription : PlanSubscriptions(sources)) {
    makers.push_back(Maker(std::move(subscription), sources.nodes.address_type,
                           create_reflector));
  }
  return makers;
}

}  // namespace dynweight

// See object_counter.h.

#include "watcher/kubernetes/object_counter.h"

#include <map>
#include <string>
#include <type_traits>
#include <utility>

#include "watcher/kubernetes/endpoint_slices.h"
#include "watcher/kubernetes/nodes.h"
#include "watcher/kubernetes/pods.h"
#include "watcher/kubernetes/replicas.h"

namespace dynweight {
namespace {

// Sinks that follow many objects, each by namespace and name.
template <typename Sink>
class NamedTally : public ObjectCounter {
 public:
  NamedTally(const Subscription& subscription, std::unique_ptr<Sink> sink)
      : wants_(subscription.interests), sink_(std::move(sink)) {
    for (size_t i = 0; i < wants_.size(); ++i) {
      sink_->Interest(wants_[i].ns, wants_[i].name);
      index_[{wants_[i].ns, wants_[i].name}] = i;
    }
  }

  ObjectSink* sink() override { return sink_.get(); }
  bool listed() const override { return sink_->listed(); }
  uint64_t Pods(size_t interest) const override {
    return sink_->Ready(wants_[interest].ns, wants_[interest].name);
  }
  std::vector<IngressNode> Nodes(size_t interest) const override {
    if constexpr (std::is_same_v<Sink, EndpointSlices>) {
      return sink_->Addresses(wants_[interest].ns, wants_[interest].name);
    } else {
      return {};
    }
  }
  SliceInstances Instances(size_t interest,
                           const PortChoice& port) const override {
    if constexpr (std::is_same_v<Sink, EndpointSlices>) {
      return sink_->Instances(wants_[interest].ns, wants_[interest].name, port);
    } else {
      return {};
    }
  }
  std::vector<IngressNode> UnreadyNodes(size_t interest) const override {
    if constexpr (std::is_same_v<Sink, EndpointSlices>) {
      return sink_->Unready(wants_[interest].ns, wants_[interest].name);
    } else {
      return {};
    }
  }
  Departed TakeDeparted(size_t interest) override {
    if constexpr (std::is_same_v<Sink, EndpointSlices>) {
      return sink_->TakeDeparted(wants_[interest].ns, wants_[interest].name);
    } else {
      Departed departed;
      departed.count =
          sink_->TakeDeparted(wants_[interest].ns, wants_[interest].name);
      return departed;
    }
  }
  void Accept(size_t interest) override {
    sink_->Accept(wants_[interest].ns, wants_[interest].name);
  }
  // An application without a ready endpoint may be scaled to zero.
  std::string WhyNone(size_t interest, bool nodes) const override {
    std::string why =
        sink_->WhyNone(wants_[interest].ns, wants_[interest].name);
    return why.empty() && nodes ? "no endpoint is ready" : why;
  }
  std::vector<size_t> TakeChanged() override {
    std::vector<size_t> changed;
    for (const auto& id : sink_->TakeChanged()) {
      const auto it = index_.find(id);
      if (it != index_.end()) changed.push_back(it->second);
    }
    return changed;
  }

 private:
  std::vector<Subscription::Interest> wants_;
  std::unique_ptr<Sink> sink_;
  std::map<std::pair<std::string, std::string>, size_t> index_;
};

// Sinks whose one interest is everything that the selector matches.
template <typename Sink>
class SelectedTally : public ObjectCounter {
 public:
  explicit SelectedTally(std::unique_ptr<Sink> sink) : sink_(std::move(sink)) {}

  ObjectSink* sink() override { return sink_.get(); }
  bool listed() const override { return sink_->listed(); }
  uint64_t Pods(size_t) const override {
    if constexpr (std::is_same_v<Sink, dynweight::Pods>) {
      return sink_->Ready();
    } else {
      return 0;
    }
  }
  std::vector<IngressNode> Nodes(size_t) const override {
    if constexpr (std::is_same_v<Sink, dynweight::Pods>) {
      return sink_->Hosts();
    } else {
      return sink_->Live();
    }
  }
  SliceInstances Instances(size_t, const PortChoice&) const override {
    return {};
  }
  std::vector<IngressNode> UnreadyNodes(size_t) const override {
    if constexpr (std::is_same_v<Sink, dynweight::Pods>) {
      return sink_->UnreadyHosts();
    } else {
      return sink_->Unready();
    }
  }
  Departed TakeDeparted(size_t) override {
    if constexpr (std::is_same_v<Sink, dynweight::Pods>) {
      return sink_->TakeDeparted();
    } else {
      return {};
    }
  }
  void Accept(size_t) override {
    if constexpr (std::is_same_v<Sink, dynweight::Pods>) sink_->Accept();
  }
  // An application whose pods are not ready is no mistake.
  std::string WhyNone(size_t, bool nodes) const override {
    if (!nodes && sink_->matched() != 0) return std::string();
    return sink_->WhyNone();
  }
  std::vector<size_t> TakeChanged() override {
    return sink_->TakeChanged() ? std::vector<size_t>{0}
                                : std::vector<size_t>{};
  }

 private:
  std::unique_ptr<Sink> sink_;
};

}  // namespace

std::unique_ptr<ObjectCounter> ObjectCounter::Create(
    const Subscription& subscription, NodeAddressType address_type) {
  using Sink = KubernetesKind::Sink;
  switch (subscription.kind->sink) {
    case Sink::kEndpointSlices:
      return std::make_unique<NamedTally<EndpointSlices>>(
          subscription, EndpointSlices::Create());
    case Sink::kPods:
      return std::make_unique<SelectedTally<dynweight::Pods>>(
          dynweight::Pods::Create());
    case Sink::kNodes:
      return std::make_unique<SelectedTally<dynweight::Nodes>>(
          dynweight::Nodes::Create(address_type));
    case Sink::kReplicas:
      return std::make_unique<NamedTally<Replicas>>(subscription,
                                                    Replicas::Create());
    case Sink::kPresence:
      return std::make_unique<NamedTally<Replicas>>(
          subscription, Replicas::Create(Replicas::Counts::kPresence));
    case Sink::kBindings:
      break;  // they are of several clusters: watcher/karmada
  }
  return nullptr;
}

}  // namespace dynweight

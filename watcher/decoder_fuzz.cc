// libFuzzer target: whatever a cluster or a state file may hold, the decoders
// neither crash nor contradict themselves.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "watcher/karmada/member_clusters.h"
#include "watcher/karmada/resource_bindings.h"
#include "watcher/kubernetes/endpoint_slices.h"
#include "watcher/kubernetes/nodes.h"
#include "watcher/kubernetes/pods.h"
#include "watcher/kubernetes/replicas.h"
#include "watcher/state/cluster_view_json.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

// As a list and as each kind of event: what cannot be listed cannot be added.
void FeedSink(ObjectSink* sink, const cJSON* object) {
  using EventType = ObjectSink::EventType;
  sink->BeginList();
  const bool listed = sink->Stage(object).ok();
  sink->CommitList();
  Check(sink->Apply(EventType::kAdded, object).ok() == listed);
  Check(sink->Apply(EventType::kModified, object).ok() == listed);
}

void CheckSorted(const std::vector<IngressNode>& nodes) {
  for (size_t i = 0; i < nodes.size(); i++) {
    Check(nodes[i].address.family != IpAddress::kNone);
    Check(i == 0 || nodes[i - 1].address < nodes[i].address);
  }
}

void FeedEndpointSlices(const cJSON* object) {
  const std::unique_ptr<EndpointSlices> slices = EndpointSlices::Create();
  slices->Interest("prod", "orders");
  FeedSink(slices.get(), object);
  const std::vector<IngressNode> nodes = slices->Addresses("prod", "orders");
  CheckSorted(nodes);
  Check(nodes.size() <= slices->Ready("prod", "orders"));
  const std::vector<Instance> instances =
      slices->Instances("prod", "orders", PortChoice()).instances;
  for (size_t i = 0; i < instances.size(); ++i) {
    Check(instances[i].port != 0);
    Check(i == 0 || instances[i - 1] < instances[i]);
  }
  if (slices->Apply(ObjectSink::EventType::kDeleted, object).ok()) {
    Check(slices->Ready("prod", "orders") == 0);
    Check(slices->Instances("prod", "orders", PortChoice()).instances.empty());
  }
}

void FeedNodes(const cJSON* object) {
  const std::unique_ptr<Nodes> nodes =
      Nodes::Create(NodeAddressType::kInternalIp);
  FeedSink(nodes.get(), object);
  CheckSorted(nodes->Live());
  if (nodes->Apply(ObjectSink::EventType::kDeleted, object).ok()) {
    Check(nodes->Live().empty());
  }
}

void FeedPods(const cJSON* object) {
  const std::unique_ptr<Pods> pods = Pods::Create();
  FeedSink(pods.get(), object);
  CheckSorted(pods->Hosts());
  if (pods->Apply(ObjectSink::EventType::kDeleted, object).ok()) {
    Check(pods->Ready() == 0);
  }
}

void FeedReplicas(const cJSON* object) {
  const std::unique_ptr<Replicas> replicas = Replicas::Create();
  replicas->Interest("prod", "orders");
  FeedSink(replicas.get(), object);
  if (replicas->Apply(ObjectSink::EventType::kDeleted, object).ok()) {
    Check(replicas->Ready("prod", "orders") == 0);
  }
}

void FeedBindings(const cJSON* object) {
  ResourceBindings bindings;
  const size_t bj = bindings.Interest("prod", "orders", "bj");
  const size_t sh = bindings.Interest("prod", "orders", "sh");
  FeedSink(&bindings, object);
  for (const size_t member : {bj, sh}) {
    Check(bindings.Ready(member) == 0 || bindings.WhyUnknown(member).empty());
  }
  if (bindings.Apply(ObjectSink::EventType::kDeleted, object).ok()) {
    Check(!bindings.WhyUnknown(bj).empty());
  }
}

void FeedMembers(const cJSON* object) {
  MemberClusters clusters;
  clusters.Interest("bj");
  FeedSink(&clusters, object);
  Check(clusters.WhyNotReady("bj").size() < 1024);
  if (clusters.Apply(ObjectSink::EventType::kDeleted, object).ok()) {
    Check(!clusters.WhyNotReady("bj").empty());
  }
}

// What was read can be written and read. Writing mends invalid UTF-8, by which
// two names may become one; from then on nothing changes any more.
void FeedView(std::string_view text) {
  const absl::StatusOr<ClusterView> view = DecodeClusterView(text);
  if (!view.ok()) return;
  const absl::StatusOr<ClusterView> mended =
      DecodeClusterView(EncodeClusterView(*view, ViewRoom::Of(kMaxViewNodes)));
  Check(mended.ok());
  const std::string written =
      EncodeClusterView(*mended, ViewRoom::Of(kMaxViewNodes));
  const absl::StatusOr<ClusterView> again = DecodeClusterView(written);
  Check(again.ok());
  Check(EncodeClusterView(*again, ViewRoom::Of(kMaxViewNodes)) == written);
}

}  // namespace
}  // namespace dynweight

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  dynweight::FeedView(text);
  const absl::StatusOr<dynweight::JsonDocument> document =
      dynweight::ParseJson(text);
  if (!document.ok()) return 0;
  dynweight::FeedEndpointSlices(document->get());
  dynweight::FeedNodes(document->get());
  dynweight::FeedPods(document->get());
  dynweight::FeedReplicas(document->get());
  dynweight::FeedBindings(document->get());
  dynweight::FeedMembers(document->get());
  return 0;
}

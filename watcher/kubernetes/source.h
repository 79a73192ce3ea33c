// Where a number of pods, instances or a set of ingress nodes is read from, as
// the configuration spells it: `service=prod/orders`, `nodes=role=ingress`, ...

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_SOURCE_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_SOURCE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/kubernetes/kinds.h"
#include "watcher/kubernetes/node_address_type.h"
#include "weightcalc/ip_address.h"

namespace dynweight {

// Where an application's ready pods are counted: the SOURCE of an upstream's
// `ingress_nodes` line.
struct PodSource {
  const KubernetesKind* kind = FindKubernetesKind("service");
  std::string ns;    // namespace
  std::string name;  // object name, or the selector of pods

  // As the configuration spells it: "service=prod/orders". Identifies the
  // source within a cluster, in views, state files and logs.
  std::string Key() const;

  // The object without which a line counts no pods: "ingress=NAMESPACE/NAME".
  // As Parse().
  static absl::StatusOr<PodSource> ParseIngress(std::string_view text);

  // Whether the text begins with the word of a source and "=".
  static bool Begins(std::string_view text);

  // Reads "kind=ns/name". InvalidArgument says what is wrong and what to
  // write instead; names are checked by the rules of Kubernetes (RFC 1123
  // labels and subdomains, label selectors).
  static absl::StatusOr<PodSource> Parse(std::string_view text);

  friend bool operator==(const PodSource& a, const PodSource& b) {
    return a.kind == b.kind && a.ns == b.ns && a.name == b.name;
  }
};

// Which of an endpoint's ports its peer has. Neither: its only one.
struct PortChoice {
  std::string name;     // as its EndpointSlice calls it
  uint16_t number = 0;  // whatever its EndpointSlice says

  friend bool operator==(const PortChoice& a, const PortChoice& b) {
    return a.name == b.name && a.number == b.number;
  }
};

// The endpoints of a Service: the SOURCE of an upstream's `instances` line.
struct InstanceSource {
  std::string ns;
  std::string service;
  PortChoice port;

  // As the configuration spells it: "service=prod/orders port=http". Identifies
  // the source within a cluster; Parse() of its words gives the source again.
  std::string Key() const;

  // Reads "service=NAMESPACE/NAME" and "port=NUMBER|NAME", in any order.
  // InvalidArgument says what is wrong and what to write instead.
  static absl::StatusOr<InstanceSource> Parse(
      const std::vector<std::string_view>& words);
};

// Where a cluster's live ingress nodes are found: `ingress_nodes` inside
// `dynamic_weight_cluster`.
struct NodeSource {
  enum class Kind : uint8_t {
    kNone,       // not configured yet
    kService,    // EndpointSlices of the controller's Service
    kPods,       // distinct host IPs of the controller's ready pods
    kNodes,      // Node objects by label selector
    kAddresses,  // a fixed list
  };

  Kind kind = Kind::kNone;
  std::string ns;    // kService, kPods
  std::string name;  // object name or selector
  NodeAddressType address_type = NodeAddressType::kInternalIp;  // kNodes
  std::vector<IpAddress> addresses;  // kAddresses, sorted, distinct

  std::string Key() const;

  // Reads the directive's arguments: "service=ns/name", "pods=ns/selector",
  // "nodes=selector" with an optional "address=ExternalIP", "addresses=a,b".
  static absl::StatusOr<NodeSource> Parse(
      const std::vector<std::string_view>& arguments);
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_SOURCE_H_

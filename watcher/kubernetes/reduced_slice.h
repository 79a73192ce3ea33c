// One EndpointSlice reduced to what its endpoints are: taking traffic, about to
// go, or neither.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REDUCED_SLICE_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REDUCED_SLICE_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "watcher/text/json_value.h"
#include "weightcalc/ip_address.h"

namespace dynweight {

// Who an endpoint is: two independent hashes of its uid or address. Only the
// cluster that chose the uids could make two collide, and only its own count
// would suffer.
using EndpointId = std::array<uint64_t, 2>;

enum class EndpointState : uint8_t {
  kReady,
  kServingTerminating,
  kNotReady,  // takes no traffic
};

struct ReducedEndpoint {
  EndpointId id;
  uint32_t name_offset;  // of its node's name in ReducedSlice::names; its pod's
                         // stands behind that
  IpAddress address;     // kNone: not one that a peer can have
  uint8_t name_length;
  uint8_t pod_length;
  uint16_t ports;  // which of ReducedSlice::ports are its
  EndpointState state;
  bool terminating;  // its owner means it to go
  bool by_address;   // `id` is: it has no uid

  friend bool operator==(const ReducedEndpoint& a, const ReducedEndpoint& b) {
    return a.id == b.id && a.name_offset == b.name_offset &&
           a.address == b.address && a.name_length == b.name_length &&
           a.pod_length == b.pod_length && a.ports == b.ports &&
           a.state == b.state && a.terminating == b.terminating &&
           a.by_address == b.by_address;
  }
};

static_assert(sizeof(ReducedEndpoint) <= 48,
              "10,000 endpoints should cost 1 MB");

// Ports for TCP, by their names; a single one may have none.
struct ReducedPort {
  std::string name;
  uint16_t number;

  friend bool operator==(const ReducedPort& a, const ReducedPort& b) {
    return a.name == b.name && a.number == b.number;
  }
};
using ReducedPorts = std::vector<ReducedPort>;

struct ReducedSlice {
  bool foreign = false;  // another cluster's pods; it has no endpoints here
  std::vector<ReducedEndpoint> endpoints;
  std::string names;
  // One for all endpoints; where it was an Endpoints object, one a subset.
  std::vector<ReducedPorts> ports;

  std::string_view node_name(const ReducedEndpoint& endpoint) const {
    return std::string_view(names).substr(endpoint.name_offset,
                                          endpoint.name_length);
  }
  std::string_view pod_name(const ReducedEndpoint& endpoint) const {
    return std::string_view(names).substr(
        endpoint.name_offset + endpoint.name_length, endpoint.pod_length);
  }
  friend bool operator==(const ReducedSlice& a, const ReducedSlice& b) {
    return a.foreign == b.foreign && a.endpoints == b.endpoints &&
           a.names == b.names && a.ports == b.ports;
  }
};

// Reads an EndpointSlice object; none of its endpoints when it is of an
// addressType other than IPv4 and IPv6, or when a multi-cluster controller put
// it there for the pods of another cluster: they count where they run.
// Mistakes are the reader's.
// Of v1beta1 the node's name stands in the endpoint's topology.
ReducedSlice ReduceSlice(const cJSON* object, JsonReader* reader);

// Reads an Endpoints object as the slice it would have made: all
// addresses, of either family. It has no `serving` and no `terminating`.
ReducedSlice ReduceEndpoints(const cJSON* object, JsonReader* reader);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REDUCED_SLICE_H_

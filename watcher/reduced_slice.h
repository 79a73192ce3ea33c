// One EndpointSlice reduced to the endpoints that take traffic.

#ifndef DYNAMIC_WEIGHT_WATCHER_REDUCED_SLICE_H_
#define DYNAMIC_WEIGHT_WATCHER_REDUCED_SLICE_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "watcher/json_value.h"
#include "weightcalc/ip_address.h"

namespace dynweight {

// Who an endpoint is: two independent hashes of its uid or address. Only the
// cluster that chose the uids could make two collide, and only its own count
// would suffer.
using EndpointId = std::array<uint64_t, 2>;

enum class EndpointState : uint8_t { kReady, kServingTerminating };

struct ReducedEndpoint {
  EndpointId id;
  uint32_t name_offset;  // of its node's name in ReducedSlice::node_names
  IpAddress address;     // kNone: not one that a peer can have
  uint8_t name_length;
  EndpointState state;

  friend bool operator==(const ReducedEndpoint& a, const ReducedEndpoint& b) {
    return a.id == b.id && a.name_offset == b.name_offset &&
           a.address == b.address && a.name_length == b.name_length &&
           a.state == b.state;
  }
};

static_assert(sizeof(ReducedEndpoint) <= 48,
              "10,000 endpoints should cost 1 MB");

// One slice without the endpoints that take no traffic.
struct ReducedSlice {
  std::vector<ReducedEndpoint> endpoints;
  std::string node_names;

  std::string_view node_name(const ReducedEndpoint& endpoint) const {
    return std::string_view(node_names)
        .substr(endpoint.name_offset, endpoint.name_length);
  }
  friend bool operator==(const ReducedSlice& a, const ReducedSlice& b) {
    return a.endpoints == b.endpoints && a.node_names == b.node_names;
  }
};

// Reads an EndpointSlice object; none of its endpoints when it is of an
// addressType other than IPv4 and IPv6. Mistakes are the reader's.
// Of v1beta1 the node's name stands in the endpoint's topology.
ReducedSlice ReduceSlice(const cJSON* object, JsonReader* reader);

// Reads an Endpoints object as the slice it would have made: all addresses that
// are ready, of either family. It has no `serving` and no `terminating`.
ReducedSlice ReduceEndpoints(const cJSON* object, JsonReader* reader);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_REDUCED_SLICE_H_

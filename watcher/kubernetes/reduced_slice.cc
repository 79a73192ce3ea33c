// EndpointSlices reduced one by one.

#include "watcher/kubernetes/reduced_slice.h"

#include "absl/hash/hash.h"
#include "watcher/kubernetes/object_meta.h"

namespace dynweight {
namespace {

constexpr size_t kMaxEndpointsPerSlice = 10000;

// ReducedEndpoint::name_length has one byte.
static_assert(kMaxNameBytes <= UINT8_MAX);

// `kind` keeps uids and addresses apart. The first byte makes two hashes of
// one: absl's mixes in other arguments only after it has hashed the bytes.
EndpointId IdOf(char kind, std::string_view text) {
  std::string bytes;
  bytes.reserve(2 + text.size());
  bytes += '1';
  bytes += kind;
  bytes += text;
  const uint64_t first = absl::HashOf(bytes);
  bytes[0] = '2';
  return {first, absl::HashOf(bytes)};
}

// Whether the slice is about pods of another cluster. By the labels and
// annotations that KEP-1645 (Multi-Cluster Services), Karmada and Cilium's
// Cluster Mesh give such slices.
bool IsForeign(const cJSON* object, JsonReader* reader) {
  const cJSON* metadata = reader->Object(object, "metadata");
  const cJSON* labels = reader->Object(metadata, "labels");
  const std::string_view manager = reader->String(
      labels, "endpointslice.kubernetes.io/managed-by", kMaxWordBytes);
  return manager == "endpointslice-dispatch-controller.karmada.io" ||
         manager == "endpointslice-mesh-controller.cilium.io" ||
         cJSON_GetObjectItemCaseSensitive(
             labels, "multicluster.kubernetes.io/source-cluster") != nullptr ||
         cJSON_GetObjectItemCaseSensitive(
             reader->Object(metadata, "annotations"),
             "endpointslice.karmada.io/provision-cluster") != nullptr;
}

// Absent conditions default as the API reference says: ready is true, serving
// is what ready is, terminating is false.
void ReadConditions(const cJSON* json, JsonReader* reader,
                    ReducedEndpoint* endpoint) {
  const cJSON* conditions = reader->Object(json, "conditions");
  const bool ready = reader->Bool(conditions, "ready").value_or(true);
  const bool serving = reader->Bool(conditions, "serving").value_or(ready);
  endpoint->terminating =
      reader->Bool(conditions, "terminating").value_or(false);
  endpoint->state = EndpointState::kNotReady;
  if (ready) {
    endpoint->state = EndpointState::kReady;
  } else if (serving && endpoint->terminating) {
    endpoint->state = EndpointState::kServingTerminating;
  }
}

// v1, and v1beta1 from Kubernetes 1.20 on, else where v1beta1 had it before.
std::string_view NodeNameOf(const cJSON* endpoint, JsonReader* reader) {
  const std::string_view node =
      reader->String(endpoint, "nodeName", kMaxNameBytes);
  if (!node.empty()) return node;
  return reader->String(reader->Object(endpoint, "topology"),
                        "kubernetes.io/hostname", kMaxNameBytes);
}

void AddEndpoint(std::string_view uid, std::string_view text,
                 std::string_view node, ReducedEndpoint endpoint,
                 ReducedSlice* slice) {
  endpoint.address = IpAddress::Parse(text).value_or(IpAddress());
  if (!uid.empty()) {
    endpoint.id = IdOf('u', uid);
  } else if (endpoint.address.family != IpAddress::kNone) {
    endpoint.id = IdOf('a', endpoint.address.ToString());
  } else {
    endpoint.id = IdOf('a', text);
  }
  endpoint.by_address = uid.empty();
  endpoint.name_offset = static_cast<uint32_t>(slice->node_names.size());
  endpoint.name_length = static_cast<uint8_t>(node.size());
  slice->node_names += node;
  slice->endpoints.push_back(endpoint);
}

void ReadEndpoint(const cJSON* json, JsonReader* reader, ReducedSlice* slice) {
  const std::string_view uid =
      reader->String(reader->Object(json, "targetRef"), "uid", kMaxUidBytes);
  const std::string_view text =
      reader->FirstString(json, "addresses", kMaxAddressBytes);
  const std::string_view node = NodeNameOf(json, reader);
  ReducedEndpoint endpoint{};
  ReadConditions(json, reader, &endpoint);
  if (!reader->ok()) return;
  if (uid.empty() && text.empty()) {
    reader->Fail("addresses", "is missing, and so is targetRef.uid");
    return;
  }
  AddEndpoint(uid, text, node, endpoint, slice);
}

// The addresses of one kind of a subset. A pod that is to go stands in neither.
void ReadAddresses(const cJSON* subset, const char* key, EndpointState state,
                   JsonReader* reader, ReducedSlice* slice) {
  reader->ForEachObject(reader->Array(subset, key), key, kMaxEndpointsPerSlice,
                        [state, reader, slice](const cJSON* json) {
                          const std::string_view uid =
                              reader->String(reader->Object(json, "targetRef"),
                                             "uid", kMaxUidBytes);
                          const std::string_view ip = reader->RequiredString(
                              json, "ip", kMaxAddressBytes);
                          const std::string_view node =
                              reader->String(json, "nodeName", kMaxNameBytes);
                          ReducedEndpoint endpoint{};
                          endpoint.state = state;
                          if (reader->ok())
                            AddEndpoint(uid, ip, node, endpoint, slice);
                        });
}

}  // namespace

ReducedSlice ReduceEndpoints(const cJSON* object, JsonReader* reader) {
  ReducedSlice slice;
  reader->ForEachObject(
      reader->Array(object, "subsets"), "subsets", kMaxEndpointsPerSlice,
      [reader, &slice](const cJSON* subset) {
        ReadAddresses(subset, "addresses", EndpointState::kReady, reader,
                      &slice);
        ReadAddresses(subset, "notReadyAddresses", EndpointState::kNotReady,
                      reader, &slice);
      });
  slice.endpoints.shrink_to_fit();
  slice.node_names.shrink_to_fit();
  return slice;
}

ReducedSlice ReduceSlice(const cJSON* object, JsonReader* reader) {
  ReducedSlice slice;
  const std::string_view type =
      reader->RequiredString(object, "addressType", kMaxAddressBytes);
  slice.foreign = IsForeign(object, reader);
  if (slice.foreign || (type != "IPv4" && type != "IPv6")) return slice;
  reader->ForEachObject(reader->Array(object, "endpoints"), "endpoints",
                        kMaxEndpointsPerSlice,
                        [reader, &slice](const cJSON* endpoint) {
                          ReadEndpoint(endpoint, reader, &slice);
                        });
  slice.endpoints.shrink_to_fit();
  slice.node_names.shrink_to_fit();
  return slice;
}

}  // namespace dynweight

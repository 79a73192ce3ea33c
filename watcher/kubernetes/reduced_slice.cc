// EndpointSlices reduced one by one.

#include "watcher/kubernetes/reduced_slice.h"

#include "absl/hash/hash.h"
#include "watcher/kubernetes/object_meta.h"

namespace dynweight {
namespace {

constexpr size_t kMaxEndpointsPerSlice = 10000;
// ReducedEndpoint::ports has two bytes.
static_assert(kMaxEndpointsPerSlice <= UINT16_MAX);
// An API server takes 100 of a Service.
constexpr size_t kMaxPorts = 1000;

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

// As the object has them.
struct EndpointTexts {
  std::string_view uid;
  std::string_view pod;  // its name
  std::string_view address;
  std::string_view node;
};

// The pod that it is; another kind of object would be no help in naming it.
void ReadTarget(const cJSON* json, JsonReader* reader, EndpointTexts* texts) {
  const cJSON* target = reader->Object(json, "targetRef");
  texts->uid = reader->String(target, "uid", kMaxUidBytes);
  texts->pod = reader->String(target, "name", kMaxNameBytes);
}

// Those for TCP; the API's default, where nothing is said.
ReducedPorts ReadPorts(const cJSON* json, JsonReader* reader) {
  ReducedPorts ports;
  reader->ForEachObject(
      reader->Array(json, "ports"), "ports", kMaxPorts,
      [&ports, reader](const cJSON* element) {
        const std::string_view name =
            reader->String(element, "name", kMaxWordBytes);
        const std::string_view protocol =
            reader->String(element, "protocol", kMaxWordBytes);
        const uint64_t number = reader->Count(element, "port").value_or(0);
        if (!protocol.empty() && protocol != "TCP") return;
        if (number < 1 || number > UINT16_MAX) return;
        ports.push_back({std::string(name), static_cast<uint16_t>(number)});
      });
  ports.shrink_to_fit();
  return ports;
}

void AddEndpoint(const EndpointTexts& texts, ReducedEndpoint endpoint,
                 ReducedSlice* slice) {
  const std::string_view uid = texts.uid;
  const std::string_view text = texts.address;
  endpoint.address = IpAddress::Parse(text).value_or(IpAddress());
  if (!uid.empty()) {
    endpoint.id = IdOf('u', uid);
  } else if (endpoint.address.family != IpAddress::kNone) {
    endpoint.id = IdOf('a', endpoint.address.ToString());
  } else {
    endpoint.id = IdOf('a', text);
  }
  endpoint.by_address = uid.empty();
  endpoint.name_offset = static_cast<uint32_t>(slice->names.size());
  endpoint.name_length = static_cast<uint8_t>(texts.node.size());
  endpoint.pod_length = static_cast<uint8_t>(texts.pod.size());
  slice->names += texts.node;
  slice->names += texts.pod;
  slice->endpoints.push_back(endpoint);
}

void ReadEndpoint(const cJSON* json, JsonReader* reader, ReducedSlice* slice) {
  EndpointTexts texts;
  ReadTarget(json, reader, &texts);
  texts.address = reader->FirstString(json, "addresses", kMaxAddressBytes);
  texts.node = NodeNameOf(json, reader);
  ReducedEndpoint endpoint{};
  ReadConditions(json, reader, &endpoint);
  if (!reader->ok()) return;
  if (texts.uid.empty() && texts.address.empty()) {
    reader->Fail("addresses", "is missing, and so is targetRef.uid");
    return;
  }
  AddEndpoint(texts, endpoint, slice);
}

// The addresses of one kind of a subset. A pod that is to go stands in neither.
void ReadAddresses(const cJSON* subset, const char* key, EndpointState state,
                   JsonReader* reader, ReducedSlice* slice) {
  reader->ForEachObject(
      reader->Array(subset, key), key, kMaxEndpointsPerSlice,
      [state, reader, slice](const cJSON* json) {
        EndpointTexts texts;
        ReadTarget(json, reader, &texts);
        texts.address = reader->RequiredString(json, "ip", kMaxAddressBytes);
        texts.node = reader->String(json, "nodeName", kMaxNameBytes);
        ReducedEndpoint endpoint{};
        endpoint.state = state;
        endpoint.ports = static_cast<uint16_t>(slice->ports.size() - 1);
        if (reader->ok()) AddEndpoint(texts, endpoint, slice);
      });
}

}  // namespace

ReducedSlice ReduceEndpoints(const cJSON* object, JsonReader* reader) {
  ReducedSlice slice;
  reader->ForEachObject(
      reader->Array(object, "subsets"), "subsets", kMaxEndpointsPerSlice,
      [reader, &slice](const cJSON* subset) {
        slice.ports.push_back(ReadPorts(subset, reader));
        ReadAddresses(subset, "addresses", EndpointState::kReady, reader,
                      &slice);
        ReadAddresses(subset, "notReadyAddresses", EndpointState::kNotReady,
                      reader, &slice);
      });
  slice.endpoints.shrink_to_fit();
  slice.names.shrink_to_fit();
  return slice;
}

ReducedSlice ReduceSlice(const cJSON* object, JsonReader* reader) {
  ReducedSlice slice;
  const std::string_view type =
      reader->RequiredString(object, "addressType", kMaxAddressBytes);
  slice.foreign = IsForeign(object, reader);
  if (slice.foreign || (type != "IPv4" && type != "IPv6")) return slice;
  slice.ports.push_back(ReadPorts(object, reader));
  reader->ForEachObject(reader->Array(object, "endpoints"), "endpoints",
                        kMaxEndpointsPerSlice,
                        [reader, &slice](const cJSON* endpoint) {
                          ReadEndpoint(endpoint, reader, &slice);
                        });
  slice.endpoints.shrink_to_fit();
  slice.names.shrink_to_fit();
  return slice;
}

}  // namespace dynweight

// Views of clusters: made from the configuration, taken over, written, read.

#include "watcher/cluster_view.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "watcher/json_text.h"
#include "watcher/json_value.h"
#include "watcher/node_order.h"
#include "watcher/object_meta.h"

namespace dynweight {
namespace {

// Room for the longest text there is: the key of a fixed list of addresses.
constexpr size_t kMaxTextBytes = 65536;

// The literal parts, so that MaxEncodedViewBytes() counts what is written.
constexpr std::string_view kBegin = "{\"name\":";
constexpr std::string_view kSource = ",\"ingress_nodes\":{\"source\":";
constexpr std::string_view kObserved = ",\"observed\":";
constexpr std::string_view kTotal = ",\"total\":";
constexpr std::string_view kNodes = ",\"nodes\":[";
constexpr std::string_view kAddress = "{\"address\":\"";
constexpr std::string_view kNodeName = "\",\"name\":";
constexpr std::string_view kApps = "},\"apps\":{";
constexpr std::string_view kPods = ":{\"pods\":";
constexpr std::string_view kEnd = "}}";
constexpr size_t kMaxDigits = 16;  // of kMaxJsonInteger
constexpr size_t kMaxAddressText = 45;
constexpr size_t kNoLimit = SIZE_MAX;

void AppendCount(uint64_t count, std::string* out) {
  absl::StrAppend(out, std::min(count, kMaxJsonInteger));
}

void AppendTime(int64_t ms, std::string* out) {
  AppendCount(static_cast<uint64_t>(std::max<int64_t>(ms, 0)), out);
}

void AppendNodes(const NodeSet& set, size_t max_nodes, std::string* out) {
  *out += kObserved;
  AppendTime(set.observed_ms, out);
  *out += kTotal;
  AppendCount(set.nodes.size(), out);
  *out += kNodes;
  const size_t n = std::min(set.nodes.size(), max_nodes);
  for (size_t i = 0; i < n; i++) {
    if (i != 0) *out += ',';
    *out += kAddress;
    *out += set.nodes[i].address.ToString();
    *out += kNodeName;
    AppendJsonString(set.nodes[i].name, kMaxNodeNameBytes, out);
    *out += '}';
  }
  *out += ']';
}

// The keys of the sources that lines of this cluster use.
std::set<std::string, std::less<>> UsedSources(const WatcherConfig& config,
                                               uint32_t cluster) {
  std::set<std::string, std::less<>> keys;
  for (const LineConfig& line : config.lines) {
    if (line.cluster == cluster) keys.insert(line.source.Key());
  }
  return keys;
}

// What of held nodes may be trusted; a document of a former version or a
// damaged one can hold anything.
NodeSet SaneNodes(const NodeSet& held) {
  NodeSet set = held;
  SortNodes(&set.nodes);
  if (set.nodes.size() > kMaxViewNodes) set.nodes.resize(kMaxViewNodes);
  return set;
}

std::optional<NodeSet> ReadNodes(const cJSON* ingress, JsonReader* reader) {
  const cJSON* array = reader->Array(ingress, "nodes");
  if (array == nullptr) return std::nullopt;
  NodeSet set;
  set.observed_ms =
      static_cast<int64_t>(reader->RequiredCount(ingress, "observed"));
  reader->ForEachObject(
      array, "nodes", kMaxViewNodes, [&set, reader](const cJSON* element) {
        const std::optional<IpAddress> address = IpAddress::Parse(
            reader->RequiredString(element, "address", kMaxAddressBytes));
        if (!address.has_value()) {
          reader->Fail("address", "must be the IP address of a node");
          return;
        }
        set.nodes.push_back({*address, std::string(reader->String(
                                           element, "name", kMaxNameBytes))});
      });
  SortNodes(&set.nodes);
  return set;
}

}  // namespace

ClusterView InitialView(const ClusterConfig& cluster, int64_t now_ms) {
  ClusterView view;
  view.cluster = cluster.name;
  view.node_source = cluster.nodes.Key();
  if (cluster.nodes.kind == NodeSource::Kind::kAddresses) {
    NodeSet& set = view.nodes.emplace();
    set.observed_ms = now_ms;
    for (const IpAddress& address : cluster.nodes.addresses) {
      set.nodes.push_back({address, std::string()});
    }
  }
  return view;
}

void AdoptHeldView(const WatcherConfig& config, uint32_t cluster,
                   const ClusterView& held, ClusterView* view) {
  const ClusterConfig& asked = config.clusters[cluster];
  if (held.cluster != asked.name) return;
  const bool fixed = asked.nodes.kind == NodeSource::Kind::kAddresses;
  if (!fixed && held.nodes.has_value() &&
      held.node_source == asked.nodes.Key() &&
      (!view->nodes.has_value() ||
       view->nodes->observed_ms < held.nodes->observed_ms)) {
    view->nodes = SaneNodes(*held.nodes);
  }
  for (const std::string& key : UsedSources(config, cluster)) {
    const auto known = held.pods.find(key);
    if (known == held.pods.end()) continue;
    const auto [at, fresh] = view->pods.try_emplace(key, known->second);
    if (!fresh && at->second.observed_ms < known->second.observed_ms) {
      at->second = known->second;
    }
  }
}

bool ViewComplete(const WatcherConfig& config, uint32_t cluster,
                  const ClusterView& view) {
  if (!view.nodes.has_value()) return false;
  for (const LineConfig& line : config.lines) {
    if (line.cluster == cluster && view.pods.count(line.source.Key()) == 0) {
      return false;
    }
  }
  return true;
}

std::string EncodeClusterView(const ClusterView& view, size_t max_nodes) {
  std::string out;
  out.reserve(256 + view.pods.size() * 96 +
              (view.nodes.has_value()
                   ? std::min(view.nodes->nodes.size(), max_nodes) * 64
                   : 0));
  out += kBegin;
  AppendJsonString(view.cluster, kNoLimit, &out);
  out += kSource;
  AppendJsonString(view.node_source, kNoLimit, &out);
  if (view.nodes.has_value()) AppendNodes(*view.nodes, max_nodes, &out);
  out += kApps;
  bool first = true;
  for (const auto& [key, count] : view.pods) {
    if (!first) out += ',';
    first = false;
    AppendJsonString(key, kNoLimit, &out);
    out += kPods;
    AppendCount(count.pods, &out);
    out += kObserved;
    AppendTime(count.observed_ms, &out);
    out += '}';
  }
  out += kEnd;
  return out;
}

absl::StatusOr<ClusterView> ReadClusterView(const cJSON* object) {
  JsonReader reader("view");
  ClusterView view;
  const cJSON* root = reader.Root(object);
  view.cluster =
      std::string(reader.RequiredString(root, "name", kMaxTextBytes));
  reader.set_subject(view.cluster);
  const cJSON* ingress = reader.Object(root, "ingress_nodes");
  view.node_source =
      std::string(reader.String(ingress, "source", kMaxTextBytes));
  view.nodes = ReadNodes(ingress, &reader);
  reader.ForEachObject(reader.Object(root, "apps"), "apps", kMaxViewApps,
                       [&view, &reader](const cJSON* app) {
                         PodCount count;
                         count.pods = reader.RequiredCount(app, "pods");
                         count.observed_ms = static_cast<int64_t>(
                             reader.RequiredCount(app, "observed"));
                         view.pods.try_emplace(app->string, count);
                       });
  if (!reader.ok()) return reader.status();
  return view;
}

absl::StatusOr<ClusterView> DecodeClusterView(std::string_view text) {
  absl::StatusOr<JsonDocument> document = ParseJson(text);
  if (!document.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("view: ", document.status().message()));
  }
  return ReadClusterView(document->get());
}

size_t MaxEncodedViewBytes(const WatcherConfig& config, uint32_t cluster) {
  const ClusterConfig& asked = config.clusters[cluster];
  constexpr size_t kNodeBytes =
      kAddress.size() + kMaxAddressText + kNodeName.size() +
      MaxJsonStringBytes(kMaxNodeNameBytes) + std::string_view("},").size();
  constexpr size_t kAppBytes = kPods.size() + kMaxDigits + kObserved.size() +
                               kMaxDigits + std::string_view("},").size();
  size_t bytes = kBegin.size() + MaxJsonStringBytes(asked.name.size()) +
                 kSource.size() + MaxJsonStringBytes(asked.nodes.Key().size()) +
                 kObserved.size() + kMaxDigits + kTotal.size() + kMaxDigits +
                 kNodes.size() + std::string_view("]").size() + kApps.size() +
                 kEnd.size();
  bytes += MaxUsableNodes(config, cluster) * kNodeBytes;
  for (const std::string& key : UsedSources(config, cluster)) {
    bytes += MaxJsonStringBytes(key.size()) + kAppBytes;
  }
  return bytes;
}

uint32_t MaxUsableNodes(const WatcherConfig& config, uint32_t cluster) {
  uint32_t most = 0;
  for (const LineConfig& line : config.lines) {
    if (line.cluster == cluster) most = std::max(most, line.range.count);
  }
  return most;
}

}  // namespace dynweight

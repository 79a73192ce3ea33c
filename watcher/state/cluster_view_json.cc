// Views of clusters: made from the configuration, taken over, written, read.

#include "watcher/state/cluster_view_json.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "watcher/state/view_text.h"
#include "watcher/text/json_text.h"
#include "watcher/text/json_value.h"
#include "weightcalc/hash.h"
#include "weightcalc/ingress_node.h"

namespace dynweight {
namespace {

// Room for the longest text there is: the key of a fixed list of addresses.
constexpr size_t kMaxTextBytes = 65536;

// The literal parts, so that MaxEncodedViewBytes() counts what is written.
constexpr std::string_view kBegin = "{\"name\":";
constexpr std::string_view kSource = ",\"ingress_nodes\":{\"source\":";
constexpr std::string_view kNodes = ",\"nodes\":[";
constexpr std::string_view kNodeName = "\",\"name\":";
constexpr std::string_view kApps = "},\"apps\":{";
constexpr std::string_view kPods = ":{\"pods\":";
constexpr std::string_view kAppsEnd = "}";
constexpr std::string_view kInstanceLine = ",\"instances\":true";
constexpr std::string_view kNoIngress = ",\"no_ingress\":true";
constexpr std::string_view kApi = ",\"api\":[";
constexpr std::string_view kSince = ",\"since\":";
constexpr std::string_view kLines = ",\"lines\":[";
constexpr std::string_view kUpstream = "{\"upstream\":";
constexpr std::string_view kLineSource = ",\"source\":";
constexpr std::string_view kAssumed = ",\"pods\":";
constexpr std::string_view kEnd = "}";
constexpr size_t kMaxApis = 1000;
constexpr size_t kMaxViews = 10000;
constexpr size_t kMaxNodeNameRead = 253;  // RFC 1123 subdomain
constexpr size_t kNoLimit = SIZE_MAX;

void AppendNodes(const NodeSet& set, size_t max_nodes, std::string* out) {
  if (set.provisional) *out += kProvisional;
  *out += kObserved;
  AppendTime(set.observed_ms, out);
  *out += kTotal;
  AppendCount(set.nodes.size() + set.cut, out);
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

void AppendIdentity(const ClusterView& view, std::string* out) {
  if (!view.api.empty()) {
    *out += kApi;
    for (size_t i = 0; i < view.api.size(); i++) {
      if (i != 0) *out += ',';
      AppendCount(view.api[i], out);
    }
    *out += ']';
  }
  if (view.since_ms != 0) {
    *out += kSince;
    AppendTime(view.since_ms, out);
  }
}

void AppendLines(const std::vector<ViewLine>& lines, std::string* out) {
  if (lines.empty()) return;
  *out += kLines;
  for (const ViewLine& line : lines) {
    if (&line != &lines.front()) *out += ',';
    *out += kUpstream;
    AppendJsonString(line.upstream, kNoLimit, out);
    *out += kLineSource;
    AppendJsonString(line.source, kNoLimit, out);
    if (line.instances) *out += kInstanceLine;
    if (line.no_ingress) *out += kNoIngress;
    if (line.assumed.has_value()) {
      *out += kAssumed;
      AppendCount(line.assumed->pods, out);
      *out += kObserved;
      AppendTime(line.assumed->observed_ms, out);
    }
    *out += '}';
  }
  *out += ']';
}

std::vector<ViewLine> ReadLines(const cJSON* root, JsonReader* reader) {
  std::vector<ViewLine> lines;
  const cJSON* array = reader->Array(root, "lines");
  if (array == nullptr) return lines;
  reader->ForEachObject(
      array, "lines", kMaxViewApps, [&lines, reader](const cJSON* element) {
        ViewLine& line = lines.emplace_back();
        line.upstream = std::string(
            reader->RequiredString(element, "upstream", kMaxTextBytes));
        line.source = std::string(
            reader->RequiredString(element, "source", kMaxTextBytes));
        line.instances = reader->Bool(element, "instances").value_or(false);
        line.no_ingress = reader->Bool(element, "no_ingress").value_or(false);
        const std::optional<uint64_t> pods = reader->Count(element, "pods");
        if (!pods.has_value()) return;
        line.assumed = PodCount{
            *pods,
            static_cast<int64_t>(reader->RequiredCount(element, "observed"))};
      });
  return lines;
}

std::vector<uint64_t> ReadApi(const cJSON* root, JsonReader* reader) {
  std::vector<uint64_t> api;
  const cJSON* array = reader->Array(root, "api");
  for (const cJSON* element = array == nullptr ? nullptr : array->child;
       element != nullptr && api.size() < kMaxApis; element = element->next) {
    if (cJSON_IsNumber(element) && element->valuedouble >= 0 &&
        element->valuedouble <= static_cast<double>(kMaxJsonInteger)) {
      api.push_back(static_cast<uint64_t>(element->valuedouble));
    }
  }
  return api;
}

std::optional<NodeSet> ReadNodes(const cJSON* ingress, JsonReader* reader) {
  const cJSON* array = reader->Array(ingress, "nodes");
  if (array == nullptr) return std::nullopt;
  NodeSet set;
  set.observed_ms =
      static_cast<int64_t>(reader->RequiredCount(ingress, "observed"));
  set.provisional = reader->Bool(ingress, "provisional").value_or(false);
  reader->ForEachObject(
      array, "nodes", kMaxViewNodes, [&set, reader](const cJSON* element) {
        const std::optional<IpAddress> address = IpAddress::Parse(
            reader->RequiredString(element, "address", kMaxAddressText));
        if (!address.has_value()) {
          reader->Fail("address", "must be the IP address of a node");
          return;
        }
        set.nodes.push_back(
            {*address,
             std::string(reader->String(element, "name", kMaxNodeNameRead))});
      });
  SortNodes(&set.nodes);
  const uint64_t total = reader->Count(ingress, "total").value_or(0);
  set.cut = total > set.nodes.size() ? total - set.nodes.size() : 0;
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

std::set<std::string, std::less<>> UsedSources(const WatcherConfig& config,
                                               uint32_t cluster) {
  std::set<std::string, std::less<>> keys;
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster || line.instances()) continue;
    keys.insert(line.source);
    if (!line.ingress.empty()) keys.insert(line.ingress);
  }
  return keys;
}

size_t ViewRoom::OfSource(std::string_view source) const {
  const auto it = instances.find(source);
  return it == instances.end() ? each_source : it->second;
}

ViewRoom RoomFor(const WatcherConfig& config, uint32_t cluster) {
  ViewRoom room;
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster) continue;
    size_t& most = line.instances() ? room.instances[line.source] : room.nodes;
    most = std::max<size_t>(most, line.range.count);
  }
  return room;
}

NodeSet SaneNodes(const NodeSet& held) {
  NodeSet set = held;
  SortNodes(&set.nodes);
  if (set.nodes.size() > kMaxViewNodes) set.nodes.resize(kMaxViewNodes);
  return set;
}

uint64_t ApiId(std::string_view url) {
  return HashBytes(url) & kMaxJsonInteger;
}

bool ViewComplete(const WatcherConfig& config, uint32_t cluster,
                  const ClusterView& view) {
  const bool nodes = view.nodes.has_value() && !view.nodes->provisional;
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster) continue;
    if (line.instances()) {
      const auto it = view.instances.find(line.source);
      if (it == view.instances.end() || it->second.provisional) return false;
    } else if (!nodes || view.pods.count(line.source) == 0 ||
               (!line.ingress.empty() && view.pods.count(line.ingress) == 0)) {
      return false;
    }
  }
  return nodes || !NeedsNodes(config, cluster);
}

std::string EncodeClusterView(const ClusterView& view, const ViewRoom& room,
                              InstanceSetTexts* kept) {
  size_t instances = 0;
  for (const auto& [key, set] : view.instances) {
    instances += 1 + set.instances.size();
  }
  std::string out;
  out.reserve(256 + view.pods.size() * 96 + view.lines.size() * 96 +
              instances * 96 +
              (view.nodes.has_value()
                   ? std::min(view.nodes->nodes.size(), room.nodes) * 64
                   : 0));
  out += kBegin;
  AppendJsonString(view.cluster, kNoLimit, &out);
  AppendIdentity(view, &out);
  out += kSource;
  AppendJsonString(view.node_source, kNoLimit, &out);
  if (view.nodes.has_value()) AppendNodes(*view.nodes, room.nodes, &out);
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
  out += kAppsEnd;
  AppendInstanceSets(
      view.instances,
      [&room](const std::string& key) { return room.OfSource(key); }, kept,
      &out);
  AppendLines(view.lines, &out);
  out += kEnd;
  return out;
}

std::string EncodeClusterViews(const std::vector<ClusterView>& views,
                               const ViewRoom& room, size_t max_bytes) {
  std::string out = "[";
  for (const ClusterView& view : views) {
    const std::string text = EncodeClusterView(view, room);
    if (out.size() + text.size() + std::string_view(",]").size() > max_bytes) {
      continue;
    }
    if (out.size() > 1) out += ',';
    out += text;
  }
  out += ']';
  return out.size() <= max_bytes ? out : std::string();
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
  view.instances = ReadInstanceSets(root, &reader);
  view.api = ReadApi(root, &reader);
  view.lines = ReadLines(root, &reader);
  view.since_ms = static_cast<int64_t>(reader.Count(root, "since").value_or(0));
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

absl::StatusOr<std::vector<ClusterView>> DecodeClusterViews(
    std::string_view text) {
  std::vector<ClusterView> views;
  if (text.empty()) return views;
  absl::StatusOr<JsonDocument> document = ParseJson(text);
  if (!document.ok()) return document.status();
  if (!cJSON_IsArray(document->get())) {
    return absl::InvalidArgumentError("views: not an array");
  }
  for (const cJSON* element = document->get()->child;
       element != nullptr && views.size() < kMaxViews;
       element = element->next) {
    absl::StatusOr<ClusterView> view = ReadClusterView(element);
    if (!view.ok()) return view.status();
    views.push_back(*std::move(view));
  }
  return views;
}

size_t MaxEncodedViewBytes(const WatcherConfig& config, uint32_t cluster) {
  const ClusterConfig& asked = config.clusters[cluster];
  constexpr size_t kNodeBytes =
      kAddress.size() + kMaxAddressText + kNodeName.size() +
      MaxJsonStringBytes(kMaxNodeNameBytes) + std::string_view("},").size();
  constexpr size_t kAppBytes = kPods.size() + kMaxDigits + kObserved.size() +
                               kMaxDigits + std::string_view("},").size();
  size_t bytes =
      kBegin.size() + MaxJsonStringBytes(asked.name.size()) + kSource.size() +
      MaxJsonStringBytes(
          std::max(asked.nodes.Key().size(), kMaxForeignKeyBytes)) +
      kApi.size() + asked.api.size() * (kMaxDigits + 1) +
      std::string_view("]").size() + kProvisional.size() + kObserved.size() +
      kMaxDigits + kTotal.size() + kMaxDigits + kNodes.size() +
      std::string_view("]").size() + kApps.size() + kAppsEnd.size() +
      kLines.size() + std::string_view("]").size() + kEnd.size();
  bytes += MaxUsableNodes(config, cluster) * kNodeBytes;
  bytes += MaxInstanceSetsBytes(RoomFor(config, cluster).instances);
  for (const std::string& key : UsedSources(config, cluster)) {
    bytes += MaxJsonStringBytes(key.size()) + kAppBytes;
  }
  for (const LineConfig& line : config.lines) {
    if (line.cluster != cluster) continue;
    bytes += kUpstream.size() + MaxJsonStringBytes(line.upstream.size()) +
             kLineSource.size() + MaxJsonStringBytes(line.source.size()) +
             kInstanceLine.size() + kNoIngress.size() + kAssumed.size() +
             kMaxDigits + kObserved.size() + kMaxDigits +
             std::string_view("},").size();
  }
  return bytes;
}

uint32_t MaxUsableNodes(const WatcherConfig& config, uint32_t cluster) {
  uint32_t most = 0;
  for (const LineConfig& line : config.lines) {
    if (line.cluster == cluster && !line.instances()) {
      most = std::max(most, line.range.count);
    }
  }
  return most;
}

}  // namespace dynweight

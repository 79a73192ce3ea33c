// See service_answer.h.

#include "watcher/nacos/service_answer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/nacos/http_refusal.h"
#include "watcher/text/json_text.h"
#include "watcher/text/text_escape.h"
#include "weightcalc/peer_table.h"

namespace dynweight {
namespace {

constexpr double kMaxNacosWeight = 10000;
constexpr size_t kMaxHostBytes = 256;
constexpr size_t kMaxIdBytes = 1024;
// As long as the name of a node or pod may be.
constexpr size_t kMaxInstanceNameBytes = 253;

// Without a part of a character at its end.
std::string CutName(std::string_view name) {
  size_t kept = 0;
  while (kept < name.size()) {
    const size_t n = std::max<size_t>(1, Utf8SequenceLength(name.substr(kept)));
    if (kept + n > kMaxInstanceNameBytes) break;
    kept += n;
  }
  return std::string(name.substr(0, kept));
}

// The id that a server gives an instance; not every answer has it.
std::string NameOf(JsonReader* reader, const cJSON* host, std::string_view ip,
                   uint64_t port) {
  const std::string_view id = reader->String(host, "instanceId", kMaxIdBytes);
  if (!id.empty()) return CutName(id);
  const std::string_view cluster =
      reader->String(host, "clusterName", kMaxIdBytes);
  const std::string_view service =
      reader->String(host, "serviceName", kMaxIdBytes);
  return CutName(absl::StrCat(std::string(ip), "#", port, "#",
                              std::string(cluster), "#", std::string(service)));
}

// What it says of itself, which may be anything: no reason to refuse an answer.
std::string ZoneOf(const cJSON* host) {
  JsonReader reader("metadata");
  const std::string_view zone =
      reader.String(reader.Object(host, "metadata"), "zone", kMaxIdBytes);
  if (!reader.ok()) return std::string();
  return MakeZoneName(zone).data();
}

// Those of old servers call it "valid".
bool Healthy(JsonReader* reader, const cJSON* host) {
  const std::optional<bool> healthy = reader->Bool(host, "healthy");
  return healthy ? *healthy : reader->Bool(host, "valid").value_or(true);
}

void NoteCluster(std::string_view name, ServiceAnswer* answer) {
  std::vector<std::string>& clusters = answer->clusters;
  if (clusters.size() <= ServiceAnswer::kMaxClusters &&
      std::find(clusters.begin(), clusters.end(), name) == clusters.end()) {
    clusters.emplace_back(name);
  }
}

void ReadHost(JsonReader* reader, const cJSON* host, ServiceAnswer* answer) {
  const std::string_view ip = reader->RequiredString(host, "ip", kMaxHostBytes);
  const uint64_t port = reader->RequiredCount(host, "port");
  const double weight = reader->Number(host, "weight").value_or(1);
  if (!(weight >= 0) || weight > kMaxNacosWeight) {
    reader->Fail("weight", "must be a number from 0 to 10000");
  }
  const bool serves =
      Healthy(reader, host) && reader->Bool(host, "enabled").value_or(true);
  if (!reader->ok()) return;
  ++answer->hosts;
  NoteCluster(reader->String(host, "clusterName", kMaxIdBytes), answer);
  Instance instance;
  const std::optional<IpAddress> address = IpAddress::Parse(ip);
  if (!address || port == 0 || port > UINT16_MAX) {
    ++answer->unusable;
    return;
  }
  if (!serves) return;
  instance.address = *address;
  instance.port = static_cast<uint16_t>(port);
  instance.name = NameOf(reader, host, ip, port);
  instance.weight_milli = WeightMilli(weight);
  instance.zone = ZoneOf(host);
  answer->instances.push_back(std::move(instance));
}

bool IsOf(const std::vector<std::string>& clusters, JsonReader* reader,
          const cJSON* host) {
  if (clusters.empty()) return true;
  const std::string_view cluster =
      reader->String(host, "clusterName", kMaxIdBytes);
  return std::binary_search(clusters.begin(), clusters.end(), cluster);
}

absl::Status ReadHosts(JsonReader* reader, const cJSON* hosts,
                       const std::vector<std::string>& clusters,
                       ServiceAnswer* answer) {
  answer->instances.reserve(std::min<size_t>(
      static_cast<size_t>(std::max(cJSON_GetArraySize(hosts), 0)),
      ServiceAnswer::kMaxHosts));
  reader->ForEachObject(hosts, "hosts", ServiceAnswer::kMaxHosts,
                        [&](const cJSON* host) {
                          if (IsOf(clusters, reader, host))
                            ReadHost(reader, host, answer);
                        });
  if (!reader->ok()) return reader->status();
  auto& instances = answer->instances;
  const auto before = [](const Instance& a, const Instance& b) {
    if (a < b || b < a) return a < b;
    if (a.weight_milli != b.weight_milli) {
      return a.weight_milli > b.weight_milli;
    }
    return a.name < b.name;
  };
  if (!std::is_sorted(instances.begin(), instances.end(), before)) {
    std::sort(instances.begin(), instances.end(), before);
  }
  instances.erase(std::unique(instances.begin(), instances.end(),
                              [](const Instance& a, const Instance& b) {
                                return !(a < b) && !(b < a);
                              }),
                  instances.end());
  return absl::OkStatus();
}

// {"code":0,"message":"success","data":...} of v2 and v3.
absl::Status CheckEnvelope(JsonReader* reader, const cJSON* root) {
  const std::optional<double> code = reader->Number(root, "code");
  const std::string_view message =
      reader->String(root, "message", kMaxRefusalBytes);
  if (!reader->ok()) return reader->status();
  if (!code) {
    reader->Fail("code", "is missing");
    return reader->status();
  }
  if (*code == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the server answers with code ", *code, ", ",
                   JsonString(message, kQuotedRefusalBytes)));
}

}  // namespace

std::string ServiceAnswer::WhyUncertain() const {
  if (!valid) return "the registry calls its own answer invalid";
  if (hosts == 0) {
    return "the registry names no instance: is the service's name right, with "
           "group and namespace? It says the same when it has just started";
  }
  if (at_protection_threshold.value_or(false)) {
    return "the registry is at its protection threshold: it calls every "
           "instance healthy, whether it is or not";
  }
  return std::string();
}

uint32_t WeightMilli(double weight) {
  if (!(weight > 0)) return 0;
  const double milli = std::round(std::min(weight, kMaxNacosWeight) * 1000);
  return std::max<uint32_t>(1, static_cast<uint32_t>(milli));
}

absl::StatusOr<ServiceAnswer> ReadServiceInfo(
    const cJSON* info, const std::vector<std::string>& clusters) {
  JsonReader reader("service");
  ServiceAnswer answer;
  const cJSON* root = reader.Root(info);
  answer.valid = reader.Bool(root, "valid").value_or(true);
  answer.at_protection_threshold =
      reader.Bool(root, "reachProtectionThreshold");
  answer.made_ms = reader.Count(root, "lastRefTime").value_or(0);
  const cJSON* hosts = reader.Array(root, "hosts");
  if (reader.ok() && hosts == nullptr) reader.Fail("hosts", "is missing");
  const absl::Status status = ReadHosts(&reader, hosts, clusters, &answer);
  if (!status.ok()) return status;
  return answer;
}

absl::StatusOr<ServiceAnswer> ReadServiceList(NacosApi api,
                                              std::string_view body) {
  const absl::StatusOr<JsonDocument> document = ParseJson(body);
  if (!document.ok()) return document.status();
  if (api == NacosApi::kV1) return ReadServiceInfo(document->get());
  JsonReader reader("list of instances");
  const cJSON* root = reader.Root(document->get());
  absl::Status status = CheckEnvelope(&reader, root);
  if (!status.ok()) return status;
  if (api == NacosApi::kV2) {
    const cJSON* info = reader.Object(root, "data");
    if (reader.ok() && info == nullptr) reader.Fail("data", "is missing");
    if (!reader.ok()) return reader.status();
    return ReadServiceInfo(info);
  }
  ServiceAnswer answer;
  const cJSON* hosts = reader.Array(root, "data");
  if (reader.ok() && hosts == nullptr) reader.Fail("data", "is missing");
  status = ReadHosts(&reader, hosts, {}, &answer);
  if (!status.ok()) return status;
  return answer;
}

bool ReachesProtectionThreshold(const ServiceAnswer& all,
                                const ServiceAnswer& healthy) {
  return !std::includes(healthy.instances.begin(), healthy.instances.end(),
                        all.instances.begin(), all.instances.end());
}

}  // namespace dynweight

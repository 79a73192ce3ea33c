#include "t/fake_cluster/sample_objects.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "t/fake_cluster/json.h"

namespace dynweight::fake {
namespace {

constexpr int kEndpointsPerSlice = 100;
constexpr int kNodesWithPods = 50;

// FNV-1a: the same in every run, unlike std::hash.
uint64_t Hash(const std::string& text) {
  uint64_t hash = 14695981039346656037u;
  for (unsigned char c : text) hash = (hash ^ c) * 1099511628211u;
  return hash;
}

std::string Uid(const std::string& text, int index) {
  char uid[40];
  uint64_t hash = Hash(text);
  snprintf(uid, sizeof(uid), "%08x-%04x-4%03x-8000-%012x",
           static_cast<unsigned>(hash), static_cast<unsigned>(hash >> 48),
           static_cast<unsigned>(hash >> 32) & 0xfff,
           static_cast<unsigned>(index));
  return uid;
}

std::string PodName(const FakeApp& app, int index) {
  return app.name + "-" + std::to_string(index);
}

std::string PodUid(const FakeApp& app, int index) {
  return Uid("Pod/" + app.ns + "/" + app.name, index);
}

std::string PodAddress(const FakeApp& app, int index, bool v6) {
  unsigned start = static_cast<unsigned>(Hash(app.ns + "/" + app.name));
  unsigned host = (start + static_cast<unsigned>(index)) & 0xffffff;
  char text[40];
  if (v6) {
    snprintf(text, sizeof(text), "fd00::%x:%x", host >> 16, host & 0xffff);
  } else {
    snprintf(text, sizeof(text), "10.%u.%u.%u", host >> 16, (host >> 8) & 255,
             host & 255);
  }
  return text;
}

std::string PodNode(int index) {
  return "worker-" + std::to_string(index % kNodesWithPods);
}

std::string Metadata(const std::string& ns, const std::string& name,
                     const std::string& uid, const std::string& more = "") {
  return "\"metadata\":{\"name\":" + Quote(name) +
         ",\"namespace\":" + Quote(ns) + ",\"uid\":\"" + uid + "\"" + more +
         "}";
}

std::string Conditions(const char* ready, const char* serving,
                       const char* terminating) {
  return std::string("\"conditions\":{\"ready\":") + ready +
         ",\"serving\":" + serving + ",\"terminating\":" + terminating + "}";
}

std::string PodEndpoint(const FakeApp& app, int index, bool v6) {
  std::string conditions =
      index < app.pods                   ? Conditions("true", "true", "false")
      : index < app.pods + app.not_ready ? Conditions("false", "false", "false")
                                         : Conditions("false", "true", "true");
  return "{\"addresses\":[\"" + PodAddress(app, index, v6) + "\"]," +
         conditions +
         ",\"targetRef\":{\"kind\":\"Pod\",\"namespace\":" + Quote(app.ns) +
         ",\"name\":" + Quote(PodName(app, index)) + ",\"uid\":\"" +
         PodUid(app, index) + "\"},\"nodeName\":\"" + PodNode(index) +
         "\",\"zone\":\"zone-a\"}";
}

std::string Slice(const std::string& ns, const std::string& service,
                  const std::string& slice, const char* address_type,
                  const std::vector<std::string>& endpoints) {
  std::string json =
      "{\"kind\":\"EndpointSlice\",\"apiVersion\":\"discovery.k8s.io/v1\"," +
      Metadata(ns, slice, Uid("EndpointSlice/" + ns + "/" + slice, 0),
               ",\"labels\":{\"kubernetes.io/service-name\":" + Quote(service) +
                   ",\"endpointslice.kubernetes.io/managed-by\":"
                   "\"endpointslice-controller.k8s.io\"}") +
      ",\"addressType\":\"" + address_type + "\",\"endpoints\":";
  if (endpoints.empty()) {
    json += "null";  // as Go writes an empty slice
  } else {
    char separator = '[';
    for (const std::string& endpoint : endpoints) {
      json += separator + endpoint;
      separator = ',';
    }
    json += ']';
  }
  return json +
         ",\"ports\":[{\"name\":\"http\",\"port\":8080,\"protocol\":"
         "\"TCP\"}]}";
}

void AppendPodSlices(const FakeApp& app, bool v6,
                     std::vector<std::string>* slices) {
  int total = app.pods + app.not_ready + app.terminating;
  int count =
      app.slices > 0
          ? app.slices
          : std::max(1, (total + kEndpointsPerSlice - 1) / kEndpointsPerSlice);
  for (int s = 0; s < count; ++s) {
    // Whole slices first unless a number of them is asked for.
    int64_t begin = app.slices > 0 ? int64_t{total} * s / count
                                   : int64_t{s} * kEndpointsPerSlice;
    int64_t end = app.slices > 0
                      ? int64_t{total} * (s + 1) / count
                      : std::min<int64_t>(total, begin + kEndpointsPerSlice);
    std::vector<std::string> endpoints;
    for (int64_t i = begin; i < end; ++i) {
      endpoints.push_back(PodEndpoint(app, static_cast<int>(i), v6));
    }
    slices->push_back(Slice(app.ns, app.name,
                            app.name + (v6 ? "-v6-" : "-") + std::to_string(s),
                            v6 ? "IPv6" : "IPv4", endpoints));
  }
}

const char* Reason(int code) {
  switch (code) {
    case 400:
      return "BadRequest";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 405:
      return "MethodNotAllowed";
    case 410:
      return "Expired";
    case 429:
      return "TooManyRequests";
    case 500:
      return "InternalError";
    case 503:
      return "ServiceUnavailable";
    case 504:
      return "Timeout";
    default:
      return "";
  }
}

}  // namespace

std::vector<std::string> EndpointSlicesOf(const FakeApp& app) {
  std::vector<std::string> slices;
  AppendPodSlices(app, false, &slices);
  if (app.dual_stack) AppendPodSlices(app, true, &slices);
  return slices;
}

std::vector<std::string> PodsOf(const FakeApp& app) {
  std::vector<std::string> pods;
  int total = app.pods + app.not_ready + app.terminating;
  for (int i = 0; i < total; ++i) {
    bool ready = i < app.pods;
    bool terminating = i >= app.pods + app.not_ready;
    pods.push_back(
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"," +
        Metadata(
            app.ns, PodName(app, i), PodUid(app, i),
            ",\"labels\":{\"app\":" + Quote(app.name) + "}" +
                (terminating ? ",\"deletionTimestamp\":\"2026-01-01T00:00:30Z\""
                             : "")) +
        ",\"spec\":{\"nodeName\":\"" + PodNode(i) +
        "\",\"containers\":[{\"name\":\"app\",\"image\":\"app\"}]},"
        "\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":"
        "\"Ready\",\"status\":\"" +
        (ready ? "True" : "False") + "\"}],\"hostIP\":\"10.255.0." +
        std::to_string(i % kNodesWithPods + 1) + "\",\"podIP\":\"" +
        PodAddress(app, i, false) + "\"}}");
  }
  return pods;
}

std::string WorkloadOf(const FakeApp& app, const std::string& kind) {
  // Absent, as Go omits a zero.
  std::string ready =
      app.pods == 0 ? "" : ",\"readyReplicas\":" + std::to_string(app.pods);
  std::string replicas = std::to_string(app.pods + app.not_ready);
  const char* generation = kind == "Rollout" ? "\"1\"" : "1";
  return "{\"kind\":\"" + kind + "\",\"apiVersion\":\"" +
         (kind == "Rollout" ? "argoproj.io/v1alpha1" : "apps/v1") + "\"," +
         Metadata(
             app.ns, app.name, Uid(kind + "/" + app.ns + "/" + app.name, 0),
             ",\"generation\":1,\"labels\":{\"app\":" + Quote(app.name) + "}") +
         ",\"spec\":{\"replicas\":" + replicas +
         ",\"selector\":{\"matchLabels\":{\"app\":" + Quote(app.name) +
         "}}},\"status\":{\"observedGeneration\":" + generation +
         ",\"replicas\":" + replicas + ready + "}}";
}

std::vector<std::string> EndpointSlicesAt(
    const std::string& ns, const std::string& name,
    const std::vector<std::string>& addresses) {
  std::vector<std::string> v4, v6;
  for (size_t i = 0; i < addresses.size(); ++i) {
    const std::string& address = addresses[i];
    std::string pod = name + "-" + std::to_string(i);
    std::string endpoint =
        "{\"addresses\":[" + Quote(address) + "]," +
        Conditions("true", "true", "false") +
        ",\"targetRef\":{\"kind\":\"Pod\",\"namespace\":" + Quote(ns) +
        ",\"name\":" + Quote(pod) + ",\"uid\":\"" +
        Uid("Pod/" + ns + "/" + name + "/" + address, 0) +
        "\"},\"nodeName\":" + Quote("node-" + address) + "}";
    (address.find(':') == std::string::npos ? v4 : v6).push_back(endpoint);
  }
  std::vector<std::string> slices = {Slice(ns, name, name + "-0", "IPv4", v4)};
  if (!v6.empty())
    slices.push_back(Slice(ns, name, name + "-v6-0", "IPv6", v6));
  return slices;
}

std::string NodeObject(const FakeNode& node) {
  Json object(cJSON_CreateObject());
  cJSON_AddStringToObject(object.get(), "kind", "Node");
  cJSON_AddStringToObject(object.get(), "apiVersion", "v1");
  cJSON* metadata = cJSON_AddObjectToObject(object.get(), "metadata");
  cJSON_AddStringToObject(metadata, "name", node.name.c_str());
  cJSON_AddStringToObject(metadata, "uid", Uid("Node/" + node.name, 0).c_str());
  if (node.deleting) {
    cJSON_AddStringToObject(metadata, "deletionTimestamp",
                            "2026-01-01T00:00:30Z");
  }
  cJSON* labels = cJSON_AddObjectToObject(metadata, "labels");
  cJSON_AddStringToObject(labels, "kubernetes.io/hostname", node.name.c_str());
  for (const auto& [key, value] : node.labels) {
    cJSON_AddStringToObject(labels, key.c_str(), value.c_str());
  }
  cJSON* spec = cJSON_AddObjectToObject(object.get(), "spec");
  if (node.cordoned) cJSON_AddTrueToObject(spec, "unschedulable");
  if (!node.taint.empty()) {
    cJSON* taint = cJSON_CreateObject();
    cJSON_AddItemToArray(cJSON_AddArrayToObject(spec, "taints"), taint);
    cJSON_AddStringToObject(taint, "key", node.taint.c_str());
    cJSON_AddStringToObject(taint, "effect", "NoSchedule");
  }
  cJSON* status = cJSON_AddObjectToObject(object.get(), "status");
  cJSON* addresses = cJSON_AddArrayToObject(status, "addresses");
  auto add_address = [addresses](const char* type, const std::string& value) {
    if (value.empty()) return;
    cJSON* address = cJSON_CreateObject();
    cJSON_AddItemToArray(addresses, address);
    cJSON_AddStringToObject(address, "type", type);
    cJSON_AddStringToObject(address, "address", value.c_str());
  };
  add_address("Hostname", node.name);
  add_address("InternalIP", node.address);
  add_address("ExternalIP", node.external_address);
  cJSON* condition = cJSON_CreateObject();
  cJSON_AddItemToArray(cJSON_AddArrayToObject(status, "conditions"), condition);
  cJSON_AddStringToObject(condition, "type", "Ready");
  cJSON_AddStringToObject(condition, "status", node.ready ? "True" : "False");
  return PrintJson(object.get());
}

std::string StatusObject(int code, const std::string& reason,
                         const std::string& message,
                         const std::string& details) {
  return "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
         "\"status\":\"Failure\",\"message\":" +
         Quote(message) + ",\"reason\":" + Quote(reason) +
         (details.empty() ? "" : ",\"details\":" + details) +
         ",\"code\":" + std::to_string(code) + "}\n";
}

std::string StatusObject(int code) {
  switch (code) {
    case 401:
      return StatusObject(code, Reason(code), "Unauthorized");
    case 403:
      return StatusObject(
          code, Reason(code),
          "forbidden: User \"system:serviceaccount:edge:reader\" cannot list "
          "this resource at the cluster scope");
    case 404:
      return StatusObject(code, Reason(code),
                          "the server could not find the requested resource");
    case 410:
      return StatusObject(code, Reason(code), "too old resource version");
    case 429:
      return StatusObject(code, Reason(code),
                          "Too many requests, please try again later.",
                          "{\"retryAfterSeconds\":1}");
    case 504:
      return StatusObject(
          code, Reason(code), "Timeout: Too large resource version",
          "{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\",\"message\":"
          "\"Too large resource version\"}],\"retryAfterSeconds\":1}");
    default:
      return StatusObject(code, Reason(code),
                          "answered with " + std::to_string(code));
  }
}

}  // namespace dynweight::fake

// What a test tells a fake cluster over HTTP, under /_fake/:
//
//   POST   /_fake/objects   a Kubernetes object: upsert
//   DELETE /_fake/objects   {"kind","namespace","name"}; without a body: all
//   PUT    /_fake/app       FakeApp: {"namespace","name","pods","not_ready",
//                           "terminating","slices","dual_stack","deployment",
//                           "statefulset","rollout","pod_objects"}
//   DELETE /_fake/app       {"namespace","name"}
//   PUT    /_fake/nodes     {"nodes":[{"name","address","ready",
//                           "external_address","cordoned","deleting","taint",
//                           "labels"}],"labels":{of all}}
//   PUT    /_fake/ingress_service  {"namespace","name","addresses":[]}
//   PUT    /_fake/member    {"name","port"}: see member_proxy.h
//   POST   /_fake/compact
//   POST   /_fake/rewind    {"version"}
//   PUT    /_fake/token     {"token"}
//   PUT    /_fake/bookmarks {"interval_ms"}
//   GET    /_fake/requests  FakeRequests
//   DELETE /_fake/requests  counts from zero again
//   PUT    /_fake/fault     FakeFault by its members' names
//   DELETE /_fake/fault     heals everything
//   DELETE /_fake/connections  closes what is open
//   GET    /_fake/version   {"version"}
//
// Answers are 200 with JSON; 400 and 404 have {"error"}.

#include "t/fake_cluster/fake_cluster.h"
#include "t/fake_cluster/json.h"

namespace dynweight {
namespace {

using fake::BoolMember;
using fake::Json;
using fake::Member;
using fake::NumberMember;
using fake::ParseJson;
using fake::PrintJson;
using fake::Quote;
using fake::StringMember;

int IntMember(const cJSON* object, const char* key, int otherwise = 0) {
  return static_cast<int>(NumberMember(object, key, otherwise));
}

void AddLabels(const cJSON* labels, std::map<std::string, std::string>* to) {
  for (const cJSON* label = labels == nullptr ? nullptr : labels->child;
       label != nullptr; label = label->next) {
    if (cJSON_IsString(label)) (*to)[label->string] = label->valuestring;
  }
}

FakeApp AppOf(const cJSON* json) {
  FakeApp app;
  app.ns = StringMember(json, "namespace", "default");
  app.name = StringMember(json, "name");
  app.pods = IntMember(json, "pods");
  app.not_ready = IntMember(json, "not_ready");
  app.terminating = IntMember(json, "terminating");
  app.slices = IntMember(json, "slices");
  app.dual_stack = BoolMember(json, "dual_stack");
  app.deployment = BoolMember(json, "deployment");
  app.statefulset = BoolMember(json, "statefulset");
  app.rollout = BoolMember(json, "rollout");
  app.pod_objects = BoolMember(json, "pod_objects");
  return app;
}

std::vector<FakeNode> NodesOf(const cJSON* json) {
  std::vector<FakeNode> nodes;
  const cJSON* list = Member(json, "nodes");
  for (const cJSON* item = list == nullptr ? nullptr : list->child;
       item != nullptr; item = item->next) {
    FakeNode node;
    node.name = StringMember(item, "name");
    node.address = StringMember(item, "address");
    node.ready = BoolMember(item, "ready", true);
    node.external_address = StringMember(item, "external_address");
    node.cordoned = BoolMember(item, "cordoned");
    node.deleting = BoolMember(item, "deleting");
    node.taint = StringMember(item, "taint");
    AddLabels(Member(json, "labels"), &node.labels);
    AddLabels(Member(item, "labels"), &node.labels);
    nodes.push_back(std::move(node));
  }
  return nodes;
}

FakeFault FaultOf(const cJSON* json) {
  FakeFault fault;
  fault.kind = StringMember(json, "kind");
  fault.path_prefix = StringMember(json, "path_prefix");
  fault.times = IntMember(json, "times");
  fault.on = StringMember(json, "on");
  fault.code = IntMember(json, "code", fault.code);
  fault.body = StringMember(json, "body");
  fault.retry_after = IntMember(json, "retry_after", fault.retry_after);
  fault.location = StringMember(json, "location");
  fault.chunked = BoolMember(json, "chunked");
  fault.raw = BoolMember(json, "raw");
  fault.bytes = static_cast<uint64_t>(NumberMember(json, "bytes"));
  fault.delay_ms =
      IntMember(json, "delay_ms", static_cast<int>(fault.delay_ms));
  fault.seconds = IntMember(json, "seconds");
  return fault;
}

void AddCounts(cJSON* json, const FakeRequestCounts& counts) {
  auto add = [json](const char* key, uint64_t value) {
    cJSON_AddNumberToObject(json, key, static_cast<double>(value));
  };
  add("lists", counts.lists);
  add("watches", counts.watches);
  add("others", counts.others);
  add("bytes", counts.bytes);
}

std::string RequestsJson(const FakeRequests& requests) {
  Json json(cJSON_CreateObject());
  AddCounts(json.get(), requests.total);
  cJSON_AddNumberToObject(json.get(), "open_watches", requests.open_watches);
  cJSON_AddNumberToObject(json.get(), "open_connections",
                          requests.open_connections);
  cJSON* paths = cJSON_AddObjectToObject(json.get(), "paths");
  for (const auto& [path, counts] : requests.paths) {
    AddCounts(cJSON_AddObjectToObject(paths, path.c_str()), counts);
  }
  cJSON* recent = cJSON_AddArrayToObject(json.get(), "recent");
  for (const std::string& line : requests.recent) {
    cJSON_AddItemToArray(recent, cJSON_CreateString(line.c_str()));
  }
  return PrintJson(json.get());
}

std::pair<int, std::string> Error(int code, const std::string& message) {
  return {code, "{\"error\":" + Quote(message) + "}"};
}

}  // namespace

std::pair<int, std::string> FakeCluster::Control(std::string_view method,
                                                 std::string_view path,
                                                 const std::string& body) {
  const std::pair<int, std::string> done = {200, "{}"};
  Json json = body.empty() ? nullptr : ParseJson(body);
  if (json == nullptr && !body.empty()) return Error(400, "not JSON");
  std::string call = std::string(method) + " " + std::string(path);
  if (call == "GET /_fake/requests") return {200, RequestsJson(requests())};
  if (call == "GET /_fake/version") {
    return {200, "{\"version\":" + std::to_string(version()) + "}"};
  }
  if (call == "DELETE /_fake/requests") return ResetRequests(), done;
  if (call == "DELETE /_fake/fault") return ClearFaults(), done;
  if (call == "DELETE /_fake/connections") return DropConnections(), done;
  if (call == "POST /_fake/compact") return Compact(), done;
  if (call == "DELETE /_fake/objects" && json == nullptr) return Clear(), done;
  if (json == nullptr) return Error(404, "no such call, or a body is missing");

  std::string ns = StringMember(json.get(), "namespace", "default");
  std::string name = StringMember(json.get(), "name");
  if (call == "POST /_fake/objects") {
    return Put(body) ? done : Error(400, "not an object of a kind served here");
  }
  if (call == "DELETE /_fake/objects") {
    return Delete(StringMember(json.get(), "kind"), ns, name)
               ? done
               : Error(404, "no such object");
  }
  if (call == "PUT /_fake/app") {
    if (name.empty()) return Error(400, "the name is missing");
    return SetApp(AppOf(json.get())), done;
  }
  if (call == "DELETE /_fake/app") return RemoveApp(ns, name), done;
  if (call == "PUT /_fake/nodes") return SetNodes(NodesOf(json.get())), done;
  if (call == "PUT /_fake/ingress_service") {
    std::vector<std::string> addresses;
    const cJSON* list = Member(json.get(), "addresses");
    for (const cJSON* item = list == nullptr ? nullptr : list->child;
         item != nullptr; item = item->next) {
      if (cJSON_IsString(item)) addresses.push_back(item->valuestring);
    }
    return SetIngressService(ns, name, addresses), done;
  }
  if (call == "PUT /_fake/member") {
    return SetMember(name, IntMember(json.get(), "port")), done;
  }
  if (call == "POST /_fake/rewind") {
    RewindVersion(static_cast<uint64_t>(NumberMember(json.get(), "version")));
    return done;
  }
  if (call == "PUT /_fake/token") {
    return SetToken(StringMember(json.get(), "token")), done;
  }
  if (call == "PUT /_fake/bookmarks") {
    return SetBookmarkInterval(IntMember(json.get(), "interval_ms")), done;
  }
  if (call == "PUT /_fake/fault") {
    return SetFault(FaultOf(json.get())) ? done
                                         : Error(400, "no such kind of fault");
  }
  return Error(404, "no such call");
}

}  // namespace dynweight

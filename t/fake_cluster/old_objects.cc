#include "t/fake_cluster/old_objects.h"

#include <utility>

namespace dynweight::fake {
namespace {

constexpr char kServiceLabel[] = "kubernetes.io/service-name";

// nodeName was topology, and there was neither serving nor terminating.
void MakeV1Beta1(cJSON* slice) {
  for (cJSON* endpoint = cJSON_GetObjectItem(slice, "endpoints")->child;
       endpoint != nullptr; endpoint = endpoint->next) {
    cJSON* topology = cJSON_AddObjectToObject(endpoint, "topology");
    cJSON_AddStringToObject(topology, "kubernetes.io/hostname",
                            StringMember(endpoint, "nodeName").c_str());
    cJSON_DeleteItemFromObject(endpoint, "nodeName");
    cJSON* conditions = cJSON_GetObjectItem(endpoint, "conditions");
    cJSON_DeleteItemFromObject(conditions, "serving");
    cJSON_DeleteItemFromObject(conditions, "terminating");
  }
}

Json MakeEndpoints(const cJSON* slice, const std::string& name) {
  Json result(cJSON_CreateObject());
  cJSON* metadata = cJSON_Duplicate(Member(slice, "metadata"), true);
  cJSON_DeleteItemFromObject(metadata, "labels");
  cJSON_ReplaceItemInObject(metadata, "name", cJSON_CreateString(name.c_str()));
  cJSON_AddItemToObject(result.get(), "metadata", metadata);
  cJSON* subset = cJSON_CreateObject();
  cJSON_AddItemToArray(cJSON_AddArrayToObject(result.get(), "subsets"), subset);
  cJSON* ready = cJSON_AddArrayToObject(subset, "addresses");
  cJSON* not_ready = cJSON_AddArrayToObject(subset, "notReadyAddresses");
  const cJSON* endpoints = Member(slice, "endpoints");
  for (const cJSON* endpoint = endpoints->child; endpoint != nullptr;
       endpoint = endpoint->next) {
    cJSON* address = cJSON_CreateObject();
    cJSON_AddStringToObject(address, "ip",
                            Member(endpoint, "addresses")->child->valuestring);
    cJSON_AddStringToObject(address, "nodeName",
                            StringMember(endpoint, "nodeName").c_str());
    if (const cJSON* target = Member(endpoint, "targetRef")) {
      cJSON_AddItemToObject(address, "targetRef",
                            cJSON_Duplicate(target, true));
    }
    const bool is_ready =
        BoolMember(Member(endpoint, "conditions"), "ready", true);
    cJSON_AddItemToArray(is_ready ? ready : not_ready, address);
  }
  return result;
}

}  // namespace

const ResourceType* SlicesV1Beta1() {
  static const ResourceType type = {"discovery.k8s.io/v1beta1", "EndpointSlice",
                                    "endpointslices", true, false};
  return &type;
}

const ResourceType* EndpointsType() {
  static const ResourceType type = {"v1", "Endpoints", "endpoints", true,
                                    false};
  return &type;
}

bool Serves(const ResourceType& type, int minor) {
  if (&type == SlicesV1Beta1()) return minor >= 17 && minor < 25;
  return &type != FindKind("EndpointSlice") || minor >= 21;
}

ObjectPtr AsServed(const ResourceType& type, const ObjectPtr& object) {
  const bool endpoints = &type == EndpointsType();
  if (object == nullptr || (!endpoints && &type != SlicesV1Beta1())) {
    return object;
  }
  auto result = std::make_shared<StoredObject>(*object);
  Json json = ParseJson(object->body);
  if (!endpoints) {
    MakeV1Beta1(json.get());
  } else {
    const auto service = object->labels.find(kServiceLabel);
    if (service == object->labels.end() ||
        object->name != service->second + "-0") {
      return nullptr;
    }
    result->name = service->second;
    result->labels.clear();
    json = MakeEndpoints(json.get(), result->name);
  }
  result->body = PrintJson(json.get());
  return result;
}

}  // namespace dynweight::fake

#include "t/fake_cluster/object_store.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace dynweight::fake {
namespace {

// The version stands last in metadata; content ends where it is to be put in.
std::string WithVersion(const std::string& content, uint64_t version) {
  static constexpr std::string_view kMark = "\"resourceVersion\":\"\"";
  size_t at = content.find(kMark);
  std::string body = content;
  body.insert(at + kMark.size() - 1, std::to_string(version));
  return body;
}

}  // namespace

std::string ResourceType::ApiPath() const {
  std::string version = api_version;
  return (version.find('/') == std::string::npos ? "/api/" : "/apis/") +
         version;
}

const std::vector<ResourceType>& ResourceTypes() {
  static const auto& types = *new std::vector<ResourceType>{
      {"v1", "Node", "nodes", false, false},
      {"v1", "Pod", "pods", true, false},
      {"v1", "Service", "services", true, false},
      {"discovery.k8s.io/v1", "EndpointSlice", "endpointslices", true, false},
      {"apps/v1", "Deployment", "deployments", true, false},
      {"apps/v1", "StatefulSet", "statefulsets", true, false},
      {"argoproj.io/v1alpha1", "Rollout", "rollouts", true, true},
      {"networking.k8s.io/v1", "Ingress", "ingresses", true, false},
      {"work.karmada.io/v1alpha2", "ResourceBinding", "resourcebindings", true,
       true},
      {"cluster.karmada.io/v1alpha1", "Cluster", "clusters", false, true},
  };
  return types;
}

const ResourceType* FindKind(std::string_view kind) {
  for (const ResourceType& type : ResourceTypes()) {
    if (type.kind == kind) return &type;
  }
  return nullptr;
}

std::string StoredObject::Typed(const ResourceType& type) const {
  return std::string("{\"kind\":\"") + type.kind + "\",\"apiVersion\":\"" +
         type.api_version + "\"," + body.substr(1);
}

bool ObjectStore::Transaction::Put(const std::string& json) {
  return Put(ParseJson(json));
}

bool ObjectStore::Transaction::Put(Json object) {
  const ResourceType* type = FindKind(StringMember(object.get(), "kind"));
  cJSON* metadata = cJSON_GetObjectItemCaseSensitive(object.get(), "metadata");
  auto stored = std::make_shared<StoredObject>();
  stored->name = StringMember(metadata, "name");
  if (type == nullptr || !cJSON_IsObject(metadata) || stored->name.empty()) {
    return false;
  }
  if (type->namespaced) {
    stored->ns = StringMember(metadata, "namespace", "default");
    if (Member(metadata, "namespace") == nullptr) {
      cJSON_AddStringToObject(metadata, "namespace", stored->ns.c_str());
    }
  }
  for (const cJSON* label = Member(metadata, "labels") == nullptr
                                ? nullptr
                                : Member(metadata, "labels")->child;
       label != nullptr; label = label->next) {
    if (cJSON_IsString(label))
      stored->labels[label->string] = label->valuestring;
  }

  ObjectsOfType& collection = store_->collections_[type];
  ObjectPtr& present = collection.objects[{stored->ns, stored->name}];
  std::string uid = StringMember(metadata, "uid");
  if (uid.empty()) {
    char text[40];
    snprintf(text, sizeof(text), "00000000-0000-4000-8000-%012llx",
             static_cast<unsigned long long>(++store_->created_));
    // What is there already keeps its identity.
    if (present != nullptr) {
      Json previous = ParseJson(present->content);
      uid = StringMember(Member(previous.get(), "metadata"), "uid");
    } else {
      uid = text;
    }
    cJSON_AddStringToObject(metadata, "uid", uid.c_str());
  }
  if (Member(metadata, "creationTimestamp") == nullptr) {
    cJSON_AddStringToObject(metadata, "creationTimestamp",
                            "2026-01-01T00:00:00Z");
  }
  cJSON_DeleteItemFromObjectCaseSensitive(metadata, "resourceVersion");
  cJSON_AddStringToObject(metadata, "resourceVersion", "");
  cJSON_DeleteItemFromObjectCaseSensitive(object.get(), "kind");
  cJSON_DeleteItemFromObjectCaseSensitive(object.get(), "apiVersion");
  // First, so that the version's place is the first of its spelling.
  cJSON_InsertItemInArray(
      object.get(), 0,
      cJSON_DetachItemFromObjectCaseSensitive(object.get(), "metadata"));

  stored->content = PrintJson(object.get());
  if (present != nullptr && present->content == stored->content) return true;
  stored->version = ++store_->version_;
  stored->body = WithVersion(stored->content, stored->version);
  ObjectPtr before = present;
  present = stored;
  store_->Record(&collection, std::move(before), std::move(stored));
  return true;
}

bool ObjectStore::Transaction::Delete(const ResourceType& type,
                                      const std::string& ns,
                                      const std::string& name) {
  ObjectsOfType& collection = store_->collections_[&type];
  auto it = collection.objects.find({ns, name});
  if (it == collection.objects.end()) return false;
  ObjectPtr before = it->second;
  collection.objects.erase(it);
  ++store_->version_;
  store_->Record(&collection, std::move(before), nullptr);
  return true;
}

void ObjectStore::Transaction::DeleteIf(
    const ResourceType& type,
    const std::function<bool(const StoredObject&)>& matches) {
  ObjectList doomed;
  for (const auto& [key, object] : store_->collections_[&type].objects) {
    if (matches(*object)) doomed.push_back(object);
  }
  for (const ObjectPtr& object : doomed) Delete(type, object->ns, object->name);
}

void ObjectStore::Record(ObjectsOfType* collection, ObjectPtr before,
                         ObjectPtr after) {
  // A deleted object is shown with the version of its deletion.
  if (after == nullptr) {
    auto last = std::make_shared<StoredObject>(*before);
    last->version = version_;
    last->body = WithVersion(last->content, version_);
    before = std::move(last);
  }
  collection->changes.push_back(
      {version_, std::move(before), std::move(after)});
  if (collection->changes.size() > history_) {
    collection->oldest = collection->changes.front().version;
    collection->changes.pop_front();
  }
}

std::pair<ObjectList, uint64_t> ObjectStore::List(const ResourceType& type,
                                                  std::string_view ns) const {
  std::lock_guard<std::mutex> lock(mutex_);
  ObjectList list;
  auto collection = collections_.find(&type);
  if (collection != collections_.end()) {
    list.reserve(collection->second.objects.size());
    for (const auto& [key, object] : collection->second.objects) {
      if (ns.empty() || object->ns == ns) list.push_back(object);
    }
  }
  return {std::move(list), version_};
}

ObjectPtr ObjectStore::Get(const ResourceType& type, const std::string& ns,
                           const std::string& name) const {
  std::lock_guard<std::mutex> lock(mutex_);
  auto collection = collections_.find(&type);
  if (collection == collections_.end()) return nullptr;
  auto it = collection->second.objects.find({ns, name});
  return it == collection->second.objects.end() ? nullptr : it->second;
}

bool ObjectStore::Wait(const ResourceType& type, uint64_t version,
                       int64_t milliseconds, std::vector<Change>* changes,
                       uint64_t* now_version) const {
  static const ObjectsOfType& empty = *new ObjectsOfType;
  std::unique_lock<std::mutex> lock(mutex_);
  auto find = [&]() -> const ObjectsOfType& {
    auto it = collections_.find(&type);
    return it == collections_.end() ? empty : it->second;
  };
  const std::deque<Change>* history = &find().changes;
  if (history->empty() || history->back().version <= version) {
    changed_.wait_until(lock, std::chrono::system_clock::now() +
                                  std::chrono::milliseconds(milliseconds));
    history = &find().changes;
  }
  *now_version = version_;
  changes->clear();
  if (version < find().oldest) return false;
  auto first = std::upper_bound(
      history->begin(), history->end(), version,
      [](uint64_t v, const Change& change) { return v < change.version; });
  changes->assign(first, history->end());
  return true;
}

bool ObjectStore::Reaches(const ResourceType& type, uint64_t version) const {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = collections_.find(&type);
  return version >= compacted_ &&
         (it == collections_.end() || version >= it->second.oldest);
}

void ObjectStore::Compact() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++compactions_;
  compacted_ = version_;
}

void ObjectStore::RewindVersion(uint64_t version) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++compactions_;
  version_ = version;
  compacted_ = 0;
  for (auto& [type, collection] : collections_) {
    collection.changes.clear();
    collection.oldest = 0;
  }
}

uint64_t ObjectStore::version() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return version_;
}

uint64_t ObjectStore::compactions() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return compactions_;
}

}  // namespace dynweight::fake

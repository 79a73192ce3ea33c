// The objects of a fake cluster with their versions and the history of their
// changes: what etcd and the watch cache are to kube-apiserver.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_OBJECT_STORE_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_OBJECT_STORE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "t/fake_cluster/json.h"
#include "t/fake_cluster/label_selector.h"

namespace dynweight::fake {

// A kind of object that is served.
struct ResourceType {
  const char* api_version;  // "discovery.k8s.io/v1"
  const char* kind;         // "EndpointSlice"
  const char* plural;       // "endpointslices"
  bool namespaced;
  bool custom;  // served from a CustomResourceDefinition

  std::string ApiPath() const;  // "/apis/discovery.k8s.io/v1"
};

const std::vector<ResourceType>& ResourceTypes();
// Null: none.
const ResourceType* FindKind(std::string_view kind);

// Serialized once, sent many times; never changes.
struct StoredObject {
  std::string ns;
  std::string name;
  Labels labels;
  uint64_t version = 0;
  std::string content;  // JSON without version, kind and apiVersion
  std::string body;     // JSON with version, without kind and apiVersion

  // The JSON with kind and apiVersion in front.
  std::string Typed(const ResourceType& type) const;
};
using ObjectPtr = std::shared_ptr<const StoredObject>;
using ObjectList = std::vector<ObjectPtr>;  // in the order of namespace, name

struct Change {
  uint64_t version = 0;
  ObjectPtr before;  // null: added
  ObjectPtr after;   // null: deleted
};

// Thread-safe.
class ObjectStore {
 public:
  explicit ObjectStore(size_t history) : history_(history) {}

  // Several writes as one: no list sees some of them only.
  class Transaction {
   public:
    explicit Transaction(ObjectStore* store)
        : store_(store), lock_(store->mutex_) {}
    ~Transaction() { store_->changed_.notify_all(); }

    bool Put(const std::string& json);
    bool Put(Json object);
    bool Delete(const ResourceType& type, const std::string& ns,
                const std::string& name);
    // Those objects of `type` for which `matches`.
    void DeleteIf(const ResourceType& type,
                  const std::function<bool(const StoredObject&)>& matches);

   private:
    ObjectStore* store_;
    std::lock_guard<std::mutex> lock_;
  };

  // All objects, or those of one namespace, and the version they are of.
  std::pair<ObjectList, uint64_t> List(const ResourceType& type,
                                       std::string_view ns) const;
  ObjectPtr Get(const ResourceType& type, const std::string& ns,
                const std::string& name) const;

  // Whether a watch can begin after `version`: compaction forgets the rest.
  bool Reaches(const ResourceType& type, uint64_t version) const;

  // Changes of `type` after `version`, at once if there are any, else after
  // `milliseconds` at most. False: history does not reach back that far;
  // compaction leaves what running watches still need.
  bool Wait(const ResourceType& type, uint64_t version, int64_t milliseconds,
            std::vector<Change>* changes, uint64_t* now_version) const;

  // Ends each Wait() under way.
  void Wake() const { changed_.notify_all(); }

  void Compact();
  // Running watches must be ended: they know later versions.
  void RewindVersion(uint64_t version);
  uint64_t version() const;
  // Grows with every Compact() and RewindVersion().
  uint64_t compactions() const;

 private:
  struct ObjectsOfType {
    std::map<std::pair<std::string, std::string>, ObjectPtr> objects;
    std::deque<Change> changes;
    uint64_t oldest = 0;  // changes after this version are all there
  };

  void Record(ObjectsOfType* collection, ObjectPtr before, ObjectPtr after);

  const size_t history_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::map<const ResourceType*, ObjectsOfType> collections_;
  uint64_t version_ = 1000;
  uint64_t compactions_ = 0;
  uint64_t compacted_ = 0;  // watches begin at this version or later
  uint64_t created_ = 0;
};

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_OBJECT_STORE_H_

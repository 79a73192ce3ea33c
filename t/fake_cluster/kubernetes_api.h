// The part of the Kubernetes API that a reader of collections sees: get, list
// and watch, with the semantics of kube-apiserver.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_KUBERNETES_API_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_KUBERNETES_API_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "t/fake_cluster/connection_server.h"
#include "t/fake_cluster/fault.h"
#include "t/fake_cluster/label_selector.h"
#include "t/fake_cluster/object_store.h"
#include "t/fake_cluster/request_log.h"

namespace dynweight::fake {

struct ApiRequest {
  std::string method;
  std::string path;    // without the configured prefix; empty: outside of it
  std::string target;  // as it was sent
  std::map<std::string, std::string> query;
  std::string authorization;
  std::string user_agent;
  bool authorized = true;

  std::string Query(const std::string& key) const {
    auto it = query.find(key);
    return it == query.end() ? "" : it->second;
  }
};

// Thread-safe.
class KubernetesApi {
 public:
  KubernetesApi(const ObjectStore* store, FaultList* faults,
                RequestLog* requests)
      : store_(store), faults_(faults), requests_(requests) {}

  // Nothing: it was answered through `connection`, which was taken over; a
  // watch returns when it is over.
  std::optional<Answer> Serve(const ApiRequest& request,
                              Connection* connection);

  // Serves what Kubernetes 1.`minor` does: see old_objects.h.
  void SetVersion(int minor) { minor_ = minor; }
  void SetBookmarkInterval(int64_t milliseconds) {
    bookmark_interval_ms_ = milliseconds;
  }

 private:
  // Which objects a request is about.
  struct Target {
    const ResourceType* type = nullptr;
    const ResourceType* stored = nullptr;  // what it is made of
    std::string ns;                        // empty: all
    std::string name;                      // empty: the collection
    bool watch = false;
  };

  struct Selection {
    LabelSelector labels;
    Labels fields;
    std::string ns;

    bool Matches(const StoredObject& object) const;
  };

  // A list that is handed out in pages: the objects as they were at first.
  struct PagedList {
    ObjectList objects;
    uint64_t version = 0;
    uint64_t compactions = 0;
  };

  std::optional<Target> FindTarget(const ApiRequest& request) const;
  static std::optional<Selection> Select(const ApiRequest& request,
                                         const Target& target);
  static std::string ListBody(const Target& target, const ObjectPtr* begin,
                              const ObjectPtr* end, uint64_t version,
                              const std::string& next, size_t remaining);

  // The event that a watch of the selection sees; empty: none.
  static std::string ChangeLine(const ResourceType& type,
                                const Selection& selection,
                                const Change& change);

  Answer Get(const Target& target) const;
  Answer List(const ApiRequest& request, const Target& target,
              const std::string& fault);
  Answer Page(const Target& target, uint64_t id, size_t begin, size_t limit);
  // Gives an answer only when the watch cannot begin.
  std::optional<Answer> Watch(const ApiRequest& request, const Target& target,
                              const std::optional<FakeFault>& fault,
                              Connection* connection);
  void Stream(const ApiRequest& request, const Target& target,
              const Selection& selection, uint64_t version,
              const std::optional<FakeFault>& fault, Connection* connection);

  const ObjectStore* const store_;
  FaultList* const faults_;
  RequestLog* const requests_;
  std::atomic<int64_t> bookmark_interval_ms_{10000};
  std::atomic<int> minor_{36};

  std::mutex mutex_;
  std::map<uint64_t, PagedList> paged_lists_;
  uint64_t last_paged_list_ = 0;
};

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_KUBERNETES_API_H_

// A fake Kubernetes API server for tests, benchmarks and the demo: real HTTP
// on a real port, with content and faults that are set while it runs.
//
//   auto cluster = FakeCluster::Start();
//   cluster->SetApp({"prod", "orders", /*pods=*/12});
//   cluster->SetNodes({{"node-1", "127.0.0.11"}, {"node-2", "127.0.0.12"}});
//   ... point a client at cluster->url() ...
//   FakeFault fault;
//   fault.kind = "status";
//   fault.code = 500;
//   cluster->SetFault(fault);
//
// Lists, watches, versions, selectors, paging and errors are those of
// kube-apiserver. Every member function may be called from any thread.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_FAKE_CLUSTER_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_FAKE_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "t/fake_cluster/model.h"

namespace dynweight {

struct FakeClusterOptions {
  std::string name = "fake";
  std::string address = "127.0.0.1";
  int port = 0;        // 0: a free one
  std::string token;   // empty: anybody may ask
  std::string prefix;  // API behind a path, as Karmada's proxy does it
  int64_t member_hang_ms = 10000;  // see member_proxy.h
  std::string cert_file;           // PEM; with key_file: HTTPS
  std::string key_file;            // PEM
  std::string client_ca_file;      // PEM; clients must then show a certificate
  int64_t bookmark_interval_ms = 10000;
  int kubernetes = 36;      // 1.36; see old_objects.h
  size_t history = 100000;  // watch events kept for each resource
  // Answers 503 until ClearFaults(): its content is not there yet.
  bool starting = false;
};

class FakeCluster {
 public:
  // Null when it cannot listen or the certificate is unusable; stderr says
  // why.
  static std::unique_ptr<FakeCluster> Start(FakeClusterOptions options = {});
  // Stop().
  virtual ~FakeCluster() = default;

  virtual int port() const = 0;
  // "http://127.0.0.1:PORT" and the prefix, without a slash at the end.
  virtual std::string url() const = 0;
  // Ends every connection, hanging ones included, and the listener.
  virtual void Stop() = 0;

  // Upsert by kind, namespace and name: any object of a kind that is served
  // (ResourceTypes() in object_store.cc).
  // False: not such an object. An unchanged one makes no event.
  virtual bool Put(const std::string& object_json) = 0;
  // False: there is none.
  virtual bool Delete(const std::string& kind, const std::string& ns,
                      const std::string& name) = 0;
  virtual void SetApp(const FakeApp& app) = 0;
  // Removes all that SetApp() made.
  virtual void RemoveApp(const std::string& ns, const std::string& name) = 0;
  // Exactly these Node objects and no other.
  virtual void SetNodes(const std::vector<FakeNode>& nodes) = 0;
  // EndpointSlices of an ingress controller with hostNetwork: a ready
  // endpoint an address.
  virtual void SetIngressService(const std::string& ns, const std::string& name,
                                 const std::vector<std::string>& addresses) = 0;
  // This is a control plane of Karmada, which gives the API on that port of
  // 127.0.0.1 behind its proxy to the member. Its Cluster object is Put().
  virtual void SetMember(const std::string& name, int port) = 0;
  // Deletes every object.
  virtual void Clear() = 0;
  // Forgets watch history and unfinished paged lists, as etcd's compaction.
  virtual void Compact() = 0;
  // Goes back in time (a restored etcd): the version becomes `version`, which
  // is lower; content stays, history goes.
  virtual void RewindVersion(uint64_t version) = 0;
  virtual uint64_t version() const = 0;
  virtual void SetToken(const std::string& token) = 0;
  virtual void SetBookmarkInterval(int64_t milliseconds) = 0;

  // Adds a fault; of several that fit, the one set last counts. False: no
  // such kind.
  virtual bool SetFault(const FakeFault& fault) = 0;
  // Heals everything; requests that hang are closed.
  virtual void ClearFaults() = 0;
  // Closes every connection that is open now.
  virtual void DropConnections() = 0;

  virtual FakeRequests requests() const = 0;
  virtual void ResetRequests() = 0;

  // The control API under /_fake/ (control_api.cc), without HTTP: gives the
  // HTTP status and the answer's JSON.
  std::pair<int, std::string> Control(std::string_view method,
                                      std::string_view path,
                                      const std::string& body);
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_FAKE_CLUSTER_H_

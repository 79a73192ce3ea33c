// Karmada's proxy to a member cluster (karmada-aggregated-apiserver): below
// /apis/cluster.karmada.io/v1alpha1/clusters/NAME/proxy is the whole API of the
// member, lists and watches, with the control plane's authentication. A member
// that does not begin to answer is a 500 after 10 s, a name of no Cluster
// object a 404 about that object.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_MEMBER_PROXY_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_MEMBER_PROXY_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "t/fake_cluster/connection_server.h"
#include "t/fake_cluster/fault.h"
#include "t/fake_cluster/kubernetes_api.h"
#include "t/fake_cluster/object_store.h"

namespace dynweight::fake {

// Thread-safe.
class MemberProxy {
 public:
  // `hang_ms`: for how long an answer of a member is waited for.
  MemberProxy(const ObjectStore* store, RequestLog* requests, int64_t hang_ms)
      : store_(store), requests_(requests), hang_ms_(hang_ms) {}

  // The API of this member is on a port of 127.0.0.1, in plain HTTP.
  void SetMember(const std::string& name, int port);

  // Whether the request is one for the proxy.
  static bool Serves(const std::string& path);
  // Nothing: it was answered through `connection`, which was taken over.
  std::optional<Answer> Serve(const ApiRequest& request,
                              const HttpServerRequest& http,
                              Connection* connection);

 private:
  const ObjectStore* const store_;
  RequestLog* const requests_;
  const int64_t hang_ms_;
  std::mutex mutex_;
  std::map<std::string, int> ports_;
};

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_MEMBER_PROXY_H_

// The JSON of Kubernetes objects as their controllers write them.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_SAMPLE_OBJECTS_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_SAMPLE_OBJECTS_H_

#include <string>
#include <vector>

#include "t/fake_cluster/model.h"

namespace dynweight::fake {

// Of the Service `app.name`; at least one slice.
std::vector<std::string> EndpointSlicesOf(const FakeApp& app);
std::vector<std::string> PodsOf(const FakeApp& app);
// `kind`: Deployment, StatefulSet or Rollout.
std::string WorkloadOf(const FakeApp& app, const std::string& kind);

// Slices of a Service whose endpoints are those addresses, by family.
std::vector<std::string> EndpointSlicesAt(
    const std::string& ns, const std::string& name,
    const std::vector<std::string>& addresses);

std::string NodeObject(const FakeNode& node);

// The Status object kube-apiserver sends with that HTTP status.
std::string StatusObject(int code, const std::string& reason,
                         const std::string& message,
                         const std::string& details = "");
// With the reason and message usual for `code`.
std::string StatusObject(int code);

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_SAMPLE_OBJECTS_H_

// What API servers of old serve in place of discovery.k8s.io/v1.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_OLD_OBJECTS_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_OLD_OBJECTS_H_

#include "t/fake_cluster/object_store.h"

namespace dynweight::fake {

// Kubernetes 1.`minor`: 1.21 is the first with v1, 1.25 the first without
// v1beta1, 1.17 the first with that. Endpoints are always there. The type that
// is stored is the newest.
const ResourceType* SlicesV1Beta1();
const ResourceType* EndpointsType();
bool Serves(const ResourceType& type, int minor);

// A stored EndpointSlice as `type` has it; any other object as it is. Endpoints
// are those of a Service's first slice; null: it is another one.
ObjectPtr AsServed(const ResourceType& type, const ObjectPtr& object);

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_OLD_OBJECTS_H_

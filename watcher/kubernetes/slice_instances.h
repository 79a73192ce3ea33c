// The endpoints of a Service as peers: which of them take requests, which
// drain, and at which port.
//
// An endpoint that is ready serves, one that terminates drains; when there are
// none but such as terminate, those that are still serving serve (KEP-1669). A
// pod is there once, however many slices and address families it stands in, by
// its IPv4 address where it has one.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_SLICE_INSTANCES_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_SLICE_INSTANCES_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "watcher/kubernetes/reduced_slice.h"
#include "watcher/kubernetes/source.h"
#include "weightcalc/instance.h"

namespace dynweight {

struct SliceInstances {
  // As Observation::instances has them; named as their pods.
  std::vector<Instance> instances;
  // Why none of the endpoints that take requests has such a port; "" when one
  // has, or when there is none.
  std::string no_port;
};

// Pure. `slices` are all of the Service.
SliceInstances InstancesOf(absl::Span<const ReducedSlice* const> slices,
                           const PortChoice& port);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_SLICE_INSTANCES_H_

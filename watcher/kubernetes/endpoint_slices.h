// EndpointSlices reduced to what weights need: how many pods of a Service are
// ready, at which addresses, and at which ports (slice_instances.h).
//
// Rules (Kubernetes API reference and KEP-1669): `ready` absent means true; a
// pod counts once however many slices and address families it stands in (by
// targetRef.uid, else by its first address, which may be that of an endpoint
// with a uid in another slice); slices of addressType FQDN and those about
// other clusters' pods are skipped; when no endpoint is ready, those that
// are serving and terminating count.
//
// Clusters before Kubernetes 1.21 have them as v1beta1, those before 1.17 have
// Endpoints instead: SetResource("endpoints") before a list of these.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_ENDPOINT_SLICES_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_ENDPOINT_SLICES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "watcher/kubernetes/object_sink.h"
#include "watcher/kubernetes/slice_instances.h"
#include "weightcalc/departed.h"
#include "weightcalc/slot_plan.h"

namespace dynweight {

// The slices of one list+watch. Only the services that were asked for are
// kept. Not thread-safe.
class EndpointSlices : public ObjectSink {
 public:
  static std::unique_ptr<EndpointSlices> Create();

  // Before the first list: `service` in `ns` will be asked for.
  virtual void Interest(std::string_view ns, std::string_view service) = 0;

  // Whether a list was ever committed: before that nothing is known.
  virtual bool listed() const = 0;

  // Ready pods of a wanted service; 0 when it has no slices.
  virtual uint64_t Ready(std::string_view ns,
                         std::string_view service) const = 0;

  // Distinct addresses of the ready endpoints, sorted; names are the
  // endpoints' nodeName. With hostNetwork these are the nodes' addresses. One
  // address per pod: an IPv4 one where there is one.
  virtual std::vector<IngressNode> Addresses(
      std::string_view ns, std::string_view service) const = 0;

  // Distinct addresses of the endpoints that are not ready although nobody
  // means them to go, as Addresses() gives them.
  virtual std::vector<IngressNode> Unready(std::string_view ns,
                                           std::string_view service) const = 0;

  // The endpoints as peers, and why they have no such port.
  virtual SliceInstances Instances(std::string_view ns,
                                   std::string_view service,
                                   const PortChoice& port) const = 0;

  // The (namespace, service) pairs whose answers may have changed since the
  // last call; after the first list, every wanted one.
  virtual std::vector<std::pair<std::string, std::string>> TakeChanged() = 0;

  // Endpoints that counted, and no longer do since an event showed them
  // terminating, seen by the last TakeChanged(); once. Those that had been lost
  // otherwise before are among them, until Accept().
  virtual Departed TakeDeparted(std::string_view ns,
                                std::string_view service) = 0;
  // What is said of the service now is in force: what was lost is past.
  virtual void Accept(std::string_view ns, std::string_view service) = 0;

  // Why nothing counts, where that looks like a mistake: no such Service,
  // other clusters' pods only. Else "".
  virtual std::string WhyNone(std::string_view ns,
                              std::string_view service) const = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_ENDPOINT_SLICES_H_

// The door for sources: what a cluster watcher needs of anything that knows how
// many pods an application has, which ingress nodes there are, and which
// instances are peers themselves. Kubernetes is one
// (watcher/kubernetes/kubernetes_discovery.h).
//
//             Start()     the first whole answer      more answers
//   silent ───────────► asking ───────────────► known ◄──────────┐
//                          ▲  │                   │ │            │
//                          │  └─ OnError() ───────┘ └─ OnList() ─┘
//                          └─ by its own back-off       OnEvent()
//
// A source says what is, at once and as it is; what of that takes effect, and
// when, is decided by the guards of its Informer. It never takes an answer
// back: what fails is told by OnError(), and the last answers stay.

#ifndef DYNAMIC_WEIGHT_WATCHER_DISCOVERY_DISCOVERY_H_
#define DYNAMIC_WEIGHT_WATCHER_DISCOVERY_DISCOVERY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "watcher/transport/credentials.h"
#include "weightcalc/departed.h"
#include "weightcalc/ingress_node.h"
#include "weightcalc/instance.h"

namespace dynweight {

// A number that a cluster is asked for.
struct Quantity {
  enum class Kind : uint8_t {
    kPods,          // ready pods of an application
    kObjects,       // objects of a name: 1, or 0 where there is none
    kIngressNodes,  // live ingress nodes of the cluster
    kInstances      // the application's instances, each a peer
  };
  Kind kind = Kind::kPods;
  // Of kPods and kInstances: LineConfig::source; of kObjects: ::ingress.
  std::string source;
};

// What is said of a quantity now.
struct Observation {
  uint64_t pods = 0;               // of kPods, kObjects
  std::vector<IngressNode> nodes;  // of kIngressNodes; sorted, distinct
  // Ingress nodes that would be live, were they ready; nobody means them to go.
  // Sorted, distinct.
  std::vector<IngressNode> unready_nodes;
  // Of kInstances; sorted, no two of one address and port. Those that drain are
  // there with a weight of 0.
  std::vector<Instance> instances;
  // What left since the last Observe() because its owner meant it; only what an
  // event showed, and of those lost otherwise what was lost since Accept().
  Departed departed;
};

// Counters for the status page.
struct DiscoveryStats {
  uint64_t requests = 0, lists = 0, relists = 0, watches = 0, events = 0;
  uint64_t failures = 0, bytes = 0, rejected = 0;
  std::string resource_version;
};

// What a source asks of the cluster it belongs to, and tells it. Not
// thread-safe.
class DiscoveryDelegate {
 public:
  virtual ~DiscoveryDelegate() = default;
  // Base URL of the API server to use now. All sources of a cluster share it.
  virtual std::string ApiBase() = 0;
  virtual const Credentials* credentials() = 0;
  // The server at `base` does not answer; the delegate may turn to the next
  // one.
  virtual void OnApiFailure(const std::string& base) = 0;
  // The server at `base` wants to be left alone for so long (Retry-After); the
  // delegate may turn to the next one. Before OnApiFailure() of the same
  // answer.
  virtual void OnApiBusy(const std::string& base, int64_t retry_after_ms) = 0;
  // There is a whole new answer. `asked_ms`: when it was asked for, if it is
  // not older than what was seen until then; nothing: it came from a cache that
  // may lag.
  virtual void OnList(std::optional<int64_t> asked_ms) = 0;
  // Something of the answer has changed.
  virtual void OnEvent() = 0;
  // Nothing is known yet of what the source is to tell, not even from before:
  // requests wait for it, and an API that comes back is worth being asked
  // often.
  virtual bool Awaited() const { return false; }
  // The server is heard and nothing is failing: while one half of what is asked
  // succeeds and the other does not, this is not called.
  virtual void OnHealthy() = 0;
  // Nothing fails, but something is in the way that an operator should know of;
  // empty: no longer. Called for changes only.
  virtual void OnTrouble(const std::string& text) = 0;
  // Something failed; the text names what was asked, what happened and the fix
  // where there is one ("HTTP 403: the token may not list ..."). Called for
  // each failure; the delegate logs changes only. PermissionDenied: the server
  // refuses to tell this. ResourceExhausted: it is more than can be kept.
  virtual void OnError(const absl::Status& error) = 0;
};

class Discovery;
// Makes a source for its delegate, which outlives it.
using DiscoveryMaker =
    std::function<std::unique_ptr<Discovery>(DiscoveryDelegate* delegate)>;

// Not thread-safe; lives on the watcher thread. Times are of one monotonic
// clock in milliseconds.
class Discovery {
 public:
  virtual ~Discovery() = default;

  // For logs and the status: a URL's path, say.
  virtual std::string name() const = 0;
  // The same for as long as it lives; named by their indices below.
  virtual const std::vector<Quantity>& quantities() const = 0;
  // Whether changes are told as they happen (a watch), not by the next list.
  virtual bool pushes() const = 0;

  virtual void Start(int64_t now_ms) = 0;
  // When Tick() must be called next at the latest; INT64_MAX: not before a
  // transfer says something.
  virtual int64_t DeadlineMs() const = 0;
  // Time has come to `now_ms`. Also called before the transport delivers.
  virtual void Tick(int64_t now_ms) = 0;
  // Asks for everything again, nothing older than what was seen until now; to
  // confirm a drop. Soon; one answer serves all requests from before it was
  // asked for. Answered by OnList() with its `asked_ms`.
  virtual void RequestConfirmation(int64_t now_ms) = 0;
  // The cluster's API is heard again: what waits because no server answered is
  // asked for again now.
  virtual void Retry(int64_t /*now_ms*/) {}
  // Nothing waits for that any more: what has not been asked for need not be.
  virtual void WithdrawConfirmation() {}

  // Whether there ever was a whole answer: before that nothing below is known.
  virtual bool listed() const = 0;
  // The quantities whose answers, or whether they are certain, may have changed
  // since the last call: work is in proportion to them.
  virtual std::vector<size_t> TakeChanged() = 0;
  virtual Observation Observe(size_t quantity) = 0;
  // Why what the source was told of it is no evidence, so that what is in force
  // holds ("the registry names no instance, and it may have just started");
  // "" when it is.
  virtual std::string WhyUncertain(size_t /*quantity*/) const { return {}; }
  // What was last observed of it is in force.
  virtual void Accept(size_t quantity) = 0;
  // Why nothing is found, for a person, where that may be a mistake; else "".
  virtual std::string WhyNone(size_t quantity) const = 0;

  virtual const DiscoveryStats& stats() const = 0;
  // The same in smaller parts, for a server that refuses the whole or whose
  // whole is too much. Empty: there are none.
  virtual std::vector<DiscoveryMaker> Split() const { return {}; }
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_DISCOVERY_DISCOVERY_H_

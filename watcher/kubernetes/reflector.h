// List + watch of one collection of one API server, as client-go's reflector
// does it (k8s.io/client-go/tools/cache/reflector.go), as a state machine
// without a thread or clock of its own: time and transport are handed in.
//
//                             it ended, however, after a second or more
//                                        ┌──────┐
//         Start()          committed     │      ▼    ended sooner, no answer,
//   idle ────────► listing ─────────► watching ────► 429, 5xx: backing off,
//                  ▲  ▲  │               ▲   │         then watching again
//                  │  └──┘               │   │
//            410, 4xx, 3 watches in a    │   │ no answer within timeout, while
//            row that gave nothing       │   ▼ lists succeed
//                  └─────────────────── follows by lists each interval_ms, and
//                                       tries a watch now and then (buffered)
//
// How a watch ended says nothing about the server: load balancers cut quiet
// connections. It goes on from the last version, without a list. A connection
// may also be dropped without a word; a watch that is silent for long is
// renewed. What a watch cannot tell, a server that was restored from a copy and
// went back in time (it takes a watch from a version that it has not come to,
// and is silent until it has), a list finds out: a minute or two after a server
// failed, after a second silent watch (the fourth, the eighth, ...), after a
// quarter of an hour of silence however watches ended, and every hour or two.
// In poll mode `watching` is replaced by a pause of interval_ms.
//
// Lists name the version that was seen last ("not older than"), which a server
// answers from its cache; the first one "0". One names none, and has etcd read
// by a quorum, only when the version is refused as expired or as too large, or
// when it may be what a list has failed for: as in client-go, five hundred
// edges must not read an etcd at once because an API server was restarted.
//
// A list may be read while a watch goes on. Its objects are staged beside those
// in force. Where versions can be compared (resource_version.h) nothing older
// than what is in force ever becomes visible: the events that came meanwhile
// and are newer than the list are applied to it before anybody sees it, and
// those that the watch brings later and the list holds already are skipped.
// Where they can't, a new watch begins at the list's version, and when events
// had come the list is reported only after it has settled.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REFLECTOR_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REFLECTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "watcher/discovery/discovery.h"
#include "watcher/kubernetes/object_sink.h"
#include "watcher/kubernetes/reflector_options.h"
#include "watcher/transport/http_transport.h"

namespace dynweight {

// Not thread-safe; lives on the watcher thread.
class Reflector {
 public:
  // `random` gives uniform numbers of [0, 1): jitter. All pointers outlive
  // the reflector.
  static std::unique_ptr<Reflector> Create(ReflectorOptions options,
                                           HttpTransport* transport,
                                           ObjectSink* sink,
                                           DiscoveryDelegate* delegate,
                                           std::function<double()> random);
  virtual ~Reflector() = default;

  // Begins. `now_ms` is a monotonic clock in milliseconds, the same for all
  // calls.
  virtual void Start(int64_t now_ms) = 0;
  // When Tick() must be called next at the latest; INT64_MAX: not before a
  // transfer says something.
  virtual int64_t Deadline() const = 0;
  // Time has come to `now_ms`. Also called before the transport delivers, so
  // that handlers know the time.
  virtual void Tick(int64_t now_ms) = 0;
  // Lists again, nothing older than what was seen until now; used to confirm a
  // drop. Soon, see ReflectorOptions::spread_ms: one list answers all requests
  // that were made before it began. A watch under way goes on.
  virtual void RequestFreshList(int64_t now_ms) = 0;
  // The server is heard again by others: what waits because it did not answer
  // is asked for again now, unless it said when to come (Retry-After).
  virtual void Retry(int64_t now_ms) = 0;
  // Nobody waits for that list any more: one that has not begun is not read.
  virtual void WithdrawList() = 0;
  virtual const DiscoveryStats& stats() const = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REFLECTOR_H_

// List + watch of one collection of one API server, as client-go's reflector
// does it (k8s.io/client-go/tools/cache/reflector.go), as a state machine
// without a thread or clock of its own: time and transport are handed in.
//
//            Start()            last page               ends, 410, ERROR, stall
//   idle ──────────► listing ───────────► watching ──────────────┐
//                     ▲  ▲ └─ error ─► backing off ─┐   ▲ clean end: again
//                     │  └──────────────────────────┘   └────────┘
//                     └──────────── relist ◄─────────────────────┘
//
// A watch that is silent for long is renewed, once, before it counts as a
// stall.
//
// In poll mode `watching` is replaced by a pause of interval_ms.
//
// A list may be read while a watch goes on (the full one every ten minutes;
// one to confirm a drop). Its objects are staged beside those in force. When
// it is complete they are swapped, and a new watch begins at the list's
// version: whatever the former watch brought meanwhile comes again, so that
// no event is lost whichever of the two was ahead.

#ifndef DYNAMIC_WEIGHT_WATCHER_REFLECTOR_H_
#define DYNAMIC_WEIGHT_WATCHER_REFLECTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "watcher/config.h"
#include "watcher/http_transport.h"
#include "watcher/object_sink.h"

namespace dynweight {

struct ReflectorOptions {
  // "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices", appended to
  // the base URL.
  std::string path;
  std::string label_selector;  // unescaped; empty: all
  std::string field_selector;  // unescaped; empty: all
  uint32_t page_limit = 500;
  // Lists with a resourceVersion, which the API server answers from its cache
  // and whole, whatever the limit. Off for large objects such as pods: every
  // list is then consistent, and comes in pages.
  bool cached_first_list = true;
  bool watch = true;                         // false: poll
  int64_t interval_ms = 5000;                // poll: between lists
  int64_t timeout_ms = 5000;                 // connect; and a page of a list
  size_t max_list_bytes = size_t{64} << 20;  // one page, decompressed
  size_t max_line_bytes = size_t{4} << 20;   // one watch event or object
  uint32_t max_objects = 200000;             // one list
};

// What a reflector asks of the cluster it belongs to, and tells it.
class ReflectorHost {
 public:
  virtual ~ReflectorHost() = default;
  // Base URL of the API server to use now. All reflectors of a cluster share
  // it.
  virtual std::string ApiBase() = 0;
  virtual const Credentials* credentials() = 0;
  // The server at `base` does not answer; the host may turn to the next one.
  virtual void OnApiFailure(const std::string& base) = 0;
  // A list was committed to the sink. `asked_ms`: when it was asked for with
  // an empty resourceVersion; nothing: it came from a cache that may lag.
  virtual void OnList(std::optional<int64_t> asked_ms) = 0;
  // A watch event was applied to the sink (bookmarks are not reported here).
  virtual void OnEvent() = 0;
  // The server is heard (a list, an event, a bookmark) and nothing is failing:
  // while lists succeed and watches don't, or the other way round, this is
  // not called.
  virtual void OnHealthy() = 0;
  // Something failed; the text names the URL's path, what happened and the
  // mend where there is one ("HTTP 403: the token may not list ..."). Called
  // for each failure; the host logs changes only.
  virtual void OnError(const absl::Status& error) = 0;
};

// Counters for the status page.
struct ReflectorStats {
  uint64_t requests = 0, lists = 0, relists = 0, watches = 0, events = 0;
  uint64_t failures = 0, bytes = 0, rejected = 0;
  std::string resource_version;
};

// Not thread-safe; lives on the watcher thread.
class Reflector {
 public:
  // `random` gives uniform numbers of [0, 1): jitter. All pointers outlive
  // the reflector.
  static std::unique_ptr<Reflector> Create(ReflectorOptions options,
                                           HttpTransport* transport,
                                           ObjectSink* sink,
                                           ReflectorHost* host,
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
  // Lists again with an empty resourceVersion (consistent), as soon as
  // possible; used to confirm a drop. A watch under way goes on until the
  // list is committed.
  virtual void RequestConsistentList(int64_t now_ms) = 0;
  virtual const ReflectorStats& stats() const = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_REFLECTOR_H_

// What a fake cluster has, what goes wrong with it, and what was asked of it.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_MODEL_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_MODEL_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace dynweight {

// An application: the EndpointSlices of its Service, 100 endpoints a slice,
// with pod uids that stay the same from call to call.
struct FakeApp {
  std::string ns = {};
  std::string name = {};
  int pods = 0;             // ready ones
  int not_ready = 0;        // further ones
  int terminating = 0;      // further ones: not ready, serving, terminating
  int slices = 0;           // 0: one per 100 endpoints, at least one
  bool dual_stack = false;  // the same pods in IPv6 slices as well
  // Objects beside the EndpointSlices.
  bool deployment = false;
  bool statefulset = false;
  bool rollout = false;
  bool pod_objects = false;  // labelled app=<name>
};

struct FakeNode {
  std::string name = {};
  std::string address = {};  // InternalIP
  bool ready = true;
  std::string external_address = {};  // ExternalIP; empty: none
  bool cordoned = false;
  bool deleting = false;   // has a deletionTimestamp
  std::string taint = {};  // key of a NoSchedule taint; empty: none
  std::map<std::string, std::string> labels = {};
};

// What goes wrong. `kind` is one of
//   status            answers `code` with `body` (a fitting Status object when
//                     empty) and a Retry-After of `retry_after` seconds
//   body              answers 200 with `body`
//   hang              takes the request and never answers
//   hang_body         the head and half of the true body, then silence
//   close_half        the head and half of the true body, then closes;
//                     `chunked`: in chunks, without the last one
//   reset             resets the connection
//   delay             answers truly after `delay_ms`
//   drip              the true answer, a byte each `delay_ms`
//   huge              a list that goes on for `bytes` (1 GiB), valid so far
//   gzip_bomb         a few MB of gzip that become `bytes` (4 GiB)
//   garbage           64 KiB of random bytes as application/json; `raw`: not
//                     even HTTP
//   html              200 with a login page
//   redirect          302 to `location`
//   nested            10^6 opening brackets
//   bad_types         a list whose members have the wrong JSON types
//   empty_list        a valid list without items
//   continue_loop     every page names a next one, for ever
//   expired_continue  410 for every page but the first
//   watch_silent      the watch stays open and says nothing, no bookmark either
//   watch_error       an ERROR event with `code`, then a clean end
//   watch_cut_utf8    half an event, cut within a UTF-8 character, then closes
//   watch_huge_line   one event line of `bytes` (1 GiB)
//   refuse            nobody listens; `seconds`: for that long
// watch_* meet running watches at once, lists of other kinds never.
struct FakeFault {
  std::string kind = {};
  std::string path_prefix = {};  // only requests whose path begins so
  int times = 0;                 // heals after that many requests; 0: never
  std::string on = {};  // "list" or "watch"; empty: whatever the kind suits
  int code = 500;
  std::string body = {};
  int retry_after = -1;
  std::string location = {};
  bool chunked = false;
  bool raw = false;
  uint64_t bytes = 0;
  int64_t delay_ms = 1000;
  int seconds = 0;
};

struct FakeRequestCounts {
  uint64_t lists = 0;    // list requests, each page counted
  uint64_t watches = 0;  // watch requests
  uint64_t others = 0;
  uint64_t bytes = 0;  // of bodies, before compression
};

struct FakeRequests {
  FakeRequestCounts total;
  std::map<std::string, FakeRequestCounts> paths;
  // The last 100: method, target, "auth=yes|no", User-Agent.
  std::vector<std::string> recent;
  int open_watches = 0;
  int open_connections = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_MODEL_H_

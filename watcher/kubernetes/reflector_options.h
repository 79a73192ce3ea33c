// What a reflector follows and how, and what it counts.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REFLECTOR_OPTIONS_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REFLECTOR_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "watcher/kubernetes/list_watch_request.h"

namespace dynweight {

struct ReflectorOptions {
  // "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices", appended to
  // the base URL.
  std::string path;
  std::string label_selector;  // unescaped; empty: all
  std::string field_selector;  // unescaped; empty: all
  // The same objects in other places, for servers that answer 404 to the path
  // above: tried in turn, the first that is there is used until it is not.
  std::vector<Collection> fallbacks;
  uint32_t page_limit = 500;
  bool watch = true;           // false: poll
  int64_t interval_ms = 5000;  // between lists while nothing else tells of
                               // changes: poll mode, buffered watches
  int64_t timeout_ms = 5000;   // to connect, for the first byte of an answer,
                               // and between two of a list
  // Lists that are asked for begin so far apart, and up to so much later by
  // chance: a mass failure moves all edges at the same moment.
  int64_t spread_ms = 5000;
  size_t max_list_bytes = size_t{64} << 20;  // one page, decompressed
  size_t max_line_bytes = size_t{4} << 20;   // one watch event or object
  uint32_t max_objects = 200000;             // one list
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REFLECTOR_OPTIONS_H_

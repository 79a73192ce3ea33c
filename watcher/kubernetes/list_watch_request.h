// How a collection of an API server is asked for: URLs of lists and watches,
// and the text that explains why an answer is of no use.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LIST_WATCH_REQUEST_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LIST_WATCH_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "watcher/kubernetes/api_document.h"

namespace dynweight {

// A collection and what is wanted of it.
struct Collection {
  std::string path;            // "/api/v1/namespaces/prod/pods"
  std::string label_selector;  // unescaped; empty: all
  std::string field_selector;  // unescaped; empty: all

  // "pods"
  std::string_view resource() const;
  // "prod"; empty: all namespaces, or of the cluster.
  std::string_view ns() const;
};

struct ListQuery {
  // Nothing: none is sent, which reads what is newest. "0": whatever the
  // server's cache has. Else: nothing older than this one.
  std::optional<std::string> resource_version;
  uint32_t limit = 0;  // 0: none is sent
  std::string next;    // the continue token
};

// `base` is the API server's URL without a slash at the end. Versions and
// tokens are opaque: whatever they are, they are escaped. A page with a
// continue token never carries a version.
std::string ListUrl(std::string_view base, const Collection& collection,
                    const ListQuery& query);
std::string WatchUrl(std::string_view base, const Collection& collection,
                     std::string_view resource_version, int timeout_seconds);

enum class Verb { kList, kWatch };

// "list https://10.1.0.1:6443/api/v1/pods: HTTP 403: the token may not list
// pods ...": what happened and the mend, in words that stay the same while the
// fault does, so that a log can leave repetitions out. `base` is the API
// server's URL, which has no user name or password in it.
absl::Status RefusalError(Verb verb, std::string_view base,
                          const Collection& collection,
                          const ApiRefusal& refusal);
// The same around another error.
absl::Status RequestError(Verb verb, std::string_view base,
                          const Collection& collection,
                          const absl::Status& error);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LIST_WATCH_REQUEST_H_

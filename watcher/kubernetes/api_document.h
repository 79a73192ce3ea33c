// The documents of the Kubernetes API that do not describe an object of the
// cluster: watch events and Status, by which a server says no.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_API_DOCUMENT_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_API_DOCUMENT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "watcher/text/json_value.h"

namespace dynweight {

// Parses one object or event of a cluster. Beside depth, the number of values
// is bounded: a value takes two bytes of text and a hundred of memory.
// ResourceExhausted, or as ParseJson().
absl::StatusOr<JsonDocument> ParseApiDocument(std::string_view text);

// A refusal: an answer other than 200, or an ERROR event.
struct ApiRefusal {
  enum class Kind {
    kExpired,   // the version is too old (410): list again without one
    kTooLarge,  // the server has not come to that version: the same
    kBusy,      // 429
    kOther,
  };

  Kind kind = Kind::kOther;
  int code = 0;                 // HTTP's
  int64_t retry_after_ms = -1;  // -1: the server doesn't say
  std::string message;          // printable, at most 200 bytes; may be empty
  // Of a Cluster object of Karmada that there is not, its name: not what was
  // asked for is missing, but the member that it was asked of.
  std::string missing_member;
};

// From an HTTP answer. `body` may be anything, also cut off.
ApiRefusal RefusalOfAnswer(int http_status, int64_t retry_after_ms,
                           std::string_view body);

// From the object of an ERROR event, which may be anything.
ApiRefusal RefusalOfEvent(const cJSON* status);

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark, kError };

  Type type = Type::kError;
  const cJSON* object = nullptr;  // points into the document
  std::string resource_version;   // empty for kError alone
};

// Reads one event. InvalidArgument for an unknown type, or no object, or one
// without metadata.resourceVersion.
absl::StatusOr<WatchEvent> ReadWatchEvent(const cJSON* document);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_API_DOCUMENT_H_

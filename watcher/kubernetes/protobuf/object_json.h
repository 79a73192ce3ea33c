// Objects as API servers send them in protobuf: in an envelope that says what
// they are. https://kubernetes.io/docs/reference/using-api/api-concepts/

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_OBJECT_JSON_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_OBJECT_JSON_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "watcher/kubernetes/protobuf/message_fields.h"

namespace dynweight {

// What a request has to offer to get protobuf where a server has it.
inline constexpr char kAcceptProtobuf[] =
    "application/vnd.kubernetes.protobuf, application/json;q=0.9";

// Whether an answer's Content-Type says so.
bool IsProtobuf(std::string_view content_type);

// Every envelope begins with it.
inline constexpr std::string_view kProtobufMagic("k8s\0", 4);

// runtime.Unknown, and its fields. Points into what it was read from.
struct ProtobufEnvelope {
  enum Field { kTypeMeta = 1, kRaw = 2, kContentEncoding = 3 };

  std::string_view api_version;
  std::string_view kind;
  std::string_view object;
};

// InvalidArgument: it is none, or what is in it is compressed.
absl::StatusOr<ProtobufEnvelope> ReadProtobufEnvelope(std::string_view bytes);

// Reads runtime.TypeMeta. InvalidArgument: it is none.
absl::Status ReadTypeMeta(std::string_view bytes, ProtobufEnvelope* envelope);

// An event of a watch of that kind, a v1.WatchEvent without an envelope around
// it, as the line of JSON that it would have been. ResourceExhausted: that is
// longer than `max_bytes`. InvalidArgument: it is no event, or its object is
// neither of the kind nor a Status.
absl::StatusOr<std::string> WatchEventJson(std::string_view bytes,
                                           const ProtobufKind& kind,
                                           size_t max_bytes);

// A Status with its envelope as JSON; "" when it is anything else.
std::string StatusJson(std::string_view bytes);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_OBJECT_JSON_H_

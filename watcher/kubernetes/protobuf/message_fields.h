// Which fields of Kubernetes' protobuf messages are read, and what they are
// called in JSON. A kind of object is one row, a message one table: nothing
// else of a message is ever looked at.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_MESSAGE_FIELDS_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_MESSAGE_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/types/span.h"

namespace dynweight {

struct MessageFields;

// Fields of messages are numbered from 1 to kMaxFieldNumber.
inline constexpr uint32_t kMaxFieldNumber = 63;

struct MessageField {
  enum class Type : uint8_t {
    kText,
    kBool,
    kInteger,  // int32 and int64
    kTime,     // metav1.Time, an RFC 3339 text in JSON
    kMap,      // of texts
    kTexts,    // repeated
    kMessage,
    kMessages,  // repeated
  };

  uint32_t number;
  const char* name;  // in JSON
  Type type;
  const MessageFields* nested = nullptr;  // of kMessage and kMessages
};

struct MessageFields {
  absl::Span<const MessageField> fields;

  // nullptr: the field is not read.
  const MessageField* Find(uint32_t number) const;
};

// A kind of object that API servers know as protobuf.
struct ProtobufKind {
  const char* group;        // "/apis/discovery.k8s.io/v1"
  const char* plural;       // "endpointslices"
  const char* api_version;  // "discovery.k8s.io/v1"
  const char* name;         // "EndpointSlice"
  const MessageFields* fields;
};

// The kind of a collection by its path, as in Collection; nullptr: its objects
// come as JSON alone, or are not known here.
const ProtobufKind* FindProtobufKind(std::string_view path);

// All kinds, for tests.
absl::Span<const ProtobufKind> ProtobufKinds();

// By which a server says no.
extern const ProtobufKind kStatusKind;
// metadata of a list, v1.ListMeta.
extern const MessageFields kListMetaFields;

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_MESSAGE_FIELDS_H_

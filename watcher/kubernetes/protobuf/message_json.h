// A protobuf message as the JSON that the API server would have sent, of the
// fields that are read.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_MESSAGE_JSON_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_MESSAGE_JSON_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "watcher/kubernetes/protobuf/message_fields.h"

namespace dynweight {

// Appends the message as a JSON object. On an error `json` holds a part of it.
// ResourceExhausted: `json` would grow beyond `max_bytes`. InvalidArgument: the
// bytes are no such message: cut off, a field of the wrong type or twice
// (elements of a repeated field stand together), text that is not UTF-8 or
// has a NUL in it. The words name the field and never quote the message.
// Unknown fields are passed over. Thread-safe.
absl::Status AppendMessageJson(std::string_view message,
                               const MessageFields& fields, size_t max_bytes,
                               std::string* json);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_MESSAGE_JSON_H_

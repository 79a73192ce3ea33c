// Messages of Nacos over gRPC: a type, and JSON of it, in a Payload of
// nacos_grpc_service.proto, in the frame that gRPC gives every message.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_GRPC_MESSAGE_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_GRPC_MESSAGE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dynweight {

// Names and values, in the order in which they are sent.
using NamedValues = std::vector<std::pair<std::string, std::string>>;

struct GrpcMessage {
  // Of one that a server sends: as many as of a list.
  static constexpr size_t kMaxBytes = 8 << 20;

  std::string type;  // "NotifySubscriberRequest"
  std::string json;
  NamedValues headers;  // of those that we send
};

// The message in its frame.
std::string WriteGrpcMessage(const GrpcMessage& message);

// Reads a Payload without its frame. InvalidArgument: it is none.
absl::StatusOr<GrpcMessage> ReadGrpcPayload(std::string_view payload);

// Reads the whole answer of a call: one frame. InvalidArgument: it is none.
absl::StatusOr<GrpcMessage> ReadGrpcAnswer(std::string_view frame);

// Takes messages out of a stream that is cut anywhere. Not thread-safe.
class GrpcFraming {
 public:
  using Visit = std::function<absl::Status(std::string_view payload)>;

  // Calls `visit` for each message that is whole by now, until it fails.
  // ResourceExhausted: one is longer than kMaxBytes. InvalidArgument: it is
  // compressed, which we never asked for. After an error it is of no use.
  absl::Status Append(std::string_view data, const Visit& visit);

 private:
  std::string partial_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_GRPC_MESSAGE_H_

// Cuts the body of a watch in protobuf into its events: each has its length
// before it, four bytes, the highest first.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_WATCH_FRAMES_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_WATCH_FRAMES_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace dynweight {

// As WatchFraming: pieces of the body may be cut anywhere. Not thread-safe.
class WatchFrames {
 public:
  // A frame that is to have more than `max_frame` bytes is an error.
  explicit WatchFrames(size_t max_frame) : max_frame_(max_frame) {}

  // Calls on_frame(bytes) for each frame that `data` completes, in order. Stops
  // at the first error, of a frame's length (ResourceExhausted) or of on_frame,
  // and gives it; nothing but Reset() is of use then. `bytes` is valid during
  // the call only, and on_frame must not call this object.
  absl::Status Append(
      std::string_view data,
      absl::FunctionRef<absl::Status(std::string_view)> on_frame);

  // Whether the body so far ends within a frame.
  bool partial() const { return !rest_.empty(); }

  // For the body of the next watch. Gives memory back.
  void Reset() { rest_ = std::string(); }

 private:
  const size_t max_frame_;
  std::string rest_;  // an unfinished frame, with its length
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_WATCH_FRAMES_H_

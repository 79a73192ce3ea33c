// See watch_frames.h.

#include "watcher/kubernetes/protobuf/watch_frames.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

constexpr size_t kLengthBytes = 4;
// Memory an idle watch may keep after a long frame.
constexpr size_t kKeptBytes = 64 << 10;

size_t FrameLength(std::string_view bytes) {
  size_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    length = length << 8 | static_cast<uint8_t>(bytes[i]);
  }
  return length;
}

}  // namespace

absl::Status WatchFrames::Append(
    std::string_view data,
    absl::FunctionRef<absl::Status(std::string_view)> on_frame) {
  // Moves up to `bytes` of what is needed over.
  const auto gather = [this, &data](size_t bytes) {
    const size_t count = std::min(bytes - rest_.size(), data.size());
    rest_.append(data.substr(0, count));
    data.remove_prefix(count);
    return rest_.size() == bytes;
  };
  while (!data.empty()) {
    const bool whole = rest_.empty() && data.size() >= kLengthBytes;
    if (!whole && rest_.size() < kLengthBytes && !gather(kLengthBytes)) break;
    const size_t length = FrameLength(whole ? data : rest_);
    if (length > max_frame_) {
      return absl::ResourceExhaustedError(
          absl::StrCat("an event is longer than ", max_frame_, " bytes"));
    }
    const size_t end = kLengthBytes + length;
    std::string_view frame;
    if (whole && data.size() >= end) {
      frame = data.substr(0, end);
      data.remove_prefix(end);
    } else {
      if (!gather(end)) break;
      frame = rest_;
    }
    const absl::Status status = on_frame(frame.substr(kLengthBytes));
    if (!status.ok()) return status;
    rest_.clear();
    if (rest_.capacity() > kKeptBytes) Reset();
  }
  return absl::OkStatus();
}

}  // namespace dynweight

// Cuts the body of a watch into its events.

#include "watcher/kubernetes/watch_framing.h"

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

// Memory an idle watch may keep after a long line.
constexpr size_t kKeptBytes = 64 << 10;

bool Blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

absl::Status WatchFraming::TooLong() const {
  return absl::ResourceExhaustedError(
      absl::StrCat("an event is longer than ", max_line_, " bytes"));
}

absl::Status WatchFraming::Append(
    std::string_view data,
    absl::FunctionRef<absl::Status(std::string_view)> on_line) {
  while (!data.empty()) {
    const size_t end = data.find('\n');
    const std::string_view piece = data.substr(0, end);
    if (piece.size() > max_line_ - rest_.size()) return TooLong();
    if (end == std::string_view::npos) {
      rest_.append(piece);
      return absl::OkStatus();
    }
    data.remove_prefix(end + 1);

    std::string_view line = piece;
    if (!rest_.empty()) line = rest_.append(piece);
    if (!Blank(line)) {
      const absl::Status status = on_line(line);
      if (!status.ok()) return status;
    }
    rest_.clear();
    if (rest_.capacity() > kKeptBytes) Reset();
  }
  return absl::OkStatus();
}

}  // namespace dynweight

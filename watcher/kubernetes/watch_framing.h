// Cuts the body of a watch into its events: one JSON document a line.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_WATCH_FRAMING_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_WATCH_FRAMING_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace dynweight {

// Pieces of the body may be cut anywhere, within a UTF-8 character too. What
// follows the last line end is not an event: a document that was cut off
// never gets out. Not thread-safe.
class WatchFraming {
 public:
  // A line that, without its end, is longer than `max_line` bytes is an error.
  explicit WatchFraming(size_t max_line) : max_line_(max_line) {}

  // Calls on_line(line) for each line that `data` completes, without its end
  // and in order; blank lines are skipped. Stops at the first error, of a
  // line's length (ResourceExhausted) or of on_line, and gives it; nothing
  // but Reset() is of use then. `line` is valid during the call only, and
  // on_line must not call this object.
  absl::Status Append(
      std::string_view data,
      absl::FunctionRef<absl::Status(std::string_view)> on_line);

  // Whether the body so far ends within a line.
  bool partial() const { return !rest_.empty(); }

  // For the body of the next watch. Gives memory back.
  void Reset() { rest_ = std::string(); }

 private:
  absl::Status TooLong() const;

  const size_t max_line_;
  std::string rest_;  // an unfinished line
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_WATCH_FRAMING_H_

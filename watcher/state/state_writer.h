// Writes texts to a disk that may hang, on a thread of its own: meanwhile the
// watcher goes on following its clusters, and can end without it.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_STATE_WRITER_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_STATE_WRITER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"

namespace dynweight {

// Used by one thread. The writing thread begins with the first text and has
// the signal mask of whoever gave that.
class StateWriter {
 public:
  using Write = std::function<absl::Status(const std::string& text)>;

  // `write` may block, and may still be running when the writer is gone: it
  // must own all that it uses. `on_result` is called by the writing thread
  // when TakeResult() has something, and not once the writer is gone.
  StateWriter(Write write, std::function<void()> on_result);
  // Does not wait: a write that is under way ends alone.
  ~StateWriter();
  StateWriter(const StateWriter&) = delete;
  StateWriter& operator=(const StateWriter&) = delete;

  // Writes `text`, after the one that is being written; one that waits for
  // that is replaced.
  void Begin(std::string text);

  // Whether a text is being written or waits.
  bool busy() const;

  // How the last write that is over went, once.
  std::optional<absl::Status> TakeResult();

  // Waits until all is written, at most so long; whether it is.
  bool Finish(int64_t patience_ms);

 private:
  struct Shared;

  static void Main(const std::shared_ptr<Shared>& shared) noexcept;

  // Whoever of the two threads goes last destroys it.
  const std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_STATE_WRITER_H_

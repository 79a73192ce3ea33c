// How long to wait after a failure.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_BACKOFF_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_BACKOFF_H_

#include <cstdint>
#include <functional>
#include <optional>

namespace dynweight {

// 0.8 s, doubled by each failure up to a cap, and by chance up to twice that,
// so that many edges don't come back in step; from the start again after two
// minutes of health. As client-go's reflector waits: its jitter is a factor
// of [1, 2) that is applied after the cap (apimachinery, wait.Jitter). Not
// thread-safe.
class Backoff {
 public:
  static constexpr int64_t kFirstMs = 800;
  static constexpr int64_t kHealthyMs = 120000;

  // `random` gives uniform numbers of [0, 1).
  Backoff(int64_t cap_ms, std::function<double()> random);

  // A failure: milliseconds to wait, less than twice the cap.
  int64_t Failed(int64_t now_ms);
  // All is well at `now_ms`. Called as often as one likes.
  void Healthy(int64_t now_ms);

 private:
  const int64_t cap_ms_;
  const std::function<double()> random_;
  int64_t next_ms_;
  std::optional<int64_t> healthy_since_ms_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_BACKOFF_H_

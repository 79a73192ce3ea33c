// How long to wait after a failure.

#include "watcher/transport/backoff.h"

#include <algorithm>
#include <utility>

namespace dynweight {

Backoff::Backoff(int64_t cap_ms, std::function<double()> random)
    : cap_ms_(cap_ms), random_(std::move(random)), next_ms_(kFirstMs) {}

int64_t Backoff::Failed(int64_t now_ms) {
  if (healthy_since_ms_ && now_ms - *healthy_since_ms_ >= kHealthyMs) {
    next_ms_ = kFirstMs;
  }
  healthy_since_ms_.reset();
  const int64_t wait_ms = std::min(next_ms_, cap_ms_);
  next_ms_ = std::min(2 * wait_ms, cap_ms_);
  return static_cast<int64_t>(static_cast<double>(wait_ms) * (1 + random_()));
}

void Backoff::Healthy(int64_t now_ms) {
  if (!healthy_since_ms_) healthy_since_ms_ = now_ms;
}

}  // namespace dynweight

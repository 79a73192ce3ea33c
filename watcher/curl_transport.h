// HttpTransport on libcurl's multi interface.

#ifndef DYNAMIC_WEIGHT_WATCHER_CURL_TRANSPORT_H_
#define DYNAMIC_WEIGHT_WATCHER_CURL_TRANSPORT_H_

#include <cstdint>
#include <memory>

#include "watcher/http_transport.h"

namespace dynweight {

// Not thread-safe but for Wakeup(). curl_global_init() must have been called.
class CurlTransport : public HttpTransport {
 public:
  static std::unique_ptr<CurlTransport> Create();

  // Moves transfers on and delivers to handlers; waits up to `timeout_ms` for
  // something to happen, or until Wakeup().
  virtual void Poll(int64_t timeout_ms) = 0;

  // Makes a Poll() under way, or else the next one, return at once. Any
  // thread.
  virtual void Wakeup() = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CURL_TRANSPORT_H_

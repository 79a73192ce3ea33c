// HttpTransport on libcurl's multi interface.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_TRANSPORT_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_TRANSPORT_H_

#include <cstdint>
#include <memory>

#include "watcher/transport/http_transport.h"

namespace dynweight {

// Not thread-safe but for Wakeup(). curl_global_init() must have been called.
// The destructor ends all transfers at once, without a word to their
// handlers; it may not be called by one.
class CurlTransport : public HttpTransport {
 public:
  // Null: no memory, or no descriptors.
  static std::unique_ptr<CurlTransport> Create();

  // Moves transfers on and delivers to handlers what is there. Only if that
  // was nothing, waits up to `timeout_ms` for something to happen, or until
  // Wakeup(), and returns; what happened is for the next Poll() to deliver,
  // so that the caller can read the clock in between:
  //
  //   while (!stopping) {
  //     reflector->Tick(clock());
  //     transport->Poll(reflector->Deadline() - clock());
  //   }
  //
  // Not to be called by a handler.
  virtual void Poll(int64_t timeout_ms) = 0;

  // Waits up to `timeout_ms` and leaves alone what happens meanwhile, but for
  // Wakeup().
  virtual void Rest(int64_t timeout_ms) = 0;

  // Makes a Poll() or Rest() under way, or else the next one, return at once.
  // Any thread.
  virtual void Wakeup() = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CURL_TRANSPORT_H_

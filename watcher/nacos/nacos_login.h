// Who we are to a server of Nacos: a token, got for a user's password, or the
// signature of an access key.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_LOGIN_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_LOGIN_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "watcher/nacos/http_fetch.h"
#include "watcher/nacos/request_signature.h"
#include "watcher/transport/credentials.h"
#include "watcher/transport/http_transport.h"
#include "weightcalc/clock.h"

namespace dynweight {

// Not thread-safe. Times are of one monotonic clock in milliseconds.
class NacosLogin {
 public:
  // `error`: OK, or Unauthenticated (the server refuses user or password; it
  // can't be told from every other failure), or why there is no answer.
  using Done = std::function<void(const absl::Status& error)>;

  // Pointers outlive it.
  NacosLogin(HttpTransport* transport, const Clock* clock, int64_t timeout_ms)
      : clock_(clock), timeout_ms_(timeout_ms), fetch_(transport) {}

  // Whether a request with these credentials needs Begin() first: there is a
  // user, and no token of that user that holds at `now_ms`.
  bool Needed(const Credentials& credentials, int64_t now_ms) const;
  // The token in force, "" when there is none: of no user.
  const std::string& token() const { return token_; }
  // When there is to be another: nine tenths of how long the server says that
  // it holds. kNever: there is none.
  int64_t RenewAtMs() const { return renew_at_ms_; }

  // What a request about `service`, "group@@name", shows of an access key,
  // signed now; nothing where there is none.
  NamedValues Signature(const Credentials& credentials,
                        std::string_view service) const;

  // Asks the server at `base`, by v1's path and by v3's. A previous token stays
  // in force until there is another.
  void Begin(const std::string& base, const Credentials& credentials,
             int64_t now_ms, Done done);
  // The server refused the token.
  void Forget();
  void Cancel() { fetch_.Cancel(); }
  bool active() const { return fetch_.active(); }

 private:
  void Ask();
  void OnAnswer(const HttpResult& result, const std::string& body);
  absl::Status TakeToken(const std::string& body);

  const Clock* const clock_;
  const int64_t timeout_ms_;
  std::string token_;
  int64_t renew_at_ms_ = INT64_MAX;
  std::string user_, password_;  // whose it is

  // The login under way.
  std::string base_;
  Credentials credentials_;
  int64_t began_ms_ = 0;
  Done done_;
  size_t path_ = 0;     // which is asked; the one that was answered stays
  size_t asked_ = 0;    // how many were
  absl::Status error_;  // of the first of them that the server has
  HttpFetch fetch_;     // last: it looks at all above
};

// What mends it when a server refuses who asks, for the end of a message.
const char* DeniedMend(const Credentials& credentials);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_LOGIN_H_

// Base URLs of API servers, as the `api` directive gives them.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_API_URL_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_API_URL_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dynweight {

// Checks and normalizes "https://host:port/prefix": http or https, a host, no
// user name or password (they would end up in logs: use token_file), no query
// or fragment. The path prefix is kept, trailing slashes are cut.
// InvalidArgument says what to write instead.
absl::StatusOr<std::string> ParseApiUrl(std::string_view text);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_API_URL_H_

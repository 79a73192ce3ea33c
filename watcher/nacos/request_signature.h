// Requests signed with an access key, as Nacos's own clients sign them.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_REQUEST_SIGNATURE_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_REQUEST_SIGNATURE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "watcher/nacos/grpc_message.h"

namespace dynweight {

// What a request about `service`, "group@@name" or "" for none, shows of an
// access key: "ak", the "data" that are signed, which are the time and the
// service, and their "signature", HMAC-SHA1 in base64. As parameters of a URL,
// and as headers of a message of gRPC. As NamingResourceInjector of
// nacos-client has it, without a region. A signature that OpenSSL does not make
// (a build without SHA-1) is left out, and the server refuses. Thread-safe.
NamedValues SignRequest(const std::string& access_key,
                        const std::string& secret, std::string_view service,
                        int64_t unix_ms);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_REQUEST_SIGNATURE_H_

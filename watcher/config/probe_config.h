// What the `probe` directive of a cluster, or `dynamic_weight_probe` of an
// upstream, says: how its peers are asked whether they serve.

#ifndef DYNAMIC_WEIGHT_WATCHER_CONFIG_PROBE_CONFIG_H_
#define DYNAMIC_WEIGHT_WATCHER_CONFIG_PROBE_CONFIG_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/transport/credentials.h"

namespace dynweight {

struct ProbeConfig {
  // A connection; a TLS handshake on it; an answer to GET on either.
  enum class Type : uint8_t { kTcp, kTls, kHttp, kHttps };

  // So much of a body is looked through.
  static constexpr size_t kMaxBodyBytes = 4096;

  Type type = Type::kTcp;
  uint16_t port = 0;      // 0: that of each line
  std::string uri = "/";  // of HTTP
  std::string host;       // the Host header, and the name that TLS asks for;
                          // "": the node's address
  std::vector<std::pair<uint16_t, uint16_t>> status = {{200, 399}};
  std::string body;            // a part of it; "": any body will do
  std::string ca_file;         // "": no certificate is verified
  Credentials trust;           // what that says, for the transport
  int64_t interval_ms = 2000;  // from the beginning of one to that of the next
  int64_t timeout_ms = 1000;   // of all of it; at most interval_ms
  uint32_t fails = 3;          // in a row, to take a node out
  uint32_t passes = 2;         // in a row, to bring it back
  bool mandatory = false;      // a node that joins waits for its first result

  bool tls() const { return type == Type::kTls || type == Type::kHttps; }
  bool http() const { return type == Type::kHttp || type == Type::kHttps; }
  bool Accepts(int http_status) const;

  // 1 to ProbeResult::kMaxTag: the same for what would have the same results,
  // in every process and release, nearly always another for something else.
  uint16_t Tag() const;

  // Whether they ask the same, at the same times, and take the same for good.
  bool operator==(const ProbeConfig& other) const;

  // For people: "http :10254/healthz".
  std::string Text() const;

  // Reads the words behind `probe`: "http", "port=10254", ... Leaves `trust`
  // to the caller, who knows what ca_file is relative to. InvalidArgument says
  // what is wrong and what to write instead.
  static absl::StatusOr<ProbeConfig> Parse(
      const std::vector<std::string_view>& words);
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_CONFIG_PROBE_CONFIG_H_

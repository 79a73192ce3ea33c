// HTTP to an API server, asynchronous, many transfers on one thread. The
// interface is what the reflector needs and what its tests fake; the
// implementation is libcurl's multi interface (curl_transport.h).

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_HTTP_TRANSPORT_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_HTTP_TRANSPORT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "watcher/transport/credentials.h"

namespace dynweight {

// HTTP/2, as gRPC wants it: of http:// without TLS, of https:// by ALPN, with
// the same trust as any other request.
struct Http2Channel {
  // Requests of one number share a connection that no others use. 0: HTTP/1.1.
  uint64_t number = 0;
  // The request that opens it; the others begin when it was answered. They fail
  // when the connection has gone.
  bool opens = false;
  // The body goes on with HttpTransport::Send() until the transfer ends.
  bool streams = false;
};

struct HttpRequest {
  std::string url;  // absolute, http or https
  std::string method = "GET";
  // Header fields, "Name: value", beside Accept and what `credentials` give.
  // One with a control character fails the request.
  std::vector<std::string> headers;
  // Sent when not empty, and of POST and PUT; of the type
  // application/x-www-form-urlencoded unless `headers` say another.
  std::string body;
  const Credentials* credentials = nullptr;  // outlives the transfer
  const char* accept = "application/json";   // the header; outlives it, too
  Http2Channel channel;
  int64_t connect_timeout_ms = 5000;
  int64_t silence_timeout_ms = 0;  // from the request to the first byte of the
                                   // answer, and between two; 0: none
  int64_t total_timeout_ms = 0;    // 0: none (a watch)
  size_t max_body = 0;             // bytes after decompression; 0: no limit
  bool compressed = false;         // offer gzip (lists, never watches)
  bool fresh_connection = false;   // watches: one connection each
  // An IP address to connect to instead of the URL's host, whose name stays
  // that of the header and of TLS; "": the host.
  std::string address;
  bool connect_only = false;  // the end is the connection, of https with TLS
};

// At what a transfer failed.
enum class HttpFailure : uint8_t {
  kNone,
  kOwn,        // nothing that tells of the server: no descriptor, no memory
  kConnect,    // refused, unreachable
  kNoConnect,  // not within the timeout
  kTls,
  kNoAnswer,  // not, or not whole, within the timeout
  kAnswer,    // the connection ended in its middle
  kNotHttp,
};

struct HttpResult {
  // OK for a complete answer of any HTTP status. Otherwise why there is none:
  // Unavailable (connect, also not in time, DNS, TLS, reset, truncated),
  // DeadlineExceeded (of the answer), ResourceExhausted (max_body, header too
  // long), Unauthenticated (a token, CA or certificate file is unreadable),
  // InvalidArgument (the request cannot be sent as it is),
  // Aborted (the handler refused the body). The text says what happened and the
  // mend, without secrets, and stays the same while the fault does.
  absl::Status transport;
  HttpFailure failure = HttpFailure::kNone;  // of `transport`
  int http_status = 0;                       // 0: no status line came
  int64_t retry_after_ms = -1;               // from Retry-After; -1: none
  int grpc_status = -1;                      // from grpc-status; -1: none
};

// Receives one transfer. Called on the transport's thread only, never from
// inside Start() or Cancel(); may call both.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Before any body, when the final header is complete. `content_type` is as
  // the server wrote it, "" when it did not; valid during the call only.
  virtual void OnStatus(int http_status, std::string_view content_type) = 0;
  // A piece of the body, cut anywhere. Only for status 200; false ends the
  // transfer with Aborted (unless it was cancelled meanwhile). The first 4 KiB
  // of another status's body are kept for OnDone().
  virtual bool OnBody(std::string_view data) = 0;
  // Exactly once unless the transfer was cancelled. `error_body` is what an
  // answer other than 200 said, at most 4 KiB.
  virtual void OnDone(const HttpResult& result,
                      std::string_view error_body) = 0;
};

// Not thread-safe: one thread owns it and everything that hangs on it.
class HttpTransport {
 public:
  using Id = uint64_t;
  virtual ~HttpTransport() = default;
  // Begins a transfer. Redirects are not followed: a 3xx is an answer.
  virtual Id Start(const HttpRequest& request, HttpHandler* handler) = 0;
  // Adds to the body of a transfer whose channel streams. False: too much waits
  // to be sent, or there is no such transfer.
  virtual bool Send(Id /*id*/, std::string_view /*data*/) { return false; }
  // Ends it at once; the handler hears no more of it. Unknown ids are fine.
  virtual void Cancel(Id id) = 0;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_HTTP_TRANSPORT_H_

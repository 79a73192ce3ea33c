// An HTTP(S) server whose connections can be taken over by a handler, so that
// it can answer as no well-behaved server would, and be cut all at once.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_CONNECTION_SERVER_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_CONNECTION_SERVER_H_

#include <openssl/ssl.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace dynweight::fake {

struct CaseInsensitiveLess {
  bool operator()(const std::string& a, const std::string& b) const;
};
using Headers = std::multimap<std::string, std::string, CaseInsensitiveLess>;

struct HttpServerRequest {
  std::string method;
  std::string target;                         // as it was sent
  std::string path;                           // of it, decoded
  std::map<std::string, std::string> params;  // of its query, decoded
  Headers headers;
  std::string body;

  // Of the first of that name; "" without one.
  std::string Header(const std::string& name) const;
};

struct HttpServerResponse {
  int status = 200;
  Headers headers;
  std::string content_type;
  std::string body;

  void Set(std::string content, const std::string& type) {
    body = std::move(content);
    content_type = type;
  }
};

// One client. Belongs to the thread that serves it.
class Connection {
 public:
  Connection(int fd, SSL_CTX* tls);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool Handshake();
  // Until there is something to read; false: the client has gone.
  bool WaitReadable();

  // From now on only Send() reaches the client: the handler's response is
  // dropped. The connection is closed when the handler returns.
  void TakeOver() { taken_over_ = true; }
  bool taken_over() const { return taken_over_; }

  // False: the client has gone.
  bool Send(std::string_view data);
  bool SendChunk(std::string_view data);
  // Waits that long; true at once when the client has gone.
  bool WaitGone(int64_t milliseconds) const;
  // Closing will reset the connection.
  void ResetOnClose();
  // Closing will not end a TLS session properly.
  void BreakOnClose() { broken_ = true; }
  // Ends reads and writes that block. Any thread.
  void Shutdown() const;

  // Reads a request; false: the client has gone, or what it says is no HTTP.
  bool Read(HttpServerRequest* request, bool* keep_alive);
  bool Write(const HttpServerRequest& request,
             const HttpServerResponse& response, bool keep_alive);

 private:
  const int fd_;
  SSL* ssl_ = nullptr;
  bool taken_over_ = false;
  bool broken_ = false;
  std::string buffer_;  // read, not yet parsed

  // Appends to buffer_; false at the end.
  bool Fill();
};

// Threads as they are needed, so that requests that hang block no other one.
class GrowingThreadPool {
 public:
  void Run(std::function<void()> task);
  // Waits for all tasks.
  void Shutdown();

 private:
  void Work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

class ConnectionServer {
 public:
  using RequestHandler = std::function<void(const HttpServerRequest&,
                                            HttpServerResponse*, Connection*)>;

  // `tls` may be null and outlives the server.
  ConnectionServer(SSL_CTX* tls, RequestHandler handler);
  ~ConnectionServer();

  // Listens; a port of 0 becomes a free one. The port, or -1 with errno set.
  int Bind(const std::string& address, int port);
  // Serves until Shutdown().
  void Serve();
  // Closes the listener and every connection but `except`, which ends after
  // its answer. Serve() must have been called, or be about to be. Returns at
  // once; Serve() returns when all are gone.
  void Shutdown(const Connection* except);
  void DropConnections(const Connection* except);
  int open_connections() const;

 private:
  void ServeConnection(int fd);

  SSL_CTX* const tls_;
  const RequestHandler handler_;
  mutable std::mutex mutex_;
  std::set<Connection*> connections_;
  std::atomic<bool> stopping_{false};
  int listener_ = -1;
};

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_CONNECTION_SERVER_H_

// An HTTP(S) server whose connections can be taken over by a handler, so that
// it can answer as no well-behaved server would, and be cut all at once.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_CONNECTION_SERVER_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_CONNECTION_SERVER_H_

#include <httplib.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace dynweight::fake {

// One client. Belongs to the thread that serves it.
class Connection : public httplib::Stream {
 public:
  Connection(int fd, SSL_CTX* tls);
  ~Connection() override;

  bool Handshake();
  // Until there is something to read; false: the client has gone.
  bool WaitReadable();

  // From now on only Send() reaches the client: what the HTTP library writes
  // is dropped. The connection is closed when the handler returns.
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

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* data, size_t size) override;
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return fd_; }

 private:
  const int fd_;
  SSL* ssl_ = nullptr;
  bool taken_over_ = false;
  bool broken_ = false;
  std::string buffer_;
  size_t position_ = 0;
};

// Threads as they are needed, so that requests that hang block no other one.
class GrowingThreadPool : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> task) override;
  void shutdown() override;

 private:
  void Work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

class ConnectionServer : public httplib::Server {
 public:
  using RequestHandler = std::function<void(const httplib::Request&,
                                            httplib::Response&, Connection*)>;

  // `tls` may be null and outlives the server.
  ConnectionServer(SSL_CTX* tls, RequestHandler handler);
  ~ConnectionServer() override = default;

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
  bool process_and_close_socket(socket_t fd) override;

  SSL_CTX* const tls_;
  const RequestHandler handler_;
  mutable std::mutex mutex_;
  std::set<Connection*> connections_;
  std::atomic<bool> stopping_{false};
};

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_CONNECTION_SERVER_H_

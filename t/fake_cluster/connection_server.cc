#include "t/fake_cluster/connection_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace dynweight::fake {
namespace {

// The handler of the HTTP library gets no stream: the thread knows it.
thread_local Connection* current_connection = nullptr;

void FormatAddress(const sockaddr_storage& address, std::string* ip,
                   int* port) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
    *port = ntohs(v6.sin6_port);
  } else {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    *port = ntohs(v4.sin_port);
  }
  *ip = text;
}

// As kube-apiserver, which knows no other encoding; the library would prefer
// Brotli, at a level that takes seconds for a MiB.
void OfferGzipOnly(httplib::Request& request) {
  bool gzip = request.get_header_value("Accept-Encoding").find("gzip") !=
              std::string::npos;
  request.headers.erase("Accept-Encoding");
  if (gzip) request.set_header("Accept-Encoding", "gzip");
}

}  // namespace

Connection::Connection(int fd, SSL_CTX* tls) : fd_(fd) {
  if (tls != nullptr) {
    ssl_ = SSL_new(tls);
    SSL_set_fd(ssl_, fd);
  }
}

Connection::~Connection() {
  if (ssl_ != nullptr && SSL_is_init_finished(ssl_) && !broken_) {
    SSL_shutdown(ssl_);
  }
  SSL_free(ssl_);
  close(fd_);
}

bool Connection::Handshake() {
  return ssl_ == nullptr || SSL_accept(ssl_) == 1;
}

bool Connection::WaitReadable() {
  if (position_ < buffer_.size() ||
      (ssl_ != nullptr && SSL_pending(ssl_) > 0)) {
    return true;
  }
  pollfd event = {fd_, POLLIN, 0};
  return poll(&event, 1, -1) == 1 && (event.revents & POLLIN) != 0;
}

bool Connection::Send(std::string_view data) {
  while (!data.empty()) {
    size_t piece = std::min(data.size(), size_t{1} << 20);
    ssize_t sent = ssl_ != nullptr
                       ? SSL_write(ssl_, data.data(), static_cast<int>(piece))
                       : send(fd_, data.data(), piece, MSG_NOSIGNAL);
    if (sent < 0 && ssl_ == nullptr && errno == EINTR) continue;
    if (sent <= 0) return false;
    data.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool Connection::SendChunk(std::string_view data) {
  char head[24];
  snprintf(head, sizeof(head), "%zx\r\n", data.size());
  // One write: a chunk must not wait for the acknowledgement of its head.
  std::string chunk;
  chunk.reserve(data.size() + sizeof(head));
  chunk.append(head).append(data).append("\r\n");
  return Send(chunk);
}

bool Connection::WaitGone(int64_t milliseconds) const {
  pollfd event = {fd_, POLLRDHUP, 0};
  return poll(&event, 1, static_cast<int>(milliseconds)) > 0;
}

void Connection::ResetOnClose() {
  broken_ = true;
  linger reset = {1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

void Connection::Shutdown() const { shutdown(fd_, SHUT_RDWR); }

ssize_t Connection::read(char* data, size_t size) {
  if (position_ == buffer_.size()) {
    buffer_.resize(16384);
    position_ = 0;
    ssize_t got =
        ssl_ != nullptr
            ? SSL_read(ssl_, buffer_.data(), static_cast<int>(buffer_.size()))
            : recv(fd_, buffer_.data(), buffer_.size(), 0);
    buffer_.resize(got > 0 ? static_cast<size_t>(got) : 0);
    if (got <= 0) return got;
  }
  size = std::min(size, buffer_.size() - position_);
  buffer_.copy(data, size, position_);
  position_ += size;
  return static_cast<ssize_t>(size);
}

ssize_t Connection::write(const char* data, size_t size) {
  if (!taken_over_ && !Send({data, size})) return -1;
  return static_cast<ssize_t>(size);
}

void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size);
  FormatAddress(address, &ip, &port);
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
  FormatAddress(address, &ip, &port);
}

void GrowingThreadPool::enqueue(std::function<void()> task) {
  std::lock_guard<std::mutex> lock(mutex_);
  tasks_.push_back(std::move(task));
  if (idle_ < tasks_.size()) threads_.emplace_back([this] { Work(); });
  wake_.notify_one();
}

void GrowingThreadPool::shutdown() {
  std::vector<std::thread> threads;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

void GrowingThreadPool::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    ++idle_;
    wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    --idle_;
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

ConnectionServer::ConnectionServer(SSL_CTX* tls, RequestHandler handler)
    : tls_(tls), handler_(std::move(handler)) {
  auto handle = [this](const httplib::Request& request,
                       httplib::Response& response) {
    handler_(request, response, current_connection);
  };
  Get("/.*", handle);
  Post("/.*", handle);
  Put("/.*", handle);
  Patch("/.*", handle);
  Delete("/.*", handle);
  new_task_queue = [] { return new GrowingThreadPool; };
  set_tcp_nodelay(true);
  // The library's own options share the port with whoever else asks for it.
  set_socket_options([](socket_t fd) {
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
  set_read_timeout(0);
  set_write_timeout(0);
  set_keep_alive_max_count(1000000);
  set_keep_alive_timeout(3600);
}

int ConnectionServer::Bind(const std::string& address, int port) {
  if (port == 0) {
    port = bind_to_any_port(address);
  } else if (!bind_to_port(address, port)) {
    port = -1;
  }
  // The library's backlog of 5 drops connections under load.
  if (port > 0) ::listen(svr_sock_, 4096);
  return port;
}

void ConnectionServer::Serve() { listen_after_bind(); }

void ConnectionServer::Shutdown(const Connection* except) {
  if (stopping_.exchange(true)) return;
  // stop() does nothing before the accept loop has begun.
  while (!is_running()) std::this_thread::yield();
  stop();
  DropConnections(except);
}

void ConnectionServer::DropConnections(const Connection* except) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (Connection* connection : connections_) {
    if (connection != except) connection->Shutdown();
  }
}

int ConnectionServer::open_connections() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int>(connections_.size());
}

bool ConnectionServer::process_and_close_socket(socket_t fd) {
  Connection connection(fd, tls_);
  {
    // Under the lock: Shutdown() either sees this connection or is seen here.
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return false;
    connections_.insert(&connection);
  }
  current_connection = &connection;
  if (connection.Handshake()) {
    bool closed = false;
    while (!closed && !stopping_ && connection.WaitReadable() &&
           process_request(connection, false, closed, OfferGzipOnly) &&
           !connection.taken_over()) {
    }
  }
  current_connection = nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  connections_.erase(&connection);
  return true;
}

}  // namespace dynweight::fake

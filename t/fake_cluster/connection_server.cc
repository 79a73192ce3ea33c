#include "t/fake_cluster/connection_server.h"

#include <curl/curl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <limits>
#include <utility>

namespace dynweight::fake {
namespace {

namespace http = boost::beast::http;

constexpr size_t kMaxHeader = 1 << 16;

std::string Decode(std::string text) {
  std::replace(text.begin(), text.end(), '+', ' ');
  int size = 0;
  char* plain = curl_easy_unescape(nullptr, text.c_str(),
                                   static_cast<int>(text.size()), &size);
  if (plain == nullptr) return text;
  std::string decoded(plain, static_cast<size_t>(size));
  curl_free(plain);
  return decoded;
}

void ParseTarget(const std::string& target, HttpServerRequest* request) {
  const size_t question = std::min(target.find('?'), target.size());
  request->target = target;
  request->path = Decode(target.substr(0, question));
  for (size_t begin = question + 1; begin < target.size();) {
    const size_t end = std::min(target.find('&', begin), target.size());
    const std::string pair = target.substr(begin, end - begin);
    const size_t equals = std::min(pair.find('='), pair.size());
    request->params[Decode(pair.substr(0, equals))] =
        equals < pair.size() ? Decode(pair.substr(equals + 1)) : "";
    begin = end + 1;
  }
}

std::string Gzip(const std::string& text) {
  z_stream stream = {};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8,
               Z_DEFAULT_STRATEGY);
  std::string zipped(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(zipped.data());
  stream.avail_out = static_cast<uInt>(zipped.size());
  deflate(&stream, Z_FINISH);
  zipped.resize(stream.total_out);
  deflateEnd(&stream);
  return zipped;
}

// A listening socket, or -1 with errno set.
int Listen(const std::string& address, int port) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints,
                  &found) != 0) {
    errno = EADDRNOTAVAIL;
    return -1;
  }
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool listens =
      bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 4096) == 0;
  const int error = errno;
  freeaddrinfo(found);
  if (listens) return fd;
  close(fd);
  errno = error;
  return -1;
}

int PortOf(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

}  // namespace

bool CaseInsensitiveLess::operator()(const std::string& a,
                                     const std::string& b) const {
  return strcasecmp(a.c_str(), b.c_str()) < 0;
}

std::string HttpServerRequest::Header(const std::string& name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? "" : it->second;
}

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
  if (!buffer_.empty() || (ssl_ != nullptr && SSL_pending(ssl_) > 0)) {
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

bool Connection::Fill() {
  char piece[16384];
  const ssize_t got = ssl_ != nullptr ? SSL_read(ssl_, piece, sizeof(piece))
                                      : recv(fd_, piece, sizeof(piece), 0);
  if (got <= 0) return false;
  buffer_.append(piece, static_cast<size_t>(got));
  return true;
}

bool Connection::Read(HttpServerRequest* request, bool* keep_alive) {
  http::request_parser<http::string_body> parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit((std::numeric_limits<uint64_t>::max)());
  parser.eager(true);
  bool told = false;
  while (!parser.is_done()) {
    if (buffer_.empty() && !Fill()) return false;
    boost::beast::error_code error;
    const size_t used = parser.put(
        boost::asio::const_buffer(buffer_.data(), buffer_.size()), error);
    buffer_.erase(0, used);
    if (error == http::error::need_more) {
      if (!Fill()) return false;
    } else if (error) {
      Send(
          "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
          "Connection: close\r\n\r\n");
      return false;
    }
    if (parser.is_header_done() && !parser.is_done() &&
        parser.get()[http::field::expect] == "100-continue" &&
        !std::exchange(told, true)) {
      Send("HTTP/1.1 100 Continue\r\n\r\n");
    }
  }
  *keep_alive = parser.get().keep_alive();
  request->method = std::string(parser.get().method_string());
  ParseTarget(std::string(parser.get().target()), request);
  for (const auto& field : parser.get()) {
    request->headers.emplace(std::string(field.name_string()),
                             std::string(field.value()));
  }
  request->body = std::move(parser.get().body());
  return true;
}

bool Connection::Write(const HttpServerRequest& request,
                       const HttpServerResponse& response, bool keep_alive) {
  // As kube-apiserver, which knows no other encoding.
  const bool gzip =
      request.Header("Accept-Encoding").find("gzip") != std::string::npos &&
      response.headers.count("Content-Encoding") == 0 && !response.body.empty();
  const std::string zipped = gzip ? Gzip(response.body) : "";
  const std::string& body = gzip ? zipped : response.body;
  const http::status status =
      http::int_to_status(static_cast<unsigned>(response.status));
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + " " +
                     std::string(http::obsolete_reason(status)) + "\r\n";
  const auto add = [&](const std::string& name, const std::string& value) {
    text.append(name).append(": ").append(value).append("\r\n");
  };
  for (const auto& [name, value] : response.headers) add(name, value);
  if (!response.content_type.empty())
    add("Content-Type", response.content_type);
  if (gzip) add("Content-Encoding", "gzip");
  add("Content-Length", std::to_string(body.size()));
  add("Connection", keep_alive ? "keep-alive" : "close");
  text.append("\r\n");
  // One write: a body must not wait for the acknowledgement of its head.
  if (request.method != "HEAD") text.append(body);
  return Send(text);
}

void GrowingThreadPool::Run(std::function<void()> task) {
  std::lock_guard<std::mutex> lock(mutex_);
  tasks_.push_back(std::move(task));
  if (idle_ < tasks_.size()) threads_.emplace_back([this] { Work(); });
  wake_.notify_one();
}

void GrowingThreadPool::Shutdown() {
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
  // OpenSSL writes to whoever has gone.
  signal(SIGPIPE, SIG_IGN);
}

ConnectionServer::~ConnectionServer() {
  if (listener_ >= 0) close(listener_);
}

int ConnectionServer::Bind(const std::string& address, int port) {
  listener_ = Listen(address, port);
  return listener_ < 0 ? -1 : PortOf(listener_);
}

void ConnectionServer::Serve() {
  GrowingThreadPool pool;
  while (!stopping_) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      // Out of descriptors: those that end make room.
      if (errno == EMFILE || errno == ENFILE) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      continue;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    pool.Run([this, fd] { ServeConnection(fd); });
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    close(std::exchange(listener_, -1));
  }
  pool.Shutdown();
}

void ConnectionServer::Shutdown(const Connection* except) {
  if (stopping_.exchange(true)) return;
  {
    // Ends accept(), also one that is yet to begin; Serve() closes it.
    std::lock_guard<std::mutex> lock(mutex_);
    if (listener_ >= 0) shutdown(listener_, SHUT_RDWR);
  }
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

void ConnectionServer::ServeConnection(int fd) {
  Connection connection(fd, tls_);
  {
    // Under the lock: Shutdown() either sees this connection or is seen here.
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return;
    connections_.insert(&connection);
  }
  bool keep_alive = connection.Handshake();
  while (keep_alive && !stopping_ && connection.WaitReadable()) {
    HttpServerRequest request;
    HttpServerResponse response;
    if (!connection.Read(&request, &keep_alive)) break;
    handler_(request, &response, &connection);
    keep_alive = keep_alive && !stopping_ && !connection.taken_over();
    if (connection.taken_over() ||
        !connection.Write(request, response, keep_alive)) {
      break;
    }
  }
  std::lock_guard<std::mutex> lock(mutex_);
  connections_.erase(&connection);
}

}  // namespace dynweight::fake

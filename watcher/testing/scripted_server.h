// For tests: a server on a free port of 127.0.0.1 that sends each connection
// bytes, proper HTTP or not.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_SCRIPTED_SERVER_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_SCRIPTED_SERVER_H_

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace dynweight {

class ScriptedServer {
 public:
  // One client; used by its own thread.
  class Client {
   public:
    explicit Client(int fd) : fd_(fd) {}
    int fd() const { return fd_; }
    // The next request's header; empty: the client has gone.
    std::string Request() {
      std::string text;
      char c;
      while (text.find("\r\n\r\n") == std::string::npos) {
        if (recv(fd_, &c, 1, 0) != 1) return "";
        text += c;
      }
      return text;
    }
    // The `bytes` of body behind it; less: the client has gone.
    std::string Body(size_t bytes) {
      std::string text(bytes, '\0');
      if (bytes == 0) return text;  // recv() would wait all the same
      const ssize_t n = recv(fd_, text.data(), bytes, MSG_WAITALL);
      text.resize(n > 0 ? static_cast<size_t>(n) : 0);
      return text;
    }
    // False: the client has gone.
    bool Send(std::string_view data) {
      while (!data.empty()) {
        const ssize_t n = send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
        if (n <= 0) return false;
        data.remove_prefix(static_cast<size_t>(n));
      }
      return true;
    }
    // Until the client has gone; what it sends is dropped. False: it stayed
    // that long.
    bool WaitGone(int timeout_ms = -1) {
      char buffer[512];
      pollfd entry = {fd_, POLLIN, 0};
      for (;;) {
        if (::poll(&entry, 1, timeout_ms) == 0) return false;
        if (recv(fd_, buffer, sizeof(buffer), 0) <= 0) return true;
      }
    }

   private:
    const int fd_;
  };
  using Script = std::function<void(Client*)>;

  // Calls script(client) for each connection, and closes it after that.
  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    bind(listener_, reinterpret_cast<sockaddr*>(&address), length);
    listen(listener_, 64);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    close(listener_);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  int port() const { return port_; }
  std::string url() const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/";
  }
  int connections() const { return connections_; }

 private:
  void Accept() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      ++connections_;
      std::lock_guard<std::mutex> lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd] {
        Client client(fd);
        script_(&client);
        std::lock_guard<std::mutex> lock(mutex_);
        open_.remove(fd);
        close(fd);
      });
    }
  }

  const Script script_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::thread acceptor_;
  std::mutex mutex_;
  std::list<int> open_;
  std::vector<std::thread> threads_;  // of the acceptor, until it is joined
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_SCRIPTED_SERVER_H_

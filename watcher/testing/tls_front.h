// For tests: a port that speaks TLS and passes what is within to another one.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_TLS_FRONT_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_TLS_FRONT_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "watcher/testing/certificate_folder.h"
#include "watcher/testing/scripted_server.h"

namespace dynweight {

class TlsFront {
 public:
  // Shows the certificate of that name in the folder, takes only `protocol` of
  // ALPN and passes bytes to `port` of 127.0.0.1, which outlives it.
  TlsFront(const std::string& certificate, std::string protocol, int port)
      : protocol_(static_cast<char>(protocol.size()) + protocol), port_(port) {
    // OpenSSL writes to clients that have gone.
    std::signal(SIGPIPE, SIG_IGN);
    SSL_CTX_use_certificate_file(
        context_.get(), certificates->File(certificate + ".crt").c_str(),
        SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(
        context_.get(), certificates->File(certificate + ".key").c_str(),
        SSL_FILETYPE_PEM);
    SSL_CTX_set_alpn_select_cb(context_.get(), &Select, &protocol_);
  }

  int port() const { return server_.port(); }
  // What clients named in SNI, "" for nothing, in order.
  std::vector<std::string> names() {
    std::lock_guard<std::mutex> lock(mutex_);
    return names_;
  }

 private:
  static int Select(SSL*, const unsigned char** out, unsigned char* size,
                    const unsigned char* in, unsigned int in_size,
                    void* protocol) {
    const auto& own = *static_cast<std::string*>(protocol);
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(
            &chosen, size, reinterpret_cast<const unsigned char*>(own.data()),
            static_cast<unsigned int>(own.size()), in,
            in_size) != OPENSSL_NPN_NEGOTIATED) {
      return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
  }

  void Serve(int fd) {
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context_.get()),
                                                        &SSL_free);
    SSL_set_fd(ssl.get(), fd);
    if (SSL_accept(ssl.get()) != 1) return;
    const char* name = SSL_get_servername(ssl.get(), TLSEXT_NAMETYPE_host_name);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      names_.emplace_back(name == nullptr ? "" : name);
    }
    const int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(plain, reinterpret_cast<sockaddr*>(&address),
                sizeof(address)) == 0) {
      Pass(ssl.get(), fd, plain);
    }
    close(plain);
  }
  // Until one of both has gone.
  static void Pass(SSL* ssl, int fd, int plain) {
    char buffer[4096];
    for (;;) {
      pollfd entries[] = {{fd, POLLIN, 0}, {plain, POLLIN, 0}};
      if (SSL_pending(ssl) == 0 && poll(entries, 2, -1) < 0) return;
      if (SSL_pending(ssl) != 0 || entries[0].revents != 0) {
        const int n = SSL_read(ssl, buffer, sizeof(buffer));
        if (n <= 0 ||
            send(plain, buffer, static_cast<size_t>(n), MSG_NOSIGNAL) != n) {
          return;
        }
      }
      if (entries[1].revents != 0) {
        const ssize_t n = recv(plain, buffer, sizeof(buffer), 0);
        if (n <= 0 || SSL_write(ssl, buffer, static_cast<int>(n)) <= 0) return;
      }
    }
  }

  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{
      SSL_CTX_new(TLS_server_method()), &SSL_CTX_free};
  std::string protocol_;  // as ALPN has it
  const int port_;
  std::mutex mutex_;
  std::vector<std::string> names_;
  ScriptedServer server_{
      [this](ScriptedServer::Client* client) { Serve(client->fd()); }};
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_TLS_FRONT_H_

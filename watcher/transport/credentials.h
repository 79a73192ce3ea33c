// What a client shows to a server, and trusts in it.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CREDENTIALS_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CREDENTIALS_H_

#include <string>
#include <tuple>

namespace dynweight {

// How to prove who we are to an API server and whom we trust. Files are read
// when a connection is made; the token file again when it changes and on 401.
// The *_data members come from a kubeconfig and win over files.
struct Credentials {
  std::string token_file;
  std::string ca_file;
  std::string client_certificate;      // PEM file
  std::string client_certificate_key;  // PEM file
  std::string tls_server_name;  // expected name and SNI, if not the URL's
  bool tls_verify = true;

  // Of a server that gives a token for them (a registry).
  std::string user;
  std::string password_file;
  std::string password;

  // Of a registry whose requests are signed.
  std::string access_key;
  std::string secret_file;
  std::string secret;

  std::string token;
  std::string ca_data;  // PEM text
  std::string client_certificate_data;
  std::string client_certificate_key_data;
  std::string proxy_url;

  // The file that all of them come from, if one; it is read again.
  std::string kubeconfig;
  std::string kubeconfig_context;
  std::string kubeconfig_server;  // as it names it

  // All members.
  auto Tie() const {
    return std::tie(token_file, ca_file, client_certificate,
                    client_certificate_key, tls_server_name, tls_verify, user,
                    password_file, password, access_key, secret_file, secret,
                    token, ca_data, client_certificate_data,
                    client_certificate_key_data, proxy_url, kubeconfig,
                    kubeconfig_context, kubeconfig_server);
  }

  friend bool operator==(const Credentials& a, const Credentials& b) {
    return a.Tie() == b.Tie();
  }
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CREDENTIALS_H_

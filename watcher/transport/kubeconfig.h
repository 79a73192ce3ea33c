// kubeconfig files: the subset that a server-side program needs.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_KUBECONFIG_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_KUBECONFIG_H_

#include <string>

#include "absl/status/statusor.h"
#include "watcher/transport/credentials.h"

namespace dynweight {

struct Kubeconfig {
  std::string server;
  Credentials credentials;
};

// Reads the YAML or JSON file `path` and resolves `context` (empty: the
// file's current-context). Takes server, certificate-authority(-data),
// tls-server-name, insecure-skip-tls-verify, proxy-url,
// client-certificate(-data), client-key(-data), token and tokenFile (which
// wins); relative file names are relative to the kubeconfig's directory.
// Refuses exec and auth-provider by name. Errors name the file and the place
// and never quote a secret.
absl::StatusOr<Kubeconfig> ReadKubeconfig(const std::string& path,
                                          const std::string& context);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_KUBECONFIG_H_

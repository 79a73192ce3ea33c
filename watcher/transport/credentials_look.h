// What a cluster's credential files say, for -t once, for the watcher again
// and again.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CREDENTIALS_LOOK_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CREDENTIALS_LOOK_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "watcher/transport/credential_files.h"
#include "watcher/transport/credentials.h"

namespace dynweight {

// Whether files are named in them.
bool HaveFiles(const Credentials& credentials);

// The same with everything that files hold in the members that need none: the
// kubeconfig is read again, if there is one, and what it names. Nothing for a
// kubeconfig that names another server than the one it named at first. Errors
// name the file and never quote it. Thread-safe but for `files`.
absl::StatusOr<Credentials> ReadCredentials(const Credentials& credentials,
                                            CredentialFiles* files);

// Whether they can serve: every file is there and holds what it should, the
// key is that of the certificate, the token is one word. Reads the files.
absl::Status CheckCredentials(const Credentials& credentials);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CREDENTIALS_LOOK_H_

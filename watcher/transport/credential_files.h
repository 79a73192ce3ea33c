// Files with tokens, keys and certificates that are renewed while we run.

#ifndef DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CREDENTIAL_FILES_H_
#define DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CREDENTIAL_FILES_H_

#include <sys/stat.h>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dynweight {

inline constexpr size_t kMaxTokenBytes = 64 << 10;
inline constexpr size_t kMaxPasswordBytes = 4 << 10;
inline constexpr size_t kMaxCertificateBytes = 1 << 20;

// Holds what was read, and reads again when the file is another one: by
// device, inode, size and times, so that a file renewed in place and one
// swapped by a symbolic link (as the kubelet does it) are both noticed. One
// stat() a call. Errors are of code Unauthenticated and name the file, never
// its content. Not thread-safe.
class CredentialFiles {
 public:
  // The whole file, at most `max_bytes` and not empty.
  absl::StatusOr<std::string> Read(const std::string& path, size_t max_bytes);

  // A bearer token: white space around it is cut; control characters within,
  // which could forge a header, are an error.
  absl::StatusOr<std::string> ReadToken(const std::string& path);

  // A password: the first line, which must be the only one.
  absl::StatusOr<std::string> ReadPassword(const std::string& path);

  // The secret of an access key: as a password, and one word.
  absl::StatusOr<std::string> ReadSecret(const std::string& path);

  // The next read comes from the file: the server refused what it held.
  void Forget(const std::string& path) { files_.erase(path); }

 private:
  // `what` names it in errors.
  absl::StatusOr<std::string> ReadLine(const std::string& path,
                                       const char* what);

  struct File {
    struct stat stamp = {};
    std::string content;
  };
  std::map<std::string, File> files_;
};

// What may be sent as a token, as ReadToken() has it. `origin` names it in
// errors.
absl::StatusOr<std::string> CheckToken(std::string_view token,
                                       const std::string& origin);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TRANSPORT_CREDENTIAL_FILES_H_

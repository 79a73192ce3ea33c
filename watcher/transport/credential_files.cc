// Files with tokens, keys and certificates that are renewed while we run.

#include "watcher/transport/credential_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

bool Same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool Same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
         a.st_size == b.st_size && Same(a.st_mtim, b.st_mtim) &&
         Same(a.st_ctim, b.st_ctim);
}

absl::Status Refuse(const std::string& path, std::string_view why) {
  return absl::UnauthenticatedError(
      absl::StrCat("\"", path, "\": ", std::string(why)));
}

absl::Status RefuseByErrno(const std::string& path, const char* what) {
  char buffer[128];
  // The GNU variant, which gives the text wherever it is.
  const char* text = strerror_r(errno, buffer, sizeof(buffer));
  return Refuse(path, absl::StrCat(what, ": ", text,
                                   "; the worker's user must be able to read "
                                   "it"));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace

absl::StatusOr<std::string> CredentialFiles::Read(const std::string& path,
                                                  size_t max_bytes) {
  struct stat stamp;
  if (stat(path.c_str(), &stamp) != 0) return RefuseByErrno(path, "stat");
  const auto found = files_.find(path);
  if (found != files_.end() && Same(found->second.stamp, stamp)) {
    return found->second.content;
  }

  // Without O_NONBLOCK a named pipe would stop the thread.
  const Descriptor fd(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) return RefuseByErrno(path, "open");
  File file;
  if (fstat(fd.get(), &file.stamp) != 0) return RefuseByErrno(path, "fstat");
  if (!S_ISREG(file.stamp.st_mode)) return Refuse(path, "is no regular file");

  file.content.resize(max_bytes + 1);
  size_t size = 0;
  while (size < file.content.size()) {
    const ssize_t n =
        read(fd.get(), &file.content[size], file.content.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return RefuseByErrno(path, "read");
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > max_bytes) {
    return Refuse(path, absl::StrCat("is longer than ", max_bytes, " bytes"));
  }
  if (size == 0) return Refuse(path, "is empty");
  file.content.resize(size);
  file.content.shrink_to_fit();
  std::string content = file.content;
  files_[path] = std::move(file);
  return content;
}

absl::StatusOr<std::string> CredentialFiles::ReadToken(
    const std::string& path) {
  absl::StatusOr<std::string> content = Read(path, kMaxTokenBytes);
  if (!content.ok()) return content.status();
  return CheckToken(*content, absl::StrCat("\"", path, "\""));
}

absl::StatusOr<std::string> CredentialFiles::ReadLine(const std::string& path,
                                                      const char* what) {
  absl::StatusOr<std::string> content = Read(path, kMaxPasswordBytes);
  if (!content.ok()) return content.status();
  // As editors and `echo` end a line.
  if (!content->empty() && content->back() == '\n') content->pop_back();
  if (!content->empty() && content->back() == '\r') content->pop_back();
  if (content->empty()) return Refuse(path, absl::StrCat("holds no ", what));
  if (content->find_first_of(std::string_view("\0\r\n", 3)) !=
      std::string::npos) {
    return Refuse(path, absl::StrCat("holds more than one line: write the ",
                                     what, " alone"));
  }
  return content;
}

absl::StatusOr<std::string> CredentialFiles::ReadPassword(
    const std::string& path) {
  return ReadLine(path, "password");
}

absl::StatusOr<std::string> CredentialFiles::ReadSecret(
    const std::string& path) {
  absl::StatusOr<std::string> secret = ReadLine(path, "secret");
  if (!secret.ok()) return secret;
  for (const char c : *secret) {
    if (c <= ' ' || c > '~') {
      return Refuse(path,
                    "a secret is one word of ASCII: write it alone, without "
                    "the key and without blanks");
    }
  }
  return secret;
}

absl::StatusOr<std::string> CheckToken(std::string_view token,
                                       const std::string& origin) {
  constexpr char kWhite[] = " \t\r\n";
  const size_t begin = token.find_first_not_of(kWhite);
  if (begin == std::string_view::npos) {
    return absl::UnauthenticatedError(absl::StrCat(origin, ": no token in it"));
  }
  token = token.substr(begin, token.find_last_not_of(kWhite) + 1 - begin);
  for (const char c : token) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f) {
      return absl::UnauthenticatedError(absl::StrCat(
          origin, ": a control character within the token; write one token"));
    }
    if (byte == ' ' || byte > 0x7f) {
      return absl::UnauthenticatedError(
          absl::StrCat(origin,
                       ": a token is one word of ASCII; write it "
                       "without \"Bearer\" and without blanks"));
    }
  }
  return std::string(token);
}

}  // namespace dynweight

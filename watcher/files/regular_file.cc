// Reading a small regular file.

#include "watcher/files/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "watcher/files/file_descriptor.h"

namespace dynweight {
namespace {

absl::Status NotRegular(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", path, "\" is not a regular file"));
}

absl::Status TooLarge(const std::string& path, size_t max_bytes) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", path, "\" is larger than ", max_bytes / 1024, " KiB"));
}

}  // namespace

absl::StatusOr<std::string> ReadRegularFile(const std::string& path,
                                            size_t max_bytes,
                                            SymbolicLinks links) {
  const int no_follow = links == SymbolicLinks::kRefuse ? O_NOFOLLOW : 0;
  const FileDescriptor file(open(
      path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | no_follow));
  if (!file.ok()) {
    // ELOOP: a symbolic link where none is wanted. ENXIO: a socket.
    if (errno == ELOOP || errno == ENXIO) return NotRegular(path);
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("\"", path, "\" cannot be opened"));
  }
  struct stat info;
  if (fstat(file.get(), &info) != 0) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("\"", path, "\" cannot be read"));
  }
  if (!S_ISREG(info.st_mode)) return NotRegular(path);
  const auto size = static_cast<size_t>(std::max<off_t>(info.st_size, 0));
  if (size > max_bytes) return TooLarge(path, max_bytes);

  // The file may grow while it is read, and some (/proc) claim no size.
  std::string content(std::max<size_t>(size + 1, 4096), '\0');
  size_t length = 0;
  for (;;) {
    if (length == content.size()) content.resize(content.size() * 2);
    const ssize_t n =
        read(file.get(), &content[length], content.size() - length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return absl::ErrnoToStatus(errno,
                                 absl::StrCat("\"", path, "\" cannot be read"));
    }
    if (n == 0) break;
    length += static_cast<size_t>(n);
    if (length > max_bytes) return TooLarge(path, max_bytes);
  }
  content.resize(length);
  return content;
}

}  // namespace dynweight

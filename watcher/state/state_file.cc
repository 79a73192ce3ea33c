// The last good views on disk.

#include "watcher/state/state_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "watcher/files/file_descriptor.h"
#include "watcher/files/regular_file.h"
#include "watcher/text/json_text.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

constexpr uint64_t kFormat = 1;
constexpr size_t kMaxStateBytes = size_t{64} << 20;
constexpr size_t kMaxClusters = 10000;

// The author stands in the head, which can be read without the rest.
constexpr std::string_view kClusters = ",\"clusters\":[";
constexpr size_t kMaxHeadBytes = 512;
constexpr size_t kMaxBootIdBytes = 64;

// A temporary file is the state file's name with this and six more bytes. Its
// writer holds a lock (flock) on it for as long as it lives, so one that can
// be locked has lost its writer.
constexpr std::string_view kTemporary = ".tmp.";
constexpr size_t kRandomBytes = 6;

absl::Status Failed(const std::string& path, const char* what, int error,
                    const char* mend) {
  return absl::ErrnoToStatus(
      error, absl::StrCat("state file \"", path, "\": ", what, "; ", mend,
                          " (the previous file stays)"));
}

struct Place {
  std::string directory;
  std::string name;
};

Place PlaceOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Creates a locked temporary file; its path in `temporary`. -1 with errno.
int CreateTemporary(const std::string& path, std::string* temporary) {
  // Between creation and lock a reader may take the file for litter.
  for (int attempt = 0; attempt < 16; attempt++) {
    *temporary = absl::StrCat(path, std::string(kTemporary),
                              std::string(kRandomBytes, 'X'));
    const int fd = mkostemp(temporary->data(), O_CLOEXEC);
    if (fd < 0) return -1;
    struct stat info;
    const bool taken =
        flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!taken && fstat(fd, &info) == 0 && info.st_nlink > 0) return fd;
    unlink(temporary->c_str());
    close(fd);
  }
  errno = EBUSY;
  return -1;
}

// Removes temporary files that have lost their writer.
void RemoveLitter(const std::string& path) {
  const Place place = PlaceOf(path);
  const std::string prefix = place.name + std::string(kTemporary);
  DIR* directory = opendir(place.directory.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name.size() != prefix.size() + kRandomBytes ||
        name.substr(0, prefix.size()) != prefix) {
      continue;
    }
    const FileDescriptor file(
        openat(dirfd(directory), entry->d_name,
               O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    struct stat info;
    if (file.ok() && fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode) &&
        flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
      unlinkat(dirfd(directory), entry->d_name, 0);
    }
  }
  closedir(directory);
}

// Who wrote what is in force; unknown when there is no such file.
StateAuthor AuthorOf(const std::string& path) {
  const FileDescriptor file(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  char head[kMaxHeadBytes];
  const ssize_t n = file.ok() ? read(file.get(), head, sizeof(head)) : 0;
  if (n <= 0) return {};
  const std::string_view text(head, static_cast<size_t>(n));
  const absl::StatusOr<JsonDocument> document =
      ParseJson(std::string(text.substr(0, text.find(kClusters))) + "}");
  if (!document.ok()) return {};
  JsonReader reader("state");
  const cJSON* root = reader.Root(document->get());
  StateAuthor author;
  author.boot_id = std::string(reader.String(root, "boot", kMaxBootIdBytes));
  author.began_us = reader.Count(root, "began").value_or(0);
  return reader.ok() ? author : StateAuthor();
}

bool IsNewer(const StateAuthor& a, const StateAuthor& b) {
  return !a.boot_id.empty() && a.boot_id == b.boot_id &&
         a.began_us > b.began_us;
}

// Puts the temporary file in the place of the state file, unless a newer
// author wrote that; whether all went well.
bool Install(const std::string& temporary, const std::string& path,
             const StateAuthor& author) {
  // Held from the look to the rename, so that no writer gets between; it goes
  // with the descriptor. Where a directory cannot be locked (NFS), a newer
  // author repairs with its next write what an older one did in that instant.
  const FileDescriptor directory(open(PlaceOf(path).directory.c_str(),
                                      O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.ok()) flock(directory.get(), LOCK_EX);
  if (IsNewer(AuthorOf(path), author)) {
    unlink(temporary.c_str());
    return true;
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) return false;
  if (!directory.ok()) return true;
  flock(directory.get(), LOCK_UN);
  // A rename is an atomic change whatever happens next; without this it might
  // be undone by a power failure, which leaves the previous file. So nothing is
  // to be done about an error.
  fsync(directory.get());
  return true;
}

absl::StatusOr<std::vector<ClusterView>> DecodeState(std::string_view text) {
  absl::StatusOr<JsonDocument> document = ParseJson(text);
  if (!document.ok()) return document.status();
  JsonReader reader("state");
  const cJSON* root = reader.Root(document->get());
  const uint64_t format = reader.RequiredCount(root, "format");
  if (reader.ok() && format != kFormat) {
    return absl::InvalidArgumentError(
        absl::StrCat("has format ", format, ", this version reads ", kFormat));
  }
  const cJSON* clusters = reader.Array(root, "clusters");
  if (reader.ok() && clusters == nullptr) reader.Fail("clusters", "is missing");

  std::vector<ClusterView> views;
  absl::Status bad_view;
  reader.ForEachObject(clusters, "clusters", kMaxClusters,
                       [&views, &bad_view](const cJSON* element) {
                         absl::StatusOr<ClusterView> view =
                             ReadClusterView(element);
                         if (view.ok()) {
                           views.push_back(*std::move(view));
                         } else {
                           bad_view.Update(view.status());
                         }
                       });
  if (!reader.ok()) return reader.status();
  if (!bad_view.ok()) return bad_view;
  return views;
}

}  // namespace

StateAuthor StateAuthor::Now() {
  StateAuthor author;
  const absl::StatusOr<std::string> id =
      ReadRegularFile("/proc/sys/kernel/random/boot_id", kMaxBootIdBytes,
                      SymbolicLinks::kRefuse);
  if (id.ok()) author.boot_id = id->substr(0, id->find('\n'));
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  author.began_us = static_cast<uint64_t>(now.tv_sec) * 1000000 +
                    static_cast<uint64_t>(now.tv_nsec) / 1000;
  return author;
}

std::string EncodeState(const std::vector<ClusterView>& views,
                        const StateAuthor& author) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::string text = absl::StrCat(
      "{\"format\":", kFormat, ",\"written\":",
      std::chrono::duration_cast<std::chrono::milliseconds>(now).count(),
      ",\"boot\":");
  AppendJsonString(author.boot_id, kMaxBootIdBytes, &text);
  absl::StrAppend(&text, ",\"began\":", author.began_us);
  text += kClusters;
  for (const ClusterView& view : views) {
    if (&view != &views.front()) text += ",\n";
    text += EncodeClusterView(view, ViewRoom::Of(kMaxViewNodes));
  }
  text += "]}\n";
  return text;
}

absl::Status WriteStateFile(const std::string& path, std::string_view text,
                            const StateAuthor& author) {
  if (text.size() > kMaxStateBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "state file \"", path, "\": would have ", text.size(),
        " bytes, more than ", kMaxStateBytes, "; the previous file stays"));
  }
  // A rename would put a plain file in the place of a device or a link.
  struct stat info;
  if (lstat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("state file \"", path,
                     "\": something else than a regular file has this name; "
                     "remove it or choose another name"));
  }

  std::string temporary;
  const FileDescriptor file(CreateTemporary(path, &temporary));
  if (!file.ok()) {
    return Failed(path, "cannot create a temporary file beside it", errno,
                  "let the worker's user write to the directory");
  }
  const char* failed = nullptr;
  if (!WriteAll(file.get(), text)) {
    failed = "cannot write";
  } else if (fsync(file.get()) != 0) {
    failed = "cannot flush to the disk";
  } else if (!Install(temporary, path, author)) {
    failed = "cannot rename the temporary file";
  }
  if (failed != nullptr) {
    const int error = errno;
    unlink(temporary.c_str());
    return Failed(path, failed, error,
                  "see to the disk's space and the directory's permissions");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ClusterView>> ReadStateFile(
    const std::string& path) {
  RemoveLitter(path);
  const absl::StatusOr<std::string> text =
      ReadRegularFile(path, kMaxStateBytes, SymbolicLinks::kRefuse);
  if (!text.ok()) {
    if (absl::IsInvalidArgument(text.status())) {
      return absl::InvalidArgumentError(
          absl::StrCat("state file ", text.status().message(), "; remove it"));
    }
    return absl::Status(text.status().code(),
                        absl::StrCat("state file ", text.status().message()));
  }
  absl::StatusOr<std::vector<ClusterView>> views = DecodeState(*text);
  if (!views.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "state file \"", path, "\" is not usable: ", views.status().message(),
        "; remove it, a new one is written"));
  }
  return views;
}

}  // namespace dynweight

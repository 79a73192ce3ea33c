// A file descriptor that is closed when its owner goes.

#ifndef DYNAMIC_WEIGHT_WATCHER_FILES_FILE_DESCRIPTOR_H_
#define DYNAMIC_WEIGHT_WATCHER_FILES_FILE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace dynweight {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;

  bool ok() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_FILES_FILE_DESCRIPTOR_H_

// Reading a small file whose place somebody else may have a hand in.

#ifndef DYNAMIC_WEIGHT_WATCHER_FILES_REGULAR_FILE_H_
#define DYNAMIC_WEIGHT_WATCHER_FILES_REGULAR_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace dynweight {

enum class SymbolicLinks { kFollow, kRefuse };

// The whole content of a regular file. Never waits for a writer, as opening a
// FIFO would. NotFound when there is none, InvalidArgument when it is not a
// regular file or has more than `max_bytes`, else what errno says. Messages
// name the file and never quote its content. Thread-safe.
absl::StatusOr<std::string> ReadRegularFile(const std::string& path,
                                            size_t max_bytes,
                                            SymbolicLinks links);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_FILES_REGULAR_FILE_H_

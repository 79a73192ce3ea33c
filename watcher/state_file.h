// The last good views on disk, for a restart with the APIs down.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_FILE_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "watcher/cluster_view.h"

namespace dynweight {

// Replaces the file as a whole: a temporary file beside it, fsync, rename,
// fsync of the folder. Any failure (disk full, no permission) leaves the
// former file and no litter, and the error names the file, the errno's text
// and what to do. Mode 0600. Blocks on the disk: watcher thread only.
absl::Status WriteStateFile(const std::string& path,
                            const std::vector<ClusterView>& views);

// Reads it. NotFound when there is none; InvalidArgument, naming the file and
// the mend ("remove it"), when it is corrupt, foreign, of another format
// version, not a regular file or larger than 64 MiB. Temporary files that a
// killed writer left are removed.
absl::StatusOr<std::vector<ClusterView>> ReadStateFile(const std::string& path);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_FILE_H_

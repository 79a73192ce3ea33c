// The last good views on disk, for a restart with the APIs down.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_STATE_FILE_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_STATE_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "watcher/state/cluster_view_json.h"

namespace dynweight {

// Who writes state files: a watcher, from its start to its end. On one boot of
// a machine the watcher that began last follows the newest configuration.
struct StateAuthor {
  std::string boot_id;    // empty: unknown, then neither is the newer one
  uint64_t began_us = 0;  // since that boot

  static StateAuthor Now();
};

// The text of a state file.
std::string EncodeState(const std::vector<ClusterView>& views,
                        const StateAuthor& author);

// Replaces the file as a whole by `text` of EncodeState(): a temporary file
// beside it, fsync, rename, fsync of the directory. Any failure (disk full, no
// permission) leaves the previous file and no litter, and the error names the
// file, the errno's text and what to do. A file of a newer author is left as
// it is, which is no error. Mode 0600. Blocks for as long as the disk does.
absl::Status WriteStateFile(const std::string& path, std::string_view text,
                            const StateAuthor& author);

// Reads it. NotFound when there is none; InvalidArgument, naming the file and
// the mend ("remove it"), when it is corrupt, foreign, of another format
// version, not a regular file or larger than 64 MiB. Temporary files that a
// killed writer left are removed.
absl::StatusOr<std::vector<ClusterView>> ReadStateFile(const std::string& path);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_STATE_FILE_H_

// The tuning file's text, checked whole.

#ifndef DYNAMIC_WEIGHT_WATCHER_TUNING_READER_H_
#define DYNAMIC_WEIGHT_WATCHER_TUNING_READER_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/config.h"
#include "watcher/tuning.h"

namespace dynweight {

// The rules in the file's order; errors are as Tuning::Parse() has them.
// Thread-safe.
absl::StatusOr<std::vector<TuningRule>> ReadTuningRules(
    std::string_view text, const WatcherConfig& config);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TUNING_READER_H_

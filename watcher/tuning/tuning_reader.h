// The tuning file's text, checked whole.

#ifndef DYNAMIC_WEIGHT_WATCHER_TUNING_TUNING_READER_H_
#define DYNAMIC_WEIGHT_WATCHER_TUNING_TUNING_READER_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "watcher/config/config.h"
#include "weightcalc/tuning.h"

namespace dynweight {

// Checks all of the text against the upstreams, clusters and servers of
// `config`. InvalidArgument begins "LINE:COLUMN: ", names the thing and says
// what to write instead. Columns count bytes, from 1, as lines do. Thread-safe.
absl::StatusOr<Tuning> ReadTuning(std::string_view text,
                                  const WatcherConfig& config);

// The same, as the rules in the file's order.
absl::StatusOr<std::vector<TuningRule>> ReadTuningRules(
    std::string_view text, const WatcherConfig& config);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TUNING_TUNING_READER_H_

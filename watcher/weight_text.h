// How changes of weights are told to an operator.

#ifndef DYNAMIC_WEIGHT_WATCHER_WEIGHT_TEXT_H_
#define DYNAMIC_WEIGHT_WATCHER_WEIGHT_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "weightcalc/peer_set.h"
#include "weightcalc/weight_computation.h"

namespace dynweight {

// `pods 12 -> 30, nodes 3`, or `instances 12 -> 30`: what a weight is computed
// from; what stayed is said once. `before`: nothing at the first known value.
std::string CauseText(const LineConfig& line,
                      const std::optional<LineWeight>& before,
                      const LineWeight& after);

// `upstream "orders" cluster "bj": pods 12 -> 30, nodes 3, weight 40 -> 100`;
// what stayed is said once. `before`: nothing at the first known value.
std::string WeightChangeText(const LineConfig& line, const std::string& cluster,
                             const std::optional<LineWeight>& before,
                             const LineWeight& after);

// A warning: `largest` does not fit, so that all weights are divided.
std::string ScaleText(const LineConfig& line, uint64_t largest, uint64_t scale);

// The warning that the line has fewer slots than the cluster has nodes, or the
// application instances.
std::string SlotShortageText(const LineConfig& line, const std::string& cluster,
                             const LineWeight& weight);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_WEIGHT_TEXT_H_

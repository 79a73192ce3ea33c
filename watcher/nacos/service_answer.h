// What a Nacos server says of a service, whichever way it says it.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_SERVICE_ANSWER_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_SERVICE_ANSWER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "watcher/text/json_value.h"
#include "weightcalc/instance.h"

namespace dynweight {

// The API that a list is asked for by. v2 and v1 are served by 2.x, v1 by 1.x,
// v3 by 3.x, which serves the older ones, too, while it is configured to.
enum class NacosApi : uint8_t { kV1, kV2, kV3 };

struct ServiceAnswer {
  // Most instances of one service.
  static constexpr size_t kMaxHosts = 10000;

  // Those that are healthy and enabled; sorted, no two of one address and port.
  // Of two registrations of one, in two clusters, the heavier one counts.
  std::vector<Instance> instances;
  size_t hosts = 0;     // how many were named, whatever their state
  size_t unusable = 0;  // of those with an address or port that no peer has
  // So few instances are healthy that the server calls all of them so. Nothing:
  // this answer doesn't show it.
  std::optional<bool> at_protection_threshold;
  bool valid = true;  // by its own account
  // Of the hosts; distinct, and no more than kMaxClusters + 1 of them.
  static constexpr size_t kMaxClusters = 16;
  std::vector<std::string> clusters;
  uint64_t made_ms = 0;  // by the server's clock; 0: it doesn't say

  // Why it is no evidence of which instances there are; "" when it is.
  std::string WhyUncertain() const;
};

// Reads the body of a list. InvalidArgument: it is none, or says that it
// failed; the message quotes what the server said. ResourceExhausted: more than
// kMaxHosts. Thread-safe.
absl::StatusOr<ServiceAnswer> ReadServiceList(NacosApi api,
                                              std::string_view body);

// Reads a service as a list of v1, and a message of gRPC, has it. Of `clusters`
// only, which are sorted; none: of all.
absl::StatusOr<ServiceAnswer> ReadServiceInfo(
    const cJSON* info, const std::vector<std::string>& clusters = {});

// Whether the protection threshold is reached, by two lists of which neither
// shows it: `all` was asked for before `healthy`, which says who is so in
// truth. It is when an instance called healthy is not among those.
bool ReachesProtectionThreshold(const ServiceAnswer& all,
                                const ServiceAnswer& healthy);

// A Nacos weight of 0 to 10,000 in thousandths: at least 1 unless it is 0.
uint32_t WeightMilli(double weight);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_SERVICE_ANSWER_H_

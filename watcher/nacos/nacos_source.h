// Which instances of a Nacos registry a line of `instances` means.

#ifndef DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_SOURCE_H_
#define DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_SOURCE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dynweight {

// As `instances` spells it: service=orders group=prod clusters=bj,sh.
struct NacosSource {
  static constexpr std::string_view kDefaultGroup = "DEFAULT_GROUP";
  // Bytes, as a server of Nacos bounds them.
  static constexpr size_t kMaxServiceBytes = 512;
  static constexpr size_t kMaxGroupBytes = 128;
  static constexpr size_t kMaxClusterBytes = 64;
  static constexpr size_t kMaxClusters = 64;

  std::string service;
  std::string group = std::string(kDefaultGroup);
  std::vector<std::string> clusters;  // sorted, distinct; empty: all

  // Identifies the source within its registry, in views, state files and logs:
  // "service=orders group=prod clusters=bj,sh", without the default group and
  // without clusters where all are meant. What would divide words (blanks,
  // "%", "," and control characters) is escaped as in a URL.
  std::string Key() const;

  // "bj,sh", as the API takes it; "" for all.
  std::string Clusters() const;
  // "prod@@orders", as the API names a service in what it answers.
  std::string GroupedName() const;

  // Whether the text begins with a word of a source and "=".
  static bool Begins(std::string_view text);

  // Reads words "service=NAME", "group=NAME", "clusters=NAME,NAME", each at
  // most once, in any order; "service=GROUP@@NAME" stands for both.
  // InvalidArgument says what is wrong and what to write instead.
  static absl::StatusOr<NacosSource> Parse(
      const std::vector<std::string_view>& words);
  // Reads what Key() gives.
  static absl::StatusOr<NacosSource> FromKey(std::string_view key);

  friend bool operator==(const NacosSource& a, const NacosSource& b) {
    return a.service == b.service && a.group == b.group &&
           a.clusters == b.clusters;
  }
};

// Whether the text may be a namespace's id: 1 to 128 bytes of letters, digits,
// "_", "-", "." and ":". InvalidArgument says what to write.
absl::Status CheckNacosNamespace(std::string_view text);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_NACOS_NACOS_SOURCE_H_

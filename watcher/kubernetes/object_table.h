// The objects of one list+watch by their key, present and staged apart.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_TABLE_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_TABLE_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_sink.h"

namespace dynweight {

// What an ObjectSink needs that keeps one Value (comparable with ==) for each
// object that counts and none for the others. Not thread-safe.
template <typename Value>
class ObjectTable {
 public:
  using Map = absl::flat_hash_map<std::string, Value>;

  void BeginList() { staged_.clear(); }

  // No value: the object does not count.
  absl::Status Stage(std::string key, std::optional<Value> value) {
    bool ignored = false;
    return Set(std::move(key), std::move(value), &staged_, &ignored);
  }

  void CommitList() {
    changed_ |= !listed_ || present_ != staged_;
    listed_ = true;
    present_ = std::move(staged_);
    staged_ = Map();
  }

  absl::Status Apply(std::string key, std::optional<Value> value) {
    return Set(std::move(key), std::move(value), &present_, &changed_);
  }

  bool listed() const { return listed_; }
  const Map& present() const { return present_; }

  // Whether anything changed since the last call.
  bool TakeChanged() { return std::exchange(changed_, false); }

 private:
  static absl::Status Set(std::string key, std::optional<Value> value, Map* map,
                          bool* changed) {
    const auto at = map->find(key);
    if (!value.has_value()) {
      if (at == map->end()) return absl::OkStatus();
      map->erase(at);
    } else if (at != map->end()) {
      if (at->second == *value) return absl::OkStatus();
      at->second = std::move(*value);
    } else if (map->size() >= kMaxSinkObjects) {
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", kMaxSinkObjects,
                       " objects; narrow the selector or the namespace"));
    } else {
      map->emplace(std::move(key), std::move(*value));
    }
    *changed = true;
    return absl::OkStatus();
  }

  Map present_;
  Map staged_;
  bool listed_ = false;
  bool changed_ = false;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_OBJECT_TABLE_H_

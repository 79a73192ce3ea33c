// Instances as they stand in a view's document.

#ifndef DYNAMIC_WEIGHT_WATCHER_STATE_INSTANCE_SET_JSON_H_
#define DYNAMIC_WEIGHT_WATCHER_STATE_INSTANCE_SET_JSON_H_

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "weightcalc/cluster_view.h"

struct cJSON;

namespace dynweight {

class JsonReader;

inline constexpr size_t kMaxViewInstances = 65536;  // of one source
inline constexpr size_t kMaxInstanceSets = 100000;
inline constexpr size_t kMaxNodeNameBytes = 63;  // as PeerIdentity::node

using InstanceSets = std::map<std::string, InstanceSet, std::less<>>;

// Sorted, distinct, of bounded number. Names are cut to kMaxNodeNameBytes, and
// have '?' for what would have to be escaped: documents stay small.
void SaneInstances(std::vector<Instance>* instances);

// The texts of the sets of one view, kept: of thousands only those that changed
// are encoded again. A value; not thread-safe.
class InstanceSetTexts {
 public:
  // The set of this key is another now.
  void Forget(std::string_view key);
  // Also the times of observation, which are no change, are to be those of now.
  void Clear() { texts_.clear(); }

 private:
  friend void AppendInstanceSets(
      const InstanceSets& sets,
      absl::FunctionRef<size_t(const std::string& key)> room,
      InstanceSetTexts* kept, std::string* out);

  std::map<std::string, std::string, std::less<>> texts_;  // by key
};

// Appends a member of an object, `,"instances":{...}`; nothing when there is no
// set. Of each only the first are written, as many as there is room for, and
// "total" says how many there are. With `kept`, not nullptr, `room` is always
// the same.
void AppendInstanceSets(const InstanceSets& sets,
                        absl::FunctionRef<size_t(const std::string& key)> room,
                        InstanceSetTexts* kept, std::string* out);

// That member of `parent`; what is wrong is the reader's.
InstanceSets ReadInstanceSets(const cJSON* parent, JsonReader* reader);

// Most bytes of that member, for so many instances of each source.
size_t MaxInstanceSetsBytes(
    const std::map<std::string, size_t, std::less<>>& room);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_STATE_INSTANCE_SET_JSON_H_

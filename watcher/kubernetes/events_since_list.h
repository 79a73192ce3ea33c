// The events that a watch brings while a list is read beside it.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_EVENTS_SINCE_LIST_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_EVENTS_SINCE_LIST_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dynweight {

// Not thread-safe.
class EventsSinceList {
 public:
  // Most bytes of events that are kept.
  static constexpr size_t kMaxBytes = size_t{8} << 20;

  // A list begins, or has ended.
  void Begin() { *this = EventsSinceList(); }
  void Add(std::string_view line) {
    any_ = true;
    bytes_ += line.size();
    if (bytes_ > kMaxBytes) {
      complete_ = false;
      lines_ = {};
    }
    if (complete_) lines_.emplace_back(line);
  }
  bool any() const { return any_; }
  // None is missing because there were too many.
  bool complete() const { return complete_; }
  std::vector<std::string> Take() { return std::exchange(lines_, {}); }

 private:
  std::vector<std::string> lines_;
  size_t bytes_ = 0;
  bool any_ = false;
  bool complete_ = true;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_EVENTS_SINCE_LIST_H_

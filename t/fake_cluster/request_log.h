// What was asked of a fake cluster.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_REQUEST_LOG_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_REQUEST_LOG_H_

#include <cstdint>
#include <mutex>
#include <string>

#include "t/fake_cluster/model.h"

namespace dynweight::fake {

// Thread-safe.
class RequestLog {
 public:
  void Add(const std::string& path, uint64_t FakeRequestCounts::*kind,
           const std::string& line) {
    std::lock_guard<std::mutex> lock(mutex_);
    ++(requests_.total.*kind);
    ++(requests_.paths[path].*kind);
    requests_.recent.push_back(line);
    if (requests_.recent.size() > kRecent) {
      requests_.recent.erase(requests_.recent.begin());
    }
  }

  void AddBytes(const std::string& path, uint64_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    requests_.total.bytes += bytes;
    requests_.paths[path].bytes += bytes;
  }

  void AddOpenWatches(int count) {
    std::lock_guard<std::mutex> lock(mutex_);
    requests_.open_watches += count;
  }

  FakeRequests Get() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return requests_;
  }

  // Watches that are open stay counted as open.
  void Reset() {
    std::lock_guard<std::mutex> lock(mutex_);
    FakeRequests requests;
    requests.open_watches = requests_.open_watches;
    requests_ = requests;
  }

 private:
  static constexpr size_t kRecent = 100;

  mutable std::mutex mutex_;
  FakeRequests requests_;
};

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_REQUEST_LOG_H_

// How many ready replicas each of several workloads has, present and staged
// apart, and how many of those that left were meant to: when the number of all
// replicas falls with that of the ready ones, their owner means it, since a pod
// that turns not ready is still one of them.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REPLICA_COUNTS_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REPLICA_COUNTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace dynweight {

struct ReplicaCount {
  uint64_t ready = 0;
  uint64_t all = 0;
  bool exists = false;  // the object that says it
  bool said = false;    // it says something

  friend bool operator==(const ReplicaCount& a, const ReplicaCount& b) {
    return a.ready == b.ready && a.all == b.all && a.exists == b.exists &&
           a.said == b.said;
  }
};

// Workloads are named by the index that Add() gave. Not thread-safe.
class ReplicaCounts {
 public:
  // `absence_says`: an object that is gone was meant to go, with all that is
  // counted. Else it says nothing of its pods: they may have been orphaned.
  explicit ReplicaCounts(bool absence_says) : absence_says_(absence_says) {}

  size_t Add() {
    workloads_.emplace_back();
    return workloads_.size() - 1;
  }

  void BeginList() {
    for (Workload& workload : workloads_) workload.staged = ReplicaCount();
  }
  void Stage(size_t index, const ReplicaCount& count) {
    workloads_[index].staged = count;
  }
  void CommitList() {
    for (size_t i = 0; i < workloads_.size(); ++i) {
      const ReplicaCount staged = workloads_[i].staged;
      if (!listed_ || !(workloads_[i].present == staged)) MarkChanged(i);
      Depart(&workloads_[i], staged, /*by_list=*/true);
      workloads_[i].present = staged;
    }
    listed_ = true;
  }
  void Apply(size_t index, const ReplicaCount& count) {
    Workload& workload = workloads_[index];
    if (workload.present == count) return;
    Depart(&workload, count, /*by_list=*/false);
    workload.present = count;
    MarkChanged(index);
  }

  // Whether a list was ever committed: before that nothing is known.
  bool listed() const { return listed_; }
  const ReplicaCount& present(size_t index) const {
    return workloads_[index].present;
  }

  // Those that have changed since the last call, each once.
  std::vector<size_t> TakeChanged() {
    for (const size_t index : changed_) workloads_[index].changed = false;
    return std::exchange(changed_, {});
  }
  // Ready replicas that events showed to be taken away since the last call.
  // Those that had been lost otherwise before are among them, until Accept().
  uint64_t TakeDeparted(size_t index) {
    return std::exchange(workloads_[index].departed, 0);
  }
  // What is said of it now is in force: what was lost is past.
  void Accept(size_t index) { workloads_[index].lost = 0; }

 private:
  struct Workload {
    ReplicaCount present;
    ReplicaCount staged;
    uint64_t departed = 0;
    uint64_t lost = 0;  // ready ones, without a word
    bool changed = false;
  };

  void MarkChanged(size_t index) {
    if (!std::exchange(workloads_[index].changed, true)) {
      changed_.push_back(index);
    }
  }

  // From what is present to `after`.
  void Depart(Workload* workload, const ReplicaCount& after,
              bool by_list) const {
    const ReplicaCount& before = workload->present;
    if (after.ready > before.ready) {
      workload->lost -= std::min(workload->lost, after.ready - before.ready);
    } else {
      workload->lost += before.ready - after.ready;
    }
    const bool tells = after.said || absence_says_;
    if (by_list || !tells || after.all >= before.all) return;
    const uint64_t meant = std::min(workload->lost, before.all - after.all);
    workload->departed += meant;
    workload->lost -= meant;
  }

  const bool absence_says_;
  std::vector<Workload> workloads_;
  std::vector<size_t> changed_;
  bool listed_ = false;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REPLICA_COUNTS_H_

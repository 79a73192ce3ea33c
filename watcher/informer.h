// One source of a cluster at work: the guards of the quantities that it tells,
// and whether it goes well.

#ifndef DYNAMIC_WEIGHT_WATCHER_INFORMER_H_
#define DYNAMIC_WEIGHT_WATCHER_INFORMER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "watcher/discovery/discovery.h"
#include "watcher/source_health.h"
#include "watcher/state/cluster_view_json.h"
#include "watcher/text/log_line.h"
#include "weightcalc/clock.h"
#include "weightcalc/drop_guard.h"
#include "weightcalc/lost_nodes.h"

namespace dynweight {

// The cluster a informer belongs to.
class InformerDelegate {
 public:
  virtual ~InformerDelegate() = default;

  virtual const ClusterConfig& config() const = 0;
  // What is in force.
  virtual const ClusterView& view() const = 0;
  // Whether no request goes by an application's pods: the Ingress is gone that
  // each line needs which counts them. Their owner takes them away.
  virtual bool IsClosed(const std::string& source) const = 0;
  // What to prove who we are with; changed in place.
  virtual const Credentials* credentials() = 0;
  // As DiscoveryDelegate has them.
  virtual std::string ApiBase() = 0;
  virtual void OnApiFailure(const std::string& base) = 0;
  virtual void OnApiBusy(const std::string& base, int64_t retry_after_ms) = 0;

  // New values in force, the guards having let them pass.
  virtual void OnPods(const std::string& source, uint64_t pods) = 0;
  virtual void OnNodes(std::vector<IngressNode> nodes) = 0;
  // Its observed_ms is the owner's to set.
  virtual void OnInstances(const std::string& source, InstanceSet set) = 0;
  // The source is well again after a failure.
  virtual void OnRecovered() = 0;
  // What is in force was just said again.
  virtual void OnStillTrue(const Quantity& quantity) = 0;
  // The status document is out of date; `at_once`: an operator waits for it.
  virtual void OnStatusChanged(bool at_once) = 0;
  // A line about this cluster, which need not name it.
  virtual void OnLog(LogLine::Level level, std::string_view text) = 0;
};

// Not thread-safe; lives on the watcher thread. All pointers outlive it.
class Informer : private DiscoveryDelegate {
 public:
  Informer(const DiscoveryMaker& source, InformerDelegate* owner,
           const Clock* clock);

  void Start() { source_->Start(clock_->MonotonicMs()); }
  // Instead of Start(): why there can be no request yet.
  void Fail(const absl::Status& error) { OnError(error); }
  void Tick();
  int64_t DeadlineMs() const;
  // Another source of the cluster is well again.
  void Retry() { source_->Retry(clock_->MonotonicMs()); }
  // More applications may be closed: their falls wait for nothing any more.
  void LookAtClosed();

  bool listed() const { return source_->listed(); }
  // The server refuses to tell this (403), or it is more than can be kept.
  bool refused() const { return refused_; }
  // What it may tell instead, if the whole is refused.
  std::vector<DiscoveryMaker> Split() const { return source_->Split(); }
  const SourceHealth& health() const { return health_; }
  const DiscoveryStats& stats() const { return source_->stats(); }
  std::string name() const { return source_->name(); }
  // Answers that the guards held back.
  uint64_t held_back() const { return held_back_; }
  // What an operator should look into although nothing fails: sources in which
  // nothing is found, nodes in use that are not ready.
  std::vector<std::string> Warnings() const;

 private:
  // A quantity that a guard stands before.
  struct Guarded {
    size_t index = 0;  // the source's
    const Quantity* quantity = nullptr;
    DropGuard guard;
    LostNodes lost;            // of nodes
    std::string warning = {};  // as it was logged last; "" when all is well
    // Drops that come and go are told at most once in kDropLogMs.
    int64_t next_drop_log_ms = INT64_MIN;
    bool drop_told = false;
    bool uncertain = false;  // what the source was told is no evidence
  };
  // Indices of quantities by a time.
  using DueQuantities = std::set<std::pair<int64_t, size_t>>;

  std::string ApiBase() override { return owner_->ApiBase(); }
  const Credentials* credentials() override { return owner_->credentials(); }
  void OnApiFailure(const std::string& base) override {
    owner_->OnApiFailure(base);
  }
  void OnApiBusy(const std::string& base, int64_t retry_after_ms) override {
    owner_->OnApiBusy(base, retry_after_ms);
  }
  bool Awaited() const override;
  void OnList(std::optional<int64_t> asked_ms) override;
  void OnEvent() override;
  void OnHealthy() override;
  void OnTrouble(const std::string& text) override;
  void OnError(const absl::Status& error) override;

  void Update(size_t quantity, int64_t asked_ms);
  void UpdateDue(int64_t now_ms);
  void UpdatePods(Guarded* guarded, int64_t now_ms, int64_t asked_ms);
  void UpdateNodes(Guarded* guarded, int64_t now_ms, int64_t asked_ms);
  void UpdateInstances(Guarded* guarded, int64_t now_ms, int64_t asked_ms);
  // Whether the source is sure of it; it is told of where that has changed.
  bool IsCertain(Guarded* guarded);
  void LookForDoubts();
  void KeepLastNodes(Guarded* guarded);
  void Warn(Guarded* guarded, const std::string& warning);
  bool Admit(Guarded* guarded, uint64_t size, uint64_t departed, int64_t now_ms,
             int64_t asked_ms);
  void TellDrop(Guarded* guarded, uint64_t in_force, uint64_t size,
                DropGuard::Verdict verdict, int64_t now_ms);
  uint64_t SizeInForce(const Guarded& guarded) const;
  std::string NameOf(const Guarded& guarded) const;
  void Log(const std::optional<LogLine>& line);
  int64_t AskDeadlineMs() const;
  int64_t AskAtMs(const Guarded& guarded) const;

  InformerDelegate* owner_;
  const Clock* clock_;
  SourceHealth health_;
  std::vector<Guarded> guarded_;   // one for each of the source's quantities
  std::vector<size_t> instances_;  // which of them are of instances
  DueQuantities to_ask_;    // by when a consistent list is to be asked for
  DueQuantities settling_;  // by when their falls count
  std::optional<int64_t> asked_ms_;  // for a list that has not come yet
  int64_t next_ask_ms_ = INT64_MIN;
  int64_t next_still_true_ms_ = INT64_MIN;
  bool refused_ = false;
  bool no_nodes_ = false;  // for certain; the last stay in use
  uint64_t held_back_ = 0;
  std::unique_ptr<Discovery> source_;  // last: it points to all above
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_INFORMER_H_

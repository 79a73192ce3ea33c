// A collection that is listed and watched for others than who asks: the source
// of a cluster from which it wants no number itself.

#ifndef DYNAMIC_WEIGHT_WATCHER_KARMADA_FOLLOWED_COLLECTION_H_
#define DYNAMIC_WEIGHT_WATCHER_KARMADA_FOLLOWED_COLLECTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "watcher/discovery/discovery.h"
#include "watcher/kubernetes/kubernetes_discovery.h"
#include "watcher/kubernetes/reflector_options.h"

namespace dynweight {

// Whom it tells, beside the cluster that it is a source of; each after that. As
// DiscoveryDelegate has them.
struct CollectionListener {
  std::function<void(std::optional<int64_t> asked_ms)> on_list;
  std::function<void()> on_event;
  std::function<void()> on_healthy;
  std::function<void(const absl::Status& error)> on_error;
};

// Not thread-safe.
class FollowedCollection : public Discovery, private DiscoveryDelegate {
 public:
  // `owner` has the sink and is who listens.
  FollowedCollection(std::shared_ptr<void> owner,
                     const ReflectorOptions& options, ObjectSink* sink,
                     CollectionListener listener,
                     const ReflectorFactory& create_reflector,
                     DiscoveryDelegate* delegate)
      : owner_(std::move(owner)),
        options_(options),
        listener_(std::move(listener)),
        delegate_(delegate),
        reflector_(create_reflector(options_, sink, this)) {}

  std::string name() const override {
    return absl::StrCat(options_.path,
                        options_.field_selector.empty() ? "" : "?",
                        options_.field_selector);
  }
  const std::vector<Quantity>& quantities() const override { return none_; }
  bool pushes() const override { return options_.watch; }
  void Start(int64_t now_ms) override { reflector_->Start(now_ms); }
  int64_t DeadlineMs() const override { return reflector_->Deadline(); }
  void Tick(int64_t now_ms) override { reflector_->Tick(now_ms); }
  void RequestConfirmation(int64_t now_ms) override {
    reflector_->RequestFreshList(now_ms);
  }
  void WithdrawConfirmation() override { reflector_->WithdrawList(); }
  bool listed() const override { return reflector_->stats().lists != 0; }
  std::vector<size_t> TakeChanged() override { return {}; }
  Observation Observe(size_t /*quantity*/) override { return {}; }
  void Accept(size_t /*quantity*/) override {}
  std::string WhyNone(size_t /*quantity*/) const override { return {}; }
  const DiscoveryStats& stats() const override { return reflector_->stats(); }

 private:
  std::string ApiBase() override { return delegate_->ApiBase(); }
  const Credentials* credentials() override { return delegate_->credentials(); }
  void OnApiFailure(const std::string& base) override {
    delegate_->OnApiFailure(base);
  }
  void OnApiBusy(const std::string& base, int64_t retry_after_ms) override {
    delegate_->OnApiBusy(base, retry_after_ms);
  }
  void OnList(std::optional<int64_t> asked_ms) override {
    delegate_->OnList(asked_ms);
    listener_.on_list(asked_ms);
  }
  void OnEvent() override {
    delegate_->OnEvent();
    listener_.on_event();
  }
  void OnHealthy() override {
    delegate_->OnHealthy();
    listener_.on_healthy();
  }
  void OnTrouble(const std::string& text) override {
    delegate_->OnTrouble(text);
  }
  void OnError(const absl::Status& error) override {
    delegate_->OnError(error);
    listener_.on_error(error);
  }

  const std::shared_ptr<void> owner_;
  const ReflectorOptions options_;
  const CollectionListener listener_;
  DiscoveryDelegate* const delegate_;
  const std::vector<Quantity> none_;
  const std::unique_ptr<Reflector> reflector_;  // last: it points to all above
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KARMADA_FOLLOWED_COLLECTION_H_

// See nacos_discovery.h.

#include "watcher/nacos/nacos_discovery.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/nacos/grpc_subscriber.h"
#include "watcher/nacos/http_poller.h"
#include "watcher/nacos/nacos_login.h"
#include "watcher/nacos/service_table.h"
#include "watcher/transport/backoff.h"
#include "weightcalc/clock.h"

namespace dynweight {
namespace {

// What takes longer to subscribe is polled meanwhile.
constexpr int64_t kPollAfterMs = 1000;
// How often it must have failed while lists are answered to be told of.
constexpr int kTroubleRefusals = 2;
// A subscription that ends sooner is none: the next one waits.
constexpr int64_t kShortMs = 5000;
// How often a server that refuses gRPC is tried again.
constexpr int64_t kSubscribeCapMs = 30000;

// Subscribes, and polls while that fails:
//
//            subscribed                    lost
//   Start() ────────────► pushes arrive ──────────┐
//      │                       ▲                  ▼
//      │ fails, or takes long  │        subscribes again at once
//      ▼                       │                  │ fails, or takes long
//   polls, and subscribes now and then ◄──────────┘
class NacosDiscovery : public Discovery {
 public:
  NacosDiscovery(const NacosSources& sources, HttpTransport* transport,
                 const Clock* clock, const std::function<double()>& random,
                 DiscoveryDelegate* delegate)
      : name_(absl::StrCat("namespace=", sources.options.ns)),
        subscribes_(sources.options.subscribe),
        interval_ms_(sources.options.interval_ms),
        delegate_(delegate),
        table_(sources.services),
        poller_login_(transport, clock, sources.options.timeout_ms),
        subscriber_login_(transport, clock, sources.options.timeout_ms),
        backoff_(kSubscribeCapMs, random),
        poller_(sources.options, transport, delegate, &table_, &poller_login_,
                &stats_, random,
                [this](const HttpPoller::Round& round) { OnRound(round); }),
        subscriber_(sources.options, transport, delegate, &table_,
                    &subscriber_login_, &stats_, random,
                    {[this](int64_t began_ms, const absl::Status& error) {
                       OnSynced(began_ms, error);
                     },
                     [this] { OnPushed(); }, [this] { OnHeard(); },
                     [this](const absl::Status& error) { OnLost(error); }}) {}

  std::string name() const override { return name_; }
  const std::vector<Quantity>& quantities() const override {
    return table_.quantities();
  }
  // Also while it polls: what waits is settled by then.
  bool pushes() const override { return subscribes_; }

  void Start(int64_t now_ms) override {
    now_ms_ = now_ms;
    if (!subscribes_) return poller_.Start(now_ms);
    Subscribe();
  }
  int64_t DeadlineMs() const override {
    return std::min({poller_.DeadlineMs(), subscriber_.DeadlineMs(),
                     subscribe_at_ms_, poll_at_ms_});
  }
  void Tick(int64_t now_ms) override {
    now_ms_ = std::max(now_ms_, now_ms);
    poller_.Tick(now_ms_);
    subscriber_.Tick(now_ms_);
    if (now_ms_ >= subscribe_at_ms_) Subscribe();
    if (now_ms_ >= poll_at_ms_) Poll();
  }
  void RequestConfirmation(int64_t now_ms) override {
    now_ms_ = std::max(now_ms_, now_ms);
    subscriber_.RequestSync(now_ms_);
    poller_.RequestRound(now_ms_);
  }
  void WithdrawConfirmation() override {
    subscriber_.WithdrawRequest();
    poller_.WithdrawRequest();
  }

  bool listed() const override { return table_.complete(); }
  std::vector<size_t> TakeChanged() override { return table_.TakeChanged(); }
  Observation Observe(size_t quantity) override {
    return table_.Observe(quantity);
  }
  std::string WhyUncertain(size_t quantity) const override {
    return table_.WhyUncertain(quantity);
  }
  void Accept(size_t) override {}
  std::string WhyNone(size_t quantity) const override {
    return table_.WhyNone(quantity);
  }
  const DiscoveryStats& stats() const override { return stats_; }

 private:
  void Subscribe() {
    subscribe_at_ms_ = kNever;
    base_ = delegate_->ApiBase();
    if (!poller_.running()) poll_at_ms_ = now_ms_ + kPollAfterMs;
    subscriber_.Begin(base_, now_ms_);
  }
  void Poll() {
    poll_at_ms_ = kNever;
    if (!poller_.running()) poller_.Start(now_ms_);
  }

  // ---- the poller

  void OnRound(const HttpPoller::Round& round) {
    if (round.whole) {
      TellList(round.base, round.began_ms);
    } else if (table_.complete()) {
      delegate_->OnEvent();  // of what was answered before the failure
    }
    // A server that is back can be subscribed to, too.
    const bool failed = std::exchange(round_failed_, !round.whole);
    if (failed && round.whole && subscribe_at_ms_ != kNever) {
      subscribe_at_ms_ = now_ms_;
    }
    TellTrouble();
    if (!round.error.ok()) return delegate_->OnError(round.error);
    delegate_->OnHealthy();
  }

  // ---- the subscriber

  void OnSynced(int64_t began_ms, const absl::Status& error) {
    poller_.Stop();
    poll_at_ms_ = kNever;
    if (synced_ms_ == kNever) synced_ms_ = now_ms_;
    refused_.clear();
    refusals_ = 0;
    sync_error_ = error;
    backoff_.Healthy(now_ms_);
    TellList(base_, began_ms);
    TellTrouble();
    if (error.ok()) {
      delegate_->OnHealthy();
    } else {
      delegate_->OnError(error);
    }
  }
  void OnPushed() {
    if (!table_.complete()) return;
    delegate_->OnEvent();
    TellTrouble();
    OnHeard();
  }
  void OnHeard() {
    if (subscriber_.synced() && sync_error_.ok()) delegate_->OnHealthy();
  }
  void OnLost(const absl::Status& error) {
    const std::string text(error.message().data(), error.message().size());
    // While lists are answered the subscription is only a pity.
    if (poller_.running()) return OnRefused(error, text);
    const bool stood = synced_ms_ != kNever && now_ms_ - synced_ms_ >= kShortMs;
    synced_ms_ = kNever;
    if (!table_.complete() || !stood) {
      poll_at_ms_ = now_ms_;
      return OnRefused(error, text);
    }
    delegate_->OnApiFailure(base_);
    subscribe_at_ms_ = now_ms_;
    delegate_->OnError(error);
  }
  void OnRefused(const absl::Status& error, const std::string& text) {
    const bool never = absl::IsUnimplemented(error);
    subscribe_at_ms_ = never ? kNever : now_ms_ + backoff_.Failed(now_ms_);
    if (never) refusals_ = kTroubleRefusals;
    refused_ = absl::StrCat(
        text, "; polled each ", interval_ms_,
        " ms instead: open the server's port and 1000 more for gRPC, or write "
        "mode poll");
    if (poller_.running() && !round_failed_) ++refusals_;
    TellTrouble();
  }

  // ---- the delegate

  void TellList(const std::string& base, int64_t began_ms) {
    // Servers of one registry may disagree: one that was not asked before is no
    // witness of what another has said.
    const bool same = last_base_.empty() || last_base_ == base;
    last_base_ = base;
    delegate_->OnList(same ? std::optional<int64_t>(began_ms) : std::nullopt);
    if (!same) RequestConfirmation(now_ms_);
  }
  void TellTrouble() {
    std::string trouble = table_.Unusable();
    // Not of a server that is just coming up.
    if (refusals_ >= kTroubleRefusals && !round_failed_) {
      absl::StrAppend(&trouble, trouble.empty() ? "" : "; ", refused_);
    }
    if (poller_.running() && poller_.blind()) {
      absl::StrAppend(&trouble, trouble.empty() ? "" : "; ",
                      "lists of v3 do not show the protection threshold, at "
                      "which dead instances are called healthy: write mode "
                      "watch, or let the user read /v3/admin/ns/instance/list");
    }
    if (trouble != std::exchange(trouble_, trouble))
      delegate_->OnTrouble(trouble);
  }

  const std::string name_;
  const bool subscribes_;
  const int64_t interval_ms_;
  DiscoveryDelegate* const delegate_;
  DiscoveryStats stats_;
  ServiceTable table_;
  // One each, as both may log in at the same time.
  NacosLogin poller_login_, subscriber_login_;
  Backoff backoff_;  // of subscribing
  int64_t now_ms_ = 0;
  int64_t subscribe_at_ms_ = kNever;
  int64_t poll_at_ms_ = kNever;
  std::string base_;            // that is subscribed to
  std::string last_base_;       // that said the last whole answer
  int64_t synced_ms_ = kNever;  // when the subscription began that stands
  bool round_failed_ = false;
  absl::Status sync_error_;
  std::string refused_;  // why there is no subscription
  int refusals_ = 0;     // while lists were answered
  std::string trouble_;
  HttpPoller poller_;
  GrpcSubscriber subscriber_;
};

}  // namespace

std::vector<DiscoveryMaker> NacosDiscoveries(const NacosSources& sources,
                                             HttpTransport* transport,
                                             const Clock* clock,
                                             std::function<double()> random) {
  if (sources.services.empty()) return {};
  return {[sources, transport, clock, random](DiscoveryDelegate* delegate) {
    return std::make_unique<NacosDiscovery>(sources, transport, clock, random,
                                            delegate);
  }};
}

}  // namespace dynweight

// See member_pods.h.

#include "watcher/karmada/member_pods.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"

namespace dynweight {

MemberPods::MemberPods(std::shared_ptr<MemberPodsOwner> owner,
                       MemberOfKarmada member, DiscoveryDelegate* delegate)
    : owner_(std::move(owner)),
      member_(std::move(member)),
      delegate_(delegate) {
  for (const std::string& source : member_.sources) {
    quantities_.push_back({Quantity::Kind::kPods, source});
  }
  owner_->Join(this);
}

std::string MemberPods::name() const {
  return absl::StrCat("via ", state().control_plane);
}

void MemberPods::Start(int64_t /*now_ms*/) {
  started_ = true;
  OnClusters();
}

void MemberPods::RequestConfirmation(int64_t now_ms) {
  wanted_ms_ = now_ms;
  owner_->RequestConfirmation(now_ms);
}

void MemberPods::WithdrawConfirmation() {
  wanted_ms_.reset();
  owner_->WithdrawConfirmation();
}

std::vector<size_t> MemberPods::TakeChanged() {
  std::sort(changed_.begin(), changed_.end());
  changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
  return std::exchange(changed_, {});
}

Observation MemberPods::Observe(size_t quantity) {
  const size_t binding = member_.bindings[quantity];
  Observation observation;
  observation.pods = state().bindings.Ready(binding);
  observation.departed.count = state().bindings.TakeDeparted(binding);
  return observation;
}

std::string MemberPods::WhyUncertain(size_t quantity) const {
  std::string why = WhySilent();
  if (!why.empty()) return why;
  return state().bindings.WhyUnknown(member_.bindings[quantity]);
}

void MemberPods::Accept(size_t quantity) {
  state().bindings.Accept(member_.bindings[quantity]);
}

// Whoever reads bindings alone can't know how old they are.
std::string MemberPods::WhySilent() const {
  if (!state().listed()) return "the control plane has not answered in full";
  if (!state().clusters_error.ok()) {
    return absl::StrCat("nobody says whether Karmada hears member cluster \"",
                        member_.name, "\"");
  }
  return state().clusters.WhyNotReady(member_.name);
}

// Whether nothing may be told now, and of a member that is not heard that it is
// not. What there is to tell is told later.
bool MemberPods::Silent() {
  const std::string why = started_ ? WhySilent() : "not started";
  if (why.empty()) return false;
  FallBehind();
  if (started_ && state().listed() && state().clusters_error.ok() &&
      why != told_) {
    told_ = why;
    delegate_->OnError(absl::UnavailableError(why));
  }
  return true;
}

void MemberPods::FallBehind() {
  behind_ = true;
  changed_.clear();
}

// After a silence everything is told, as if it were new. False: it was not
// silent.
bool MemberPods::CatchUp() {
  if (!std::exchange(behind_, false)) return false;
  told_.clear();
  changed_.resize(quantities_.size());
  std::iota(changed_.begin(), changed_.end(), size_t{0});
  heard_ = true;
  delegate_->OnList(std::nullopt);
  // A list that came meanwhile confirms nothing: what it says of this member
  // may be as old as what it was to confirm.
  if (wanted_ms_.has_value()) owner_->RequestConfirmation(*wanted_ms_);
  return true;
}

void MemberPods::OnBindingsList(std::optional<int64_t> asked_ms) {
  if (Silent() || CatchUp()) return;
  if (asked_ms.has_value() && wanted_ms_.has_value() &&
      *asked_ms >= *wanted_ms_) {
    wanted_ms_.reset();
  }
  delegate_->OnList(asked_ms);
}

void MemberPods::OnBindings(const std::vector<size_t>& bindings) {
  if (behind_) return;
  for (const size_t binding : bindings) {
    const auto at = std::lower_bound(member_.bindings.begin(),
                                     member_.bindings.end(), binding);
    if (at == member_.bindings.end() || *at != binding) continue;
    changed_.push_back(static_cast<size_t>(at - member_.bindings.begin()));
  }
}

void MemberPods::OnEvent() {
  if (changed_.empty() || Silent() || CatchUp()) return;
  delegate_->OnEvent();
}

void MemberPods::OnClusters() {
  if (!Silent() && CatchUp()) TellHealthy();
}

void MemberPods::OnError(const absl::Status& error) {
  if (!started_) return;
  if (!state().clusters_error.ok()) FallBehind();
  told_.clear();
  delegate_->OnError(absl::Status(
      error.code(),
      absl::StrCat("cluster \"", state().control_plane,
                   "\", via which it is counted, fails: ", error.message())));
}

void MemberPods::OnBindingsHealthy() {
  if (Silent()) return;
  CatchUp();
  TellHealthy();
}

void MemberPods::TellHealthy() {
  stats_.resource_version = state().resource_version;
  if (state().bindings_error.ok()) delegate_->OnHealthy();
}

}  // namespace dynweight

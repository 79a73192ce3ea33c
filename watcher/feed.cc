// See feed.h.

#include "watcher/feed.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

// Confirming lists are at least so far apart: a mass failure makes many
// drops within a second, and one list confirms all whose time has come.
constexpr int64_t kAskSpacingMs = 1000;

// How often a server that says nothing new is taken to confirm what it said.
constexpr int64_t kStillTrueMs = 10000;

// A drop that passes unconfirmed and comes again is told so often.
constexpr int64_t kDropLogMs = 60000;

// What a drop is measured against: not what is held provisionally, which says
// nothing of this source.
std::optional<uint64_t> HeldSize(const ClusterView& view,
                                 const Subscription::Want& want, bool nodes) {
  if (nodes) {
    if (!view.nodes || view.nodes->provisional) return std::nullopt;
    return view.nodes->nodes.size() + view.nodes->cut;
  }
  const auto it = view.pods.find(want.pod_source);
  if (it == view.pods.end()) return std::nullopt;
  return it->second.pods;
}

std::vector<IngressNode> InForce(const ClusterView& view, bool nodes) {
  return nodes && view.nodes ? view.nodes->nodes : std::vector<IngressNode>();
}

bool HasAddress(const std::vector<IpAddress>& addresses,
                const IpAddress& address) {
  return std::find(addresses.begin(), addresses.end(), address) !=
         addresses.end();
}

bool HasAddress(const std::vector<IngressNode>& nodes,
                const IpAddress& address) {
  return std::any_of(
      nodes.begin(), nodes.end(),
      [&address](const IngressNode& node) { return node.address == address; });
}

}  // namespace

Feed::Feed(Subscription subscription, FeedOwner* owner, const Clock* clock,
           const ReflectorFactory& create_reflector)
    : subscription_(std::move(subscription)),
      owner_(owner),
      clock_(clock),
      tally_(Tally::Create(subscription_, owner->config().nodes.address_type)) {
  const auto& wants = subscription_.wants;
  of_want_.resize(wants.size());
  for (size_t i = 0; i < wants.size(); ++i) {
    for (const bool nodes : {false, true}) {
      if (nodes ? !wants[i].nodes : wants[i].pod_source.empty()) continue;
      (nodes ? of_want_[i].nodes : of_want_[i].pods) = quantities_.size();
      quantities_.push_back(
          {i, nodes,
           DropGuard(owner->config().guard,
                     HeldSize(owner->view(), wants[i], nodes)),
           Departed(), LostNodes(InForce(owner->view(), nodes))});
    }
  }
  reflector_ = create_reflector(subscription_.options, tally_->sink(), this);
}

void Feed::Tick() {
  const int64_t now = clock_->MonotonicMs();
  reflector_->Tick(now);
  UpdateDue(now);
  if (AskDeadlineMs() <= now) {
    asked_ms_ = now;
    next_ask_ms_ = now + kAskSpacingMs;
    reflector_->RequestConsistentList(now);
  }
}

void Feed::UpdateDue(int64_t now_ms) {
  while (!settling_.empty() && settling_.begin()->first <= now_ms) {
    Update(settling_.begin()->second, DropGuard::kNotConsistent);
  }
}

int64_t Feed::DeadlineMs() const {
  const int64_t settled = settling_.empty() ? kNever : settling_.begin()->first;
  return std::min({reflector_->Deadline(), AskDeadlineMs(), settled});
}

int64_t Feed::AskDeadlineMs() const {
  if (to_ask_.empty() || asked_ms_) return kNever;
  return std::max(to_ask_.begin()->first, next_ask_ms_);
}

// Between two lists of poll mode nothing is seen of a mass failure: there a
// fall settles by a list only, which is asked for if none comes.
int64_t Feed::AskAtMs(const Quantity& quantity) const {
  const int64_t fall =
      subscription_.options.watch ? kNever : quantity.guard.SettleByMs();
  return std::min(quantity.guard.ConfirmAtMs(), fall);
}

std::string Feed::name() const {
  const ReflectorOptions& options = subscription_.options;
  const bool all =
      options.label_selector.empty() && options.field_selector.empty();
  return absl::StrCat(options.path, all ? "" : "?", options.label_selector,
                      options.field_selector);
}

void Feed::OnList(std::optional<int64_t> asked_ms) {
  refused_ = false;
  if (asked_ms && asked_ms >= asked_ms_) asked_ms_.reset();
  std::vector<size_t> quantities = TakeChanged();
  // What waits is judged by this list even where it repeats itself.
  for (const auto& [due, quantity] : to_ask_) quantities.push_back(quantity);
  std::sort(quantities.begin(), quantities.end());
  quantities.erase(std::unique(quantities.begin(), quantities.end()),
                   quantities.end());
  for (const size_t quantity : quantities) {
    Update(quantity, asked_ms.value_or(DropGuard::kNotConsistent));
  }
  owner_->OnStatusChanged(/*at_once=*/reflector_->stats().lists <= 1);
}

void Feed::OnEvent() {
  for (const size_t quantity : TakeChanged()) {
    Update(quantity, DropGuard::kNotConsistent);
  }
  owner_->OnStatusChanged(/*at_once=*/false);
}

void Feed::OnHealthy() {
  const std::optional<LogLine> recovered = health_.OnHealthy(name(), *clock_);
  Log(recovered);
  owner_->OnStatusChanged(/*at_once=*/recovered.has_value());
  const int64_t now = clock_->MonotonicMs();
  if (now < next_still_true_ms_ || !tally_->listed()) return;
  next_still_true_ms_ = now + kStillTrueMs;
  for (const Quantity& quantity : quantities_) {
    if (quantity.guard.holding() || (quantity.nodes && no_nodes_)) continue;
    owner_->OnStillTrue(subscription_.wants[quantity.want], quantity.nodes);
  }
}

void Feed::OnError(const absl::Status& error) {
  refused_ = absl::IsPermissionDenied(error) ||
             (!tally_->listed() && absl::IsResourceExhausted(error));
  const absl::string_view reason = error.message();
  const std::optional<LogLine> line =
      health_.OnError(std::string_view(reason.data(), reason.size()), *clock_);
  Log(line);
  owner_->OnStatusChanged(/*at_once=*/line.has_value());
}

void Feed::OnTrouble(const std::string& text) {
  Log(health_.OnTrouble(text));
  owner_->OnStatusChanged(/*at_once=*/true);
}

std::vector<size_t> Feed::TakeChanged() {
  std::vector<size_t> quantities;
  for (const size_t want : tally_->TakeChanged()) {
    const Departed departed = tally_->TakeDeparted(want);
    for (const size_t quantity : {of_want_[want].pods, of_want_[want].nodes}) {
      if (quantity == kNone) continue;
      quantities_[quantity].departed = departed;
      quantities.push_back(quantity);
    }
  }
  return quantities;
}

void Feed::Update(size_t index, int64_t asked_ms) {
  Quantity& quantity = quantities_[index];
  const int64_t now = clock_->MonotonicMs();
  to_ask_.erase({AskAtMs(quantity), index});
  settling_.erase({quantity.guard.SettleAtMs(), index});
  if (quantity.nodes) {
    UpdateNodes(&quantity, now, asked_ms);
  } else {
    UpdatePods(&quantity, now, asked_ms);
  }
  quantity.departed = Departed();
  if (!quantity.guard.holding()) tally_->Accept(quantity.want);
  if (AskAtMs(quantity) != kNever) to_ask_.insert({AskAtMs(quantity), index});
  if (subscription_.options.watch && quantity.guard.SettleAtMs() != kNever) {
    settling_.insert({quantity.guard.SettleAtMs(), index});
  }
}

void Feed::UpdatePods(Quantity* quantity, int64_t now_ms, int64_t asked_ms) {
  const std::string& source = subscription_.wants[quantity->want].pod_source;
  const uint64_t pods = tally_->Pods(quantity->want);
  if (Admit(quantity, pods, quantity->departed.count, now_ms, asked_ms)) {
    owner_->OnPods(source, pods);
    Warn(quantity, pods != 0 ? "" : tally_->WhyNone(quantity->want, false));
  } else if (quantity->departed.count != 0) {
    owner_->OnPods(source, *quantity->guard.in_force());
  }
}

void Feed::UpdateNodes(Quantity* quantity, int64_t now_ms, int64_t asked_ms) {
  const size_t want = quantity->want;
  const std::vector<IpAddress>& departed = quantity->departed.addresses;
  std::vector<IngressNode> nodes = quantity->lost.Usable(
      tally_->Nodes(want), tally_->UnreadyNodes(want), departed);
  const bool known_to_be_none = std::exchange(no_nodes_, nodes.empty());
  if (known_to_be_none && no_nodes_) {
    KeepLastNodes(quantity);
    return;
  }
  // Those that its owner took away leave what is in force, whatever becomes of
  // the rest.
  std::vector<IngressNode> left = InForce(owner_->view(), /*nodes=*/true);
  const size_t before = left.size();
  left.erase(std::remove_if(left.begin(), left.end(),
                            [&](const IngressNode& node) {
                              return HasAddress(departed, node.address) &&
                                     !HasAddress(nodes, node.address);
                            }),
             left.end());
  const size_t gone = left.empty() ? 0 : before - left.size();
  if (!Admit(quantity, nodes.size(), gone, now_ms, asked_ms)) {
    no_nodes_ = false;
    if (gone != 0) owner_->OnNodes(std::move(left));
    return;
  }
  if (no_nodes_) {
    KeepLastNodes(quantity);
    return;
  }
  Warn(quantity, quantity->lost.kept() == 0
                     ? ""
                     : absl::StrCat(quantity->lost.kept(), " of ", nodes.size(),
                                    " are not ready; as they are more than "
                                    "half, all stay in use and passive health "
                                    "decides"));
  owner_->OnNodes(std::move(nodes));
}

// Nowhere to send anything is never an answer, however certain: passive health
// decides which of the last nodes still serve. They are also what the first
// nodes to come back are measured against.
void Feed::KeepLastNodes(Quantity* quantity) {
  const Subscription::Want& want = subscription_.wants[quantity->want];
  quantity->guard =
      DropGuard(owner_->config().guard, HeldSize(owner_->view(), want, true));
  const uint64_t last = SizeInForce(*quantity);
  Warn(quantity,
       absl::StrCat("none is live: ", tally_->WhyNone(quantity->want, true),
                    last == 0 ? "" : absl::StrCat("; the last ", last,
                                                  " stay in use")));
  // Asked and answered, even so.
  if (last == 0) owner_->OnNodes({});
}

void Feed::Warn(Quantity* quantity, const std::string& warning) {
  if (quantity->warning == warning) return;
  quantity->warning = warning;
  owner_->OnStatusChanged(/*at_once=*/true);
  if (warning.empty()) {
    owner_->OnLog(LogLine::Level::kNotice,
                  absl::StrCat(NameOf(*quantity), " found: all well again"));
  } else {
    owner_->OnLog(LogLine::Level::kWarn,
                  absl::StrCat(NameOf(*quantity), ": ", warning));
  }
}

std::vector<std::string> Feed::Warnings() const {
  std::vector<std::string> warnings;
  for (const Quantity& quantity : quantities_) {
    if (quantity.warning.empty()) continue;
    warnings.push_back(absl::StrCat(NameOf(quantity), ": ", quantity.warning));
  }
  return warnings;
}

bool Feed::Admit(Quantity* quantity, uint64_t size, uint64_t departed,
                 int64_t now_ms, int64_t asked_ms) {
  using Verdict = DropGuard::Verdict;
  const bool waited = quantity->guard.pending();
  const Verdict verdict =
      quantity->guard.Observe(size, now_ms, asked_ms, departed);
  const bool waits = quantity->guard.pending();
  if (waits) ++held_back_;
  // One line a state.
  if (waits != waited) {
    TellDrop(quantity, SizeInForce(*quantity), size, verdict, now_ms);
  }
  return verdict == Verdict::kApply || verdict == Verdict::kConfirm;
}

void Feed::TellDrop(Quantity* quantity, uint64_t in_force, uint64_t size,
                    DropGuard::Verdict verdict, int64_t now_ms) {
  const std::string name = NameOf(*quantity);
  if (quantity->guard.pending()) {
    quantity->drop_told = now_ms >= quantity->next_drop_log_ms;
    if (!quantity->drop_told) return;
    quantity->next_drop_log_ms = now_ms + kDropLogMs;
    const int64_t wait_ms = quantity->guard.ConfirmAtMs() - now_ms;
    owner_->OnLog(
        LogLine::Level::kWarn,
        absl::StrCat(name, " ", in_force, " -> ", size,
                     " held back: a second list must confirm it in ",
                     (std::max<int64_t>(wait_ms, 0) + 999) / 1000, " s"));
  } else if (verdict == DropGuard::Verdict::kConfirm) {
    owner_->OnLog(LogLine::Level::kNotice,
                  absl::StrCat(name, " ", in_force, " -> ", size,
                               " confirmed by a second list"));
  } else if (quantity->drop_told) {
    owner_->OnLog(LogLine::Level::kNotice,
                  absl::StrCat(name, " ", size,
                               ": the drop that was held back has passed"));
  }
}

uint64_t Feed::SizeInForce(const Quantity& quantity) const {
  const std::optional<NodeSet>& nodes = owner_->view().nodes;
  if (quantity.nodes && nodes) return nodes->nodes.size() + nodes->cut;
  return HeldSize(owner_->view(), subscription_.wants[quantity.want],
                  quantity.nodes)
      .value_or(0);
}

std::string Feed::NameOf(const Quantity& quantity) const {
  if (quantity.nodes) {
    return absl::StrCat("ingress nodes (", owner_->config().nodes.Key(), ")");
  }
  return absl::StrCat(subscription_.wants[quantity.want].pod_source, ": pods");
}

void Feed::Log(const std::optional<LogLine>& line) {
  if (line) owner_->OnLog(line->level, line->text);
}

}  // namespace dynweight

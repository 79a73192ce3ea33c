// See informer.h.

#include "watcher/informer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/instance_change.h"

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
                                 const Quantity& quantity) {
  if (quantity.kind == Quantity::Kind::kIngressNodes) {
    if (!view.nodes || view.nodes->provisional) return std::nullopt;
    return view.nodes->nodes.size() + view.nodes->cut;
  }
  if (quantity.kind == Quantity::Kind::kInstances) {
    const auto it = view.instances.find(quantity.source);
    if (it == view.instances.end() || it->second.provisional) {
      return std::nullopt;
    }
    const InstanceSet& set = it->second;
    return set.none ? 0 : set.instances.size() + set.cut;
  }
  const auto it = view.pods.find(quantity.source);
  if (it == view.pods.end()) return std::nullopt;
  return it->second.pods;
}

// Whether anything of it is in force, be it from a previous run.
bool IsKnown(const ClusterView& view, const Quantity& quantity) {
  switch (quantity.kind) {
    case Quantity::Kind::kIngressNodes:
      return view.nodes.has_value();
    case Quantity::Kind::kInstances:
      return view.instances.count(quantity.source) > 0;
    case Quantity::Kind::kPods:
    case Quantity::Kind::kObjects:
      break;
  }
  return view.pods.count(quantity.source) > 0;
}

std::vector<IngressNode> NodesInForce(const ClusterView& view) {
  return view.nodes ? view.nodes->nodes : std::vector<IngressNode>();
}

bool IsNodes(const Quantity& quantity) {
  return quantity.kind == Quantity::Kind::kIngressNodes;
}

bool IsInstances(const Quantity& quantity) {
  return quantity.kind == Quantity::Kind::kInstances;
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

Informer::Informer(const DiscoveryMaker& source, InformerDelegate* owner,
                   const Clock* clock)
    : owner_(owner), clock_(clock), source_(source(this)) {
  const std::vector<Quantity>& quantities = source_->quantities();
  for (size_t i = 0; i < quantities.size(); ++i) {
    if (IsInstances(quantities[i])) instances_.push_back(i);
    guarded_.push_back(
        {i, &quantities[i],
         DropGuard(owner->config().guard,
                   HeldSize(owner->view(), quantities[i])),
         LostNodes(IsNodes(quantities[i]) ? NodesInForce(owner->view())
                                          : std::vector<IngressNode>())});
  }
}

void Informer::Tick() {
  const int64_t now = clock_->MonotonicMs();
  source_->Tick(now);
  UpdateDue(now);
  if (AskDeadlineMs() <= now) {
    asked_ms_ = now;
    next_ask_ms_ = now + kAskSpacingMs;
    source_->RequestConfirmation(now);
  }
}

void Informer::LookAtClosed() {
  for (const Guarded& guarded : guarded_) {
    if (guarded.quantity->kind != Quantity::Kind::kPods) continue;
    if (!guarded.guard.holding()) continue;
    if (!owner_->IsClosed(guarded.quantity->source)) continue;
    Update(guarded.index, DropGuard::kNotConsistent);
  }
}

void Informer::UpdateDue(int64_t now_ms) {
  while (!settling_.empty() && settling_.begin()->first <= now_ms) {
    Update(settling_.begin()->second, DropGuard::kNotConsistent);
  }
}

int64_t Informer::DeadlineMs() const {
  const int64_t settled = settling_.empty() ? kNever : settling_.begin()->first;
  return std::min({source_->DeadlineMs(), AskDeadlineMs(), settled});
}

int64_t Informer::AskDeadlineMs() const {
  if (to_ask_.empty() || asked_ms_) return kNever;
  return std::max(to_ask_.begin()->first, next_ask_ms_);
}

// Between two lists of poll mode nothing is seen of a mass failure: there a
// fall settles by a list only, which is asked for if none comes.
int64_t Informer::AskAtMs(const Guarded& guarded) const {
  const int64_t fall = source_->pushes() ? kNever : guarded.guard.SettleByMs();
  return std::min(guarded.guard.ConfirmAtMs(), fall);
}

void Informer::OnList(std::optional<int64_t> asked_ms) {
  refused_ = false;
  if (asked_ms && asked_ms >= asked_ms_) asked_ms_.reset();
  std::vector<size_t> quantities = source_->TakeChanged();
  LookForDoubts();
  // What waits is judged by this list even where it repeats itself.
  for (const auto& [due, quantity] : to_ask_) quantities.push_back(quantity);
  std::sort(quantities.begin(), quantities.end());
  quantities.erase(std::unique(quantities.begin(), quantities.end()),
                   quantities.end());
  for (const size_t quantity : quantities) {
    Update(quantity, asked_ms.value_or(DropGuard::kNotConsistent));
  }
  owner_->OnStatusChanged(/*at_once=*/source_->stats().lists <= 1);
}

void Informer::OnEvent() {
  for (const size_t quantity : source_->TakeChanged()) {
    Update(quantity, DropGuard::kNotConsistent);
  }
  owner_->OnStatusChanged(/*at_once=*/false);
}

bool Informer::Awaited() const {
  const ClusterView& view = owner_->view();
  return std::any_of(guarded_.begin(), guarded_.end(),
                     [&view](const Guarded& guarded) {
                       return !IsKnown(view, *guarded.quantity);
                     });
}

void Informer::OnHealthy() {
  const bool failed = health_.failing();
  const std::optional<LogLine> recovered = health_.OnHealthy(name(), *clock_);
  Log(recovered);
  owner_->OnStatusChanged(/*at_once=*/recovered.has_value());
  if (failed) owner_->OnRecovered();
  const int64_t now = clock_->MonotonicMs();
  if (now < next_still_true_ms_ || !source_->listed()) return;
  next_still_true_ms_ = now + kStillTrueMs;
  for (const Guarded& guarded : guarded_) {
    if (guarded.guard.holding() || guarded.uncertain) continue;
    if (no_nodes_ && IsNodes(*guarded.quantity)) continue;
    owner_->OnStillTrue(*guarded.quantity);
  }
}

void Informer::OnError(const absl::Status& error) {
  refused_ = absl::IsPermissionDenied(error) ||
             (!source_->listed() && absl::IsResourceExhausted(error));
  const absl::string_view reason = error.message();
  const std::optional<LogLine> line =
      health_.OnError(std::string_view(reason.data(), reason.size()), *clock_);
  Log(line);
  owner_->OnStatusChanged(/*at_once=*/line.has_value());
}

void Informer::OnTrouble(const std::string& text) {
  Log(health_.OnTrouble(text));
  owner_->OnStatusChanged(/*at_once=*/true);
}

void Informer::Update(size_t index, int64_t asked_ms) {
  Guarded& guarded = guarded_[index];
  const int64_t now = clock_->MonotonicMs();
  to_ask_.erase({AskAtMs(guarded), index});
  settling_.erase({guarded.guard.SettleAtMs(), index});
  // What waited waits for the source, which tells of it again.
  if (!IsCertain(&guarded)) return;
  if (IsNodes(*guarded.quantity)) {
    UpdateNodes(&guarded, now, asked_ms);
  } else if (IsInstances(*guarded.quantity)) {
    UpdateInstances(&guarded, now, asked_ms);
  } else {
    UpdatePods(&guarded, now, asked_ms);
  }
  if (!guarded.guard.holding()) source_->Accept(index);
  if (AskAtMs(guarded) != kNever) to_ask_.insert({AskAtMs(guarded), index});
  // A mass failure that has passed: no list of each edge after it.
  if (to_ask_.empty() && std::exchange(asked_ms_, std::nullopt)) {
    source_->WithdrawConfirmation();
  }
  if (source_->pushes() && guarded.guard.SettleAtMs() != kNever) {
    settling_.insert({guarded.guard.SettleAtMs(), index});
  }
}

void Informer::UpdatePods(Guarded* guarded, int64_t now_ms, int64_t asked_ms) {
  const std::string& source = guarded->quantity->source;
  const Observation seen = source_->Observe(guarded->index);
  // What is held back would be in force when the Ingress is back.
  if (owner_->IsClosed(source)) {
    guarded->guard = DropGuard(owner_->config().guard, std::nullopt);
  }
  if (Admit(guarded, seen.pods, seen.departed.count, now_ms, asked_ms)) {
    owner_->OnPods(source, seen.pods);
    Warn(guarded, seen.pods != 0 ? "" : source_->WhyNone(guarded->index));
  } else if (seen.departed.count != 0) {
    owner_->OnPods(source, *guarded->guard.in_force());
  }
}

void Informer::UpdateNodes(Guarded* guarded, int64_t now_ms, int64_t asked_ms) {
  Observation seen = source_->Observe(guarded->index);
  const std::vector<IpAddress>& departed = seen.departed.addresses;
  std::vector<IngressNode> nodes =
      guarded->lost.Usable(std::move(seen.nodes), seen.unready_nodes, departed);
  const bool known_to_be_none = std::exchange(no_nodes_, nodes.empty());
  if (known_to_be_none && no_nodes_) {
    KeepLastNodes(guarded);
    return;
  }
  // Those that its owner took away leave what is in force, whatever becomes of
  // the rest.
  std::vector<IngressNode> left = NodesInForce(owner_->view());
  const size_t before = left.size();
  left.erase(std::remove_if(left.begin(), left.end(),
                            [&](const IngressNode& node) {
                              return HasAddress(departed, node.address) &&
                                     !HasAddress(nodes, node.address);
                            }),
             left.end());
  const size_t gone = left.empty() ? 0 : before - left.size();
  if (!Admit(guarded, nodes.size(), gone, now_ms, asked_ms)) {
    no_nodes_ = false;
    if (gone != 0) owner_->OnNodes(std::move(left));
    return;
  }
  if (no_nodes_) {
    KeepLastNodes(guarded);
    return;
  }
  Warn(guarded, guarded->lost.kept() == 0
                    ? ""
                    : absl::StrCat(guarded->lost.kept(), " of ", nodes.size(),
                                   " are not ready; as they are more than "
                                   "half, all stay in use and passive health "
                                   "decides"));
  owner_->OnNodes(std::move(nodes));
}

// Instances that its owner drains or took away leave what is in force, and new
// ones join it, whatever becomes of the rest: a guard that holds back the loss
// of some must not keep requests from those that take their place.
void Informer::UpdateInstances(Guarded* guarded, int64_t now_ms,
                               int64_t asked_ms) {
  Observation seen = source_->Observe(guarded->index);
  const std::string& source = guarded->quantity->source;
  const std::vector<Instance>& in_force =
      InstancesInForce(owner_->view(), source);
  InstanceChange change = CompareInstances(in_force, std::move(seen.instances),
                                           seen.departed.addresses);
  if (!Admit(guarded, change.serving.size(), change.gone, now_ms, asked_ms)) {
    std::vector<Instance> held = change.Held();
    if (held != in_force) {
      owner_->OnInstances(source, InstanceSet{std::move(held)});
    }
    return;
  }
  InstanceSet set{std::move(change.serving)};
  set.none = set.instances.empty();
  std::string warning;
  if (set.none) {
    set.instances = LastInstances(owner_->view(), source);
    const std::string why = source_->WhyNone(guarded->index);
    warning = absl::StrCat("none serves", why.empty() ? "" : ": ", why);
    if (!set.instances.empty()) {
      absl::StrAppend(&warning, "; the last ", set.instances.size(),
                      " keep the least weight, or with empty=drain none");
    }
  }
  owner_->OnInstances(source, std::move(set));
  Warn(guarded, warning);
}

bool Informer::IsCertain(Guarded* guarded) {
  const std::string why = source_->WhyUncertain(guarded->index);
  const bool was_uncertain = std::exchange(guarded->uncertain, !why.empty());
  if (guarded->uncertain) {
    const uint64_t held = SizeInForce(*guarded);
    Warn(guarded, absl::StrCat(why, held == 0 ? "; none is known"
                                              : absl::StrCat("; the last ",
                                                             held, " hold")));
  } else if (was_uncertain) {
    Warn(guarded, "");
  }
  return !guarded->uncertain;
}

// Also in those of which nothing was ever said.
void Informer::LookForDoubts() {
  for (const size_t index : instances_) (void)IsCertain(&guarded_[index]);
}

// Nowhere to send anything is never an answer, however certain: passive health
// decides which of the last nodes still serve. They are also what the first
// nodes to come back are measured against.
void Informer::KeepLastNodes(Guarded* guarded) {
  guarded->guard = DropGuard(owner_->config().guard,
                             HeldSize(owner_->view(), *guarded->quantity));
  const uint64_t last = SizeInForce(*guarded);
  Warn(guarded,
       absl::StrCat(
           "none is live: ", source_->WhyNone(guarded->index),
           last == 0 ? "" : absl::StrCat("; the last ", last, " stay in use")));
  // Asked and answered, even so.
  if (last == 0) owner_->OnNodes({});
}

void Informer::Warn(Guarded* guarded, const std::string& warning) {
  if (guarded->warning == warning) return;
  guarded->warning = warning;
  owner_->OnStatusChanged(/*at_once=*/true);
  if (warning.empty()) {
    owner_->OnLog(LogLine::Level::kNotice,
                  absl::StrCat(NameOf(*guarded), " found: OK again"));
  } else {
    owner_->OnLog(LogLine::Level::kWarn,
                  absl::StrCat(NameOf(*guarded), ": ", warning));
  }
}

std::vector<std::string> Informer::Warnings() const {
  std::vector<std::string> warnings;
  for (const Guarded& guarded : guarded_) {
    if (guarded.warning.empty()) continue;
    warnings.push_back(absl::StrCat(NameOf(guarded), ": ", guarded.warning));
  }
  return warnings;
}

bool Informer::Admit(Guarded* guarded, uint64_t size, uint64_t departed,
                     int64_t now_ms, int64_t asked_ms) {
  using Verdict = DropGuard::Verdict;
  const bool waited = guarded->guard.pending();
  const Verdict verdict =
      guarded->guard.Observe(size, now_ms, asked_ms, departed);
  const bool waits = guarded->guard.pending();
  if (waits) ++held_back_;
  // One line a state.
  if (waits != waited) {
    TellDrop(guarded, SizeInForce(*guarded), size, verdict, now_ms);
  }
  return verdict == Verdict::kApply || verdict == Verdict::kConfirm;
}

void Informer::TellDrop(Guarded* guarded, uint64_t in_force, uint64_t size,
                        DropGuard::Verdict verdict, int64_t now_ms) {
  const std::string name = NameOf(*guarded);
  if (guarded->guard.pending()) {
    guarded->drop_told = now_ms >= guarded->next_drop_log_ms;
    if (!guarded->drop_told) return;
    guarded->next_drop_log_ms = now_ms + kDropLogMs;
    const int64_t wait_ms = guarded->guard.ConfirmAtMs() - now_ms;
    owner_->OnLog(
        LogLine::Level::kWarn,
        absl::StrCat(name, " ", in_force, " -> ", size,
                     " held back: a second list must confirm it in ",
                     (std::max<int64_t>(wait_ms, 0) + 999) / 1000, " s"));
  } else if (verdict == DropGuard::Verdict::kConfirm) {
    owner_->OnLog(LogLine::Level::kNotice,
                  absl::StrCat(name, " ", in_force, " -> ", size,
                               " confirmed by a second list"));
  } else if (guarded->drop_told) {
    owner_->OnLog(LogLine::Level::kNotice,
                  absl::StrCat(name, " ", size,
                               ": the drop that was held back has passed"));
  }
}

uint64_t Informer::SizeInForce(const Guarded& guarded) const {
  const std::optional<NodeSet>& nodes = owner_->view().nodes;
  if (nodes && IsNodes(*guarded.quantity)) {
    return nodes->nodes.size() + nodes->cut;
  }
  return HeldSize(owner_->view(), *guarded.quantity).value_or(0);
}

std::string Informer::NameOf(const Guarded& guarded) const {
  if (IsNodes(*guarded.quantity)) {
    return absl::StrCat("ingress nodes (", owner_->config().nodes.Key(), ")");
  }
  const char* what = "";
  if (IsInstances(*guarded.quantity)) what = ": instances";
  if (guarded.quantity->kind == Quantity::Kind::kPods) what = ": pods";
  return absl::StrCat(guarded.quantity->source, what);
}

void Informer::Log(const std::optional<LogLine>& line) {
  if (line) owner_->OnLog(line->level, line->text);
}

}  // namespace dynweight

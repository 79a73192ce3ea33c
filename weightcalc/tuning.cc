// See tuning.h.

#include "weightcalc/tuning.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "weightcalc/weight.h"

namespace dynweight {
namespace {

std::optional<PeerAddress> WithPort(std::string_view host,
                                    std::string_view port_text) {
  const std::optional<IpAddress> ip = IpAddress::Parse(host);
  uint32_t port = 0;
  if (!ip || !absl::SimpleAtoi({port_text.data(), port_text.size()}, &port) ||
      port < 1 || port > UINT16_MAX) {
    return std::nullopt;
  }
  return PeerAddress{*ip, static_cast<uint16_t>(port)};
}

bool SamePeer(const PeerAddress& asked, const PeerAddress& peer) {
  return asked.ip == peer.ip && (asked.port == 0 || asked.port == peer.port);
}

bool IsFor(const TuningRule& rule, const TunedPeer& peer) {
  if (!rule.node.empty() &&
      (peer.server != nullptr || rule.node != peer.node)) {
    return false;
  }
  if (rule.server.empty()) return true;
  if (peer.server != nullptr && (rule.server == peer.server->name ||
                                 rule.server == peer.server->address)) {
    return true;
  }
  return rule.address && SamePeer(*rule.address, peer.address);
}

// Takes up a flag of a later rule.
void Set(const TuningRule* rule, const std::optional<bool>& flag,
         const TuningRule** on, const TuningRule** off) {
  if (!flag) return;
  if (*flag) {
    *on = rule;
    *off = nullptr;
  } else if (*on != nullptr) {
    *on = nullptr;
    *off = rule;
  }
}

uint64_t Moderated(const TuningEffect& effect, uint64_t weight) {
  if (weight == 0) return 0;
  if (effect.scale != nullptr) {
    const double scaled =
        std::round(static_cast<double>(weight) * *effect.scale->scale);
    weight = static_cast<uint64_t>(
        std::clamp(scaled, 1.0, static_cast<double>(kMaxFullWeight)));
  }
  if (effect.min != nullptr)
    weight = std::max<uint64_t>(weight, *effect.min->min);
  if (effect.max != nullptr)
    weight = std::min<uint64_t>(weight, *effect.max->max);
  return weight;
}

}  // namespace

std::optional<PeerAddress> PeerAddress::Parse(std::string_view text) {
  if (const std::optional<IpAddress> ip = IpAddress::Parse(text)) {
    return PeerAddress{*ip, 0};
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (!host.empty() && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // IPv6 with a port needs its brackets
  }
  return WithPort(host, text.substr(colon + 1));
}

TunedPeer AsTunedPeer(const PeerIdentity& identity) {
  TunedPeer peer;
  peer.address = {identity.address, identity.port};
  peer.node = identity.node.data();
  return peer;
}

TunedPeer AsTunedPeer(const ServerConfig& server) {
  TunedPeer peer;
  peer.address = PeerAddress::Parse(server.address).value_or(PeerAddress());
  peer.server = &server;
  return peer;
}

const TuningRule* TuningEffect::Deciding() const {
  for (const TuningRule* rule : {drain, weight, freeze, scale, min, max}) {
    if (rule != nullptr) return rule;
  }
  return nullptr;
}

uint64_t TuningEffect::OnNode(uint64_t given) const {
  if (drain != nullptr) return 0;
  if (weight != nullptr) return *weight->weight;
  return Moderated(*this, given);
}

uint64_t TuningEffect::OnServer(uint64_t given) const {
  return given == 0 ? 0 : OnNode(given);
}

Tuning::Tuning(std::vector<TuningRule> rules)
    : rules_(std::move(rules)), in_force_(rules_.size()) {}

std::vector<size_t> Tuning::Advance(int64_t unix_ms) {
  std::vector<size_t> changed;
  for (size_t i = 0; i < rules_.size(); ++i) {
    const bool in_force = unix_ms < rules_[i].expires_ms;
    if (in_force != in_force_[i]) changed.push_back(i);
    in_force_[i] = in_force;
  }
  return changed;
}

Tuning::Selection Tuning::Select(std::string_view upstream,
                                 std::string_view cluster) const {
  Selection selection;
  for (size_t i = 0; i < rules_.size(); ++i) {
    const TuningRule& rule = rules_[i];
    if (in_force_[i] && (rule.upstream.empty() || rule.upstream == upstream) &&
        (rule.cluster.empty() || rule.cluster == cluster)) {
      selection.push_back(&rule);
    }
  }
  return selection;
}

TuningEffect EffectOn(const Tuning::Selection& selection,
                      const TunedPeer& peer) {
  TuningEffect effect;
  for (const TuningRule* rule : selection) {
    if (!IsFor(*rule, peer)) continue;
    Set(rule, rule->drain, &effect.drain, &effect.no_drain);
    Set(rule, rule->freeze, &effect.freeze, &effect.no_freeze);
    if (rule->weight) effect.weight = rule;
    if (rule->scale) effect.scale = rule;
    if (rule->min) effect.min = rule;
    if (rule->max) effect.max = rule;
  }
  return effect;
}

const TuningRule* LineFreeze(const Tuning::Selection& selection) {
  const TuningRule* freeze = nullptr;
  for (const TuningRule* rule : selection) {
    if (rule->freeze && rule->for_whole_lines()) {
      freeze = *rule->freeze ? rule : nullptr;
    }
  }
  return freeze;
}

}  // namespace dynweight

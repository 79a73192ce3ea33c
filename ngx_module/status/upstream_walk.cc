// See upstream_walk.h.

#include "ngx_module/status/upstream_walk.h"

namespace dynweight {

UpstreamWalk::UpstreamWalk(const StatusQuery& query, AskedPeers peers,
                           int peer_slots)
    : query_(query),
      peers_(peers),
      peer_slots_(peer_slots),
      asked_(AskedUpstreams(query)) {}

bool UpstreamWalk::Step(const Moment& now, UpstreamVisitor* visitor) {
  switch (phase_) {
    case Phase::kBegin:
      if (next_ == asked_.size()) return true;
      sums_ = UpstreamSums(upstream());
      sums_.health_ignored = query_.process.all_out(asked_[next_]);
      sums_.loads = query_.process.loads(asked_[next_]);
      BeginPeers();
      phase_ = Phase::kSums;
      break;
    case Phase::kSums:
      if (!Sum(now)) break;
      visitor->OnUpstream(upstream(), sums_);
      BeginPeers();
      phase_ = Phase::kPeers;
      break;
    case Phase::kPeers:
      if (peers_ != AskedPeers::kNone && !Tell(now, visitor)) break;
      visitor->OnUpstreamEnd();
      ++next_;
      phase_ = Phase::kBegin;
      break;
  }
  return false;
}

void UpstreamWalk::BeginPeers() {
  cursor_.Begin(upstream(), query_.process.all_out(asked_[next_]), sums_.loads);
}

// True when all of the upstream's peers are in the sums.
bool UpstreamWalk::Sum(const Moment& now) {
  PeerFacts facts;
  int slots = kStepSlots;
  PeerCursor::Found found;
  while ((found = cursor_.Next(now.monotonic_ms, &slots, &facts)) ==
         PeerCursor::Found::kPeer) {
    sums_.Add(upstream(), facts);
  }
  return found == PeerCursor::Found::kEnd;
}

// True when all of the upstream's peers were told.
bool UpstreamWalk::Tell(const Moment& now, UpstreamVisitor* visitor) {
  PeerFacts facts;
  int slots = kStepSlots;
  PeerCursor::Found found;
  while ((found = cursor_.Next(now.monotonic_ms, &slots, &facts)) ==
         PeerCursor::Found::kPeer) {
    if (peers_ == AskedPeers::kDown && facts.state == PeerState::kUp) continue;
    visitor->OnPeer(upstream(), sums_, facts);
    slots -= peer_slots_;
  }
  return found == PeerCursor::Found::kEnd;
}

}  // namespace dynweight

// The way that all documents go through the upstreams.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_UPSTREAM_WALK_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_UPSTREAM_WALK_H_

#include <cstddef>
#include <vector>

#include "ngx_module/status/document.h"
#include "ngx_module/status/facts.h"
#include "ngx_module/status/query.h"

namespace dynweight {

// What a document makes of what is met.
class UpstreamVisitor {
 public:
  virtual ~UpstreamVisitor() = default;

  virtual void OnUpstream(const UpstreamModel& upstream,
                          const UpstreamSums& sums) = 0;
  // One of its peers that are asked for.
  virtual void OnPeer(const UpstreamModel& upstream, const UpstreamSums& sums,
                      const PeerFacts& facts) = 0;
  virtual void OnUpstreamEnd() {}
};

// Each upstream that a query asks for: its sums, then its peers. In steps; the
// event loop may go round between them. Not thread-safe.
class UpstreamWalk {
 public:
  // Slots that a step may look at.
  static constexpr int kStepSlots = 64;

  // `peer_slots`: telling a peer is as much work as looking at so many slots.
  // `query` outlives the walk; `peers` is which ones are told.
  UpstreamWalk(const StatusQuery& query, AskedPeers peers, int peer_slots);

  // What the query asks for, as indices of the model's upstreams.
  const std::vector<size_t>& asked() const { return asked_; }

  // True when all were visited.
  bool Step(const Moment& now, UpstreamVisitor* visitor);

 private:
  enum class Phase : uint8_t { kBegin, kSums, kPeers };

  const UpstreamModel& upstream() const {
    return query_.model->upstreams[asked_[next_]];
  }
  void BeginPeers();
  bool Sum(const Moment& now);
  bool Tell(const Moment& now, UpstreamVisitor* visitor);

  const StatusQuery& query_;
  const AskedPeers peers_;
  const int peer_slots_;
  const std::vector<size_t> asked_;
  size_t next_ = 0;  // of those
  Phase phase_ = Phase::kBegin;
  PeerCursor cursor_;
  UpstreamSums sums_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_UPSTREAM_WALK_H_

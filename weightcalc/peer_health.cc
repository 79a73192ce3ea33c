// Health of one peer; see peer_health.h. The rules of passive health are those
// of ngx_http_upstream_get_peer() and
// ngx_http_upstream_free_round_robin_peer().
//
// Order of memory: a failure is stored as accessed_, checked_, fails_, each
// with release, and read back to front with acquire. So whoever sees the
// failure counted sees when it happened (and does not take a peer that failed
// just now for one that is due a probe), and whoever sees it in checked_ sees
// it in accessed_ (and does not take it for a probe that went well).

#include "weightcalc/peer_health.h"

namespace dynweight {

void PeerHealth::Reset() {
  fails_.store(0, std::memory_order_relaxed);
  accessed_.store(0, std::memory_order_relaxed);
  checked_.store(0, std::memory_order_relaxed);
  started_ms_.store(0, std::memory_order_relaxed);
  probe_.store(0, std::memory_order_relaxed);
  probe_since_ms_.store(0, std::memory_order_relaxed);
  SetEjection(Ejection());
}

// Its workers go on meanwhile: read in an order in which a failure that comes
// is missed or seen whole.
void PeerHealth::CopyFrom(const PeerHealth& other, bool slow_start) {
  fails_.store(other.fails_.load(std::memory_order_acquire),
               std::memory_order_relaxed);
  checked_.store(other.checked_.load(std::memory_order_acquire),
                 std::memory_order_relaxed);
  accessed_.store(other.accessed_.load(std::memory_order_relaxed),
                  std::memory_order_relaxed);
  started_ms_.store(slow_start ? other.started_ms() : 0,
                    std::memory_order_relaxed);
  probe_since_ms_.store(other.probe_since_ms(), std::memory_order_relaxed);
  probe_.store(other.probe(), std::memory_order_relaxed);
  SetEjection(other.ejection());
}

void PeerHealth::SetEjection(const Ejection& ejection) {
  ejected_for_ms_.store(ejection.duration_ms, std::memory_order_relaxed);
  ejections_.store(ejection.times, std::memory_order_relaxed);
  ejected_until_ms_.store(ejection.until_ms, std::memory_order_relaxed);
}

int64_t PeerHealth::OutUntilMs(int64_t since_ms, int64_t now_ms,
                               const HealthPolicy& policy) const {
  if (ProbedOut()) return now_ms;
  int64_t end = Failed(policy) ? due_ms(policy) : 0;
  if (ejected_until_ms() > since_ms) end = std::max(end, ejected_until_ms());
  return end == 0 ? now_ms : std::min(end, now_ms);
}

bool PeerHealth::SetProbe(uint32_t word, int64_t now_ms) {
  const ProbeResult before = ProbeResult::Decode(probe());
  const ProbeResult after = ProbeResult::Decode(word);
  if (before.result != after.result || before.tag != after.tag ||
      probe_since_ms() == 0) {
    probe_since_ms_.store(now_ms, std::memory_order_relaxed);
  }
  probe_.store(word, std::memory_order_relaxed);
  return before.out && !after.out;
}

Admission PeerHealth::Admit(int64_t now_ms, const HealthPolicy& policy) {
  const bool failed = Failed(policy);
  int64_t checked = checked_.load(std::memory_order_relaxed);
  if (now_ms - checked <= policy.fail_timeout_ms) {
    return failed ? Admission::kNo : Admission::kYes;
  }
  // A healthy peer is marked too: OnSuccess() forgets failures older than the
  // mark. Whoever loses the exchange has been overtaken by another probe or
  // by a failure, which matters to a failed peer only.
  const bool marked = checked_.compare_exchange_strong(
      checked, now_ms, std::memory_order_release, std::memory_order_relaxed);
  if (!failed) return Admission::kYes;
  return marked ? Admission::kProbe : Admission::kNo;
}

bool PeerHealth::OnFailure(int64_t now_ms, const HealthPolicy& policy) {
  accessed_.store(now_ms, std::memory_order_release);
  checked_.store(now_ms, std::memory_order_release);
  const uint32_t before = fails_.fetch_add(1, std::memory_order_release);
  return policy.max_fails != 0 && before == policy.max_fails - 1;
}

bool PeerHealth::OnSuccess(const HealthPolicy& policy) {
  uint32_t fails = fails_.load(std::memory_order_acquire);
  if (fails == 0) return false;
  const bool was_out = policy.max_fails != 0 && fails >= policy.max_fails;
  const int64_t checked = checked_.load(std::memory_order_acquire);
  if (accessed_.load(std::memory_order_relaxed) >= checked) return false;
  // A failure that came in meanwhile is not forgotten: the exchange fails.
  return fails_.compare_exchange_strong(fails, 0, std::memory_order_release,
                                        std::memory_order_relaxed) &&
         was_out;
}

bool PeerHealth::Restore(const HealthPolicy& policy) {
  uint32_t fails = fails_.load(std::memory_order_acquire);
  return policy.max_fails != 0 && fails >= policy.max_fails &&
         fails_.compare_exchange_strong(fails, 0, std::memory_order_release,
                                        std::memory_order_relaxed);
}

}  // namespace dynweight

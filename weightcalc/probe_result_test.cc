#include "weightcalc/probe_result.h"

#include <gtest/gtest.h>

#include "weightcalc/peer_health.h"
#include "weightcalc/peer_table.h"

namespace dynweight {
namespace {

TEST(ProbeResult, IsTheSameAfterEncoding) {
  for (const auto result :
       {ProbeResult::kUnknown, ProbeResult::kPassing, ProbeResult::kFailing}) {
    for (int reason = 0; reason <= static_cast<int>(ProbeReason::kBody);
         ++reason) {
      for (const bool out : {false, true}) {
        ProbeResult before;
        before.result = result;
        before.out = out;
        before.reason = static_cast<ProbeReason>(reason);
        before.status = 999;
        before.tag = ProbeResult::kMaxTag;
        const ProbeResult after = ProbeResult::Decode(before.Encode());
        EXPECT_EQ(after.result, before.result);
        EXPECT_EQ(after.out, before.out);
        EXPECT_EQ(after.reason, before.reason);
        EXPECT_EQ(after.status, 999);
        EXPECT_EQ(after.tag, ProbeResult::kMaxTag);
      }
    }
  }
}

TEST(ProbeResult, ReadsAnyBits) {
  const ProbeResult all = ProbeResult::Decode(UINT32_MAX);
  EXPECT_EQ(all.result, ProbeResult::kFailing);
  EXPECT_EQ(all.reason, ProbeReason::kBody);
  EXPECT_FALSE(all.Text().empty());
  EXPECT_FALSE(ProbeResult::Decode(0).out);
  EXPECT_FALSE(ProbeResult::Decode(0).probed());
  EXPECT_EQ(ProbeResult::Decode(0).Text(), "");
}

uint32_t Word(ProbeResult::Result result, bool out, uint16_t tag = 7) {
  ProbeResult word;
  word.result = result;
  word.out = out;
  word.tag = tag;
  return word.Encode();
}

TEST(ProbedHealth, IsOutAsItsWordSays) {
  PeerHealth health;
  health.Reset();
  const HealthPolicy never = {0, 1000};
  EXPECT_FALSE(health.Out(100, never));
  EXPECT_FALSE(health.SetProbe(Word(ProbeResult::kFailing, true), 50));
  EXPECT_TRUE(health.Out(100, never));
  EXPECT_EQ(health.probe_since_ms(), 50);
  // Failing as before, and ignored.
  EXPECT_TRUE(health.SetProbe(Word(ProbeResult::kFailing, false), 60));
  EXPECT_FALSE(health.Out(100, never));
  EXPECT_EQ(health.probe_since_ms(), 50);
  EXPECT_FALSE(health.SetProbe(Word(ProbeResult::kPassing, false), 70));
  EXPECT_EQ(health.probe_since_ms(), 70);
  EXPECT_FALSE(health.SetProbe(Word(ProbeResult::kPassing, false, 8), 80));
  EXPECT_EQ(health.probe_since_ms(), 80);
}

// Neither hides the other.
TEST(ProbedHealth, HasFailuresOfItsOwn) {
  PeerHealth health;
  health.Reset();
  const HealthPolicy policy = {1, 1000};
  EXPECT_TRUE(health.OnFailure(5000, policy));
  health.SetProbe(Word(ProbeResult::kFailing, true), 5000);
  EXPECT_TRUE(
      health.Out(9000, policy));  // due for a request, but its probe fails
  health.SetProbe(Word(ProbeResult::kPassing, false), 9000);
  EXPECT_FALSE(health.Out(9000, policy));
  EXPECT_TRUE(health.Failed(policy));
  EXPECT_TRUE(health.Restore(policy));
  EXPECT_EQ(ProbeResult::Decode(health.probe()).result, ProbeResult::kPassing);
}

TEST(ProbedHealth, IsCopiedAndReset) {
  PeerHealth health;
  health.Reset();
  health.SetProbe(Word(ProbeResult::kFailing, true), 50);
  PeerHealth copy;
  copy.Reset();
  copy.CopyFrom(health, /*slow_start=*/false);
  EXPECT_TRUE(copy.ProbedOut());
  EXPECT_EQ(copy.probe_since_ms(), 50);
  copy.Reset();
  EXPECT_FALSE(copy.ProbedOut());
  EXPECT_EQ(copy.probe(), 0u);
}

}  // namespace
}  // namespace dynweight

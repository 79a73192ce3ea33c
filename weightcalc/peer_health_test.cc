// Tests of peer_health.h.

#include "weightcalc/peer_health.h"

#include <atomic>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "weightcalc/thread_team.h"

namespace dynweight {
namespace {

// A healthy peer under a policy. Time starts late enough that a peer which
// never failed is past any fail_timeout, whatever the clock counts from.
class PeerHealthTest : public testing::Test {
 protected:
  PeerHealthTest() { health_.Reset(); }
  bool Admit() { return health_.Admit(now_, policy_) != Admission::kNo; }
  bool Fail() { return health_.OnFailure(now_, policy_); }

  HealthPolicy policy_;
  int64_t now_ = 1700000000;
  PeerHealth health_;
};

TEST_F(PeerHealthTest, AdmitsAHealthyPeerAlways) {
  for (int i = 0; i < 100; i++) {
    EXPECT_TRUE(Admit());
    now_ += i % 3;
  }
  EXPECT_FALSE(health_.Failed(policy_));
}

TEST_F(PeerHealthTest, MaxFailsFailuresTakeThePeerOut) {
  policy_.max_fails = 3;
  EXPECT_FALSE(Fail());
  EXPECT_FALSE(Fail());
  EXPECT_TRUE(Admit());
  EXPECT_TRUE(Fail());
  EXPECT_TRUE(health_.Failed(policy_));
  EXPECT_FALSE(Admit());
}

TEST_F(PeerHealthTest, SaysOnceThatThePeerIsOut) {
  EXPECT_TRUE(Fail());
  EXPECT_FALSE(Fail());
  now_ += policy_.fail_timeout_ms + 1;
  ASSERT_TRUE(Admit());
  EXPECT_FALSE(Fail());
}

TEST_F(PeerHealthTest, ACopyGoesOnWhereItStands) {
  Fail();
  health_.StartSlowly(5);
  PeerHealth copy;
  copy.Reset();
  copy.CopyFrom(health_, /*slow_start=*/true);
  EXPECT_TRUE(copy.Failed(policy_));
  EXPECT_EQ(copy.started_ms(), 5);
  EXPECT_EQ(copy.Admit(now_ + policy_.fail_timeout_ms, policy_),
            Admission::kNo);
  EXPECT_EQ(copy.Admit(now_ + policy_.fail_timeout_ms + 1, policy_),
            Admission::kProbe);
  EXPECT_TRUE(copy.OnSuccess(policy_));
  copy.CopyFrom(health_, /*slow_start=*/false);
  EXPECT_EQ(copy.started_ms(), 0);
}

TEST_F(PeerHealthTest, MaxFailsZeroNeverTakesThePeerOut) {
  policy_.max_fails = 0;
  for (int i = 0; i < 100; i++) EXPECT_FALSE(Fail());
  EXPECT_TRUE(Admit());
  EXPECT_FALSE(health_.Failed(policy_));
}

TEST_F(PeerHealthTest, StaysOutUntilFailTimeoutHasPassed) {
  Fail();
  now_ += policy_.fail_timeout_ms;
  EXPECT_FALSE(Admit());
  now_ += 1;
  EXPECT_TRUE(Admit());
}

TEST_F(PeerHealthTest, OneRequestProbesPerFailTimeout) {
  Fail();
  now_ += policy_.fail_timeout_ms + 1;
  EXPECT_TRUE(Admit());
  EXPECT_FALSE(Admit());
  now_ += policy_.fail_timeout_ms;
  EXPECT_FALSE(Admit());
  // The probe never came back, its worker was killed: the next one may.
  now_ += 1;
  EXPECT_TRUE(Admit());
  EXPECT_FALSE(Admit());
}

TEST_F(PeerHealthTest, AProbeThatSucceedsBringsThePeerBack) {
  Fail();
  now_ += policy_.fail_timeout_ms + 1;
  ASSERT_TRUE(Admit());
  EXPECT_TRUE(health_.OnSuccess(policy_));
  EXPECT_EQ(health_.fails(), 0u);
  EXPECT_TRUE(Admit());
  EXPECT_FALSE(health_.OnSuccess(policy_)) << "it was back already";
}

TEST_F(PeerHealthTest, AProbeThatFailsKeepsThePeerOut) {
  Fail();
  now_ += policy_.fail_timeout_ms + 1;
  ASSERT_TRUE(Admit());
  Fail();
  now_ += policy_.fail_timeout_ms;
  EXPECT_FALSE(Admit());
  EXPECT_TRUE(health_.Failed(policy_));
}

TEST_F(PeerHealthTest, SuccessBeforeTheNextMarkForgetsNothing) {
  policy_.max_fails = 2;
  Fail();
  EXPECT_FALSE(health_.OnSuccess(policy_));
  EXPECT_EQ(health_.fails(), 1u);
}

TEST_F(PeerHealthTest, SuccessAfterAQuietFailTimeoutForgets) {
  policy_.max_fails = 2;
  Fail();
  now_ += policy_.fail_timeout_ms + 1;
  ASSERT_TRUE(Admit());  // healthy, and marked all the same
  EXPECT_FALSE(health_.OnSuccess(policy_));
  EXPECT_EQ(health_.fails(), 0u);
}

TEST_F(PeerHealthTest, FailTimeoutZeroTakesOutForTheSameMillisecondOnly) {
  policy_.fail_timeout_ms = 0;
  Fail();
  EXPECT_FALSE(Admit());
  now_ += 1;
  EXPECT_TRUE(Admit());
}

TEST_F(PeerHealthTest, IsOutUntilItIsDueForAProbe) {
  EXPECT_FALSE(health_.Out(now_, policy_));
  Fail();
  EXPECT_TRUE(health_.Out(now_, policy_));
  now_ = health_.due_ms(policy_);
  EXPECT_FALSE(health_.Out(now_, policy_));
  EXPECT_TRUE(health_.Failed(policy_));
  EXPECT_EQ(health_.Admit(now_, policy_), Admission::kProbe);
  EXPECT_TRUE(health_.Out(now_, policy_)) << "while it is probed";
}

TEST_F(PeerHealthTest, AnAnswerRestoresAPeerThatIsOut) {
  EXPECT_FALSE(health_.Restore(policy_)) << "it is not";
  Fail();
  EXPECT_TRUE(health_.Restore(policy_));
  EXPECT_EQ(health_.fails(), 0u);
}

TEST_F(PeerHealthTest, ResetForgetsEverything) {
  Fail();
  health_.Reset();
  EXPECT_TRUE(Admit());
  EXPECT_EQ(health_.fails(), 0u);
}

TEST_F(PeerHealthTest, ASlowStartAdmitsMoreAndMore) {
  constexpr int64_t kStart = 1000;
  constexpr int64_t kRamp = 30000;
  EXPECT_TRUE(health_.Admits(kStart, kRamp, UINT32_MAX)) << "none began";
  EXPECT_EQ(health_.started_ms(), 0);
  health_.StartSlowly(kStart);
  EXPECT_EQ(health_.started_ms(), kStart);
  EXPECT_FALSE(health_.Admits(kStart, kRamp, 0));
  EXPECT_FALSE(health_.Admits(kStart - 5, kRamp, 0))
      << "another worker's clock";
  const uint32_t half = uint32_t{1} << 31;
  EXPECT_FALSE(health_.Admits(kStart + kRamp / 2, kRamp, half));
  EXPECT_TRUE(health_.Admits(kStart + kRamp / 2, kRamp, half - 1));
  EXPECT_TRUE(health_.Admits(kStart + kRamp, kRamp, UINT32_MAX));
  EXPECT_TRUE(health_.Admits(kStart, 0, UINT32_MAX)) << "no slow start here";
  health_.Reset();
  EXPECT_TRUE(health_.Admits(kStart, kRamp, UINT32_MAX)) << "a new occupant";
}

// One peer as ngx_http_upstream_round_robin.c of nginx 1.22 keeps it.
struct NginxPeer {
  uint64_t fails = 0;
  int64_t accessed = 0;
  int64_t checked = 0;

  bool Get(int64_t now, const HealthPolicy& policy) {
    if (policy.max_fails && fails >= policy.max_fails &&
        now - checked <= policy.fail_timeout_ms) {
      return false;
    }
    if (now - checked > policy.fail_timeout_ms) checked = now;
    return true;
  }
  void Free(int64_t now, bool failed) {
    if (failed) {
      fails++;
      accessed = now;
      checked = now;
    } else if (accessed < checked) {
      fails = 0;
    }
  }
};

TEST(PeerHealth, DoesWhatNginxDoes) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; round++) {
    HealthPolicy policy;
    policy.max_fails = random() % 4;
    policy.fail_timeout_ms = random() % 6;
    NginxPeer nginx;
    PeerHealth ours;
    ours.Reset();
    int64_t now = 1700000000;
    int running = 0;
    for (int step = 0; step < 1000; step++) {
      now += random() % 4 == 0 ? random() % 8 : 0;
      if (random() % 500 == 0) now -= 20;  // the clock was set back
      if (running == 0 || random() % 2 == 0) {
        const bool admitted = nginx.Get(now, policy);
        ASSERT_EQ(ours.Admit(now, policy) != Admission::kNo, admitted);
        running += admitted;
      } else {
        running--;
        const bool failed = random() % 3 == 0;
        nginx.Free(now, failed);
        if (failed) {
          ours.OnFailure(now, policy);
        } else {
          ours.OnSuccess(policy);
        }
      }
      ASSERT_EQ(ours.fails(), nginx.fails);
    }
  }
}

TEST(PeerHealth, OneOfAllWorkersProbes) {
  constexpr int kWorkers = 4;
  constexpr int kRounds = 20000;
  const HealthPolicy policy;
  PeerHealth health;
  health.Reset();
  health.OnFailure(1, policy);
  std::vector<std::atomic<int>> probes(kRounds);
  RunTogether(kWorkers, [&](int) {
    for (int round = 0; round < kRounds; round++) {
      const int64_t now = 100 + round * (policy.fail_timeout_ms + 1);
      if (health.Admit(now, policy) == Admission::kProbe) probes[round]++;
    }
  });
  // A round that a worker reaches late, when another has probed in a later
  // one, is over: none, never two.
  for (const auto& n : probes) EXPECT_LE(n, 1);
  EXPECT_EQ(probes.back(), 1);
}

TEST(PeerHealth, CountsEveryFailureOfEveryWorker) {
  constexpr int kWorkers = 4;
  constexpr uint32_t kFailures = 20000;
  HealthPolicy policy;
  policy.max_fails = kWorkers * kFailures;
  PeerHealth health;
  health.Reset();
  std::atomic<int> taken_out{0};
  RunTogether(kWorkers, [&](int) {
    for (uint32_t i = 0; i < kFailures; i++) {
      taken_out += health.OnFailure(100, policy);
      health.OnSuccess(policy);  // never forgets a failure of this moment
    }
  });
  EXPECT_EQ(health.fails(), kWorkers * kFailures);
  EXPECT_EQ(taken_out, 1);
}

TEST(PeerHealthEjectionTest, EndsByItself) {
  PeerHealth health;
  health.Reset();
  const HealthPolicy policy;
  EXPECT_FALSE(health.Ejected(0));
  health.SetEjection({1500, 500, 2});
  EXPECT_TRUE(health.Out(1499, policy));
  EXPECT_FALSE(health.Out(1500, policy));
  EXPECT_EQ(health.ejection().times, 2u);
  EXPECT_EQ(health.ejection().duration_ms, 500u);
  PeerHealth other;
  other.Reset();
  other.CopyFrom(health, true);
  EXPECT_TRUE(other.Ejected(1499));
  other.Reset();
  EXPECT_FALSE(other.Ejected(0));
}

TEST(PeerHealthEjectionTest, TellsWhenATimeOutWasOver) {
  PeerHealth health;
  health.Reset();
  const HealthPolicy policy;  // 10 s
  EXPECT_EQ(health.OutUntilMs(1000, 9000, policy), 9000);
  health.SetEjection({1500, 500, 1});
  EXPECT_EQ(health.OutUntilMs(1000, 1200, policy), 1200);
  EXPECT_EQ(health.OutUntilMs(1000, 9000, policy), 1500);
  EXPECT_EQ(health.OutUntilMs(2000, 9000, policy), 9000);  // another time out
  health.OnFailure(1000, policy);                          // due at 11001
  EXPECT_EQ(health.OutUntilMs(1000, 9000, policy), 9000);
  EXPECT_EQ(health.OutUntilMs(1000, 20000, policy), 11001);
  ProbeResult failing;
  failing.tag = 1;
  failing.out = true;
  failing.result = ProbeResult::kFailing;
  health.SetProbe(failing.Encode(), 1000);
  EXPECT_EQ(health.OutUntilMs(1000, 20000, policy), 20000);
}

}  // namespace
}  // namespace dynweight

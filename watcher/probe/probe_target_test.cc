#include "watcher/probe/probe_target.h"

#include <gtest/gtest.h>

#include <string>

namespace dynweight {
namespace {

// Notes what the letters say: passed, failed, or nothing that tells; gives the
// result after each.
std::string Results(const std::string& outcomes, ProbeTarget* target) {
  std::string results;
  for (const char c : outcomes) {
    ProbeOutcome outcome;
    outcome.passed = c == 'p';
    outcome.tells = c != '-';
    if (c == 'f') outcome.reason = ProbeReason::kRefused;
    const ProbeResult::Result before = target->result();
    const bool changed = target->Note(outcome);
    EXPECT_EQ(changed, target->result() != before);
    results += "?pf"[target->result()];
  }
  return results;
}

class ProbeTargetTest : public ::testing::Test {
 protected:
  ProbeConfig config_;
  ProbeTarget target_{&config_};
};

TEST_F(ProbeTargetTest, ThatPassesOncePasses) {
  EXPECT_EQ(Results("pp", &target_), "pp");
}

TEST_F(ProbeTargetTest, FailsWhenSoManyInARowFail) {
  EXPECT_EQ(Results("pffpfff", &target_), "ppppppf");
  EXPECT_EQ(target_.reason(), ProbeReason::kRefused);
}

TEST_F(ProbeTargetTest, PassesAgainWhenSoManyInARowPass) {
  EXPECT_EQ(Results("fffpfpp", &target_), "??ffffp");
  EXPECT_EQ(target_.reason(), ProbeReason::kNone);
}

TEST_F(ProbeTargetTest, IsNotMovedByWhatTellsNothing) {
  EXPECT_EQ(Results("pff-------f", &target_), "ppppppppppf");
  EXPECT_EQ(Results("p---p", &target_), "ffffp");
}

TEST_F(ProbeTargetTest, SaysThatTheFirstOnesFailed) {
  EXPECT_FALSE(target_.last_failed());
  Results("f", &target_);
  EXPECT_TRUE(target_.last_failed());
  EXPECT_EQ(target_.result(), ProbeResult::kUnknown);
}

TEST_F(ProbeTargetTest, GoesOnFromBefore) {
  ProbeResult known;
  known.result = ProbeResult::kFailing;
  known.reason = ProbeReason::kStatus;
  known.status = 503;
  target_.Resume(known);
  EXPECT_EQ(target_.status(), 503);
  EXPECT_EQ(Results("pfpp", &target_), "fffp");
}

}  // namespace
}  // namespace dynweight

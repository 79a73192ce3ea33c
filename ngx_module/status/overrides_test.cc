#include "ngx_module/status/overrides.h"

#include <gtest/gtest.h>

#include <string>

#include "ngx_module/status/status_fixture.h"

namespace dynweight {
namespace {

class OverridesTest : public testing::Test {
 protected:
  // Of rules as TuningFile::EncodeStatus() has them, one a line.
  const SharedDocument* Document(const std::string& error,
                                 const std::string& rules) {
    estate_.Tune(R"({"file":"/t","taken_up":1,"error":)" + error +
                     R"(,"error_at":null,"rules":[)" + "\n" + rules + "\n]}",
                 0);
    return estate_.model.tuning;
  }

  Estate estate_;
};

TEST_F(OverridesTest, WithoutAFileThereAreNone) {
  const Overrides none(nullptr);
  EXPECT_EQ(none.text(), "");
  EXPECT_EQ(none.size(), 0u);
  EXPECT_EQ(none.in_force(), 0u);
  EXPECT_EQ(none.error(), "");
}

TEST_F(OverridesTest, SaysWhatEachRuleDoes) {
  const Overrides overrides(Document(
      "null",
      R"({"line":2,"in_force":true,"peers":3,"upstream":"a","cluster":"sh",)"
      R"("server":"10.0.0.1","node":"n","drain":true,"reason":"disk"},)"
      "\n"
      R"({"line":3,"in_force":true,"peers":1,"drain":false,"freeze":false},)"
      "\n"
      R"({"line":4,"in_force":false,"peers":0,"weight":40,"scale":0.5,)"
      R"("min":1,"max":9,"expires":"2026-01-01"})"));
  EXPECT_EQ(overrides.error(), "");
  EXPECT_EQ(overrides.in_force(), 2u);
  ASSERT_EQ(overrides.size(), 3u);
  EXPECT_EQ(overrides.Describe(0).whom,
            "upstream a, cluster sh, server 10.0.0.1, node n");
  EXPECT_EQ(overrides.Describe(0).what, "drain");
  EXPECT_EQ(overrides.Describe(0).peers, 3u);
  EXPECT_EQ(overrides.Describe(0).reason, "disk");
  EXPECT_EQ(overrides.Describe(1).whom, "everything");
  EXPECT_EQ(overrides.Describe(1).what, "no drain, no freeze");
  EXPECT_EQ(overrides.Describe(2).what, "weight 40, scale 0.5, min 1, max 9");
  EXPECT_FALSE(overrides.Describe(2).in_force);
  EXPECT_EQ(overrides.Describe(2).expires, "2026-01-01");
}

TEST_F(OverridesTest, WhatWasCutDownIsInTheFile) {
  const Overrides overrides(
      Document("null", R"({"line":7,"in_force":true,"peers":2})"));
  EXPECT_EQ(overrides.Describe(0).whom, "see line 7 of the file");
  EXPECT_EQ(overrides.Describe(0).what, "");
}

TEST_F(OverridesTest, TheErrorIsThatOfTheFile) {
  const Overrides overrides(Document(R"("/t:3: \"drian\"")", ""));
  EXPECT_EQ(overrides.error(), "/t:3: \"drian\"");
}

// A reason is not taken for the state of its rule.
TEST_F(OverridesTest, TextsAreTextsOnly) {
  const Overrides overrides(
      Document("null", R"({"line":1,"in_force":false,"peers":0,"freeze":true,)"
                       R"("reason":"\"in_force\":true"})"));
  EXPECT_EQ(overrides.in_force(), 0u);
}

}  // namespace
}  // namespace dynweight

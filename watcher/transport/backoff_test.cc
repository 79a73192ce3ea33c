// Tests of backoff.h.

#include "watcher/transport/backoff.h"

#include <gtest/gtest.h>

namespace dynweight {
namespace {

double Least() { return 0; }

TEST(BackoffTest, DoublesFrom800MillisecondsUpToTheCap) {
  Backoff backoff(30000, Least);
  for (const int64_t wait_ms :
       {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000}) {
    EXPECT_EQ(backoff.Failed(0), wait_ms);
  }
}

TEST(BackoffTest, IsUpToTwiceAsLongByChanceAlsoAtTheCap) {
  Backoff most(1000, [] { return 0.9999999; });
  EXPECT_EQ(most.Failed(0), 1599);
  EXPECT_EQ(most.Failed(0), 1999);
}

TEST(BackoffTest, StartsAgainAfterTwoMinutesOfHealth) {
  Backoff backoff(30000, Least);
  backoff.Failed(0);
  backoff.Failed(0);
  backoff.Healthy(1000);
  backoff.Healthy(100000);
  EXPECT_EQ(backoff.Failed(121000), 800);
}

TEST(BackoffTest, GoesOnDoublingAfterLessHealth) {
  Backoff backoff(30000, Least);
  backoff.Failed(0);
  backoff.Healthy(1000);
  EXPECT_EQ(backoff.Failed(120999), 1600);
}

TEST(BackoffTest, TimeWithoutAWordIsNotHealth) {
  Backoff backoff(30000, Least);
  backoff.Failed(0);
  EXPECT_EQ(backoff.Failed(1000000), 1600);
}

}  // namespace
}  // namespace dynweight

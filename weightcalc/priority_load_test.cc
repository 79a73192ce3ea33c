// Tests of priority_load.h.

#include "weightcalc/priority_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace dynweight {
namespace {

using ::testing::ElementsAreArray;

struct Division {
  std::vector<uint64_t> healthy;  // percent
  std::vector<uint32_t> percent;
};

std::vector<uint32_t> Divide(const std::vector<uint64_t>& healthy,
                             uint32_t overprovisioning,
                             uint32_t* all = nullptr) {
  std::vector<PriorityLoad> loads;
  for (const uint64_t part : healthy) loads.push_back({1000, part * 10, 0});
  const uint32_t sum =
      DividePriorities(overprovisioning, absl::MakeSpan(loads));
  if (all != nullptr) *all = sum;
  std::vector<uint32_t> percent;
  for (const PriorityLoad& load : loads) percent.push_back(load.percent);
  return percent;
}

// The tables of Envoy's documentation: "Priority levels", two and three of
// them.
TEST(PriorityLoadTest, DividesAsEnvoyIsDocumentedTo) {
  const Division cases[] = {
      {{100, 100}, {100, 0}},        {{72, 72}, {100, 0}},
      {{71, 71}, {99, 1}},           {{50, 50}, {70, 30}},
      {{25, 100}, {35, 65}},         {{25, 25}, {50, 50}},
      {{0, 100}, {0, 100}},          {{100, 100, 100}, {100, 0, 0}},
      {{72, 72, 100}, {100, 0, 0}},  {{71, 71, 100}, {99, 1, 0}},
      {{50, 50, 100}, {70, 30, 0}},  {{25, 100, 100}, {35, 65, 0}},
      {{25, 25, 100}, {35, 35, 30}}, {{25, 25, 20}, {36, 36, 28}},
  };
  for (const Division& c : cases) {
    EXPECT_THAT(Divide(c.healthy, kDefaultOverprovisioning),
                ElementsAreArray(c.percent))
        << testing::PrintToString(c.healthy);
  }
}

TEST(PriorityLoadTest, WhatIsLeftGoesToTheNextThatHasSomething) {
  EXPECT_THAT(Divide({0, 0, 100}, 140), ElementsAreArray({0, 0, 100}));
  EXPECT_THAT(Divide({0, 3}, 140), ElementsAreArray({0, 100}));
  EXPECT_THAT(Divide({0, 0}, 140), ElementsAreArray({0, 0}));
}

TEST(PriorityLoadTest, TheFactorIsTheOperators) {
  EXPECT_THAT(Divide({99, 100}, 100), ElementsAreArray({99, 1}));
  EXPECT_THAT(Divide({10, 100}, 1000), ElementsAreArray({100, 0}));
}

TEST(PriorityLoadTest, TellsWhatHealthComesTo) {
  uint32_t all = 0;
  Divide({50, 50}, 140, &all);
  EXPECT_EQ(all, 100u);
  Divide({25, 25}, 140, &all);
  EXPECT_EQ(all, 70u);
  Divide({0, 0}, 140, &all);
  EXPECT_EQ(all, 0u);
}

TEST(PriorityLoadTest, APriorityWithoutPeersIsNotHealthy) {
  PriorityLoad loads[] = {{0, 0, 0}, {70, 70, 0}};
  EXPECT_EQ(DividePriorities(140, absl::MakeSpan(loads)), 100u);
  EXPECT_EQ(loads[0].percent, 0u);
  EXPECT_EQ(loads[1].percent, 100u);
}

}  // namespace
}  // namespace dynweight

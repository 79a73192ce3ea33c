// Tests of how changes of weights are told.

#include "watcher/weight_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dynweight {
namespace {

using ::testing::HasSubstr;

LineConfig Orders() {
  LineConfig line;
  line.upstream = "orders";
  line.range.count = 4;
  return line;
}

LineWeight Weight(uint64_t pods, uint64_t nodes, uint32_t weight) {
  LineWeight result;
  result.pods = pods;
  result.ingress_nodes = nodes;
  result.used_nodes = nodes < 4 ? nodes : 4;
  result.weight = weight;
  return result;
}

TEST(WeightChangeText, SaysWhatChangedFromAndTo) {
  EXPECT_EQ(
      WeightChangeText(Orders(), "bj", Weight(12, 3, 40), Weight(30, 4, 75)),
      "upstream \"orders\" cluster \"bj\": pods 12 -> 30, nodes 3 -> 4, "
      "weight 40 -> 75");
}

TEST(WeightChangeText, FirstValueHasNoBefore) {
  EXPECT_EQ(WeightChangeText(Orders(), "bj", std::nullopt, Weight(12, 3, 40)),
            "upstream \"orders\" cluster \"bj\": pods 12, nodes 3, weight 40");
}

TEST(WeightChangeText, WhatStayedIsSaidOnce) {
  EXPECT_EQ(
      WeightChangeText(Orders(), "bj", Weight(12, 3, 40), Weight(30, 3, 100)),
      "upstream \"orders\" cluster \"bj\": pods 12 -> 30, nodes 3, "
      "weight 40 -> 100");
}

TEST(SlotShortageText, NamesTheLineAndTheMend) {
  const std::string text = SlotShortageText(Orders(), "bj", Weight(9, 7, 22));
  EXPECT_THAT(text, HasSubstr("upstream \"orders\" cluster \"bj\""));
  EXPECT_THAT(text, HasSubstr("7 ingress nodes"));
  EXPECT_THAT(text, HasSubstr("slots=4"));
}

TEST(WeightChangeText, InstancesAreToldAsSuch) {
  LineConfig line = Orders();
  line.kind = LineConfig::Kind::kInstances;
  EXPECT_EQ(WeightChangeText(line, "bj", Weight(12, 12, 10), Weight(9, 9, 10)),
            "upstream \"orders\" cluster \"bj\": instances 12 -> 9, weight 10");
  EXPECT_THAT(SlotShortageText(line, "bj", Weight(9, 9, 10)),
              HasSubstr("9 instances serve, but slots=4"));
}

}  // namespace
}  // namespace dynweight

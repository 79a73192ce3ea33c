// Tests of what rules of the tuning file do on the way from views to slots.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "watcher/testing/tuning_config.h"
#include "watcher/tuning/tuning_reader.h"
#include "weightcalc/weight_computation_fixture.h"

namespace dynweight {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// Rules for line_ ("orders" of cluster "bj").
class TunedWeighingTest : public WeighingTest {
 protected:
  TunedWeighingTest() {
    config_ = TuningConfig();
    line_.upstream = "orders";
  }
  Tuning::Selection Rules(const std::string& rules) {
    auto tuning =
        ReadTuning(absl::StrCat("{\"rules\":[", rules, "]}"), config_);
    EXPECT_TRUE(tuning.ok()) << tuning.status();
    tuning_ = *std::move(tuning);
    tuning_.Advance(0);
    return tuning_.Select("orders", "bj");
  }
  void Apply(const Tuning::Selection& rules) {
    ApplySlotWrites(table_, Plan(rules));
  }
  // Address (its last byte) => weight, without drained ones.
  std::map<int, uint32_t> Weights() const {
    std::map<int, uint32_t> weights;
    for (uint32_t slot = 0; slot < table_.capacity(); ++slot) {
      Peer peer;
      if (!table_.Read(slot, &peer) || table_.weight(slot) == 0) continue;
      weights[peer.identity.address.bytes[3]] = table_.weight(slot);
    }
    return weights;
  }
  using Map = std::map<int, uint32_t>;

  WatcherConfig config_;
  Tuning tuning_;
};

TEST_F(TunedWeighingTest, TheOthersTakeTheShareOfADrainedNode) {
  Know(12, 3);
  Apply(Rules(R"({"server":"10.0.0.2","drain":true})"));
  EXPECT_EQ(Weights(), (Map{{1, 60}, {3, 60}}));
  Apply({});
  EXPECT_EQ(Weights(), (Map{{1, 40}, {2, 40}, {3, 40}}));
  const LineWeight weight = *ComputeLineWeight(
      line_, view_, Rules(R"({"cluster":"bj","drain":true})"));
  EXPECT_EQ(weight.drained_nodes, 0u);  // there is no other
  Apply(tuning_.Select("orders", "bj"));
  EXPECT_EQ(Weights(), Map{});
}

TEST_F(TunedWeighingTest, ANodeCanBePinned) {
  Know(12, 3);
  Apply(Rules(R"({"server":"10.0.0.2","weight":7})"));
  EXPECT_EQ(Weights(), (Map{{1, 40}, {2, 7}, {3, 40}}));
}

TEST_F(TunedWeighingTest, AFrozenLineHoldsPodsAndNodes) {
  Know(12, 3);
  Apply({});
  const auto freeze = Rules(R"({"freeze":true})");
  Apply(freeze);
  Know(50, 5);
  EXPECT_THAT(Plan(freeze), IsEmpty());
  ASSERT_TRUE(held_.has_value());
  EXPECT_TRUE(held_->weight.frozen);
  EXPECT_EQ(held_->weight.weight, 40u);
  Apply({});
  EXPECT_EQ(Weights(), (Map{{1, 100}, {2, 100}, {3, 100}, {4, 100}, {5, 100}}));
}

TEST_F(TunedWeighingTest, AnotherProcessCarriesAFreezeOn) {
  Know(12, 3);
  Apply({});
  Know(12, 2);  // 10.0.0.3 leaves
  const auto rules =
      Rules(R"({"freeze":true}, {"server":"10.0.0.1","drain":true})");
  Apply(rules);
  const LineWeight weight = held_->weight;
  EXPECT_EQ(Weights(), (Map{{2, 120}}));
  Know(50, 5);
  held_ = ResumeFreeze(line_, weight, rules, table_);
  EXPECT_THAT(Plan(rules), IsEmpty());
  EXPECT_THAT(held_->nodes, SizeIs(2));
  Apply(Rules(R"({"freeze":true})"));
  EXPECT_EQ(Weights(), (Map{{1, 120}, {2, 120}}));
}

TEST_F(TunedWeighingTest, ANodeFrozenAloneHoldsTheWeightItHas) {
  Know(12, 3);
  Apply({});
  Know(24, 3);
  const auto rules = Rules(R"({"server":"10.0.0.2","freeze":true})");
  Apply(rules);
  EXPECT_EQ(Weights(), (Map{{1, 80}, {2, 40}, {3, 80}}));
}

TEST_F(TunedWeighingTest, AServerIsTunedAndGivenBack) {
  const ServerConfig& server = config_.servers[0];
  table_.SetWeight(0, 10);
  EXPECT_FALSE(PlanServer(server, {}, table_).has_value());
  Rules(R"({"server":"10.20.0.11","drain":true})");
  const auto write = PlanServer(server, tuning_.Select("orders", ""), table_);
  ASSERT_TRUE(write.has_value());
  EXPECT_EQ(write->weight, 0u);
  table_.SetWeight(0, 0);
  EXPECT_EQ(PlanServer(server, {}, table_)->weight, 10u);
}

}  // namespace
}  // namespace dynweight

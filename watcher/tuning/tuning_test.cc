// Tests of what rules, as the tuning file has them, make of a weight.

#include "weightcalc/tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "watcher/testing/tuning_config.h"
#include "watcher/tuning/tuning_reader.h"
#include "weightcalc/weight.h"
#include "weightcalc/weight_computation.h"

namespace dynweight {
namespace {

class TuningTest : public ::testing::Test {
 protected:
  void Rules(const std::string& rules) {
    auto tuning =
        ReadTuning(absl::StrCat("{\"rules\":[", rules, "]}"), config_);
    ASSERT_TRUE(tuning.ok()) << tuning.status();
    tuning_ = *std::move(tuning);
    tuning_.Advance(0);
  }
  TuningEffect OnNode(const char* cluster, const char* address,
                      const char* name) const {
    PeerIdentity identity;
    identity.address = *IpAddress::Parse(address);
    identity.port = 80;
    identity.set_node(name);
    return EffectOn(tuning_.Select("orders", cluster), AsTunedPeer(identity));
  }
  uint64_t Node(uint64_t given, const char* cluster = "bj",
                const char* address = "10.0.0.1",
                const char* name = "n1") const {
    return OnNode(cluster, address, name).OnNode(given);
  }
  uint64_t Server(size_t index) const {
    const ServerConfig& server = config_.servers[index];
    return EffectOn(tuning_.Select(server.upstream, ""), AsTunedPeer(server))
        .OnServer(server.weight);
  }

  const WatcherConfig config_ = TuningConfig();
  Tuning tuning_;
};

TEST_F(TuningTest, ARuleIsForWhomItNames) {
  Rules(R"({"node":"n1","weight":1}, {"server":"10.0.0.2","weight":2},
           {"server":"10.0.0.3:80","weight":3},
           {"server":"10.0.0.4:81","weight":4},
           {"upstream":"orders","cluster":"sh","server":"10.0.0.5","weight":5},
           {"upstream":"kvm","weight":6})");
  EXPECT_EQ(Node(40), 1u);
  EXPECT_EQ(Node(40, "bj", "10.0.0.1", "n2"), 40u);
  EXPECT_EQ(Node(40, "bj", "10.0.0.2", "n2"), 2u);
  EXPECT_EQ(Node(40, "bj", "10.0.0.3", "n2"), 3u);
  EXPECT_EQ(Node(40, "bj", "10.0.0.4", "n2"), 40u);
  EXPECT_EQ(Node(40, "bj", "10.0.0.5", "n2"), 40u);
  EXPECT_EQ(Node(40, "sh", "10.0.0.5", "n2"), 5u);
  EXPECT_EQ(Server(0), 10u);
  EXPECT_EQ(Server(2), 6u);
}

TEST_F(TuningTest, AServerIsNamedAsItsLineOrByItsAddress) {
  Rules(R"({"server":"app.example:8080","weight":3})");
  EXPECT_EQ(Server(2), 3u);
  EXPECT_EQ(Server(3), 3u);
  EXPECT_EQ(Server(0), 10u);
  Rules(R"({"server":"10.20.0.11","drain":true})");
  EXPECT_EQ(Server(0), 0u);
  EXPECT_EQ(Server(2), 0u);
  EXPECT_EQ(Server(3), 10u);
  Rules(R"({"server":"unix:/run/a.sock","drain":true})");
  EXPECT_EQ(Server(4), 0u);
  EXPECT_EQ(Server(3), 10u);
}

TEST_F(TuningTest, ScaleThenMinThenMax) {
  Rules(R"({"cluster":"bj","scale":0.5})");
  EXPECT_EQ(Node(40), 20u);
  EXPECT_EQ(Node(3), 2u);  // rounded
  EXPECT_EQ(Node(1), 1u);  // never to nothing
  Rules(R"({"cluster":"bj","scale":0.001})");
  EXPECT_EQ(Node(10), 1u);
  Rules(R"({"cluster":"bj","scale":1000})");
  EXPECT_EQ(Node(kMaxWeight), uint64_t{kMaxWeight} * 1000);
  Rules(R"({"cluster":"bj","scale":0.5,"min":30,"max":35})");
  EXPECT_EQ(Node(40), 30u);
  EXPECT_EQ(Node(66), 33u);
  EXPECT_EQ(Node(100), 35u);
}

TEST_F(TuningTest, NothingRaisesAZeroButAPin) {
  Rules(R"({"upstream":"orders","scale":3,"min":5})");
  EXPECT_EQ(Node(0), 0u);
  EXPECT_EQ(Server(1), 0u);
  Rules(R"({"upstream":"orders","weight":5})");
  EXPECT_EQ(Node(0), 5u);
  EXPECT_EQ(Server(1), 0u);  // down is down
}

TEST_F(TuningTest, DrainWinsOverWeightAndWeightOverTheRest) {
  Rules(R"({"node":"n1","drain":true}, {"node":"n1","weight":5},
           {"node":"n1","scale":2})");
  EXPECT_EQ(Node(40), 0u);
  EXPECT_TRUE(OnNode("bj", "10.0.0.1", "n1").Deciding()->drain);
  Rules(R"({"node":"n1","weight":5}, {"freeze":true},
           {"node":"n1","scale":2})");
  EXPECT_EQ(Node(40), 5u);
  EXPECT_EQ(OnNode("bj", "10.0.0.1", "n1").Deciding()->weight, 5u);
}

TEST_F(TuningTest, TheLaterOfTwoRulesCounts) {
  Rules(R"({"node":"n1","weight":5}, {"cluster":"bj","weight":6})");
  EXPECT_EQ(Node(40), 6u);
}

TEST_F(TuningTest, RulesExpireAndComeBackWithTheClock) {
  Rules(R"({"node":"n1","weight":5,"expires":"2026-01-01T00:00:00Z"},
           {"cluster":"bj","min":70})");
  constexpr int64_t kExpiry = 1767225600000;
  EXPECT_THAT(tuning_.Advance(kExpiry - 1), testing::IsEmpty());
  EXPECT_EQ(Node(40), 5u);
  EXPECT_THAT(tuning_.Advance(kExpiry), testing::ElementsAre(0));
  EXPECT_FALSE(tuning_.in_force(0));
  EXPECT_EQ(Node(40), 70u);
  EXPECT_THAT(tuning_.Advance(kExpiry - 1), testing::ElementsAre(0));
  EXPECT_EQ(Node(40), 5u);
}

TEST_F(TuningTest, OnlyAFreezeOfWholeLinesFreezesALine) {
  Rules(R"({"node":"n1","freeze":true})");
  EXPECT_EQ(LineFreeze(tuning_.Select("orders", "bj")), nullptr);
  Rules(R"({"cluster":"bj","freeze":true})");
  EXPECT_NE(LineFreeze(tuning_.Select("orders", "bj")), nullptr);
  EXPECT_EQ(LineFreeze(tuning_.Select("orders", "sh")), nullptr);
}

TEST_F(TuningTest, ALaterFalseExemptsFromAnEarlierTrue) {
  Rules(R"({"cluster":"bj","drain":true},
           {"server":"10.0.0.1","drain":false})");
  EXPECT_EQ(Node(40, "bj", "10.0.0.1"), 40u);
  EXPECT_EQ(Node(40, "bj", "10.0.0.2"), 0u);
  const TuningEffect effect = OnNode("bj", "10.0.0.1", "n1");
  EXPECT_EQ(effect.no_drain, &tuning_.rules()[1]);
  EXPECT_EQ(effect.Deciding(), nullptr);
  // With nothing to exempt from it is for nobody, which is told.
  EXPECT_EQ(OnNode("sh", "10.0.0.1", "n1").no_drain, nullptr);
  Rules(R"({"server":"10.0.0.1","drain":false},
           {"cluster":"bj","drain":true})");
  EXPECT_EQ(Node(40, "bj", "10.0.0.1"), 0u);
}

TEST_F(TuningTest, AClusterIsExemptFromAFreezeOfAll) {
  Rules(R"({"freeze":true}, {"cluster":"bj","freeze":false})");
  EXPECT_EQ(LineFreeze(tuning_.Select("orders", "bj")), nullptr);
  EXPECT_NE(LineFreeze(tuning_.Select("orders", "sh")), nullptr);
  EXPECT_NE(OnNode("bj", "10.0.0.1", "n1").no_freeze, nullptr);
}

}  // namespace
}  // namespace dynweight

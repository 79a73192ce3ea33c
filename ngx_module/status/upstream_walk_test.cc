#include "ngx_module/status/upstream_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ngx_module/status/status_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Le;

// Three upstreams of 70 servers each; of "b" two have no weight.
class UpstreamWalkTest : public testing::Test, protected UpstreamVisitor {
 protected:
  UpstreamWalkTest() {
    estate_.model.upstreams.reserve(3);
    for (const char* name : {"a1", "b", "a2"}) {
      UpstreamModel& upstream = estate_.AddUpstream(name);
      for (int n = 0; n < 70; ++n) {
        estate_.AddServer(&upstream, false, "10.0.0." + std::to_string(n));
      }
      estate_.Seal(&upstream);
      PeerTable table = TableOf(upstream, false);
      for (uint32_t slot = 0; slot < 70; ++slot) table.SetWeight(slot, 1);
    }
    TableOf(estate_.model.upstreams[1], false).SetWeight(3, 0);
    TableOf(estate_.model.upstreams[1], false).SetWeight(68, 0);
    query_ = estate_.Query();
  }

  // The steps that it takes.
  int Walk(AskedPeers peers, int peer_slots) {
    UpstreamWalk walk(query_, peers, peer_slots);
    int steps = 1;
    for (; !walk.Step(Estate::kNow, this); ++steps) {
      most_ = std::max(most_, told_);
      told_ = 0;
    }
    return steps;
  }

  void OnUpstream(const UpstreamModel& upstream,
                  const UpstreamSums& sums) override {
    met_.push_back(std::string(upstream.name) + " of " +
                   std::to_string(sums.group[0].peers));
  }
  void OnPeer(const UpstreamModel&, const UpstreamSums&,
              const PeerFacts& facts) override {
    ++told_;
    peers_.push_back(facts.id);
  }
  void OnUpstreamEnd() override { met_.push_back("end"); }

  Estate estate_;
  StatusQuery query_;
  std::vector<std::string> met_;
  std::vector<uint64_t> peers_;
  int told_ = 0;
  int most_ = 0;  // in a step
};

TEST_F(UpstreamWalkTest, MeetsTheUpstreamsInTheirOrder) {
  Walk(AskedPeers::kAll, 0);
  EXPECT_THAT(met_, ElementsAre("a1 of 70", "end", "b of 70", "end", "a2 of 70",
                                "end"));
  EXPECT_EQ(peers_.size(), 210u);
}

TEST_F(UpstreamWalkTest, MeetsOnlyWhatIsAskedFor) {
  query_.upstream = "b";
  Walk(AskedPeers::kDown, 0);
  EXPECT_THAT(met_, ElementsAre("b of 70", "end"));
  EXPECT_THAT(peers_, ElementsAre(3, 68));
  met_.clear();
  peers_.clear();
  query_.upstream.reset();
  query_.filter = "a";
  Walk(AskedPeers::kNone, 0);
  EXPECT_THAT(met_, ElementsAre("a1 of 70", "end", "a2 of 70", "end"));
  EXPECT_THAT(peers_, IsEmpty());
}

TEST_F(UpstreamWalkTest, AStepTellsAsManyPeersAsItsSlotsAllow) {
  Walk(AskedPeers::kAll, 0);
  EXPECT_EQ(most_, UpstreamWalk::kStepSlots);
  most_ = 0;
  Walk(AskedPeers::kAll, 7);
  EXPECT_EQ(most_, UpstreamWalk::kStepSlots / 8);
  most_ = 0;
  Walk(AskedPeers::kAll, UpstreamWalk::kStepSlots);
  EXPECT_EQ(most_, 1);
}

TEST_F(UpstreamWalkTest, StepsGrowWithSlotsOnly) {
  EXPECT_THAT(Walk(AskedPeers::kAll, 0), Le(3 * (1 + 2 + 2) + 1));
}

TEST_F(UpstreamWalkTest, AsksTheProcessWhetherAllAreOut) {
  for (UpstreamModel& upstream : estate_.model.upstreams) {
    PeerTable table = TableOf(upstream, false);
    (void)table.health(0).OnFailure(Estate::kNow.monotonic_ms, HealthPolicy());
  }
  query_.process.all_out = [](size_t upstream) { return upstream != 2; };
  query_.filter = "a";
  Walk(AskedPeers::kDown, 0);
  EXPECT_THAT(peers_, ElementsAre(0)) << "of a2, the model's third";
}

}  // namespace
}  // namespace dynweight

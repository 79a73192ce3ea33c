#include "ngx_module/status/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ngx_module/status/status_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;

std::vector<PeerFacts> AllPeers(const UpstreamModel& upstream,
                                bool all_out = false,
                                int64_t now_ms = Estate::kNow.monotonic_ms) {
  std::vector<PeerFacts> peers;
  PeerCursor cursor;
  cursor.Begin(upstream, all_out);
  PeerFacts facts;
  int slots = 1'000'000;
  while (cursor.Next(now_ms, &slots, &facts) == PeerCursor::Found::kPeer) {
    peers.push_back(facts);
  }
  return peers;
}

// Two servers, lines of "bj" around a backup line of "sh".
class FactsTest : public testing::Test {
 protected:
  FactsTest() {
    const uint32_t bj = estate_.AddCluster("bj");
    const uint32_t sh = estate_.AddCluster("sh");
    upstream_ = &estate_.AddUpstream("orders");
    estate_.AddServer(upstream_, false, "10.0.0.1:80");
    estate_.AddServer(upstream_, false, "10.0.0.2:80", /*down=*/true);
    estate_.AddLine(upstream_, false, bj, 2, "service=prod/a");
    estate_.AddLine(upstream_, true, sh, 2, "service=prod/b");
    estate_.AddLine(upstream_, false, bj, 1, "service=prod/c");
    estate_.AddServer(upstream_, true, "unix:/run/a.sock");
    estate_.Seal(upstream_);
  }

  PeerFacts Only(uint64_t id, bool all_out = false,
                 int64_t now_ms = Estate::kNow.monotonic_ms) {
    for (const PeerFacts& facts : AllPeers(*upstream_, all_out, now_ms)) {
      if (facts.id == id) return facts;
    }
    ADD_FAILURE() << "no peer " << id;
    return {};
  }

  PeerTable primary() { return TableOf(*upstream_, false); }
  PeerTable backup() { return TableOf(*upstream_, true); }

  Estate estate_;
  UpstreamModel* upstream_;
};

TEST_F(FactsTest, EachPeerBelongsToAServerOrALine) {
  primary().SetPeer(3, Node(0x0A000011, "n3"));
  primary().SetPeer(4, Node(0x0A000012, ""));
  backup().SetPeer(2, Node(0x0A000013, "n2"));
  std::vector<std::string> met;
  for (const PeerFacts& facts : AllPeers(*upstream_)) {
    met.push_back(std::to_string(facts.id) + " " + facts.Address() + " " +
                  std::string(facts.line ? facts.line->source : "-") + " " +
                  std::string(facts.node()) + (facts.backup ? " backup" : ""));
  }
  EXPECT_THAT(met, ElementsAre("0 10.0.0.1:80 - ", "1 10.0.0.2:80 - ",
                               "3 10.0.0.17:80 service=prod/a n3",
                               "4 10.0.0.18:80 service=prod/c ",
                               "5 unix:/run/a.sock -  backup",
                               "7 10.0.0.19:80 service=prod/b n2 backup"));
}

TEST_F(FactsTest, AnIpv6AddressHasBrackets) {
  PeerIdentity node;
  node.address.family = IpAddress::kIpv6;
  node.address.bytes[15] = 1;
  node.port = 8080;
  primary().SetPeer(2, node);
  EXPECT_EQ(Only(2).Address(), "[::1]:8080");
}

TEST_F(FactsTest, ATurnEndsAfterItsSlots) {
  PeerCursor cursor;
  cursor.Begin(*upstream_, false);
  PeerFacts facts;
  int slots = 1;
  EXPECT_EQ(cursor.Next(0, &slots, &facts), PeerCursor::Found::kPeer);
  EXPECT_EQ(cursor.Next(0, &slots, &facts), PeerCursor::Found::kPause);
  slots = 6;  // the four that are left of the primary ones, and more
  EXPECT_EQ(cursor.Next(0, &slots, &facts), PeerCursor::Found::kPeer);
  EXPECT_EQ(cursor.Next(0, &slots, &facts), PeerCursor::Found::kPeer);
  EXPECT_EQ(facts.id, 5u);
  slots = 9;
  EXPECT_EQ(cursor.Next(0, &slots, &facts), PeerCursor::Found::kEnd);
  EXPECT_EQ(slots, 7) << "empty slots are looked at, too";
}

TEST_F(FactsTest, StatesWithoutWeight) {
  primary().SetPeer(2, Node(1, "n"));
  EXPECT_EQ(Only(1).state, PeerState::kDown);
  EXPECT_EQ(Only(0).state, PeerState::kDrained) << "by tuning";
  EXPECT_EQ(Only(2).state, PeerState::kDrained);
  primary().Acquire(2, primary().generation(2), 0);
  EXPECT_EQ(Only(2).state, PeerState::kDraining);
  EXPECT_EQ(Only(2).active, 1u);
}

TEST_F(FactsTest, FailuresTakeAPeerOutUntilItIsDue) {
  const HealthPolicy policy;
  const int64_t now = Estate::kNow.monotonic_ms;
  primary().SetWeight(0, 40);
  EXPECT_EQ(Only(0).state, PeerState::kUp);
  ASSERT_TRUE(primary().health(0).OnFailure(now, policy));
  EXPECT_EQ(Only(0).state, PeerState::kUnavail);
  EXPECT_EQ(Only(0, /*all_out=*/true).state, PeerState::kUp)
      << "when all are out each is asked";
  EXPECT_EQ(Only(0, false, now + policy.fail_timeout_ms + 1).state,
            PeerState::kUp);
}

TEST_F(FactsTest, DowntimeGrowsUntilAProbeIsDue) {
  const HealthPolicy policy;
  const int64_t now = Estate::kNow.monotonic_ms;
  primary().SetWeight(0, 40);
  (void)primary().health(0).OnFailure(now, policy);
  primary().counters(0).downtime_ms = 500;
  EXPECT_EQ(Only(0).downtime_ms, 500u);
  primary().counters(0).down_since_ms = now;
  EXPECT_EQ(Only(0, false, now + 3000).downtime_ms, 3500u);
  EXPECT_EQ(Only(0, false, now + 60'000).downtime_ms, 10'501u);
  EXPECT_EQ(Only(0, false, now - 5).downtime_ms, 500u);
}

TEST_F(FactsTest, LimitsAreThoseOfTheServerOrTheLine) {
  upstream_->groups[0].servers[0].max_conns = 7;
  upstream_->lines[2].max_conns = 9;
  primary().SetPeer(4, Node(1, "n"));
  EXPECT_EQ(Only(0).max_conns(), 7u);
  EXPECT_EQ(Only(4).max_conns(), 9u);
}

TEST_F(FactsTest, SumsAddUp) {
  primary().SetWeight(0, 10);
  primary().SetPeer(2, Node(1, "a"));
  primary().SetWeight(2, 20);
  primary().SetPeer(4, Node(2, "c"));
  primary().SetWeight(4, 40);
  primary().counters(2).requests = 3;
  (void)primary().health(4).OnFailure(Estate::kNow.monotonic_ms,
                                      HealthPolicy());
  backup().SetPeer(1, Node(3, "b"));
  backup().SetWeight(1, 5);
  UpstreamSums sums(*upstream_);
  for (const PeerFacts& facts : AllPeers(*upstream_)) {
    sums.Add(*upstream_, facts);
  }
  EXPECT_EQ(sums.group[0].weight, 70u);
  EXPECT_EQ(sums.group[0].peers, 4u);
  EXPECT_EQ(sums.group[0].serving, 2u);
  EXPECT_EQ(sums.group[0].failed, 1u);
  EXPECT_EQ(sums.servers[0].weight, 10u);
  EXPECT_EQ(sums.servers[1].peers, 1u);
  ASSERT_EQ(sums.lines.size(), 3u);
  EXPECT_EQ(sums.lines[0].weight, 20u);
  EXPECT_EQ(sums.lines[0].requests, 3u);
  EXPECT_EQ(sums.lines[0].recent, 3u);
  EXPECT_EQ(sums.lines[1].weight, 5u);
  EXPECT_EQ(sums.lines[2].failed, 1u);
}

// What the thread wrote last was that all is well.
TEST(WatcherAgeTest, AThreadThatHangsIsFoundOutByOthers) {
  Estate estate;
  ClusterStatus well;
  well.synced = true;
  const ClusterModel& cluster =
      estate.model.clusters[estate.AddCluster("bj", well)];
  Moment now = Estate::kNow;
  EXPECT_TRUE(IsUp(ReadClusterStatus(cluster, now)));
  now.monotonic_ms += kWatcherLateMs;
  EXPECT_TRUE(IsUp(ReadClusterStatus(cluster, now)));
  now.monotonic_ms += 1;
  const ClusterStatus late = ReadClusterStatus(cluster, now);
  EXPECT_FALSE(IsUp(late));
  EXPECT_EQ(late.last_error,
            "the watcher has not been seen at work for 20 s: its thread, or "
            "worker 0, hangs or could not start; weights hold");
  EXPECT_EQ(late.failing_since_ms, now.unix_ms - 20001);
  estate.watcher_seen_ms = now.monotonic_ms;
  EXPECT_TRUE(IsUp(ReadClusterStatus(cluster, now)));
}

}  // namespace
}  // namespace dynweight

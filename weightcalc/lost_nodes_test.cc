// Tests of which nodes stay in use although they are not ready.

#include "weightcalc/lost_nodes.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

std::vector<IngressNode> Nodes(int first, int count) {
  std::vector<IngressNode> nodes;
  for (int i = first; i < first + count; ++i) {
    nodes.push_back({*IpAddress::Parse(absl::StrCat("10.0.0.", 100 + i)), ""});
  }
  return nodes;
}

TEST(LostNodes, OneAfterTheOtherStopsAtHalf) {
  LostNodes lost({});
  EXPECT_EQ(lost.Usable(Nodes(0, 10), {}, {}).size(), 10u);
  for (int live = 9; live >= 5; --live) {
    EXPECT_EQ(lost.Usable(Nodes(0, live), Nodes(live, 10 - live), {}),
              Nodes(0, live));
    EXPECT_EQ(lost.kept(), 0u);
  }
  for (int live = 4; live >= 0; --live) {
    EXPECT_EQ(lost.Usable(Nodes(0, live), Nodes(live, 10 - live), {}),
              Nodes(0, 10));
    EXPECT_EQ(lost.kept(), 10u - static_cast<size_t>(live));
  }
  EXPECT_EQ(lost.Usable(Nodes(0, 5), Nodes(5, 5), {}), Nodes(0, 5));
}

TEST(LostNodes, NineOfTenAtOnceAllStay) {
  LostNodes lost({});
  lost.Usable(Nodes(0, 10), {}, {});
  EXPECT_EQ(lost.Usable(Nodes(0, 1), Nodes(1, 9), {}), Nodes(0, 10));
}

TEST(LostNodes, ThoseInUseFromBeforeCanBeLost) {
  LostNodes lost(Nodes(0, 10));
  EXPECT_EQ(lost.Usable(Nodes(0, 1), Nodes(1, 9), {}), Nodes(0, 10));
}

TEST(LostNodes, NodesThatWereNeverReadyAreNotLost) {
  LostNodes lost({});
  EXPECT_EQ(lost.Usable(Nodes(0, 1), Nodes(1, 9), {}), Nodes(0, 1));
}

TEST(LostNodes, NodesWhoseObjectIsGoneAreNotLost) {
  LostNodes lost({});
  lost.Usable(Nodes(0, 10), {}, {});
  EXPECT_EQ(lost.Usable(Nodes(0, 1), {}, {}), Nodes(0, 1));
  // They begin anew.
  EXPECT_EQ(lost.Usable(Nodes(0, 1), Nodes(1, 9), {}), Nodes(0, 1));
}

TEST(LostNodes, NodesThatTheirOwnerTookAwayAreNotLost) {
  LostNodes lost({});
  lost.Usable(Nodes(0, 3), {}, {});
  // Their controllers' pods were replaced, and are not ready yet.
  EXPECT_EQ(lost.Usable(Nodes(0, 1), Nodes(1, 2),
                        {Nodes(1, 1)[0].address, Nodes(2, 1)[0].address}),
            Nodes(0, 1));
}

}  // namespace
}  // namespace dynweight

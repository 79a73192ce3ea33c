// Tests of the watcher as a whole: Services whose pods stand in many slices,
// also while a controller rewrites them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "watcher/testing/watcher_fixture.h"

namespace dynweight {
namespace {

class WatcherSlicesTest
    : public WatcherTest,
      public ::testing::WithParamInterface<ClusterConfig::Mode> {
 protected:
  // "orders" in cluster "bj", and "marks", which tell how far the watcher is.
  void SetUp() override {
    fake_ = AddCluster("bj", GetParam());
    config_.clusters[0].guard.confirm_ms = 60000;
    AddLine(0, "orders");
    AddLine(0, "marks");
    Mark();
  }
  void StartAt(uint32_t weight) {
    Start();
    ASSERT_TRUE(Until([this, weight] { return Weight(0) == weight; }))
        << Weight(0);
  }
  void Mark() { fake_->SetApp({"prod", "marks", marks_ += 3}); }
  // Whatever the fake cluster said so far is in the tables.
  [[nodiscard]] bool CaughtUp() {
    Mark();
    return Until(
        [this] { return Weight(1) == static_cast<uint32_t>(marks_) * 10 / 3; });
  }
  int Changes() const {
    return LogLines(LogLine::Level::kNotice, "upstream \"orders\"");
  }

  FakeCluster* fake_ = nullptr;
  int marks_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Modes, WatcherSlicesTest,
                         ::testing::Values(kWatch, kPoll),
                         [](const auto& mode) {
                           return mode.param == kWatch ? "Watch" : "Poll";
                         });

// A slice of "orders" with pods first .. last.
std::string Slice(const std::string& name, int first, int last) {
  std::string endpoints;
  for (int i = first; i <= last; ++i) {
    absl::StrAppend(&endpoints, i == first ? "" : ",",
                    R"({"addresses":["10.1.0.)", i,
                    R"("],"conditions":{"ready":true},)",
                    R"("targetRef":{"kind":"Pod","uid":"pod-)", i, R"("}})");
  }
  return absl::StrCat(
      R"({"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1",)",
      R"("metadata":{"namespace":"prod","name":")", name,
      R"(","labels":{"kubernetes.io/service-name":"orders"}},)",
      R"("addressType":"IPv4","endpoints":[)", endpoints, "]}");
}

TEST_P(WatcherSlicesTest, DualStackPodsCountOnce) {
  FakeApp app = {"prod", "orders", 12};
  app.dual_stack = true;
  fake_->SetApp(app);
  StartAt(40);
  app.pods = 30;
  fake_->SetApp(app);
  EXPECT_TRUE(Until([this] { return Weight(0) == 100; }));
  EXPECT_EQ(Changes(), 2) << LogText();
}

TEST_P(WatcherSlicesTest, APodThatMovesToAnotherSliceCountsOnce) {
  fake_->Put(Slice("a", 1, 9));
  fake_->Put(Slice("b", 10, 12));
  StartAt(40);
  for (int moved = 9; moved > 1; --moved) {
    fake_->Put(Slice("b", moved, 12));  // stands in both
    fake_->Put(Slice("a", 1, moved - 1));
  }
  ASSERT_TRUE(CaughtUp());
  fake_->Put(Slice("b", 10, 12));  // stands in none for a moment
  fake_->Put(Slice("a", 1, 9));
  ASSERT_TRUE(CaughtUp());
  EXPECT_EQ(Weight(0), 40u);
  EXPECT_EQ(Changes(), 1) << LogText();
}

TEST_P(WatcherSlicesTest, FifteenHundredPodsCountRightWhileSlicesAreRewritten) {
  FakeApp app = {"prod", "orders", 1500};
  app.slices = 15;
  fake_->SetApp(app);
  StartAt(5000);
  // All pods move: whole slices go before others take their pods.
  for (const int slices : {16, 10, 3, 14, 15}) {
    app.slices = slices;
    fake_->SetApp(app);
    ASSERT_TRUE(CaughtUp()) << slices;
    EXPECT_EQ(Weight(0), 5000u) << slices;
  }
  EXPECT_EQ(Changes(), 1) << LogText();

  app.pods = 1800;
  app.slices = 18;
  fake_->SetApp(app);
  EXPECT_TRUE(Until([this] { return Weight(0) == 6000; }));
}

}  // namespace
}  // namespace dynweight

// Tests of the marks that observed shares are measured from.

#include "weightcalc/sampling_window.h"

#include <gtest/gtest.h>

#include "weightcalc/forked_process.h"

namespace dynweight {
namespace {

constexpr uint32_t kWindowSlots = 5;

class ShareWindowTest : public testing::Test {
 protected:
  void Serve(uint32_t slot, uint64_t requests) {
    table_.counters(slot).requests += requests;
  }
  uint64_t Since(uint32_t slot) const {
    return window_.Since(slot, table_.counters(slot).requests);
  }
  void Roll(int64_t now_ms) {
    window_.Roll(table_, 0, 2);
    window_.Roll(table_, 2, kWindowSlots - 2);
    window_.Finish(/*restarted=*/false, now_ms);
  }

  SharedMapping table_memory_{PeerTable::Bytes(kWindowSlots, 1)};
  PeerTable table_ = PeerTable::Create(table_memory_.get(), kWindowSlots, 1);
  SharedMapping memory_{SamplingWindow::Bytes(kWindowSlots)};
  SamplingWindow window_ = SamplingWindow::Create(memory_.get(), kWindowSlots, 1000);
};

TEST_F(ShareWindowTest, CountsFromItsBeginning) {
  Serve(0, 7);
  EXPECT_EQ(Since(0), 7u);
  EXPECT_EQ(Since(4), 0u);
  EXPECT_EQ(window_.began_ms(), 1000);
  EXPECT_EQ(window_.capacity(), kWindowSlots);
}

TEST_F(ShareWindowTest, MeasuresFromTheOlderOfTwoMarks) {
  Serve(4, 1);
  Roll(2000);
  Serve(4, 10);
  EXPECT_EQ(Since(4), 11u);
  EXPECT_EQ(window_.began_ms(), 1000);
  Roll(3000);
  Serve(4, 100);
  EXPECT_EQ(Since(4), 110u);
  EXPECT_EQ(window_.began_ms(), 2000);
}

TEST_F(ShareWindowTest, ARestartForgetsWhatWas) {
  Serve(1, 5);
  window_.Restart(table_, 0, kWindowSlots);
  window_.Finish(/*restarted=*/true, 4000);
  EXPECT_EQ(Since(1), 0u);
  EXPECT_EQ(window_.began_ms(), 4000);
  Serve(1, 2);
  EXPECT_EQ(Since(1), 2u);
}

TEST_F(ShareWindowTest, ANewPeerInASlotCountsFromZero) {
  Serve(3, 50);
  window_.Restart(table_, 0, kWindowSlots);
  table_.SetPeer(3, PeerIdentity());
  Serve(3, 4);
  EXPECT_EQ(Since(3), 4u);
}

}  // namespace
}  // namespace dynweight

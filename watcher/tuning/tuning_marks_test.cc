// Tests of the marks that tell the status which rule is for which slot.

#include "watcher/tuning/tuning_marks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "watcher/testing/table_memory.h"
#include "watcher/testing/tuning_config.h"
#include "watcher/tuning/tuning_reader.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TuningMarksTest : public ::testing::Test {
 protected:
  TuningMarksTest() : marker_(config_, {orders_.table(), kvm_.table()}) {
    Assign(2, "10.0.0.1");
    Assign(3, "10.0.0.2");
    Assign(6, "10.1.0.1");
  }
  void Assign(uint32_t slot, const char* address) {
    PeerIdentity identity;
    identity.address = *IpAddress::Parse(address);
    identity.port = 80;
    orders_.table().SetPeer(slot, identity);
  }
  void Rules(const std::string& text) {
    tuning_ = ReadTuning(text, config_).value();
    tuning_.Advance(0);
    marker_.OnRules();
  }
  TuningMarks Mark(uint32_t table) {
    TuningMarks marks;
    EXPECT_EQ(marker_.Mark(tuning_, &marks), table);
    return marks;
  }

  const WatcherConfig config_ = TuningConfig();
  const TableMemory orders_{10};
  const TableMemory kvm_{3};
  Tuning tuning_;
  TuningMarker marker_;
};

TEST_F(TuningMarksTest, EverySlotHasItsRule) {
  Rules(R"({"rules":[{"cluster":"bj","scale":2},
                     {"server":"10.20.0.11","weight":3},
                     {"server":"10.0.0.2","drain":true},
                     {"cluster":"bj","min":5}]})");
  EXPECT_THAT(Mark(0), ElementsAre(2, 0, 1, 3, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(Mark(1), ElementsAre(2, 0, 0));
  TuningMarks marks;
  EXPECT_FALSE(marker_.Mark(tuning_, &marks).has_value());
  EXPECT_THAT(marker_.Peers(tuning_), ElementsAre(2, 2, 1, 2));
}

TEST_F(TuningMarksTest, TheFirstMarksAreGivenOutEvenIfThereAreNone) {
  EXPECT_THAT(Mark(0), ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(Mark(1), ElementsAre(0, 0, 0));
  marker_.OnRules();
  EXPECT_THAT(Mark(0), IsEmpty());
}

TEST_F(TuningMarksTest, ATableWithOtherPeersIsMarkedAnew) {
  Rules(R"({"rules":[{"server":"10.0.0.9","drain":true}]})");
  Mark(0);
  Mark(1);
  EXPECT_THAT(marker_.Peers(tuning_), ElementsAre(0));
  Assign(4, "10.0.0.9");
  marker_.OnPeers(0);
  EXPECT_THAT(Mark(0), ElementsAre(0, 0, 0, 0, 1, 0, 0, 0, 0, 0));
  EXPECT_THAT(marker_.Peers(tuning_), ElementsAre(1));
}

}  // namespace
}  // namespace dynweight

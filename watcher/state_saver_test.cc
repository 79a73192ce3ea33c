// Tests of when the state file is written.

#include "watcher/state_saver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dynweight {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StateSaverTest : public ::testing::Test {
 protected:
  StateSaver Saver(const std::string& path) {
    return StateSaver(
        path,
        [this](const std::string&, const std::vector<ClusterView>&) {
          ++writes_;
          return result_;
        },
        &log_);
  }

  ChangeLog log_;
  int writes_ = 0;
  absl::Status result_;
  std::vector<ClusterView> views_;
  StateSaver saver_ = Saver("/state.json");
};

TEST_F(StateSaverTest, AChangeIsSavedAfterTheDebounce) {
  EXPECT_EQ(saver_.DeadlineMs(), kNever);
  saver_.OnChanged(1000);
  saver_.OnChanged(1100);  // does not put it off
  EXPECT_EQ(saver_.DeadlineMs(), 1200);
  saver_.Tick(views_, 1199);
  EXPECT_EQ(writes_, 0);
  saver_.Tick(views_, 1200);
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(saver_.DeadlineMs(), kNever);
}

TEST_F(StateSaverTest, AtMostOneWriteASecond) {
  saver_.OnChanged(1000);
  saver_.Tick(views_, 1200);
  saver_.OnChanged(1300);
  EXPECT_EQ(saver_.DeadlineMs(), 2200);
}

TEST_F(StateSaverTest, NewerTimesOfObservationAloneCanWait) {
  saver_.OnObserved(1000);
  saver_.OnObserved(5000);
  EXPECT_EQ(saver_.DeadlineMs(), 61000);
  saver_.Flush(views_, 5000);
  EXPECT_EQ(writes_, 0);
}

TEST_F(StateSaverTest, FlushSavesWhatIsUnsaved) {
  saver_.OnChanged(1000);
  saver_.Flush(views_, 1001);
  EXPECT_EQ(writes_, 1);
  saver_.Flush(views_, 1002);
  EXPECT_EQ(writes_, 1);
}

TEST_F(StateSaverTest, AFailureIsLoggedOnceUntilItChangesAndTriedAgain) {
  result_ = absl::UnavailableError("disk full");
  saver_.OnChanged(0);
  for (int i = 0; i < 5; ++i) saver_.Tick(views_, saver_.DeadlineMs());
  EXPECT_EQ(writes_, 5);
  auto lines = log_.Take(100000);
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].level, LogLine::Level::kError);
  EXPECT_THAT(lines[0].text, HasSubstr("disk full"));

  result_ = absl::PermissionDeniedError("no permission");
  saver_.Tick(views_, saver_.DeadlineMs());
  EXPECT_THAT(log_.Take(200000), SizeIs(1));

  result_ = absl::OkStatus();
  saver_.Tick(views_, saver_.DeadlineMs());
  lines = log_.Take(300000);
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0].text, HasSubstr("written again"));
  EXPECT_EQ(saver_.DeadlineMs(), kNever);
}

TEST_F(StateSaverTest, ChangesDoNotHastenTheRetry) {
  result_ = absl::UnavailableError("disk full");
  saver_.OnChanged(0);
  saver_.Tick(views_, 200);
  saver_.OnChanged(300);
  EXPECT_EQ(saver_.DeadlineMs(), 200 + StateSaver::kRetryMs);
}

TEST_F(StateSaverTest, WithoutAPathNothingIsSaved) {
  StateSaver none = Saver("");
  none.OnChanged(0);
  none.OnObserved(0);
  EXPECT_EQ(none.DeadlineMs(), kNever);
  none.Flush(views_, 10);
  EXPECT_EQ(writes_, 0);
  EXPECT_THAT(log_.Take(10), IsEmpty());
}

}  // namespace
}  // namespace dynweight

// Tests of when the state file is written.

#include "watcher/state/state_saver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace dynweight {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StateSaverTest : public ::testing::Test {
 protected:
  // Saves if it is time, and takes notice of how it went.
  void Tick(int64_t now_ms) {
    saver_.Tick(views_, {}, now_ms);
    saver_.WaitForWriter();
    saver_.Tick(views_, {}, now_ms);
  }
  StateSaver::Write Write() {
    return [this](const std::string&, std::string_view, const StateAuthor&) {
      ++writes_;
      return result_;
    };
  }

  LogQueue log_;
  std::atomic<int> writes_{0};
  absl::Status result_;
  std::vector<ClusterView> views_;
  StateSaver saver_{"/state.json", Write(), &log_, nullptr};
};

TEST_F(StateSaverTest, AChangeIsSavedAfterTheDebounce) {
  EXPECT_EQ(saver_.DeadlineMs(), kNever);
  saver_.OnChanged(1000);
  saver_.OnChanged(1100);  // does not put it off
  EXPECT_EQ(saver_.DeadlineMs(), 1200);
  Tick(1199);
  EXPECT_EQ(writes_, 0);
  Tick(1200);
  EXPECT_EQ(writes_, 1);
  EXPECT_EQ(saver_.DeadlineMs(), kNever);
}

TEST_F(StateSaverTest, AtMostOneWriteASecond) {
  saver_.OnChanged(1000);
  Tick(1200);
  saver_.OnChanged(1300);
  EXPECT_EQ(saver_.DeadlineMs(), 2200);
}

TEST_F(StateSaverTest, TheLargerTheStateTheFewerWrites) {
  views_.emplace_back().node_source = std::string(500000, 'x');
  saver_.OnChanged(0);
  Tick(200);
  saver_.OnChanged(300);
  EXPECT_GT(saver_.DeadlineMs(), 7000);
  EXPECT_LT(saver_.DeadlineMs(), 9000);
}

TEST_F(StateSaverTest, NewerTimesOfObservationAloneCanWait) {
  saver_.OnObserved(1000);
  saver_.OnObserved(5000);
  EXPECT_EQ(saver_.DeadlineMs(), 61000);
  saver_.Flush(views_, {}, 5000);
  EXPECT_EQ(writes_, 0);
}

TEST_F(StateSaverTest, FlushSavesWhatIsUnsaved) {
  saver_.OnChanged(1000);
  saver_.Flush(views_, {}, 1001);
  EXPECT_EQ(writes_, 1);
  saver_.Flush(views_, {}, 1002);
  EXPECT_EQ(writes_, 1);
}

TEST_F(StateSaverTest, AFailureIsLoggedOnceUntilItChangesAndTriedAgain) {
  result_ = absl::UnavailableError("disk full");
  saver_.OnChanged(0);
  for (int i = 0; i < 5; ++i) Tick(saver_.DeadlineMs());
  EXPECT_EQ(writes_, 5);
  auto lines = log_.Take(100000);
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].level, LogLine::Level::kError);
  EXPECT_THAT(lines[0].text, HasSubstr("disk full"));

  result_ = absl::PermissionDeniedError("no permission");
  Tick(saver_.DeadlineMs());
  EXPECT_THAT(log_.Take(200000), SizeIs(1));

  result_ = absl::OkStatus();
  Tick(saver_.DeadlineMs());
  lines = log_.Take(300000);
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0].text, HasSubstr("written again"));
  EXPECT_EQ(saver_.DeadlineMs(), kNever);
}

TEST_F(StateSaverTest, ChangesDoNotHastenTheRetry) {
  result_ = absl::UnavailableError("disk full");
  saver_.OnChanged(0);
  Tick(200);
  saver_.OnChanged(300);
  EXPECT_EQ(saver_.DeadlineMs(), 200 + StateSaver::kRetryMs);
}

TEST_F(StateSaverTest, ADiskThatHangsIsToldOfAndDelaysNothing) {
  std::promise<void> release;
  StateSaver saver(
      "/state.json",
      [released = release.get_future().share()](
          const std::string&, std::string_view, const StateAuthor&) {
        released.wait();
        return absl::OkStatus();
      },
      &log_, nullptr);
  saver.OnChanged(0);
  saver.Tick(views_, {}, 200);
  EXPECT_EQ(saver.DeadlineMs(), 200 + StateSaver::kHangMs);
  saver.OnChanged(300);
  saver.Tick(views_, {}, saver.DeadlineMs());
  auto lines = log_.Take(100000);
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_EQ(lines[0].level, LogLine::Level::kError);
  EXPECT_THAT(lines[0].text, HasSubstr("see to the disk"));
  EXPECT_EQ(saver.DeadlineMs(), kNever);
  saver.Flush(views_, {}, 20000);  // or this test takes for ever

  release.set_value();
  saver.WaitForWriter();
  saver.Tick(views_, {}, 30000);
  lines = log_.Take(200000);
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0].text, HasSubstr("written again"));
}

TEST_F(StateSaverTest, WithoutAPathNothingIsSaved) {
  StateSaver none("", Write(), &log_, nullptr);
  none.OnChanged(0);
  none.OnObserved(0);
  EXPECT_EQ(none.DeadlineMs(), kNever);
  none.Flush(views_, {}, 10);
  EXPECT_EQ(writes_, 0);
  EXPECT_THAT(log_.Take(10), IsEmpty());
}

}  // namespace
}  // namespace dynweight

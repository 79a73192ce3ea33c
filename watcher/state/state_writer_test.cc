// Tests of writing on a thread of its own.

#include "watcher/state/state_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <vector>

namespace dynweight {
namespace {

using ::testing::ElementsAre;

// Patience for what is certain to come.
constexpr int64_t kLongMs = 60000;

// A disk that hangs until it is let go; what was written, in order.
class SlowDisk {
 public:
  StateWriter::Write Write() const {
    return [state = state_](const std::string& text) {
      state->begun.set_value();
      state->release.get_future().wait();
      state->written.set_value(text);
      return absl::OkStatus();
    };
  }
  void WaitForBegin() const { state_->begun.get_future().wait(); }
  void Release() const { state_->release.set_value(); }
  std::string Written() const { return state_->written.get_future().get(); }

 private:
  struct State {
    std::promise<void> begun;
    std::promise<void> release;
    std::promise<std::string> written;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

TEST(StateWriterTest, WritesAndTellsHowItWent) {
  std::promise<void> told;
  StateWriter writer(
      [](const std::string& text) {
        return text == "good" ? absl::OkStatus()
                              : absl::UnavailableError("disk full");
      },
      [&told] { told.set_value(); });
  EXPECT_FALSE(writer.busy());
  EXPECT_FALSE(writer.TakeResult().has_value());
  writer.Begin("good");
  told.get_future().wait();
  EXPECT_EQ(writer.TakeResult(), absl::OkStatus());
  EXPECT_FALSE(writer.TakeResult().has_value());

  told = std::promise<void>();
  writer.Begin("bad");
  told.get_future().wait();
  EXPECT_EQ(writer.TakeResult(), absl::UnavailableError("disk full"));
}

TEST(StateWriterTest, AnExceptionIsAFailure) {
  StateWriter writer(
      [](const std::string&) -> absl::Status { throw std::bad_alloc(); },
      nullptr);
  writer.Begin("text");
  ASSERT_TRUE(writer.Finish(kLongMs));
  EXPECT_TRUE(absl::IsResourceExhausted(*writer.TakeResult()));
}

TEST(StateWriterTest, OfTextsThatWaitTheLastIsWritten) {
  const SlowDisk disk;
  std::mutex mutex;
  std::vector<std::string> texts;
  StateWriter writer(
      [&, first = disk.Write()](const std::string& text) {
        if (text == "1") return first(text);
        const std::lock_guard<std::mutex> lock(mutex);
        texts.push_back(text);
        return absl::OkStatus();
      },
      nullptr);
  writer.Begin("1");
  disk.WaitForBegin();
  writer.Begin("2");
  writer.Begin("3");
  EXPECT_TRUE(writer.busy());
  disk.Release();
  ASSERT_TRUE(writer.Finish(kLongMs));
  const std::lock_guard<std::mutex> lock(mutex);
  EXPECT_THAT(texts, ElementsAre("3"));
}

TEST(StateWriterTest, ADiskThatHangsHoldsNobodyUp) {
  const SlowDisk disk;
  bool told = false;
  {
    StateWriter writer(disk.Write(), [&told] { told = true; });
    writer.Begin("text");
    disk.WaitForBegin();
    EXPECT_FALSE(writer.Finish(/*patience_ms=*/1));
    writer.Begin("never written");
  }
  disk.Release();
  EXPECT_EQ(disk.Written(), "text");
  EXPECT_FALSE(told);
}

}  // namespace
}  // namespace dynweight

// Tests of looking at what may hang.

#include "watcher/threads/background_look.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>

#include "absl/status/status.h"

namespace dynweight {
namespace {

using Look = BackgroundLook<std::string>;

template <typename Condition>
void WaitUntil(const Condition& condition) {
  while (!condition()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST(BackgroundLook, GivesWhatHasChangedOnce) {
  struct Shared {
    std::atomic<int> number{1};
    std::atomic<int> changes{0};
  };
  auto shared = std::make_shared<Shared>();
  Look look([shared] { return std::to_string(shared->number); }, 1,
            [shared] { ++shared->changes; });
  ASSERT_TRUE(look.WaitForFirst(60000));
  EXPECT_EQ(**look.TakeNew(), "1");
  EXPECT_FALSE(look.TakeNew());
  EXPECT_EQ(**look.Latest(), "1");
  shared->number = 2;
  WaitUntil([&] { return shared->changes == 2; });
  EXPECT_EQ(**look.TakeNew(), "2");
}

TEST(BackgroundLook, AnErrorIsAnAnswer) {
  Look look([] { return absl::NotFoundError("none"); }, 1, nullptr);
  ASSERT_TRUE(look.WaitForFirst(60000));
  EXPECT_EQ(look.TakeNew()->status(), absl::NotFoundError("none"));
}

TEST(BackgroundLook, WhoeverOnlyThrowsNeverAnswers) {
  auto looks = std::make_shared<std::atomic<int>>(0);
  Look look(
      [looks]() -> std::string {
        ++*looks;
        throw std::bad_alloc();
      },
      1, nullptr);
  WaitUntil([&] { return *looks >= 3; });
  EXPECT_FALSE(look.Latest());
}

TEST(BackgroundLook, ALookThatHangsIsToldAndHoldsUpNobody) {
  auto promise = std::make_shared<std::promise<void>>();
  auto ended = std::make_shared<std::atomic<bool>>(false);
  {
    Look look(
        [promise, ended] {
          promise->get_future().wait();
          *ended = true;
          return std::string("late");
        },
        1, [] { FAIL() << "nobody is there any more"; });
    WaitUntil([&] { return look.LookingMs() > 0; });
    EXPECT_FALSE(look.Latest());
    EXPECT_FALSE(look.TakeNew());
    EXPECT_FALSE(look.WaitForFirst(1));
  }
  EXPECT_FALSE(*ended);
  promise->set_value();  // what is left of it touches only what it owns
  WaitUntil([&] { return ended->load(); });
}

}  // namespace
}  // namespace dynweight

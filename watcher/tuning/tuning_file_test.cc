// Tests of taking up the tuning file, with time and file in the test's hand.

#include "watcher/tuning/tuning_file.h"

#include <cjson/cJSON.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "watcher/testing/manual_clock.h"
#include "watcher/testing/temporary_directory.h"
#include "watcher/testing/tuning_config.h"

namespace dynweight {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kFreeze[] = "{\"rules\":[{\"freeze\":true}]}";
constexpr char kDrain[] = "{\"rules\":[{\"node\":\"n\",\"drain\":true}]}";

class TuningFileTest : public ::testing::Test {
 protected:
  TuningFileTest() {
    config_.tuning_file = directory_.File("tuning.json");
    file_ =
        std::make_unique<TuningFile>(config_, ReadTuningFile, &clock_, &log_);
  }
  void Write(const std::string& text) { directory_.Write("tuning.json", text); }
  TuningFile::Changes Look() {
    clock_.now += TuningFile::kLookMs;
    return file_->Tick();
  }
  TuningFile::Changes LookTwice() {
    const TuningFile::Changes first = Look();
    TuningFile::Changes changes = Look();
    changes.rules |= first.rules;
    changes.status |= first.status;
    return changes;
  }
  std::string Log() {
    std::string text;
    for (const LogLine& line : log_.Take(clock_.now)) {
      absl::StrAppend(&text, line.text, "\n");
    }
    return text;
  }
  std::string Status() const {
    return file_->EncodeStatus(
        std::vector<uint32_t>(file_->tuning().rules().size()));
  }
  size_t Rules() const { return file_->tuning().rules().size(); }

  const TemporaryDirectory directory_;
  WatcherConfig config_ = TuningConfig();
  ManualClock clock_;
  LogQueue log_;
  std::unique_ptr<TuningFile> file_;
};

TEST_F(TuningFileTest, AContentCountsWhenTwoLooksFindIt) {
  Write(kFreeze);
  EXPECT_FALSE(Look().rules);
  const TuningFile::Changes changes = Look();
  EXPECT_TRUE(changes.rules);
  EXPECT_TRUE(changes.status);
  EXPECT_EQ(file_->text(), kFreeze);
  EXPECT_TRUE(file_->tuning().in_force(0));
  EXPECT_THAT(Log(), HasSubstr("is loaded: 1 rules\n"));
  EXPECT_FALSE(LookTwice().status);
}

TEST_F(TuningFileTest, ManyRulesLeaveTheLogRoomForOtherLines) {
  std::string rules = "{\"freeze\":true}";
  for (int i = 1; i < 200; ++i) rules += ",{\"freeze\":true}";
  Write(absl::StrCat("{\"rules\":[", rules, "]}"));
  LookTwice();
  EXPECT_EQ(Rules(), 200u);
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr("is loaded: 200 rules\n"));
  EXPECT_THAT(log, HasSubstr("has 175 more rules: see the status\n"));
}

TEST_F(TuningFileTest, LooksAreFarEnoughApart) {
  Write(kFreeze);
  Look();
  EXPECT_EQ(file_->DeadlineMs(), clock_.now + TuningFile::kLookMs);
  EXPECT_FALSE(file_->Tick().rules);
  EXPECT_LE(2 * TuningFile::kLookMs, 1000);
}

TEST_F(TuningFileTest, WithoutAFileNothingIsEverDue) {
  const WatcherConfig none;
  TuningFile file(none, ReadTuningFile, &clock_, &log_);
  EXPECT_EQ(file.DeadlineMs(), kNever);
  EXPECT_FALSE(file.Tick().status);
}

TEST_F(TuningFileTest, WhatIsBeingWrittenIsLeftAlone) {
  Write(kFreeze);
  LookTwice();
  Log();
  const std::string text = kDrain;
  for (size_t n = 0; n < text.size(); ++n) {
    Write(text.substr(0, n));
    EXPECT_FALSE(Look().status) << n;
  }
  EXPECT_EQ(file_->text(), kFreeze);
  EXPECT_EQ(Log(), "");
  Write(text);
  EXPECT_TRUE(LookTwice().rules);
  EXPECT_EQ(file_->text(), kDrain);
}

TEST_F(TuningFileTest, ABadContentIsToldOnceAndChangesNothing) {
  Write(kFreeze);
  LookTwice();
  Log();
  Write("{\n\"rules\":[{\"freze\":true}]}");
  const TuningFile::Changes changes = LookTwice();
  EXPECT_FALSE(changes.rules);
  EXPECT_TRUE(changes.status);
  EXPECT_EQ(file_->text(), kFreeze);
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr("tuning.json\":2:11: unknown key"));
  EXPECT_THAT(log, HasSubstr("the last good rules stay in force"));
  EXPECT_THAT(Status(), HasSubstr(":2:11: unknown key"));
  LookTwice();
  EXPECT_EQ(Log(), "");
  Write(kFreeze);
  EXPECT_FALSE(LookTwice().rules);
  EXPECT_THAT(Log(), HasSubstr("is good again"));
  EXPECT_THAT(Status(), HasSubstr("\"error\":null"));
}

TEST_F(TuningFileTest, AMissingOrHugeOrOddFileChangesNothing) {
  Write(kFreeze);
  LookTwice();
  Log();
  std::filesystem::remove(config_.tuning_file);
  EXPECT_FALSE(LookTwice().rules);
  EXPECT_THAT(Log(), HasSubstr("cannot be opened"));
  Write(std::string(kMaxTuningBytes + 1, ' '));
  EXPECT_FALSE(LookTwice().rules);
  EXPECT_THAT(Log(), HasSubstr("larger than 64 KiB"));
  std::filesystem::remove(config_.tuning_file);
  std::filesystem::create_directory(config_.tuning_file);
  EXPECT_FALSE(LookTwice().rules);
  EXPECT_THAT(Log(), HasSubstr("not a regular file"));
  EXPECT_EQ(file_->text(), kFreeze);
}

TEST_F(TuningFileTest, ASwappedLinkIsNoticed) {
  namespace fs = std::filesystem;
  for (const char* name : {"..1", "..2"}) {
    fs::create_directory(directory_.File(name));
  }
  directory_.Write("..1/tuning.json", kFreeze);
  directory_.Write("..2/tuning.json", kDrain);
  fs::create_symlink("..1", directory_.File("..data"));
  fs::create_symlink("..data/tuning.json", config_.tuning_file);
  LookTwice();
  EXPECT_EQ(file_->text(), kFreeze);
  fs::create_symlink("..2", directory_.File("..data_tmp"));
  fs::rename(directory_.File("..data_tmp"), directory_.File("..data"));
  EXPECT_TRUE(LookTwice().rules);
  EXPECT_EQ(file_->text(), kDrain);
}

TEST_F(TuningFileTest, WhatWasGoodIsInForceBeforeTheFirstLook) {
  file_->Restore(kFreeze);
  EXPECT_TRUE(file_->tuning().in_force(0));
  Write(kFreeze);
  EXPECT_FALSE(LookTwice().status);
  Write("{");
  LookTwice();
  EXPECT_EQ(Rules(), 1u);
  EXPECT_EQ(file_->text(), kFreeze);
}

TEST_F(TuningFileTest, RulesExpireByTheClockOnTheWall) {
  // ManualClock's time begins with 2023-11-14T22:13:20Z.
  Write("{\"rules\":[{\"freeze\":true,\"expires\":\"2023-11-14T22:13:25Z\"}]}");
  LookTwice();
  EXPECT_TRUE(file_->tuning().in_force(0));
  Log();
  clock_.now = 5000;
  EXPECT_TRUE(file_->Tick().rules);
  EXPECT_FALSE(file_->tuning().in_force(0));
  EXPECT_THAT(Log(), HasSubstr("has expired"));
}

TEST_F(TuningFileTest, RulesForNoPeerAreWarnedOfOnce) {
  Write(kDrain);
  LookTwice();
  Log();
  file_->NotePeers({0});
  EXPECT_THAT(Log(), HasSubstr("is for no peer"));
  file_->NotePeers({0});
  EXPECT_EQ(Log(), "");
}

TEST_F(TuningFileTest, TheStatusHasARuleALineAndStaysWithinItsRoom) {
  std::string text = "{\"rules\":[";
  const std::string reason(kMaxTuningReason - 10, '<');
  for (size_t i = 0; i < 200; ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ",",
                    "{\"freeze\":true,\"reason\":\"</script>", reason, "\"}");
  }
  Write(text + "]}");
  LookTwice();
  ASSERT_EQ(Rules(), 200u);
  const std::string status = Status();
  EXPECT_LE(status.size(), kMaxTuningStatusBytes);
  EXPECT_EQ(status.find('<'), std::string::npos);
  const std::unique_ptr<cJSON, decltype(&cJSON_Delete)> json(
      cJSON_Parse(status.c_str()), &cJSON_Delete);
  ASSERT_NE(json, nullptr);
  EXPECT_EQ(cJSON_GetArraySize(cJSON_GetObjectItem(json.get(), "rules")), 200);
  EXPECT_EQ(std::count(status.begin(), status.end(), '\n'), 201);
}

}  // namespace
}  // namespace dynweight

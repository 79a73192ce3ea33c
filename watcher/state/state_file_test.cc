// Tests of the state file.

#include "watcher/state/state_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "watcher/testing/temporary_directory.h"
#include "weightcalc/forked_process.h"

namespace dynweight {
namespace {

using testing::HasSubstr;

ClusterView View(std::string name, uint64_t pods, int nodes = 2) {
  ClusterView view;
  view.cluster = std::move(name);
  view.node_source = "service=ingress/controller";
  NodeSet& set = view.nodes.emplace();
  set.observed_ms = 1700000000000;
  for (int i = 0; i < nodes; i++) {
    set.nodes.push_back(
        {IpAddress::Parse(absl::StrCat("10.1.", i / 250, ".", i % 250 + 1))
             .value(),
         absl::StrCat("node-", i)});
  }
  view.pods["service=prod/orders"] = {pods, 1700000000001};
  return view;
}

absl::Status WriteViews(const std::string& path,
                        const std::vector<ClusterView>& views,
                        const StateAuthor& author = {}) {
  return WriteStateFile(path, EncodeState(views, author), author);
}

uint64_t PodsOf(const ClusterView& view) {
  return view.pods.at("service=prod/orders").pods;
}

class StateFileTest : public testing::Test {
 protected:
  void Write(const std::vector<ClusterView>& views) {
    const absl::Status status = WriteViews(path_, views);
    ASSERT_TRUE(status.ok()) << status;
  }
  std::string UnusableMessage() {
    const absl::Status status = ReadStateFile(path_).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
    EXPECT_THAT(std::string(status.message()), HasSubstr("remove it"));
    return std::string(status.message());
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.File("main.json");
};

TEST_F(StateFileTest, GivesBackWhatWasWritten) {
  Write({View("bj", 12), View("sh", 7)});
  const std::vector<ClusterView> views = ReadStateFile(path_).value();
  ASSERT_EQ(views.size(), 2u);
  EXPECT_EQ(EncodeClusterView(views[1], ViewRoom::Of(99)),
            EncodeClusterView(View("sh", 7), ViewRoom::Of(99)));
  EXPECT_EQ(directory_.Files(), 1u);
}

TEST_F(StateFileTest, NoClusterIsAStateToo) {
  Write({});
  EXPECT_TRUE(ReadStateFile(path_)->empty());
}

TEST_F(StateFileTest, ReplacesTheFormerFile) {
  Write({View("bj", 12, 500)});
  Write({View("bj", 30)});
  EXPECT_EQ(PodsOf(ReadStateFile(path_)->at(0)), 30u);
  EXPECT_EQ(directory_.Files(), 1u);
}

TEST_F(StateFileTest, AnOlderAuthorLeavesTheFileOfANewerOne) {
  const StateAuthor older{"boot", 1000};
  const StateAuthor newer{"boot", 2000};
  EXPECT_TRUE(WriteViews(path_, {View("bj", 12)}, older).ok());
  EXPECT_TRUE(WriteViews(path_, {View("bj", 30)}, newer).ok());
  EXPECT_TRUE(WriteViews(path_, {View("bj", 13)}, older).ok());
  EXPECT_EQ(PodsOf(ReadStateFile(path_)->at(0)), 30u);
  EXPECT_TRUE(WriteViews(path_, {View("bj", 31)}, newer).ok());
  EXPECT_EQ(PodsOf(ReadStateFile(path_)->at(0)), 31u);
  EXPECT_EQ(directory_.Files(), 1u);
}

TEST_F(StateFileTest, NoAuthorOfAnotherBootIsNewer) {
  EXPECT_TRUE(WriteViews(path_, {View("bj", 12)}, {"before", 2000}).ok());
  EXPECT_TRUE(WriteViews(path_, {View("bj", 30)}, {"after", 1000}).ok());
  EXPECT_EQ(PodsOf(ReadStateFile(path_)->at(0)), 30u);
  for (const char* text : {"garbage", R"({"format":1,"clusters":[]})",
                           R"({"format":1,"boot":7,"clusters":[]})"}) {
    directory_.Write("main.json", text);
    EXPECT_TRUE(WriteViews(path_, {View("bj", 31)}, {"after", 1000}).ok());
    EXPECT_EQ(PodsOf(ReadStateFile(path_)->at(0)), 31u) << text;
  }
}

TEST_F(StateFileTest, WhoBeginsLaterIsTheNewerAuthor) {
  const StateAuthor first = StateAuthor::Now();
  const StateAuthor second = StateAuthor::Now();
  EXPECT_FALSE(first.boot_id.empty());
  EXPECT_EQ(first.boot_id, second.boot_id);
  EXPECT_LE(first.began_us, second.began_us);
}

TEST_F(StateFileTest, OnlyItsOwnerMayReadIt) {
  Write({View("bj", 12)});
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(StateFileTest, IsNotFoundWhenThereIsNone) {
  EXPECT_TRUE(absl::IsNotFound(ReadStateFile(path_).status()));
  EXPECT_TRUE(absl::IsNotFound(
      ReadStateFile(directory_.File("no/such.json")).status()));
}

TEST_F(StateFileTest, RefusesATextCutOffAnywhere) {
  Write({View("bj", 12)});
  const std::string text = directory_.Read("main.json");
  ASSERT_EQ(text.back(), '\n');
  for (size_t n = 0; n + 1 < text.size(); n++) {
    directory_.Write("main.json", text.substr(0, n));
    UnusableMessage();
  }
}

TEST_F(StateFileTest, RefusesCorruptAndForeignTexts) {
  for (const char* text :
       {"garbage", "[]", "{}", "null", "\"x\"", R"({"format":"1"})",
        R"({"format":1})", R"({"format":1,"clusters":{}})",
        R"({"format":1,"clusters":[7]})", R"({"format":1,"clusters":[{}]})",
        R"({"format":1,"clusters":[{"name":"a","apps":{"b":{"pods":-1}}}]})",
        R"({"format":1,"clusters":[]} x)", R"({"kind":"Config"})"}) {
    directory_.Write("main.json", text);
    UnusableMessage();
  }
  directory_.Write("main.json", std::string(4096, '\0'));
  UnusableMessage();
}

TEST_F(StateFileTest, RefusesOtherFormats) {
  directory_.Write("main.json", R"({"format":2,"clusters":[]})");
  EXPECT_THAT(UnusableMessage(), HasSubstr("format 2"));
}

TEST_F(StateFileTest, RefusesAFileThatIsTooLarge) {
  directory_.Write("main.json", "{");
  ASSERT_EQ(truncate(path_.c_str(), (64 << 20) + 1), 0);
  EXPECT_THAT(UnusableMessage(), HasSubstr("larger than"));
}

TEST_F(StateFileTest, RefusesWhatIsNoRegularFile) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(UnusableMessage(), HasSubstr("not a regular file"));
  ASSERT_EQ(unlink(path_.c_str()), 0);

  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  EXPECT_THAT(UnusableMessage(), HasSubstr("not a regular file"));
  ASSERT_EQ(rmdir(path_.c_str()), 0);

  directory_.Write("other.json", R"({"format":1,"clusters":[]})");
  ASSERT_EQ(symlink("other.json", path_.c_str()), 0);
  EXPECT_THAT(UnusableMessage(), HasSubstr("not a regular file"));
}

TEST_F(StateFileTest, NeverReplacesWhatIsNoRegularFile) {
  directory_.Write("other.json", "kept");
  ASSERT_EQ(symlink("other.json", path_.c_str()), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(WriteViews(path_, {View("bj", 12)})));
  EXPECT_EQ(directory_.Read("other.json"), "kept");
  EXPECT_EQ(directory_.Files(), 2u);
}

TEST_F(StateFileTest, MissingFolderIsNamedWithTheMend) {
  const std::string path = directory_.File("no/such.json");
  const absl::Status status = WriteViews(path, {View("bj", 12)});
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  EXPECT_THAT(std::string(status.message()), HasSubstr("directory"));
}

TEST_F(StateFileTest, FullDiskLeavesTheFormerFileAndNoLitter) {
  Write({View("bj", 12)});
  const Shared<std::atomic<int>> code;
  ForkedProcess child([this, &code] {
    // A write beyond the limit fails as on a full disk.
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
    *code =
        1 + static_cast<int>(WriteViews(path_, {View("bj", 30, 1000)}).code());
  });
  ASSERT_TRUE(child.Join());
  EXPECT_NE(*code, 0);
  EXPECT_NE(*code, 1 + static_cast<int>(absl::StatusCode::kOk));
  EXPECT_EQ(PodsOf(ReadStateFile(path_)->at(0)), 12u);
  EXPECT_EQ(directory_.Files(), 1u);
}

TEST_F(StateFileTest, RemovesWhatAKilledWriterLeft) {
  Write({View("bj", 12)});
  directory_.Write("main.json.tmp.aB3xyz", "half a file");
  directory_.Write("main.json.tmp.other-name", "not ours");
  directory_.Write("other.json.tmp.aB3xyz", "of another file");
  EXPECT_TRUE(ReadStateFile(path_).ok());
  EXPECT_EQ(directory_.Files(), 3u);
  EXPECT_EQ(directory_.Read("main.json.tmp.aB3xyz"), "");
}

TEST_F(StateFileTest, KilledWriterLeavesTheOldFileOrTheNewOne) {
  Write({View("bj", 0, 300)});
  uint64_t latest = 0;
  for (int round = 0; round < 40; round++) {
    const Shared<std::atomic<uint64_t>> begun;
    const Shared<std::atomic<uint64_t>> written;
    *begun = *written = latest;
    ForkedProcess writer([this, &begun, &written] {
      for (;;) {
        const uint64_t pods = *begun + 1;
        *begun = pods;
        if (!WriteViews(path_, {View("bj", pods, 300)}).ok()) _exit(1);
        *written = pods;
      }
    });
    const uint64_t target = latest + 1 + static_cast<uint64_t>(round % 3);
    WaitUntil([&written, target] { return *written >= target; });
    writer.Kill();

    const std::vector<ClusterView> views = ReadStateFile(path_).value();
    ASSERT_EQ(views.size(), 1u);
    EXPECT_EQ(views[0].nodes->nodes.size(), 300u);
    EXPECT_GE(PodsOf(views[0]), *written);
    EXPECT_LE(PodsOf(views[0]), *begun);
    EXPECT_EQ(directory_.Files(), 1u);
    latest = PodsOf(views[0]);
  }
}

TEST_F(StateFileTest, ReadersNeverDisturbAWriter) {
  Write({View("bj", 0)});
  ForkedProcess writer([this] {
    for (uint64_t i = 0; i < 200; i++) {
      if (!WriteViews(path_, {View("bj", i)}).ok()) _exit(1);
    }
  });
  for (int i = 0; i < 400; i++) {
    const absl::Status status = ReadStateFile(path_).status();
    EXPECT_TRUE(status.ok()) << status;
  }
  EXPECT_TRUE(writer.Join());
  EXPECT_EQ(PodsOf(ReadStateFile(path_)->at(0)), 199u);
}

}  // namespace
}  // namespace dynweight

// Tests of credential_files.h.

#include "watcher/credential_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

namespace dynweight {
namespace {

using testing::HasSubstr;
using testing::Not;

class CredentialFilesTest : public testing::Test {
 protected:
  CredentialFilesTest() {
    std::string folder = testing::TempDir() + "/credentials.XXXXXX";
    folder_ = mkdtemp(folder.data());
    path_ = folder_ + "/token";
  }
  ~CredentialFilesTest() override {
    for (const char* name : {"/token", "/new", "/a", "/b"}) {
      unlink((folder_ + name).c_str());
    }
    rmdir(folder_.c_str());
  }

  void Write(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
  }
  std::string Error() {
    const absl::Status status = files_.ReadToken(path_).status();
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
    return std::string(status.message());
  }

  std::string folder_, path_;
  CredentialFiles files_;
};

TEST_F(CredentialFilesTest, ATokenIsTrimmed) {
  Write(path_, " secret\r\n\n");
  EXPECT_EQ(*files_.ReadToken(path_), "secret");
}

TEST_F(CredentialFilesTest, AFileReplacedByRenameIsReadAgain) {
  Write(path_, "one");
  EXPECT_EQ(*files_.ReadToken(path_), "one");
  Write(folder_ + "/new", "two");
  ASSERT_EQ(rename((folder_ + "/new").c_str(), path_.c_str()), 0);
  EXPECT_EQ(*files_.ReadToken(path_), "two");
}

TEST_F(CredentialFilesTest, ASymbolicLinkThatMovesIsFollowed) {
  Write(folder_ + "/a", "one");
  Write(folder_ + "/b", "two");
  ASSERT_EQ(symlink((folder_ + "/a").c_str(), path_.c_str()), 0);
  EXPECT_EQ(*files_.ReadToken(path_), "one");
  unlink(path_.c_str());
  ASSERT_EQ(symlink((folder_ + "/b").c_str(), path_.c_str()), 0);
  EXPECT_EQ(*files_.ReadToken(path_), "two");
}

TEST_F(CredentialFilesTest, AFileRewrittenInPlaceIsReadAgain) {
  Write(path_, "one");
  EXPECT_EQ(*files_.ReadToken(path_), "one");
  Write(path_, "other");
  EXPECT_EQ(*files_.ReadToken(path_), "other");
}

TEST_F(CredentialFilesTest, AForgottenFileIsReadAgain) {
  Write(path_, "one");
  EXPECT_EQ(*files_.ReadToken(path_), "one");
  files_.Forget(path_);
  EXPECT_EQ(*files_.ReadToken(path_), "one");
}

TEST_F(CredentialFilesTest, AFileThatVanishesIsAnError) {
  Write(path_, "one");
  EXPECT_TRUE(files_.ReadToken(path_).ok());
  unlink(path_.c_str());
  EXPECT_THAT(Error(), HasSubstr(path_));
}

TEST_F(CredentialFilesTest, ControlCharactersAreRefusedAndNotQuoted) {
  for (const char* token : {"secret\r\nX-Evil: 1", "sec\tret", "sec\x7fret"}) {
    Write(path_, token);
    EXPECT_THAT(Error(), Not(HasSubstr("sec")));
  }
}

TEST_F(CredentialFilesTest, AnEmptyOrBlankTokenIsAnError) {
  Write(path_, "");
  EXPECT_THAT(Error(), HasSubstr("is empty"));
  Write(path_, " \n ");
  EXPECT_THAT(Error(), HasSubstr("no token"));
}

TEST_F(CredentialFilesTest, ATokenIsAtMost64KiB) {
  Write(path_, std::string(kMaxTokenBytes, 'x'));
  EXPECT_TRUE(files_.ReadToken(path_).ok());
  Write(path_, std::string(kMaxTokenBytes + 1, 'x'));
  EXPECT_THAT(Error(), HasSubstr("longer"));
}

TEST_F(CredentialFilesTest, ANamedPipeDoesNotBlock) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(Error(), HasSubstr("no regular file"));
}

}  // namespace
}  // namespace dynweight

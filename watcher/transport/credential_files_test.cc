// Tests of credential_files.h.

#include "watcher/transport/credential_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "watcher/testing/temporary_directory.h"

namespace dynweight {
namespace {

using testing::HasSubstr;
using testing::Not;

class CredentialFilesTest : public testing::Test {
 protected:
  void Write(std::string_view content) { directory_.Write("token", content); }
  std::string Error() {
    const absl::Status status = files_.ReadToken(path_).status();
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
    return std::string(status.message());
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_.File("token");
  CredentialFiles files_;
};

TEST_F(CredentialFilesTest, ATokenIsTrimmed) {
  Write(" secret\r\n\n");
  EXPECT_EQ(*files_.ReadToken(path_), "secret");
}

TEST_F(CredentialFilesTest, AFileReplacedByRenameIsReadAgain) {
  Write("one");
  EXPECT_EQ(*files_.ReadToken(path_), "one");
  const std::string other = directory_.Write("new", "two");
  ASSERT_EQ(rename(other.c_str(), path_.c_str()), 0);
  EXPECT_EQ(*files_.ReadToken(path_), "two");
}

TEST_F(CredentialFilesTest, ASymbolicLinkThatMovesIsFollowed) {
  const std::string a = directory_.Write("a", "one");
  const std::string b = directory_.Write("b", "two");
  ASSERT_EQ(symlink(a.c_str(), path_.c_str()), 0);
  EXPECT_EQ(*files_.ReadToken(path_), "one");
  unlink(path_.c_str());
  ASSERT_EQ(symlink(b.c_str(), path_.c_str()), 0);
  EXPECT_EQ(*files_.ReadToken(path_), "two");
}

TEST_F(CredentialFilesTest, AFileRewrittenInPlaceIsReadAgain) {
  Write("one");
  EXPECT_EQ(*files_.ReadToken(path_), "one");
  Write("other");
  EXPECT_EQ(*files_.ReadToken(path_), "other");
}

TEST_F(CredentialFilesTest, AForgottenFileIsReadAgain) {
  Write("one");
  EXPECT_EQ(*files_.ReadToken(path_), "one");
  files_.Forget(path_);
  EXPECT_EQ(*files_.ReadToken(path_), "one");
}

TEST_F(CredentialFilesTest, AFileThatVanishesIsAnError) {
  Write("one");
  EXPECT_TRUE(files_.ReadToken(path_).ok());
  unlink(path_.c_str());
  EXPECT_THAT(Error(), HasSubstr(path_));
}

TEST_F(CredentialFilesTest, ControlCharactersAreRefusedAndNotQuoted) {
  for (const char* token : {"secret\r\nX-Evil: 1", "sec\tret", "sec\x7fret"}) {
    Write(token);
    EXPECT_THAT(Error(), Not(HasSubstr("sec")));
  }
}

TEST_F(CredentialFilesTest, AnEmptyOrBlankTokenIsAnError) {
  Write("");
  EXPECT_THAT(Error(), HasSubstr("is empty"));
  Write(" \n ");
  EXPECT_THAT(Error(), HasSubstr("no token"));
}

TEST_F(CredentialFilesTest, ATokenIsAtMost64KiB) {
  Write(std::string(kMaxTokenBytes, 'x'));
  EXPECT_TRUE(files_.ReadToken(path_).ok());
  Write(std::string(kMaxTokenBytes + 1, 'x'));
  EXPECT_THAT(Error(), HasSubstr("longer"));
}

TEST_F(CredentialFilesTest, APasswordIsOneLineAndMayHaveBlanks) {
  Write(" a b\xc3\xa9\r\n");
  EXPECT_EQ(*files_.ReadPassword(path_), " a b\xc3\xa9");
  for (const char* content : {"\n", "sec\nret\n", "sec\rret"}) {
    Write(content);
    const auto read = files_.ReadPassword(path_);
    EXPECT_TRUE(absl::IsUnauthenticated(read.status()));
    EXPECT_THAT(std::string(read.status().message()), Not(HasSubstr("sec")));
  }
}

TEST_F(CredentialFilesTest, ASecretIsOneWord) {
  Write("s3cret/+=\r\n");
  EXPECT_EQ(*files_.ReadSecret(path_), "s3cret/+=");
  Write("n3w");
  EXPECT_EQ(*files_.ReadSecret(path_), "n3w");
  for (const char* content :
       {"\n", "sec\nret\n", "key sec\n", " sec", "sec\x7f", "s\xc3\xa9"}) {
    Write(content);
    const auto read = files_.ReadSecret(path_);
    EXPECT_TRUE(absl::IsUnauthenticated(read.status())) << content;
    EXPECT_THAT(std::string(read.status().message()),
                AllOf(HasSubstr(path_), Not(HasSubstr("sec\n")),
                      Not(HasSubstr("key sec"))));
  }
}

TEST_F(CredentialFilesTest, ANamedPipeDoesNotBlock) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(Error(), HasSubstr("no regular file"));
}

}  // namespace
}  // namespace dynweight

// Tests of what credential files must hold, and that they are read again.

#include "watcher/transport/credentials_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "watcher/testing/temporary_directory.h"

namespace dynweight {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CredentialsLookTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TemporaryDirectory;
    for (const char* name : {"a", "b"}) {
      const std::string command = absl::StrCat(
          "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
          "-nodes -days 30 -subj /CN=x -keyout ",
          Path(absl::StrCat(name, ".key")), " -out ",
          Path(absl::StrCat(name, ".pem")), " 2>/dev/null");
      ASSERT_EQ(std::system(command.c_str()), 0);
    }
  }
  static void TearDownTestSuite() { delete directory_; }

  static std::string Path(const std::string& name) {
    return directory_->File(name);
  }
  static std::string Content(const std::string& name) {
    return directory_->Read(name);
  }
  static std::string Write(const std::string& name, const std::string& text) {
    return directory_->Write(name, text);
  }
  static std::string WhatIsWrong(const Credentials& credentials) {
    return std::string(CheckCredentials(credentials).message());
  }
  static Credentials Ca(const std::string& text) {
    Credentials credentials;
    credentials.ca_file = Write("ca", text);
    return credentials;
  }
  static Credentials Token(const std::string& text) {
    Credentials credentials;
    credentials.token_file = Write("token", text);
    return credentials;
  }
  static Credentials Kubeconfig(const std::string& cluster,
                                const std::string& user,
                                const std::string& server = "https://a") {
    Credentials credentials;
    credentials.kubeconfig = Write(
        "kubeconfig",
        absl::StrCat("current-context: c\n"
                     "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
                     "clusters: [{name: k, cluster: {server: \"",
                     server, "\"", cluster, "}}]\nusers: [{name: u, user: {",
                     user, "}}]\n"));
    credentials.kubeconfig_server = "https://a";
    return credentials;
  }

  static TemporaryDirectory* directory_;
};

TemporaryDirectory* CredentialsLookTest::directory_ = nullptr;

TEST_F(CredentialsLookTest, GoodOnesAreTaken) {
  Credentials credentials;
  EXPECT_EQ(WhatIsWrong(credentials), "");
  credentials.ca_file = Write("ca", Content("a.pem") + Content("b.pem"));
  credentials.client_certificate = Path("a.pem");
  credentials.client_certificate_key = Path("a.key");
  credentials.token_file = Write("token", "one.word\n");
  EXPECT_EQ(WhatIsWrong(credentials), "");
}

TEST_F(CredentialsLookTest, AnAuthorityMustBePem) {
  std::string base64 = absl::Base64Escape(Content("a.pem"));
  EXPECT_THAT(WhatIsWrong(Ca(base64)), HasSubstr("base64 -d"));
  EXPECT_THAT(WhatIsWrong(Ca("x\n")), HasSubstr("holds no PEM"));
  EXPECT_THAT(WhatIsWrong(Ca(Content("a.key"))),
              HasSubstr("holds no certificate"));
  EXPECT_THAT(WhatIsWrong(Ca("\x30\x82")), HasSubstr("is DER"));
  EXPECT_THAT(WhatIsWrong(Ca("")), HasSubstr("is empty"));
  std::string damaged = Content("b.pem");
  damaged[damaged.size() / 2] = '!';
  EXPECT_THAT(WhatIsWrong(Ca(Content("a.pem") + damaged)),
              HasSubstr("damaged certificate, number 2"));
  Credentials directory;
  directory.ca_file = directory_->File("");
  EXPECT_THAT(WhatIsWrong(directory), HasSubstr("no regular file"));
}

TEST_F(CredentialsLookTest, AnAuthorityIsForVerification) {
  Credentials credentials = Ca(Content("a.pem"));
  credentials.tls_verify = false;
  EXPECT_THAT(WhatIsWrong(credentials), HasSubstr("tls_verify off"));
  EXPECT_THAT(
      WhatIsWrong(Kubeconfig(absl::StrCat(", insecure-skip-tls-verify: true, "
                                          "certificate-authority-data: ",
                                          absl::Base64Escape(Content("a.pem"))),
                             "")),
      HasSubstr("insecure-skip-tls-verify"));
}

TEST_F(CredentialsLookTest, AKeyMustBeThatOfItsCertificate) {
  Credentials credentials;
  credentials.client_certificate = Path("a.pem");
  credentials.client_certificate_key = Path("b.key");
  EXPECT_THAT(WhatIsWrong(credentials), HasSubstr("another certificate"));
  credentials.client_certificate_key = Path("a.pem");
  EXPECT_THAT(WhatIsWrong(credentials), HasSubstr("holds no key"));
  credentials.client_certificate_key = Path("none");
  EXPECT_THAT(WhatIsWrong(credentials), HasSubstr("none"));
}

TEST_F(CredentialsLookTest, ATokenIsOneWordAndNeverShown) {
  for (const char* token : {"Bearer s3cret", "s3cret\ns3cret", "s3cret\xc3"}) {
    EXPECT_THAT(WhatIsWrong(Token(token)), HasSubstr("token")) << token;
    EXPECT_THAT(WhatIsWrong(Token(token)), Not(HasSubstr("s3cret")));
  }
  EXPECT_THAT(WhatIsWrong(Token("")), HasSubstr("is empty"));
  EXPECT_THAT(WhatIsWrong(Kubeconfig("", "token: s3cret s3cret")),
              HasSubstr("one word"));
}

TEST_F(CredentialsLookTest, WhatAKubeconfigNamesMustBeThere) {
  EXPECT_THAT(WhatIsWrong(Kubeconfig(", certificate-authority: none.crt", "")),
              HasSubstr("none.crt"));
  EXPECT_THAT(WhatIsWrong(Kubeconfig("", "tokenFile: none.token")),
              HasSubstr("none.token"));
}

TEST_F(CredentialsLookTest, ARenewedKubeconfigIsReadAgain) {
  CredentialFiles files;
  const Credentials credentials = Kubeconfig("", "token: old");
  EXPECT_EQ(ReadCredentials(credentials, &files)->token, "old");
  Kubeconfig("", "token: new");
  EXPECT_EQ(ReadCredentials(credentials, &files)->token, "new");
  Kubeconfig("", "token: other", "https://b");
  EXPECT_THAT(
      std::string(ReadCredentials(credentials, &files).status().message()),
      HasSubstr("another server"));
}

TEST_F(CredentialsLookTest, ARenewedBundleIsReadAgain) {
  CredentialFiles files;
  const Credentials credentials = Ca(Content("a.pem"));
  EXPECT_EQ(ReadCredentials(credentials, &files)->ca_data, Content("a.pem"));
  Ca(Content("a.pem") + Content("b.pem"));
  const auto read = ReadCredentials(credentials, &files);
  EXPECT_EQ(read->ca_data, Content("a.pem") + Content("b.pem"));
  EXPECT_FALSE(HaveFiles(*read));
}

TEST_F(CredentialsLookTest, APasswordFileIsReadAgain) {
  CredentialFiles files;
  Credentials credentials;
  credentials.user = "edge";
  credentials.password_file = directory_->Write("password", "old\n");
  EXPECT_TRUE(HaveFiles(credentials));
  EXPECT_EQ(ReadCredentials(credentials, &files)->password, "old");
  directory_->Write("password", "newer\n");
  const auto read = ReadCredentials(credentials, &files);
  EXPECT_EQ(read->password, "newer");
  EXPECT_FALSE(HaveFiles(*read));
  EXPECT_FALSE(*read == credentials);
}

TEST_F(CredentialsLookTest, ASecretFileIsReadAgain) {
  CredentialFiles files;
  Credentials credentials;
  credentials.access_key = "LTAI";
  credentials.secret_file = directory_->Write("secret", "old\n");
  EXPECT_TRUE(HaveFiles(credentials));
  const auto old = ReadCredentials(credentials, &files);
  EXPECT_EQ(old->secret, "old");
  directory_->Write("secret", "newer\n");
  const auto read = ReadCredentials(credentials, &files);
  EXPECT_EQ(read->secret, "newer");
  EXPECT_FALSE(HaveFiles(*read));
  EXPECT_FALSE(*read == *old);
  directory_->Write("secret", "LTAI newer\n");
  EXPECT_FALSE(CheckCredentials(credentials).ok());
}

}  // namespace
}  // namespace dynweight

// Tests of reading kubeconfig files.

#include "watcher/transport/kubeconfig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "watcher/testing/temporary_directory.h"

namespace dynweight {
namespace {

using testing::HasSubstr;
using testing::Not;

// Base64 of "-----BEGIN CERTIFICATE-----\n".
constexpr char kPem[] = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==";

constexpr char kTwoContexts[] = R"(apiVersion: v1
kind: Config
current-context: one
contexts:
- name: one
  context: {cluster: c1, user: u1, namespace: prod}
- name: two
  context:
    cluster: c2
    user: u2
clusters:
- name: c1
  cluster:
    server: https://10.0.0.1:6443/
    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
    tls-server-name: kube.example
    proxy-url: http://10.0.0.9:3128
- name: c2
  cluster:
    server: https://10.0.0.2/apis/proxy
    certificate-authority: pki/ca.crt
    insecure-skip-tls-verify: true
users:
- name: u1
  user:
    token: S3CRET
- name: u2
  user:
    client-certificate: /etc/pki/client.crt
    client-key-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
)";

class KubeconfigTest : public testing::Test {
 protected:
  absl::StatusOr<Kubeconfig> Read(std::string_view text,
                                  const std::string& context = "") {
    return ReadKubeconfig(directory_.Write("config", text), context);
  }
  // The message of a mistake, which never quotes the token.
  std::string Error(std::string_view text, const std::string& context = "") {
    const absl::Status status = Read(text, context).status();
    EXPECT_FALSE(status.ok()) << text.substr(0, 200);
    const std::string message(status.message());
    EXPECT_THAT(message, HasSubstr(directory_.File("config")));
    EXPECT_THAT(message, Not(HasSubstr("S3CRET")));
    return message;
  }
  // kTwoContexts with one line replaced.
  std::string Changed(std::string_view from, std::string_view to) {
    return absl::StrReplaceAll(kTwoContexts,
                               {{std::string(from), std::string(to)}});
  }

  TemporaryDirectory directory_;
};

TEST_F(KubeconfigTest, ResolvesTheCurrentContext) {
  const Kubeconfig config = Read(kTwoContexts).value();
  EXPECT_EQ(config.server, "https://10.0.0.1:6443");
  EXPECT_EQ(config.credentials.ca_data, "-----BEGIN CERTIFICATE-----\n");
  EXPECT_EQ(config.credentials.tls_server_name, "kube.example");
  EXPECT_EQ(config.credentials.proxy_url, "http://10.0.0.9:3128");
  EXPECT_EQ(config.credentials.token, "S3CRET");
  EXPECT_TRUE(config.credentials.tls_verify);
}

TEST_F(KubeconfigTest, ResolvesTheContextAskedFor) {
  const Kubeconfig config = Read(kTwoContexts, "two").value();
  EXPECT_EQ(config.server, "https://10.0.0.2/apis/proxy");
  EXPECT_FALSE(config.credentials.tls_verify);
  EXPECT_EQ(config.credentials.token, "");
  EXPECT_EQ(config.credentials.client_certificate_key_data,
            "-----BEGIN CERTIFICATE-----\n");
}

TEST_F(KubeconfigTest, FileNamesAreRelativeToItsFolder) {
  const Kubeconfig config = Read(kTwoContexts, "two").value();
  EXPECT_EQ(config.credentials.ca_file, directory_.File("pki/ca.crt"));
  EXPECT_EQ(config.credentials.client_certificate, "/etc/pki/client.crt");
}

TEST_F(KubeconfigTest, TokenFileWins) {
  const Kubeconfig config =
      Read(Changed("token: S3CRET", "{token: S3CRET, tokenFile: t}")).value();
  EXPECT_EQ(config.credentials.token, "");
  EXPECT_EQ(config.credentials.token_file, directory_.File("t"));
}

TEST_F(KubeconfigTest, ReadsJson) {
  const Kubeconfig config =
      Read(
          "{\n\t\"current-context\": \"a\",\n\t\"contexts\": [{\"name\":"
          " \"a\", \"context\": {\"cluster\": \"c\", \"user\": \"u\"}}],\n"
          "\t\"clusters\": [{\"name\": \"c\", \"cluster\": {\"server\":"
          " \"https:\\/\\/h:6443\"}}],\n"
          "\t\"users\": [{\"name\": \"u\", \"user\": {\"token\": \"t\"}}]\n}\n")
          .value();
  EXPECT_EQ(config.server, "https://h:6443");
  EXPECT_EQ(config.credentials.token, "t");
}

TEST_F(KubeconfigTest, ContextWithoutAUserIsAnonymous) {
  const Kubeconfig config = Read(Changed(", user: u1", "")).value();
  EXPECT_EQ(config.credentials.token, "");
}

TEST_F(KubeconfigTest, RefusesOtherWaysToProveWhoWeAreByName) {
  for (const char* name : {"exec", "auth-provider", "username", "password",
                           "as", "as-uid", "as-groups", "as-user-extra"}) {
    EXPECT_THAT(
        Error(Changed("token: S3CRET", absl::StrCat(name, ": S3CRET"))),
        HasSubstr(absl::StrCat("user \"u1\".", name, ": is not supported")));
  }
  EXPECT_THAT(Error(Changed("token: S3CRET", "exec: {command: S3CRET}")),
              HasSubstr("exec"));
}

TEST_F(KubeconfigTest, OnlyTheUserOfTheContextMatters) {
  EXPECT_TRUE(Read(Changed("token: S3CRET", "exec: {}"), "two").ok());
}

TEST_F(KubeconfigTest, NamesWhatIsMissing) {
  EXPECT_THAT(Error(kTwoContexts, "three"), HasSubstr("no context \"three\""));
  EXPECT_THAT(Error(Changed("- name: c1", "- name: c9")),
              HasSubstr("no cluster \"c1\""));
  EXPECT_THAT(Error(Changed("- name: u1", "- name: u9")),
              HasSubstr("no user \"u1\""));
  EXPECT_THAT(Error(Changed("current-context: one", "")),
              HasSubstr("context=NAME"));
  EXPECT_THAT(Error(Changed("server: https://10.0.0.1:6443/", "x: y")),
              HasSubstr("cluster \"c1\".server"));
}

TEST_F(KubeconfigTest, CertificateAndKeyBelongTogether) {
  EXPECT_THAT(
      Error(Changed("    client-certificate: /etc/pki/client.crt\n", ""),
            "two"),
      HasSubstr("no client-certificate"));
  EXPECT_THAT(Error(Changed("token: S3CRET", "client-certificate: a")),
              HasSubstr("no client-key"));
}

TEST_F(KubeconfigTest, DataMustBePemInBase64) {
  for (const char* data : {"S3CRET!", "UzNDUkVU"}) {
    EXPECT_THAT(Error(Changed(kPem, data)),
                HasSubstr("certificate-authority-data: must be PEM"));
  }
}

TEST_F(KubeconfigTest, RefusesServersThatAreNoPlainUrl) {
  for (const char* server : {"10.0.0.1:6443", "ftp://h", "https://a:S3CRET@h",
                             "https://h?x=S3CRET", "https://h#x", "[]"}) {
    Error(Changed("https://10.0.0.1:6443/", server));
  }
}

TEST_F(KubeconfigTest, RefusesWrongKinds) {
  for (const auto& [from, to] :
       std::vector<std::pair<const char*, const char*>>{
           {"token: S3CRET", "token: [S3CRET]"},
           {"token: S3CRET", "token: {a: S3CRET}"},
           {"token: S3CRET", "token: \"S3CRET\\nX\""},
           {"token: S3CRET", "token: \"S3CRET\\0X\""},
           {"    token: S3CRET", "    - S3CRET"},
           {"{cluster: c1, user: u1, namespace: prod}", "S3CRET"},
           {"tls-server-name: kube.example", "tls-server-name: []"},
           {"tls-server-name: kube.example",
            "insecure-skip-tls-verify: perhaps"}}) {
    Error(Changed(from, to));
  }
  for (const char* text :
       {"", "S3CRET", "[]", "- a", "current-context: a\ncontexts: {}",
        "current-context: a\ncontexts: [S3CRET]", "current-context: [a]"}) {
    Error(text);
  }
}

TEST_F(KubeconfigTest, GivesThePlaceOfASyntaxErrorAndNoText) {
  EXPECT_THAT(Error("a: b\nc: *S3CRET\n"), HasSubstr("line 2"));
  Error("token: \"S3CRET");
  Error("token: S3CRET: x: {");
  Error("\x01S3CRET");
}

TEST_F(KubeconfigTest, SurvivesDepthAndAliases) {
  Error(std::string(200000, '['));
  Error(std::string(200000, '{'));
  std::string deep;
  for (int i = 0; i < 50000; i++) deep += "- ";
  Error(deep);
  std::string bomb = "a0: &a0 [x,x]\n";
  for (int i = 1; i < 60; i++) {
    absl::StrAppend(&bomb, "a", i, ": &a", i, " [*a", i - 1, ",*a", i - 1,
                    "]\n");
  }
  Error(bomb + "current-context: *a59\n");
  Error("current-context: a\ncontexts: &c [*c]\n");
}

TEST_F(KubeconfigTest, RefusesWhatIsNoRegularFileOrTooLarge) {
  EXPECT_TRUE(
      absl::IsNotFound(ReadKubeconfig(directory_.File("none"), "").status()));
  ASSERT_EQ(mkfifo(directory_.File("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(
      ReadKubeconfig(directory_.File("fifo"), "").status()));
  Error(std::string((1 << 20) + 1, ' '));
}

}  // namespace
}  // namespace dynweight

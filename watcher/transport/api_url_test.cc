#include "watcher/transport/api_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dynweight {
namespace {

using ::testing::HasSubstr;

TEST(ApiUrl, KeepsSchemeHostAndPort) {
  EXPECT_EQ(*ParseApiUrl("https://10.1.0.1:6443"), "https://10.1.0.1:6443");
  EXPECT_EQ(*ParseApiUrl("http://localhost:8080"), "http://localhost:8080");
  EXPECT_EQ(*ParseApiUrl("https://[fd00::1]:6443"), "https://[fd00::1]:6443");
}

TEST(ApiUrl, KeepsThePathPrefixAndCutsTrailingSlashes) {
  EXPECT_EQ(*ParseApiUrl("https://karmada/apis/clusters/a/proxy//"),
            "https://karmada/apis/clusters/a/proxy");
  EXPECT_EQ(*ParseApiUrl("https://karmada/"), "https://karmada");
}

TEST(ApiUrl, RefusesWhatIsNoBaseUrlAndNamesTheMend) {
  EXPECT_THAT(ParseApiUrl("10.1.0.1:6443").status().message(),
              HasSubstr("https://HOST:PORT"));
  EXPECT_THAT(ParseApiUrl("ftp://host").status().message(),
              HasSubstr("neither http nor https"));
  EXPECT_THAT(ParseApiUrl("https://h/?a=b").status().message(),
              HasSubstr("query"));
  EXPECT_FALSE(ParseApiUrl("").ok());
  EXPECT_FALSE(ParseApiUrl("https://").ok());
  EXPECT_FALSE(ParseApiUrl("https://a b").ok());
  EXPECT_FALSE(ParseApiUrl("https://h:99999").ok());
}

TEST(ApiUrl, RefusesASecretWithoutQuotingIt) {
  const auto url = ParseApiUrl("https://admin:hunter2@host");
  EXPECT_THAT(url.status().message(), HasSubstr("token_file"));
  EXPECT_THAT(url.status().message(), Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace dynweight

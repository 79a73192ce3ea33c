#include "watcher/config/probe_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "watcher/config/config.h"

namespace dynweight {
namespace {

absl::StatusOr<ProbeConfig> Parse(const std::string& text) {
  std::vector<std::string> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  return ProbeConfig::Parse({words.begin(), words.end()});
}

TEST(ProbeConfig, HasDefaults) {
  const auto probe = Parse("tcp");
  ASSERT_TRUE(probe.ok()) << probe.status();
  EXPECT_EQ(probe->type, ProbeConfig::Type::kTcp);
  EXPECT_EQ(probe->port, 0);
  EXPECT_EQ(probe->interval_ms, 2000);
  EXPECT_EQ(probe->timeout_ms, 1000);
  EXPECT_EQ(probe->fails, 3u);
  EXPECT_EQ(probe->passes, 2u);
  EXPECT_FALSE(probe->mandatory);
  EXPECT_EQ(probe->Text(), "tcp");
}

TEST(ProbeConfig, TakesEveryParameter) {
  const auto probe = Parse(
      "https port=10254 uri=/healthz?full=1 host=orders.example "
      "status=401,200-299 body=ok ca_file=ca.pem interval=500ms timeout=100ms "
      "fails=1 passes=100 mandatory");
  ASSERT_TRUE(probe.ok()) << probe.status();
  EXPECT_EQ(probe->port, 10254);
  EXPECT_EQ(probe->interval_ms, 500);
  EXPECT_EQ(probe->timeout_ms, 100);
  EXPECT_EQ(probe->fails, 1u);
  EXPECT_EQ(probe->passes, 100u);
  EXPECT_TRUE(probe->mandatory);
  for (const int status : {200, 250, 299, 401}) {
    EXPECT_TRUE(probe->Accepts(status)) << status;
  }
  for (const int status : {199, 300, 400, 402}) {
    EXPECT_FALSE(probe->Accepts(status)) << status;
  }
  EXPECT_EQ(probe->Text(), "https :10254/healthz?full=1");
}

TEST(ProbeConfig, HasATimeoutWithinAShortInterval) {
  const auto probe = Parse("tcp interval=500ms");
  ASSERT_TRUE(probe.ok());
  EXPECT_EQ(probe->timeout_ms, 500);
}

TEST(ProbeConfig, IsAnotherByItsTag) {
  const auto tag = [](const std::string& text) { return Parse(text)->Tag(); };
  EXPECT_EQ(tag("http uri=/a"), tag("http uri=/a interval=1s fails=1"));
  EXPECT_NE(tag("http uri=/a"), tag("http uri=/b"));
  EXPECT_NE(tag("http"), tag("tcp"));
  EXPECT_NE(tag("http"), tag("http status=200"));
  EXPECT_NE(tag("tcp"), 0);
}

TEST(ProbeConfig, SaysWhatIsWrong) {
  using ::testing::HasSubstr;
  const std::pair<const char*, const char*> kWrong[] = {
      {"", "write what is probed first"},
      {"udp", "\"http\", \"https\", \"tcp\" or \"tls\""},
      {"port=80", "write what is probed first"},
      {"tcp uri=/", "no effect on a probe of type tcp"},
      {"tcp host=a", "no effect"},
      {"tls status=200", "write \"http\" or \"https\""},
      {"http ca_file=x", "write \"https\" or \"tls\""},
      {"tcp port=0", "1 to 65535"},
      {"tcp port=65536", "1 to 65535"},
      {"tcp port=+80", "1 to 65535"},
      {"tcp port=https", "1 to 65535"},
      {"http uri=healthz", "\"uri=/healthz\""},
      {"http uri=/a#b", "\"uri=/healthz\""},
      {"http host=a:80", "without port"},
      {"http host=", "without port"},
      {"http status=", "from 100 to 999"},
      {"http status=99", "from 100 to 999"},
      {"http status=200-", "from 100 to 999"},
      {"http status=200,,300", "from 100 to 999"},
      {"http status=399-200", "write \"200-399\" for \"399-200\""},
      {"http status=200-399,300", "300 stands in it twice"},
      {"http status=404,200-404", "404 stands in it twice"},
      {"http body=", "1 to 1024 bytes"},
      {"tcp interval=99ms", "100ms to 1h"},
      {"tcp interval=2h", "100ms to 1h"},
      {"tcp interval=2d", "100ms to 1h"},
      {"tcp timeout=0", "100ms to 1h"},
      {"tcp interval=1s timeout=2s", "longer than interval="},
      {"tcp fails=0", "1 to 100"},
      {"tcp passes=101", "1 to 100"},
      {"tcp fails=2 fails=3", "duplicate"},
      {"tcp mandatory mandatory", "duplicate"},
      {"tcp mandatory=yes", "write port="},
      {"tcp prot=80", "write port="},
  };
  for (const auto& [text, message] : kWrong) {
    const auto probe = Parse(text);
    ASSERT_FALSE(probe.ok()) << text;
    EXPECT_THAT(std::string(probe.status().message()), HasSubstr(message))
        << text;
  }
}

TEST(MaxProbeTargets, IsTheSlotsOncePerPort) {
  WatcherConfig config;
  config.clusters.resize(2);
  config.clusters[0].probe = *Parse("tcp");
  const auto add = [&](uint32_t cluster, uint16_t port, uint32_t slots) {
    LineConfig line;
    line.cluster = cluster;
    line.port = port;
    line.range = {0, slots};
    config.lines.push_back(line);
  };
  for (int i = 0; i < 50; ++i) add(0, 80, 16);
  add(0, 80, 20);
  add(0, 81, 4);
  add(1, 80, 100);
  config.lines.push_back(config.lines[0]);
  config.lines.back().kind = LineConfig::Kind::kInstances;
  config.lines.back().range.count = 500;
  EXPECT_EQ(MaxProbeTargets(config, 0), 24u);
  EXPECT_EQ(MaxProbeTargets(config, 1), 0u);
  config.clusters[0].probe = *Parse("tcp port=10254");
  EXPECT_EQ(MaxProbeTargets(config, 0), 20u);
}

}  // namespace
}  // namespace dynweight

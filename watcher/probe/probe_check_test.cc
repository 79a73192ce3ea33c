// Probes over real sockets, of servers that behave and of others.

#include "watcher/probe/probe_check.h"

#include <curl/curl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "watcher/testing/scripted_server.h"
#include "watcher/transport/curl_transport.h"

namespace dynweight {
namespace {

using Client = ScriptedServer::Client;

class ProbeCheckTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { curl_global_init(CURL_GLOBAL_DEFAULT); }

  void SetUp() override {
    config_.type = ProbeConfig::Type::kHttp;
    config_.trust.tls_verify = false;
    // Long, for whatever ends by itself.
    config_.interval_ms = config_.timeout_ms = 30000;
  }

  ProbeOutcome Probe(uint16_t port) {
    std::optional<ProbeOutcome> outcome;
    ProbeCheck check(&config_, *IpAddress::Parse("127.0.0.1"), port,
                     transport_.get(),
                     [&](const ProbeOutcome& o) { outcome = o; });
    check.Start();
    EXPECT_TRUE(check.running());
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!outcome && std::chrono::steady_clock::now() < end) {
      transport_->Poll(100);
    }
    EXPECT_TRUE(outcome.has_value());
    EXPECT_FALSE(check.running());
    return outcome.value_or(ProbeOutcome());
  }
  ProbeOutcome Probe(ScriptedServer::Script script) {
    ScriptedServer server(std::move(script));
    return Probe(static_cast<uint16_t>(server.port()));
  }
  static ScriptedServer::Script Says(const std::string& text) {
    return [text](Client* client) {
      client->Request();
      client->Send(text);
    };
  }

  ProbeConfig config_;
  std::unique_ptr<CurlTransport> transport_ = CurlTransport::Create();
};

TEST_F(ProbeCheckTest, AsksAsItIsTold) {
  config_.uri = "/healthz?a=1";
  config_.host = "orders.example";
  std::string request;
  EXPECT_TRUE(Probe([&](Client* client) {
                request = client->Request();
                client->Send("HTTP/1.1 204 No Content\r\n\r\n");
              }).passed);
  EXPECT_EQ(request.rfind("GET /healthz?a=1 HTTP/1.1\r\n", 0), 0u) << request;
  EXPECT_NE(request.find("\r\nHost: orders.example\r\n"), request.npos)
      << request;
  EXPECT_EQ(request.find("Host:"), request.rfind("Host:")) << request;
}

TEST_F(ProbeCheckTest, LooksAtTheStatus) {
  const ProbeOutcome outcome = Probe(Says("HTTP/1.1 503 Busy\r\n\r\n"));
  EXPECT_FALSE(outcome.passed);
  EXPECT_EQ(outcome.reason, ProbeReason::kStatus);
  EXPECT_EQ(outcome.status, 503);
  EXPECT_TRUE(Probe(Says("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")).passed);
  config_.status = {{404, 404}};
  EXPECT_TRUE(Probe(Says("HTTP/1.1 404 Not Found\r\n\r\n")).passed);
}

TEST_F(ProbeCheckTest, EndsWithTheHeaderOfAGigabyte) {
  EXPECT_TRUE(Probe([](Client* client) {
                client->Request();
                client->Send(
                    "HTTP/1.1 200 OK\r\n"
                    "Content-Length: 1073741824\r\n\r\n");
                while (client->Send(std::string(1 << 20, 'x'))) {
                }
              }).passed);
}

TEST_F(ProbeCheckTest, LooksThroughTheBeginningOfABody) {
  config_.body = "is well";
  EXPECT_TRUE(Probe(Says("HTTP/1.1 200 OK\r\n\r\nall is well")).passed);
  EXPECT_TRUE(Probe([](Client* client) {
                client->Request();
                client->Send("HTTP/1.1 200 OK\r\n\r\nall is ");
                client->Send("well");
                client->WaitGone();
              }).passed);
  for (const std::string& body :
       {std::string("Content-Length: 9\r\n\r\nsome is no"),
        "\r\n" + std::string(ProbeConfig::kMaxBodyBytes, 'x') + "is well"}) {
    const ProbeOutcome outcome = Probe(Says("HTTP/1.1 200 OK\r\n" + body));
    EXPECT_FALSE(outcome.passed);
    EXPECT_EQ(outcome.reason, ProbeReason::kBody);
  }
  config_.status = {{500, 500}};
  EXPECT_TRUE(Probe(Says("HTTP/1.1 500 No\r\n\r\nall is well")).passed);
  EXPECT_EQ(Probe(Says("HTTP/1.1 500 No\r\n\r\nnothing")).reason,
            ProbeReason::kBody);
}

TEST_F(ProbeCheckTest, TellsWhatFailed) {
  EXPECT_EQ(Probe(Says("HTTP/1.1 200 OK\r\nX: ")).reason, ProbeReason::kClosed);
  EXPECT_EQ(Probe(Says("")).reason, ProbeReason::kClosed);
  EXPECT_EQ(Probe(Says("SSH-2.0-none\r\n")).reason, ProbeReason::kGarbage);
  uint16_t nobody = 0;
  {
    ScriptedServer server([](Client*) {});
    nobody = static_cast<uint16_t>(server.port());
  }
  EXPECT_EQ(Probe(nobody).reason, ProbeReason::kRefused);
  config_.body = "well";
  EXPECT_EQ(
      Probe(Says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")).reason,
      ProbeReason::kClosed);
}

TEST_F(ProbeCheckTest, HasATimeoutForAllOfIt) {
  config_.timeout_ms = 200;
  EXPECT_EQ(Probe([](Client* client) { client->WaitGone(); }).reason,
            ProbeReason::kNoAnswer);
  EXPECT_EQ(Probe([](Client* client) {
              client->Request();
              client->Send("HTTP/1.1 200 O");
              while (client->Send("K")) {
                std::this_thread::sleep_for(std::chrono::milliseconds(5));
              }
            }).reason,
            ProbeReason::kNoAnswer);
}

TEST_F(ProbeCheckTest, ConnectsAlone) {
  config_.type = ProbeConfig::Type::kTcp;
  bool said = false;  // also when nobody accepted it
  EXPECT_TRUE(
      Probe([&](Client* client) { said = !client->Request().empty(); }).passed);
  EXPECT_FALSE(said);
}

TEST_F(ProbeCheckTest, ShakesHands) {
  config_.type = ProbeConfig::Type::kTls;
  EXPECT_EQ(Probe([](Client* client) {
              client->Send("HTTP/1.1 400 Bad Request\r\n\r\n");
              client->WaitGone();
            }).reason,
            ProbeReason::kTls);
  config_.timeout_ms = 200;
  EXPECT_EQ(Probe([](Client* client) { client->WaitGone(); }).reason,
            ProbeReason::kTls);
}

TEST_F(ProbeCheckTest, BlamesNobodyForTheEdgesOwnLimits) {
  ScriptedServer server([](Client* client) { client->WaitGone(); });
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  none.rlim_cur = 0;
  setrlimit(RLIMIT_NOFILE, &none);
  const ProbeOutcome outcome = Probe(static_cast<uint16_t>(server.port()));
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_FALSE(outcome.tells);
}

TEST_F(ProbeCheckTest, MayGoWhileItRuns) {
  ScriptedServer server([](Client* client) { client->WaitGone(); });
  {
    ProbeCheck check(&config_, *IpAddress::Parse("127.0.0.1"),
                     static_cast<uint16_t>(server.port()), transport_.get(),
                     [](const ProbeOutcome&) { FAIL(); });
    check.Start();
    while (server.connections() == 0) transport_->Poll(10);
  }
  transport_->Poll(0);
}

}  // namespace
}  // namespace dynweight

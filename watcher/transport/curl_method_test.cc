// Tests of curl_transport.h: methods, header fields and bodies of requests.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "watcher/testing/recording_handler.h"
#include "watcher/testing/scripted_server.h"
#include "watcher/transport/curl_transport.h"

namespace dynweight {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class CurlMethodTest : public testing::Test {
 protected:
  // Sends `request` to a server that reads a body of `bytes` and says OK.
  HttpResult Send(HttpRequest request, size_t bytes) {
    ScriptedServer server([&](ScriptedServer::Client* client) {
      header_ = client->Request();
      if (header_.empty()) return;
      body_ = client->Body(bytes);
      client->Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    request.url = server.url() + "login";
    RecordingHandler handler;
    const auto transport = CurlTransport::Create();
    transport->Start(request, &handler);
    PollUntil(transport.get(), [&] { return handler.done > 0; });
    connections_ = server.connections();
    return handler.result;
  }

  std::string header_, body_;
  int connections_ = 0;
};

TEST_F(CurlMethodTest, SendsMethodHeadersAndBody) {
  HttpRequest request;
  request.method = "POST";
  request.headers = {"X-Key: one", "Content-Type: text/x-form"};
  request.body = std::string("a=b\0&c=", 7);
  EXPECT_EQ(Send(request, 7).http_status, 200);
  EXPECT_THAT(header_, StartsWith("POST /login HTTP/1.1\r\n"));
  EXPECT_THAT(header_, HasSubstr("X-Key: one\r\n"));
  EXPECT_THAT(header_, HasSubstr("Content-Type: text/x-form\r\n"));
  EXPECT_THAT(header_, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_EQ(body_, request.body);
}

TEST_F(CurlMethodTest, APostWithoutBodySaysSo) {
  HttpRequest request;
  request.method = "POST";
  EXPECT_EQ(Send(request, 0).http_status, 200);
  EXPECT_THAT(header_, StartsWith("POST /login HTTP/1.1\r\n"));
  EXPECT_THAT(header_, HasSubstr("Content-Length: 0\r\n"));
}

TEST_F(CurlMethodTest, AMethodWithoutBodyIsSent) {
  HttpRequest request;
  request.method = "DELETE";
  EXPECT_EQ(Send(request, 0).http_status, 200);
  EXPECT_THAT(header_, StartsWith("DELETE /login HTTP/1.1\r\n"));
}

TEST_F(CurlMethodTest, AHeaderThatWouldForgeAnotherIsNotSent) {
  HttpRequest request;
  request.headers = {"X-Key: one\r\nHost: other"};
  EXPECT_TRUE(absl::IsInvalidArgument(Send(request, 0).transport));
  EXPECT_EQ(connections_, 0);
}

}  // namespace
}  // namespace dynweight

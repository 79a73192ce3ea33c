// Tests of curl_transport.h: channels of HTTP/2, against a server that speaks
// just enough of it (RFC 9113).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/testing/certificate_folder.h"
#include "watcher/testing/recording_handler.h"
#include "watcher/testing/scripted_server.h"
#include "watcher/testing/tls_front.h"
#include "watcher/transport/curl_transport.h"
#include "watcher/transport/curl_upload.h"

namespace dynweight {
namespace {

using Client = ScriptedServer::Client;
using testing::HasSubstr;

constexpr char kData = 0, kHeaders = 1, kSettings = 4, kPing = 6;
constexpr char kEndStream = 1, kAck = 1, kEndHeaders = 4;

std::string Frame(char type, char flags, int stream, std::string_view payload) {
  std::string frame;
  for (const int shift : {16, 8, 0}) {
    frame += static_cast<char>(payload.size() >> shift & 0xff);
  }
  frame += {type, flags};
  for (const int shift : {24, 16, 8, 0}) {
    frame += static_cast<char>(stream >> shift & 0xff);
  }
  return frame + std::string(payload);
}

// A literal field that is not indexed (RFC 7541, 6.2.2).
std::string Field(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

uint32_t Number(std::string_view bytes) {
  uint32_t number = 0;
  for (const char c : bytes) number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

// Sends back what it gets, and when that ends, grpc-status 5 in a trailer.
void Echo(Client* client) {
  if (client->Body(24).substr(0, 14) != "PRI * HTTP/2.0") return;
  client->Send(Frame(kSettings, 0, 0, ""));
  std::map<int, bool> begun;
  for (;;) {
    const std::string head = client->Body(9);
    if (head.size() < 9) return;
    const char type = head[3], flags = head[4];
    const int stream = static_cast<int>(Number(head.substr(5)));
    const std::string payload = client->Body(Number(head.substr(0, 3)));
    if (type == kSettings && (flags & kAck) == 0) {
      client->Send(Frame(kSettings, kAck, 0, ""));
    } else if (type == kPing) {
      client->Send(Frame(kPing, kAck, 0, payload));
    } else if (type == kData) {
      if (!begun[stream]) {
        begun[stream] = true;
        // The static table's 8 is ":status: 200".
        client->Send(Frame(kHeaders, kEndHeaders, stream,
                           "\x88" + Field("content-type", "application/x")));
      }
      if (!payload.empty()) client->Send(Frame(kData, 0, stream, payload));
      if ((flags & kEndStream) != 0) {
        client->Send(Frame(kHeaders, kEndHeaders | kEndStream, stream,
                           Field("grpc-status", "5")));
      }
    }
  }
}

// Without TLS, and with it.
class CurlChannelTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) Front("server");
  }
  // The server is behind TLS now.
  void Front(const std::string& certificate) {
    front_ = std::make_unique<TlsFront>(certificate, protocol_, server_.port());
    credentials_.ca_file = certificates->File(certificate + ".crt");
  }
  HttpRequest Request(const std::string& body, uint64_t channel,
                      bool opens = false) {
    HttpRequest request;
    request.url =
        front_ == nullptr
            ? server_.url() + "call"
            : absl::StrCat("https://127.0.0.1:", front_->port(), "/call");
    request.method = "POST";
    request.body = body;
    request.credentials = &credentials_;
    request.channel.number = channel;
    request.channel.opens = opens;
    request.total_timeout_ms = 10000;
    return request;
  }
  void Finish(const RecordingHandler& handler) {
    PollUntil(transport_.get(), [&] { return handler.done > 0; });
  }
  std::string Mistake(const HttpRequest& request) {
    RecordingHandler handler;
    transport_->Start(request, &handler);
    Finish(handler);
    EXPECT_TRUE(absl::IsUnavailable(handler.result.transport))
        << handler.result.transport;
    return std::string(handler.result.transport.message());
  }
  // Whether a whole call went well.
  void Call(const HttpRequest& request) {
    RecordingHandler handler;
    transport_->Start(request, &handler);
    Finish(handler);
    EXPECT_TRUE(handler.result.transport.ok()) << handler.result.transport;
    EXPECT_EQ(handler.result.http_status, 200);
    EXPECT_EQ(handler.result.grpc_status, 5);
    EXPECT_EQ(handler.body, request.body);
  }

  ScriptedServer server_{&Echo};
  std::string protocol_ = "h2";
  std::unique_ptr<TlsFront> front_;
  Credentials credentials_;
  std::unique_ptr<CurlTransport> transport_ = CurlTransport::Create();
};

TEST_P(CurlChannelTest, RequestsOfAChannelShareAConnection) {
  Call(Request("one", 1, /*opens=*/true));
  Call(Request("two", 1));
  RecordingHandler first, second;
  transport_->Start(Request("three", 1), &first);
  transport_->Start(Request("four", 1), &second);
  Finish(first);
  Finish(second);
  EXPECT_EQ(first.body, "three");
  EXPECT_EQ(second.body, "four");
  EXPECT_EQ(server_.connections(), 1);
}

TEST_P(CurlChannelTest, AnotherChannelHasAConnectionOfItsOwn) {
  Call(Request("one", 1, /*opens=*/true));
  Call(Request("two", 2, /*opens=*/true));
  EXPECT_EQ(server_.connections(), 2);
}

TEST_P(CurlChannelTest, AStreamIsSentAndReadAtTheSameTime) {
  Call(Request("one", 1, /*opens=*/true));
  HttpRequest request = Request("begin", 1);
  request.channel.streams = true;
  RecordingHandler handler;
  const HttpTransport::Id stream = transport_->Start(request, &handler);
  PollUntil(transport_.get(), [&] { return handler.body == "begin"; });
  EXPECT_TRUE(transport_->Send(stream, "more"));
  EXPECT_TRUE(transport_->Send(stream, "!"));
  PollUntil(transport_.get(), [&] { return handler.body == "beginmore!"; });
  Call(Request("beside", 1));
  // From within a callback, too.
  bool sent = false;
  handler.on_body = [&] {
    return std::exchange(sent, true) || transport_->Send(stream, "again");
  };
  transport_->Send(stream, "now");
  PollUntil(transport_.get(),
            [&] { return handler.body == "beginmore!nowagain"; });
  EXPECT_EQ(handler.done, 0);
  transport_->Cancel(stream);
  EXPECT_FALSE(transport_->Send(stream, "late"));
  Call(Request("after", 1));
  EXPECT_EQ(server_.connections(), 1);
}

TEST_P(CurlChannelTest, TooMuchThatWaitsIsRefused) {
  HttpRequest request = Request("begin", 1, /*opens=*/true);
  request.channel.streams = true;
  RecordingHandler handler;
  const HttpTransport::Id stream = transport_->Start(request, &handler);
  const std::string much(CurlUpload::kMaxWaitingBytes, 'x');
  EXPECT_FALSE(transport_->Send(stream, much));
}

TEST_P(CurlChannelTest, WhatWasNotOpenedIsNotOpenedOnTheWay) {
  EXPECT_NE(Mistake(Request("one", 1)), "");
  Call(Request("one", 2, /*opens=*/true));
  EXPECT_NE(Mistake(Request("two", 1)), "");
  EXPECT_EQ(server_.connections(), 1);
}

// Or each attempt would be a new line in the log.
TEST_P(CurlChannelTest, AnErrorIsTheSameForEveryChannel) {
  HttpRequest request = Request("", 7, /*opens=*/true);
  request.url = absl::StrCat(GetParam() ? "https" : "http", "://127.0.0.1:1/");
  const std::string refused = Mistake(request);
  EXPECT_THAT(refused, HasSubstr("127.0.0.1 port 1"));
  request.channel.number = 12345;
  EXPECT_EQ(Mistake(request), refused);
  request.url = absl::StrCat(GetParam() ? "https" : "http", "://[::1]:1/");
  EXPECT_THAT(Mistake(request), HasSubstr("::1 port 1"));
}

INSTANTIATE_TEST_SUITE_P(WithoutAndWithTls, CurlChannelTest, testing::Bool());

class CurlTlsChannelTest : public CurlChannelTest {};

TEST_P(CurlTlsChannelTest, AnAuthorityThatIsNotTrustedIsRefused) {
  credentials_.ca_file = certificates->File("client.crt");
  EXPECT_THAT(Mistake(Request("", 1, /*opens=*/true)), HasSubstr("ca_file"));
  credentials_.ca_file.clear();
  EXPECT_THAT(Mistake(Request("", 1, /*opens=*/true)), HasSubstr("ca_file"));
  EXPECT_EQ(server_.connections(), 0);
  credentials_.tls_verify = false;
  Call(Request("one", 1, /*opens=*/true));
}

TEST_P(CurlTlsChannelTest, TheServersNameIsThatOfTheCertificate) {
  Front("renamed");
  credentials_.tls_server_name = "api.example";
  Call(Request("one", 1, /*opens=*/true));
  Call(Request("two", 1));
  EXPECT_EQ(server_.connections(), 1);
  EXPECT_THAT(front_->names(), testing::ElementsAre("api.example"));
  for (const char* name : {"", "other.example"}) {
    credentials_.tls_server_name = name;
    EXPECT_THAT(Mistake(Request("", 2, /*opens=*/true)),
                HasSubstr("tls_server_name"));
  }
}

TEST_P(CurlTlsChannelTest, AnErrorNamesThePortOfTheServer) {
  // Hangs up when it has read the first message.
  ScriptedServer server(
      [](Client* client) { client->Body(Number(client->Body(5).substr(3))); });
  HttpRequest request = Request("", 12345, /*opens=*/true);
  request.url = absl::StrCat("https", server.url().substr(4));
  EXPECT_THAT(Mistake(request),
              testing::ContainsRegex(
                  absl::StrCat("127\\.0\\.0\\.1:", server.port(), "[ ;]")));
}

TEST_P(CurlTlsChannelTest, AServerWithoutHttp2IsToldOf) {
  protocol_ = "http/1.1";
  ScriptedServer old([](Client* client) {
    while (!client->Request().empty()) {
      client->Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
  });
  front_ = std::make_unique<TlsFront>("server", protocol_, old.port());
  EXPECT_THAT(Mistake(Request("one", 1, /*opens=*/true)), HasSubstr("ALPN h2"));
}

INSTANTIATE_TEST_SUITE_P(WithTls, CurlTlsChannelTest, testing::Values(true));

}  // namespace
}  // namespace dynweight

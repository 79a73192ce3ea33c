// Tests of curl_transport.h: channels of HTTP/2, against a server that speaks
// just enough of it (RFC 9113).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "watcher/testing/recording_handler.h"
#include "watcher/testing/scripted_server.h"
#include "watcher/transport/curl_transport.h"
#include "watcher/transport/curl_upload.h"

namespace dynweight {
namespace {

using Client = ScriptedServer::Client;

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

class CurlChannelTest : public testing::Test {
 protected:
  HttpRequest Request(const std::string& body, const std::string& channel,
                      bool opens = false) {
    HttpRequest request;
    request.url = server_.url() + "call";
    request.method = "POST";
    request.body = body;
    request.channel.name = channel;
    request.channel.opens = opens;
    request.total_timeout_ms = 10000;
    return request;
  }
  void Finish(const RecordingHandler& handler) {
    PollUntil(transport_.get(), [&] { return handler.done > 0; });
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
  std::unique_ptr<CurlTransport> transport_ = CurlTransport::Create();
};

TEST_F(CurlChannelTest, RequestsOfAChannelShareAConnection) {
  Call(Request("one", "a", /*opens=*/true));
  Call(Request("two", "a"));
  RecordingHandler first, second;
  transport_->Start(Request("three", "a"), &first);
  transport_->Start(Request("four", "a"), &second);
  Finish(first);
  Finish(second);
  EXPECT_EQ(first.body, "three");
  EXPECT_EQ(second.body, "four");
  EXPECT_EQ(server_.connections(), 1);
}

TEST_F(CurlChannelTest, AnotherChannelHasAConnectionOfItsOwn) {
  Call(Request("one", "a", /*opens=*/true));
  Call(Request("two", "b", /*opens=*/true));
  EXPECT_EQ(server_.connections(), 2);
}

TEST_F(CurlChannelTest, AStreamIsSentAndReadAtTheSameTime) {
  Call(Request("one", "a", /*opens=*/true));
  HttpRequest request = Request("begin", "a");
  request.channel.streams = true;
  RecordingHandler handler;
  const HttpTransport::Id stream = transport_->Start(request, &handler);
  PollUntil(transport_.get(), [&] { return handler.body == "begin"; });
  EXPECT_TRUE(transport_->Send(stream, "more"));
  EXPECT_TRUE(transport_->Send(stream, "!"));
  PollUntil(transport_.get(), [&] { return handler.body == "beginmore!"; });
  Call(Request("beside", "a"));
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
  Call(Request("after", "a"));
  EXPECT_EQ(server_.connections(), 1);
}

TEST_F(CurlChannelTest, TooMuchThatWaitsIsRefused) {
  HttpRequest request = Request("begin", "a", /*opens=*/true);
  request.channel.streams = true;
  RecordingHandler handler;
  const HttpTransport::Id stream = transport_->Start(request, &handler);
  const std::string much(CurlUpload::kMaxWaitingBytes, 'x');
  EXPECT_FALSE(transport_->Send(stream, much));
}

TEST_F(CurlChannelTest, AChannelIsWithoutTls) {
  HttpRequest request = Request("", "a", /*opens=*/true);
  request.url = "https://127.0.0.1:1/";
  RecordingHandler handler;
  transport_->Start(request, &handler);
  Finish(handler);
  EXPECT_TRUE(absl::IsInvalidArgument(handler.result.transport));
}

}  // namespace
}  // namespace dynweight

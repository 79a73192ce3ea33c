// Tests of curl_transport.h against a server that sends what it likes.

#include "watcher/transport/curl_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "watcher/testing/recording_handler.h"
#include "watcher/testing/scripted_server.h"
#include "watcher/testing/temporary_directory.h"

namespace dynweight {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Client = ScriptedServer::Client;

// Answers every request of a connection with `answer`, and notes it.
class AnsweringServer {
 public:
  explicit AnsweringServer(std::string answer)
      : answer_(std::move(answer)), server_([this](Client* client) {
          for (;;) {
            const std::string request = client->Request();
            if (request.empty()) return;
            {
              std::lock_guard<std::mutex> lock(mutex_);
              last_ = request;
            }
            client->Send(answer_);
          }
        }) {}

  std::string url() const { return server_.url(); }
  int connections() const { return server_.connections(); }
  std::string last_request() {
    std::lock_guard<std::mutex> lock(mutex_);
    return last_;
  }

 private:
  const std::string answer_;
  std::mutex mutex_;
  std::string last_;
  ScriptedServer server_;
};

std::string Answer(const std::string& status, const std::string& body,
                   const std::string& fields = "") {
  return absl::StrCat("HTTP/1.1 ", status, "\r\n", fields,
                      "Content-Length: ", body.size(), "\r\n\r\n", body);
}

class CurlTransportTest : public testing::Test {
 protected:
  HttpRequest Request(const std::string& url) {
    HttpRequest request;
    request.url = url;
    request.credentials = &credentials_;
    return request;
  }
  HttpTransport::Id Start(const std::string& url) {
    return transport_->Start(Request(url), &handler_);
  }
  const HttpResult& Finish() {
    PollUntil(transport_.get(), [this] { return handler_.done > 0; });
    return handler_.result;
  }
  const HttpResult& Get(const std::string& url) {
    Start(url);
    return Finish();
  }
  std::string Message() {
    return std::string(handler_.result.transport.message());
  }

  Credentials credentials_;
  RecordingHandler handler_;
  std::unique_ptr<CurlTransport> transport_ = CurlTransport::Create();
};

TEST_F(CurlTransportTest, GivesStatusThenBodyThenDone) {
  AnsweringServer server(Answer("200 OK", "hello"));
  handler_.on_body = [this] {
    EXPECT_EQ(handler_.status, 200);
    EXPECT_EQ(handler_.done, 0);
    return true;
  };
  const HttpResult& result = Get(server.url());
  EXPECT_TRUE(result.transport.ok()) << result.transport;
  EXPECT_EQ(result.http_status, 200);
  EXPECT_EQ(result.retry_after_ms, -1);
  EXPECT_EQ(handler_.body, "hello");
  EXPECT_EQ(handler_.done, 1);
}

TEST_F(CurlTransportTest, AsksForJsonWithItsOwnUserAgentByHttp11) {
  AnsweringServer server(Answer("200 OK", ""));
  Get(server.url() + "api?a=b%2Fc");
  const std::string request = server.last_request();
  EXPECT_THAT(request, testing::StartsWith("GET /api?a=b%2Fc HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr("Accept: application/json\r\n"));
  EXPECT_THAT(request, HasSubstr("User-Agent: nginx-dynamic-weight/0.1\r\n"));
  EXPECT_THAT(request, Not(HasSubstr("Accept-Encoding")));
  EXPECT_THAT(request, Not(HasSubstr("Authorization")));
}

TEST_F(CurlTransportTest, OffersGzipWhenAsked) {
  AnsweringServer server(Answer("200 OK", ""));
  HttpRequest request = Request(server.url());
  request.compressed = true;
  transport_->Start(request, &handler_);
  Finish();
  EXPECT_THAT(server.last_request(), HasSubstr("Accept-Encoding: gzip\r\n"));
}

TEST_F(CurlTransportTest, OffersWhatTheRequestAcceptsAndTellsWhatComes) {
  AnsweringServer server(
      Answer("200 OK", "hello", "Content-Type: a/b;stream=watch\r\n"));
  HttpRequest request = Request(server.url());
  request.accept = "a/b, application/json;q=0.9";
  handler_.on_status = [this] {
    EXPECT_EQ(handler_.content_type, "a/b;stream=watch");
  };
  transport_->Start(request, &handler_);
  Finish();
  EXPECT_THAT(server.last_request(),
              HasSubstr("Accept: a/b, application/json;q=0.9\r\n"));
  EXPECT_EQ(handler_.content_type, "a/b;stream=watch");
}

TEST_F(CurlTransportTest, AnAnswerMayHaveNoType) {
  AnsweringServer server(Answer("200 OK", "hello"));
  Get(server.url());
  EXPECT_EQ(handler_.content_type, "");
}

TEST_F(CurlTransportTest, ReadsTheTokenFileForEveryRequest) {
  AnsweringServer server(Answer("200 OK", ""));
  TemporaryDirectory directory;
  credentials_.token_file = directory.Write("token", "one\n");
  Get(server.url());
  EXPECT_THAT(server.last_request(), HasSubstr("Authorization: Bearer one\r"));
  directory.Write("token", "another\n");
  handler_.done = 0;
  Get(server.url());
  EXPECT_THAT(server.last_request(),
              HasSubstr("Authorization: Bearer another\r"));
}

TEST_F(CurlTransportTest, AnUnreadableTokenFileIsToldByPollAndNothingIsSent) {
  AnsweringServer server(Answer("200 OK", ""));
  credentials_.token_file = "/nonexistent/token";
  Start(server.url());
  EXPECT_EQ(handler_.done, 0);
  const HttpResult& result = Finish();
  EXPECT_TRUE(absl::IsUnauthenticated(result.transport)) << result.transport;
  EXPECT_THAT(Message(), HasSubstr("/nonexistent/token"));
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(CurlTransportTest, ATokenCannotForgeAHeader) {
  AnsweringServer server(Answer("200 OK", ""));
  credentials_.token = "secret\r\nX-Evil: 1";
  EXPECT_TRUE(absl::IsUnauthenticated(Get(server.url()).transport));
  EXPECT_THAT(Message(), Not(HasSubstr("secret")));
}

TEST_F(CurlTransportTest, AnotherStatusHasAnErrorBodyAndRetryAfter) {
  AnsweringServer server(
      Answer("429 Too Many Requests", "busy", "Retry-After: 7\r\n"));
  const HttpResult& result = Get(server.url());
  EXPECT_TRUE(result.transport.ok());
  EXPECT_EQ(result.http_status, 429);
  EXPECT_EQ(result.retry_after_ms, 7000);
  EXPECT_EQ(handler_.error_body, "busy");
  EXPECT_EQ(handler_.body, "");
}

TEST_F(CurlTransportTest, OnlyFourKilobytesOfAnErrorAreKept) {
  AnsweringServer server(Answer("500 Oops", std::string(50000, 'x')));
  EXPECT_EQ(Get(server.url()).http_status, 500);
  EXPECT_EQ(handler_.error_body, std::string(4096, 'x'));
}

TEST_F(CurlTransportTest, AnEndlessErrorIsEnded) {
  ScriptedServer server([](Client* client) {
    client->Request();
    client->Send("HTTP/1.1 500 Oops\r\n\r\n");
    while (client->Send(std::string(10000, 'x'))) {
    }
  });
  const HttpResult& result = Get(server.url());
  EXPECT_TRUE(result.transport.ok()) << result.transport;
  EXPECT_EQ(result.http_status, 500);
  EXPECT_EQ(handler_.error_body.size(), 4096u);
}

TEST_F(CurlTransportTest, RedirectsAreNotFollowed) {
  AnsweringServer other(Answer("200 OK", ""));
  AnsweringServer server(
      Answer("302 Found", "", absl::StrCat("Location: ", other.url(), "\r\n")));
  credentials_.token = "secret";
  EXPECT_EQ(Get(server.url()).http_status, 302);
  EXPECT_EQ(other.connections(), 0);
}

TEST_F(CurlTransportTest, AnInterimAnswerIsNotTheStatus) {
  AnsweringServer server("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
                         Answer("200 OK", "hello"));
  EXPECT_EQ(Get(server.url()).http_status, 200);
  EXPECT_EQ(handler_.status, 200);
  EXPECT_EQ(handler_.body, "hello");
}

TEST_F(CurlTransportTest, ABodyLongerThanTheLimitIsResourceExhausted) {
  AnsweringServer server(Answer("200 OK", std::string(100001, 'x')));
  HttpRequest request = Request(server.url());
  request.max_body = 100000;
  transport_->Start(request, &handler_);
  EXPECT_TRUE(absl::IsResourceExhausted(Finish().transport));
  EXPECT_LE(handler_.body.size(), 100000u);
}

std::string Gzip(size_t zeros) {
  const std::string command =
      absl::StrCat("head -c ", zeros, " /dev/zero | gzip -c");
  FILE* pipe = popen(command.c_str(), "re");
  std::string result;
  for (int c; (c = fgetc(pipe)) != EOF;) result += static_cast<char>(c);
  pclose(pipe);
  return result;
}

TEST_F(CurlTransportTest, TheLimitCountsDecompressedBytes) {
  const std::string bomb = Gzip(10000000);
  ASSERT_LT(bomb.size(), 100000u);
  AnsweringServer server(Answer("200 OK", bomb, "Content-Encoding: gzip\r\n"));
  HttpRequest request = Request(server.url());
  request.compressed = true;
  request.max_body = 1000000;
  transport_->Start(request, &handler_);
  EXPECT_TRUE(absl::IsResourceExhausted(Finish().transport));
  EXPECT_LE(handler_.body.size(), 1000000u);
}

TEST_F(CurlTransportTest, AHeaderLongerThan64KiBIsResourceExhausted) {
  ScriptedServer server([](Client* client) {
    client->Request();
    client->Send("HTTP/1.1 200 OK\r\n");
    while (client->Send("X-Filler: " + std::string(1000, 'x') + "\r\n")) {
    }
  });
  EXPECT_TRUE(absl::IsResourceExhausted(Get(server.url()).transport));
  EXPECT_THAT(Message(), HasSubstr("header"));
}

TEST_F(CurlTransportTest, ATruncatedBodyIsUnavailable) {
  ScriptedServer server([](Client* client) {
    client->Request();
    client->Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  });
  EXPECT_TRUE(absl::IsUnavailable(Get(server.url()).transport));
  EXPECT_EQ(handler_.result.http_status, 200);
  EXPECT_THAT(Message(), HasSubstr("middle of the answer"));
}

TEST_F(CurlTransportTest, ChunksWithoutTheLastAreUnavailable) {
  ScriptedServer server([](Client* client) {
    client->Request();
    client->Send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
  });
  EXPECT_TRUE(absl::IsUnavailable(Get(server.url()).transport));
}

TEST_F(CurlTransportTest, SomethingElseThanHttpIsUnavailable) {
  ScriptedServer server([](Client* client) {
    client->Request();
    client->Send("SSH-2.0-OpenSSH\r\n");
  });
  EXPECT_TRUE(absl::IsUnavailable(Get(server.url()).transport));
  EXPECT_EQ(handler_.result.http_status, 0);
}

TEST_F(CurlTransportTest, ARefusedConnectionIsUnavailableAndSaysTheSameAgain) {
  std::string url;
  {
    ScriptedServer server([](Client*) {});
    url = server.url();
  }
  EXPECT_TRUE(absl::IsUnavailable(Get(url).transport));
  EXPECT_THAT(Message(),
              AllOf(HasSubstr("Connection refused"),
                    HasSubstr("address in api"), Not(HasSubstr(" ms"))));
}

TEST_F(CurlTransportTest, ADripEndsByTheTotalTimeout) {
  ScriptedServer server([](Client* client) {
    client->Request();
    client->Send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (client->Send("x") && !client->WaitGone(20)) {
    }
  });
  HttpRequest request = Request(server.url());
  request.total_timeout_ms = 200;
  transport_->Start(request, &handler_);
  EXPECT_TRUE(absl::IsDeadlineExceeded(Finish().transport));
  EXPECT_THAT(Message(), HasSubstr("no complete answer"));
}

TEST_F(CurlTransportTest, AHandlerThatRefusesTheBodyEndsTheTransfer) {
  AnsweringServer server(Answer("200 OK", "hello"));
  handler_.on_body = [] { return false; };
  EXPECT_TRUE(absl::IsAborted(Get(server.url()).transport));
}

TEST_F(CurlTransportTest, AHandlerMayCancelItselfInTheBody) {
  AnsweringServer server(Answer("200 OK", "hello"));
  const HttpTransport::Id id = Start(server.url());
  handler_.on_body = [&] {
    transport_->Cancel(id);
    return false;
  };
  PollUntil(transport_.get(), [this] { return !handler_.body.empty(); });
  transport_->Poll(0);
  EXPECT_EQ(handler_.done, 0);
}

TEST_F(CurlTransportTest, AHandlerMayCancelItselfAtTheStatus) {
  AnsweringServer server(Answer("200 OK", "hello"));
  const HttpTransport::Id id = Start(server.url());
  handler_.on_status = [&] { transport_->Cancel(id); };
  PollUntil(transport_.get(), [this] { return handler_.status != 0; });
  transport_->Poll(0);
  EXPECT_EQ(handler_.body, "");
  EXPECT_EQ(handler_.done, 0);
}

TEST_F(CurlTransportTest, AHandlerMayCancelAnotherTransferAndStartOne) {
  AnsweringServer server(Answer("200 OK", "hello"));
  ScriptedServer silent([](Client* client) { client->WaitGone(); });
  RecordingHandler cancelled, started;
  const auto id = transport_->Start(Request(silent.url()), &cancelled);
  handler_.on_done = [&] {
    transport_->Cancel(id);
    transport_->Start(Request(server.url()), &started);
  };
  Get(server.url());
  PollUntil(transport_.get(), [&] { return started.done > 0; });
  EXPECT_TRUE(started.result.transport.ok());
  EXPECT_EQ(cancelled.done, 0);
}

TEST_F(CurlTransportTest, HandlersHearNothingFromWithinStartAndCancel) {
  AnsweringServer server(Answer("200 OK", "hello"));
  const HttpTransport::Id id = Start(server.url());
  transport_->Cancel(id);
  transport_->Cancel(id);
  transport_->Cancel(12345);
  transport_->Poll(0);
  EXPECT_EQ(handler_.status, 0);
  EXPECT_EQ(handler_.done, 0);
}

TEST_F(CurlTransportTest, WhatAHandlerThrowsComesOutOfPoll) {
  AnsweringServer server(Answer("200 OK", "hello"));
  handler_.on_body = []() -> bool { throw std::runtime_error("mine"); };
  Start(server.url());
  EXPECT_THROW(Finish(), std::runtime_error);
  handler_.on_body = nullptr;
  handler_.done = 0;
  Get(server.url());
  EXPECT_TRUE(handler_.done > 0);
}

TEST_F(CurlTransportTest, ConnectionsAreUsedAgain) {
  AnsweringServer server(Answer("200 OK", "hello"));
  Get(server.url());
  handler_.done = 0;
  Get(server.url());
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(CurlTransportTest, AFreshConnectionIsNeitherUsedBeforeNorAfter) {
  AnsweringServer server(Answer("200 OK", "hello"));
  Get(server.url());
  HttpRequest request = Request(server.url());
  request.fresh_connection = true;
  for (int i = 0; i < 2; ++i) {
    handler_.done = 0;
    transport_->Start(request, &handler_);
    Finish();
  }
  EXPECT_EQ(server.connections(), 3);
}

TEST_F(CurlTransportTest, ProxiesOfTheEnvironmentAreIgnored) {
  AnsweringServer server(Answer("200 OK", "hello"));
  AnsweringServer proxy(Answer("200 OK", "proxy"));
  setenv("http_proxy", proxy.url().c_str(), 1);
  Get(server.url());
  unsetenv("http_proxy");
  EXPECT_EQ(handler_.body, "hello");
  EXPECT_EQ(proxy.connections(), 0);
}

TEST_F(CurlTransportTest, TheConfiguredProxyIsUsed) {
  AnsweringServer server(Answer("200 OK", "hello"));
  AnsweringServer proxy(Answer("200 OK", "proxy"));
  credentials_.proxy_url = proxy.url();
  setenv("no_proxy", "*", 1);
  Get(server.url());
  unsetenv("no_proxy");
  EXPECT_EQ(handler_.body, "proxy");
  EXPECT_EQ(server.connections(), 0);
}

TEST_F(CurlTransportTest, OtherProtocolsAreRefused) {
  EXPECT_FALSE(Get("file:///etc/passwd").transport.ok());
  EXPECT_EQ(handler_.body, "");
}

TEST_F(CurlTransportTest, ErrorsDoNotRepeatUserInformation) {
  Get("http://user:secret@127.0.0.1:1/");
  EXPECT_THAT(Message(), Not(HasSubstr("secret")));
}

TEST_F(CurlTransportTest, WakeupEndsAPollOfAnotherThread) {
  std::thread waker([this] { transport_->Wakeup(); });
  transport_->Poll(3600000);
  waker.join();
}

TEST_F(CurlTransportTest, WakeupEndsARestOfAnotherThread) {
  std::thread waker([this] { transport_->Wakeup(); });
  transport_->Rest(3600000);
  waker.join();
}

TEST_F(CurlTransportTest, ARestLeavesAnswersForTheNextPoll) {
  std::atomic<bool> asked{false}, answered{false};
  ScriptedServer server([&](Client* client) {
    client->Request();
    asked = true;
    client->Send(Answer("200 OK", "hello"));
    answered = true;
  });
  Start(server.url());
  while (!asked) transport_->Poll(1);
  while (!answered) transport_->Rest(1);
  const int status = handler_.status;  // of what came before the rest
  transport_->Rest(1);
  EXPECT_EQ(handler_.status, status);
  EXPECT_EQ(Finish().http_status, 200);
  EXPECT_EQ(handler_.body, "hello");
}

TEST_F(CurlTransportTest, TheDestructorEndsATransferThatHangs) {
  std::atomic<bool> asked{false}, gone{false};
  ScriptedServer server([&](Client* client) {
    client->Request();
    asked = true;
    gone = client->WaitGone();
  });
  Start(server.url());
  PollUntil(transport_.get(), [&] {
    transport_->Poll(1);
    return asked.load();
  });
  transport_.reset();
  while (!gone) std::this_thread::yield();
  EXPECT_EQ(handler_.done, 0);
}

}  // namespace
}  // namespace dynweight

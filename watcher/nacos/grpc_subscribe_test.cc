// Tests of nacos_discovery.h: subscriptions by gRPC, on a transport in the
// test's hand. t/nacos has them on real servers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "watcher/nacos/grpc_connection.h"
#include "watcher/nacos/grpc_message.h"
#include "watcher/testing/nacos_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Transfer {
  HttpRequest request;
  HttpHandler* handler = nullptr;  // null: ended
  GrpcMessage message;             // that it began with, of gRPC
  std::vector<GrpcMessage> sent;   // by the stream after that
};

class FakeTransport : public HttpTransport {
 public:
  Id Start(const HttpRequest& request, HttpHandler* handler) override {
    Transfer transfer{request, handler, {}, {}};
    if (request.channel.number != 0) {
      transfer.message = *ReadGrpcAnswer(request.body);
    }
    transfers.push_back(std::move(transfer));
    return transfers.size();
  }
  bool Send(Id id, std::string_view data) override {
    transfers[id - 1].sent.push_back(*ReadGrpcAnswer(data));
    return true;
  }
  void Cancel(Id id) override { transfers[id - 1].handler = nullptr; }

  std::deque<Transfer> transfers;  // all there ever were
};

class GrpcSubscribeTest : public NacosSourceTest {
 protected:
  GrpcSubscribeTest() {
    bases_ = {"http://10.0.0.5:8848/nacos", "http://10.0.0.6:8848/nacos"};
  }
  ~GrpcSubscribeTest() override { discovery_.reset(); }
  HttpTransport* transport() override { return &transport_; }

  // The last transfer under way of this type, or of this text in its URL.
  Transfer* Find(const std::string& what) {
    for (auto it = transport_.transfers.rbegin();
         it != transport_.transfers.rend(); ++it) {
      if (it->handler == nullptr) continue;
      if (it->message.type == what ||
          absl::StrContains(it->request.url, what)) {
        return &*it;
      }
    }
    return nullptr;
  }
  void Answer(Transfer* transfer, const std::string& body, int status = 200,
              absl::Status error = absl::OkStatus()) {
    ASSERT_NE(transfer, nullptr);
    HttpHandler* const handler = transfer->handler;
    if (error.ok()) handler->OnStatus(status, "");
    if (error.ok() && status == 200) handler->OnBody(body);
    transfer->handler = nullptr;
    HttpResult result;
    result.transport = error;
    result.http_status = error.ok() ? status : 0;
    handler->OnDone(result, status == 200 ? "" : body);
  }
  void Answer(const std::string& request, const std::string& type,
              const std::string& json) {
    Answer(Find(request), WriteGrpcMessage({type, json, {}}));
  }
  void Refuse(const std::string& request) {
    Answer(Find(request), "", 0, absl::UnavailableError("refused"));
  }
  void Push(const std::string& type, const std::string& json) {
    Transfer* const stream = Find("requestBiStream");
    ASSERT_NE(stream, nullptr);
    stream->handler->OnBody(WriteGrpcMessage({type, json, {}}));
  }
  static std::string Info(const std::vector<std::string>& hosts,
                          int made_ms = 1, bool at_threshold = false) {
    return absl::StrCat("{\"name\":\"orders\",\"groupName\":\"DEFAULT_GROUP\",",
                        "\"lastRefTime\":", made_ms, ",",
                        V1Answer(hosts, at_threshold).body.substr(1));
  }
  void PushInfo(const std::string& info) {
    Push("NotifySubscriberRequest",
         absl::StrCat("{\"requestId\":\"7\",\"serviceInfo\":", info, "}"));
  }
  void AnswerSubscribe(const std::string& info) {
    Answer("SubscribeServiceRequest", "SubscribeServiceResponse",
           absl::StrCat("{\"resultCode\":200,\"serviceInfo\":", info, "}"));
  }
  void SetUp(bool acknowledged) {
    Answer("ServerCheckRequest", "ServerCheckResponse",
           absl::StrCat("{\"resultCode\":200,\"supportAbilityNegotiation\":",
                        acknowledged ? "true" : "false", "}"));
    if (acknowledged) Push("SetupAckRequest", "{\"requestId\":\"1\"}");
  }
  using NacosSourceTest::SetUp;
  // One service that is subscribed.
  void Subscribe(const std::string& info = Info({NacosHost("10.1.0.1")})) {
    Watch({{"service=orders"}});
    SetUp(true);
    AnswerSubscribe(info);
  }
  void Pass(int64_t ms) {
    now_ += ms;
    discovery_->Tick(now_);
  }

  FakeTransport transport_;
};

TEST_F(GrpcSubscribeTest, ConnectsAndSubscribes) {
  options_.ns = "prod";
  Watch({{"service=orders"}});
  EXPECT_TRUE(discovery_->pushes());
  const Transfer* check = Find("ServerCheckRequest");
  ASSERT_NE(check, nullptr);
  EXPECT_EQ(check->request.url, "http://10.0.0.5:9848/Request/request");
  EXPECT_TRUE(check->request.channel.opens);
  SetUp(true);
  const Transfer* stream = Find("requestBiStream");
  EXPECT_TRUE(stream->request.channel.streams);
  EXPECT_EQ(stream->request.channel.number, check->request.channel.number);
  EXPECT_EQ(stream->message.type, "ConnectionSetupRequest");
  EXPECT_EQ(stream->sent[0].type, "SetupAckResponse");
  EXPECT_EQ(Find("SubscribeServiceRequest")->message.json,
            "{\"namespace\":\"prod\",\"serviceName\":\"orders\","
            "\"groupName\":\"DEFAULT_GROUP\",\"clusters\":\"\","
            "\"subscribe\":true,\"module\":\"naming\"}");
  EXPECT_FALSE(discovery_->listed());
  AnswerSubscribe(Info({NacosHost("10.1.0.1", ",\"weight\":2")}));
  EXPECT_TRUE(discovery_->listed());
  EXPECT_EQ(lists_, 1);
  EXPECT_EQ(asked_ms_, 1000);
  EXPECT_EQ(Instances(), "10.1.0.1:80*2000");
}

TEST_F(GrpcSubscribeTest, APushIsAnEventAndIsAcknowledged) {
  Subscribe();
  PushInfo(Info({NacosHost("10.1.0.2")}));
  EXPECT_EQ(events_, 1);
  EXPECT_EQ(Instances(), "10.1.0.2:80*1000");
  const GrpcMessage& answer = Find("requestBiStream")->sent.back();
  EXPECT_EQ(answer.type, "NotifySubscriberResponse");
  EXPECT_EQ(answer.json, "{\"resultCode\":200,\"requestId\":\"7\"}");
}

TEST_F(GrpcSubscribeTest, APushWithoutInstancesHoldsWithTheReason) {
  Subscribe();
  PushInfo(Info({}));
  EXPECT_EQ(Instances(), "10.1.0.1:80*1000");
  EXPECT_THAT(discovery_->WhyUncertain(0), HasSubstr("names no instance"));
  PushInfo(Info({NacosHost("10.1.0.2")}, 1, /*at_threshold=*/true));
  EXPECT_EQ(Instances(), "10.1.0.1:80*1000");
  EXPECT_THAT(discovery_->WhyUncertain(0), HasSubstr("threshold"));
  PushInfo(Info({NacosHost("10.1.0.2")}));
  EXPECT_EQ(Instances(), "10.1.0.2:80*1000");
  EXPECT_EQ(discovery_->WhyUncertain(0), "");
}

TEST_F(GrpcSubscribeTest, WhatWasOvertakenIsDropped) {
  Subscribe(Info({NacosHost("10.1.0.1")}, 5));
  PushInfo(Info({NacosHost("10.1.0.2")}, 4));
  EXPECT_EQ(Instances(), "10.1.0.1:80*1000");
  PushInfo(Info({NacosHost("10.1.0.2")}, 60000));
  EXPECT_EQ(Instances(), "10.1.0.2:80*1000");
  // A clock that was set back is no reason to hear nothing more.
  PushInfo(Info({NacosHost("10.1.0.3")}, 7));
  EXPECT_EQ(Instances(), "10.1.0.3:80*1000");
}

TEST_F(GrpcSubscribeTest, LinesOfOneServiceShareASubscription) {
  Watch({{"service=orders"}, {"service=orders", "clusters=bj"}});
  SetUp(true);
  AnswerSubscribe(Info({NacosHost("10.1.0.1", ",\"clusterName\":\"bj\""),
                        NacosHost("10.1.0.2", ",\"clusterName\":\"sh\"")}));
  EXPECT_EQ(Find("SubscribeServiceRequest"), nullptr);
  EXPECT_EQ(Instances(0), "10.1.0.1:80*1000 10.1.0.2:80*1000");
  EXPECT_EQ(Instances(1), "10.1.0.1:80*1000");
}

TEST_F(GrpcSubscribeTest, AnOldServerIsWaitedForAndAskedAgain) {
  Watch({{"service=orders"}});
  SetUp(false);
  EXPECT_EQ(Find("SubscribeServiceRequest"), nullptr);
  Pass(200);
  Answer("SubscribeServiceRequest", "ErrorResponse",
         "{\"resultCode\":500,\"errorCode\":301,\"message\":\"unregistered\"}");
  EXPECT_EQ(Find("SubscribeServiceRequest"), nullptr);
  Pass(100);
  AnswerSubscribe(Info({NacosHost("10.1.0.1")}));
  EXPECT_EQ(Instances(), "10.1.0.1:80*1000");
  EXPECT_EQ(error_, "");
}

TEST_F(GrpcSubscribeTest, AServiceThatIsRefusedDoesNotKeepTheOthers) {
  Watch({{"service=bad"}, {"service=orders"}});
  SetUp(true);
  AnswerSubscribe(Info({NacosHost("10.1.0.1")}));
  Answer("SubscribeServiceRequest", "ErrorResponse",
         "{\"resultCode\":500,\"errorCode\":500,\"message\":\"no\\nthanks\"}");
  EXPECT_EQ(lists_, 1);
  EXPECT_EQ(Instances(1), "10.1.0.1:80*1000");
  EXPECT_THAT(error_, HasSubstr("service=bad: the server answers with code "
                                "500, \"no\\nthanks\""));
  EXPECT_THAT(discovery_->WhyUncertain(0), HasSubstr("no\\nthanks"));
}

TEST_F(GrpcSubscribeTest, ALostConnectionIsFollowedByAnotherServer) {
  Subscribe();
  Pass(5000);
  Refuse("requestBiStream");
  EXPECT_THAT(error_, HasSubstr("10.0.0.5:8848/nacos, gRPC: refused"));
  Pass(0);
  EXPECT_EQ(Find("ServerCheckRequest")->request.url,
            "http://10.0.0.6:9848/Request/request");
  SetUp(true);
  AnswerSubscribe(Info({NacosHost("10.1.0.1")}));
  EXPECT_EQ(error_, "");
  // It is no witness of what the previous one said, and is asked again.
  EXPECT_FALSE(asked_ms_.has_value());
  Pass(1000);
  AnswerSubscribe(Info({NacosHost("10.1.0.1")}));
  EXPECT_EQ(asked_ms_, now_);
}

TEST_F(GrpcSubscribeTest, OneThatEndsAtOnceIsNoReasonToStorm) {
  Subscribe();
  Refuse("requestBiStream");
  Pass(100);
  EXPECT_EQ(Find("ServerCheckRequest"), nullptr);
  EXPECT_NE(Find("v2/ns/instance/list"), nullptr);
  EXPECT_EQ(Instances(), "10.1.0.1:80*1000");
}

TEST_F(GrpcSubscribeTest, WhereSubscribingFailsItPolls) {
  Watch({{"service=orders"}});
  Refuse("ServerCheckRequest");
  Pass(0);
  Answer(Find("v2/ns/instance/list"), V2Answer({NacosHost("10.1.0.1")}).body);
  EXPECT_EQ(Instances(), "10.1.0.1:80*1000");
  EXPECT_EQ(error_, "");
  EXPECT_EQ(trouble_, "");
  for (int i = 0; i < 2; ++i) {
    while (Find("ServerCheckRequest") == nullptr) Pass(100);
    Refuse("ServerCheckRequest");
  }
  EXPECT_THAT(trouble_, HasSubstr("polled each 5000 ms instead"));
  while (Find("ServerCheckRequest") == nullptr) Pass(100);
  SetUp(true);
  AnswerSubscribe(Info({NacosHost("10.1.0.2")}));
  EXPECT_EQ(Instances(), "10.1.0.2:80*1000");
  EXPECT_EQ(trouble_, "");
  Pass(10000);
  EXPECT_EQ(Find("ns/instance/list"), nullptr);
}

TEST_F(GrpcSubscribeTest, WhatTakesLongIsPolledMeanwhile) {
  Watch({{"service=orders"}});
  Pass(1000);
  EXPECT_NE(Find("v2/ns/instance/list"), nullptr);
  SetUp(true);
  AnswerSubscribe(Info({NacosHost("10.1.0.2")}));
  EXPECT_EQ(Find("ns/instance/list"), nullptr);
}

TEST_F(GrpcSubscribeTest, AServerThatIsBackIsSubscribedToAtOnce) {
  Subscribe();
  Pass(5000);
  Refuse("requestBiStream");
  Pass(0);
  Refuse("ServerCheckRequest");
  Pass(0);
  Answer(Find("ns/instance/list"), "", 0, absl::UnavailableError("refused"));
  while (Find("ns/instance/list") == nullptr) Pass(100);
  Answer(Find("ns/instance/list"), V2Answer({NacosHost("10.1.0.1")}).body);
  Pass(0);
  EXPECT_NE(Find("ServerCheckRequest"), nullptr);
}

TEST_F(GrpcSubscribeTest, ItsHealthIsAskedFor) {
  Subscribe();
  Pass(5000);
  Answer("HealthCheckRequest", "HealthCheckResponse", "{\"resultCode\":200}");
  EXPECT_EQ(rounds_, 2);
  Pass(5000);
  Answer("HealthCheckRequest", "ErrorResponse",
         "{\"resultCode\":500,\"errorCode\":301}");
  EXPECT_THAT(error_, HasSubstr("does not know the connection"));
  Pass(0);
  EXPECT_NE(Find("ServerCheckRequest"), nullptr);
}

TEST_F(GrpcSubscribeTest, AServerMaySendItsConnectionsElsewhere) {
  Subscribe();
  Pass(5000);
  Push("ConnectResetRequest", "{\"requestId\":\"8\"}");
  EXPECT_GT(busy_ms_, 0);
  Pass(0);
  EXPECT_NE(Find("ServerCheckRequest"), nullptr);
}

TEST_F(GrpcSubscribeTest, AConfirmationSubscribesAgain) {
  Subscribe();
  discovery_->RequestConfirmation(now_);
  EXPECT_EQ(Find("SubscribeServiceRequest"), nullptr);
  Pass(1000);
  AnswerSubscribe(Info({NacosHost("10.1.0.1")}));
  EXPECT_EQ(asked_ms_, 2000);
}

TEST_F(GrpcSubscribeTest, SubscriptionsAreRepeatedNowAndThen) {
  Subscribe();
  while (Find("SubscribeServiceRequest") == nullptr) {
    Pass(1000);
    if (Find("HealthCheckRequest") == nullptr) continue;
    Answer("HealthCheckRequest", "HealthCheckResponse", "{\"resultCode\":200}");
  }
  EXPECT_GE(now_, 301000);
  EXPECT_LE(now_, 602000);
}

TEST_F(GrpcSubscribeTest, WhatIsNoMessageEndsTheConnection) {
  Subscribe();
  Pass(5000);
  Transfer* const stream = Find("requestBiStream");
  stream->handler->OnBody(std::string("\0\xff\xff\xff\xff", 5));
  EXPECT_THAT(error_, HasSubstr("longer than"));
  EXPECT_EQ(Instances(), "10.1.0.1:80*1000");
}

TEST_F(GrpcSubscribeTest, ATokenThatIsRefusedIsFollowedByAnother) {
  credentials_.user = "edge";
  credentials_.password = "secret";
  Watch({{"service=orders"}});
  Answer(Find("auth/login"), "{\"accessToken\":\"one\",\"tokenTtl\":100}");
  SetUp(true);
  Answer("SubscribeServiceRequest", "ErrorResponse",
         "{\"resultCode\":500,\"errorCode\":403,\"message\":\"denied\"}");
  Answer(Find("auth/login"), "{\"accessToken\":\"two\",\"tokenTtl\":100}");
  EXPECT_THAT(Find("SubscribeServiceRequest")->request.body, HasSubstr("two"));
  AnswerSubscribe(Info({NacosHost("10.1.0.1")}));
  EXPECT_EQ(error_, "");
}

TEST_F(GrpcSubscribeTest, WhatTheUserMayNotReadIsAnError) {
  credentials_.user = "edge";
  Watch({{"service=orders"}});
  for (const char* subscribed : {"first", "again"}) {
    Answer(Find("auth/login"), "{\"accessToken\":\"one\",\"tokenTtl\":100}");
    if (subscribed == std::string("first")) SetUp(true);
    Answer("SubscribeServiceRequest", "ErrorResponse",
           "{\"resultCode\":500,\"errorCode\":403,\"message\":\"denied\"}");
  }
  EXPECT_THAT(error_, HasSubstr("code 403, \"denied\""));
  EXPECT_EQ(Find("auth/login"), nullptr);
}

// Signatures made by Python's hmac.
TEST_F(GrpcSubscribeTest, EachSubscriptionIsSigned) {
  credentials_.access_key = "LTAI";
  credentials_.secret = "s3cret";
  Watch({{"service=orders"}});
  EXPECT_EQ(Find("ServerCheckRequest")->request.body.find("LTAI"),
            std::string::npos);
  SetUp(true);
  EXPECT_EQ(Find("auth/login"), nullptr);
  EXPECT_EQ(
      Find("SubscribeServiceRequest")->request.body,
      WriteGrpcMessage({"SubscribeServiceRequest",
                        Find("SubscribeServiceRequest")->message.json,
                        {{"ak", "LTAI"},
                         {"data", "1700000001000@@DEFAULT_GROUP@@orders"},
                         {"signature", "1pyBoqciUEHLvRi61VHF2max2Js="}}}));
  AnswerSubscribe(Info({NacosHost("10.1.0.1")}));
  clock_.now = 2500;
  discovery_->RequestConfirmation(now_);
  Pass(1000);
  EXPECT_THAT(Find("SubscribeServiceRequest")->request.body,
              HasSubstr("K/EE06Qw6WfxU8Vrl0vFCBxpsVo="));
}

TEST_F(GrpcSubscribeTest, ASignatureThatIsRefusedIsToldOf) {
  credentials_.access_key = "LTAI";
  credentials_.secret = "s3cret";
  Watch({{"service=orders"}});
  SetUp(true);
  Answer("SubscribeServiceRequest", "ErrorResponse",
         "{\"resultCode\":500,\"errorCode\":403,\"message\":\"denied\"}");
  EXPECT_THAT(error_, HasSubstr("code 403, \"denied\"; are access_key, "
                                "secret_file and this machine's clock right"));
  EXPECT_EQ(error_.find("s3cret"), std::string::npos);
}

TEST_F(GrpcSubscribeTest, OverTlsItSubscribesByTls) {
  bases_ = {"https://10.0.0.5:8848/nacos"};
  Watch({{"service=orders"}});
  const Transfer* check = Find("ServerCheckRequest");
  ASSERT_NE(check, nullptr);
  EXPECT_EQ(check->request.url, "https://10.0.0.5:9848/Request/request");
  EXPECT_EQ(check->request.credentials, &credentials_);
  SetUp(true);
  EXPECT_EQ(Find("requestBiStream")->request.url,
            "https://10.0.0.5:9848/BiRequestStream/requestBiStream");
  AnswerSubscribe(Info({NacosHost("10.1.0.1")}));
  EXPECT_EQ(Instances(), "10.1.0.1:80*1000");
}

TEST_F(GrpcSubscribeTest, APortThatIsNoneIsNotTriedAgain) {
  bases_ = {"http://10.0.0.5:65000/nacos"};
  Watch({{"service=orders"}});
  Pass(0);
  Answer(Find("v2/ns/instance/list"), V2Answer({NacosHost("10.1.0.1")}).body);
  EXPECT_THAT(trouble_, HasSubstr("is no port; polled each"));
  Pass(100000);
  EXPECT_EQ(Find("ServerCheckRequest"), nullptr);
}

TEST(GrpcUrlTest, ThePortIsAThousandMore) {
  EXPECT_EQ(*GrpcUrl("http://a:8848/nacos"), "http://a:9848");
  EXPECT_EQ(*GrpcUrl("http://a"), "http://a:1080");
  EXPECT_EQ(*GrpcUrl("http://[fd00::1]:8848"), "http://[fd00::1]:9848");
  EXPECT_EQ(*GrpcUrl("http://[fd00::1]/x"), "http://[fd00::1]:1080");
  EXPECT_EQ(*GrpcUrl("https://a:8848/nacos"), "https://a:9848");
  EXPECT_EQ(*GrpcUrl("https://a"), "https://a:1443");
  EXPECT_FALSE(GrpcUrl("http://a:65000").ok());
}

}  // namespace
}  // namespace dynweight

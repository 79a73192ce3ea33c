// Tests of nacos_discovery.h: lists by HTTP.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "absl/strings/str_cat.h"
#include "watcher/testing/nacos_fixture.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class NacosPollTest : public NacosTest {
 protected:
  NacosPollTest() { bases_ = {server_.base()}; }
  FakeNacos server_;
};

TEST_F(NacosPollTest, TheFirstRoundTellsOfEachService) {
  server_.Set(kV2List, [](const std::string& request) {
    return request.find("serviceName=orders") != std::string::npos
               ? V2Answer({NacosHost("10.0.0.1"),
                           NacosHost("10.0.0.2", ",\"weight\":0.5")})
               : V2Answer({NacosHost("10.0.0.3", ",\"weight\":0")});
  });
  options_.ns = "prod";
  Watch({{"service=orders", "clusters=sh,bj"}, {"service=pay", "group=g 1"}});
  EXPECT_FALSE(discovery_->listed());
  AwaitRounds();
  EXPECT_TRUE(discovery_->listed());
  EXPECT_EQ(error_, "");
  EXPECT_EQ(lists_, 1);
  EXPECT_EQ(asked_ms_, 1000);
  EXPECT_THAT(changed_, ElementsAre(0, 1));
  EXPECT_EQ(Instances(0), "10.0.0.1:80*1000 10.0.0.2:80*500");
  EXPECT_EQ(Instances(1), "10.0.0.3:80*0");
  EXPECT_THAT(server_.Requests(),
              testing::UnorderedElementsAre(
                  absl::StrCat("GET ", kV2List,
                               "?namespaceId=prod&groupName=DEFAULT_GROUP&"
                               "serviceName=orders&clusterName=bj%2Csh"),
                  absl::StrCat("GET ", kV2List,
                               "?namespaceId=prod&groupName=g%201&"
                               "serviceName=pay")));
}

TEST_F(NacosPollTest, ManyServicesAreAskedForAFewAtATime) {
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  std::vector<std::string> words;
  for (int i = 0; i < 50; ++i) words.push_back(absl::StrCat("service=s", i));
  std::vector<std::vector<std::string_view>> lines;
  for (const std::string& word : words) lines.push_back({word});
  Watch(lines);
  AwaitRounds();
  EXPECT_EQ(server_.Requests().size(), 50u);
  for (size_t i = 0; i < 50; ++i) EXPECT_EQ(Instances(i), "10.0.0.1:80*1000");
}

TEST_F(NacosPollTest, ARoundFollowsEachInterval) {
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_EQ(discovery_->DeadlineMs(), 1000 + 2500);
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.2")}));
  NextRound();
  EXPECT_EQ(Instances(), "10.0.0.2:80*1000");
  EXPECT_EQ(discovery_->DeadlineMs(), 3500 + 4750);
  EXPECT_EQ(asked_ms_, 3500);
}

TEST_F(NacosPollTest, AConfirmationIsARoundAtOnce) {
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  Watch({{"service=orders"}});
  AwaitRounds();
  discovery_->RequestConfirmation(1500);
  EXPECT_EQ(discovery_->DeadlineMs(), 1500);
  NextRound();
  EXPECT_EQ(asked_ms_, 1500);
}

TEST_F(NacosPollTest, NoInstanceHoldsWithTheReason) {
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  Watch({{"service=orders"}});
  AwaitRounds();
  changed_.clear();
  server_.Set(kV2List, V2Answer({}));
  NextRound();
  EXPECT_THAT(changed_, ElementsAre(0)) << "whether it is certain";
  EXPECT_THAT(discovery_->WhyUncertain(0), HasSubstr("names no instance"));
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000");
  EXPECT_EQ(error_, "");
  changed_.clear();
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  NextRound();
  EXPECT_THAT(changed_, ElementsAre(0));
  EXPECT_EQ(discovery_->WhyUncertain(0), "");
}

TEST_F(NacosPollTest, TheProtectionThresholdHolds) {
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  Watch({{"service=orders"}});
  AwaitRounds();
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1"), NacosHost("10.0.0.2")},
                                /*at_threshold=*/true));
  NextRound();
  EXPECT_THAT(discovery_->WhyUncertain(0), HasSubstr("protection threshold"));
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000");
}

TEST_F(NacosPollTest, OfV3OtherListsShowTheProtectionThreshold) {
  const std::string bj = ",\"clusterName\":\"bj\"";
  const std::string sh = ",\"clusterName\":\"sh\"";
  server_.Set(kV3List,
              V3Answer({NacosHost("10.0.0.1", bj), NacosHost("10.0.0.2", sh)}));
  std::string health = "true";
  server_.Set(kV3AdminList, [&](const std::string& request) {
    return request.find("clusterName=bj") != std::string::npos
               ? V3Answer({NacosHost("10.0.0.1", bj)})
               : V3Answer(
                     {NacosHost("10.0.0.2", sh + ",\"healthy\":" + health)});
  });
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000 10.0.0.2:80*1000");
  EXPECT_EQ(discovery_->WhyUncertain(0), "");
  EXPECT_EQ(trouble_, "");
  EXPECT_THAT(
      server_.Requests("nacos/v3"),
      ElementsAre(HasSubstr("clusterName=%2C"), HasSubstr("clusterName=sh"),
                  HasSubstr("clusterName=bj")));
  health = "false";
  NextRound();
  EXPECT_THAT(discovery_->WhyUncertain(0), HasSubstr("protection threshold"));
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000 10.0.0.2:80*1000");
}

TEST_F(NacosPollTest, WhereItIsRefusedThatIsToldOf) {
  server_.Set(kV3List, V3Answer({NacosHost("10.0.0.1")}));
  server_.Set(kV3AdminList, {403, "{}", ""});
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000");
  EXPECT_EQ(error_, "");
  EXPECT_THAT(trouble_, HasSubstr("do not show the protection threshold"));
  NextRound();
  EXPECT_THAT(server_.Requests("admin"), testing::SizeIs(1));
}

TEST_F(NacosPollTest, TheVersionOfTheApiIsFoundOutAndFoundOutAgain) {
  server_.Set(kV1List, V1Answer({NacosHost("10.0.0.1")}));
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000");
  EXPECT_EQ(server_.Requests().size(), 2u);
  NextRound();
  EXPECT_EQ(server_.Requests().size(), 3u);
  server_.Remove(kV1List);
  server_.Set(kV3List, V3Answer({NacosHost("10.0.0.2")}));
  NextRound();
  EXPECT_EQ(Instances(), "10.0.0.2:80*1000");
}

TEST_F(NacosPollTest, NoVersionOfTheApiIsAnError) {
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_THAT(error_, HasSubstr("does api end with the server's context path"));
  EXPECT_FALSE(discovery_->listed());
}

TEST_F(NacosPollTest, AServerThatIsStartingHoldsAndAnotherIsAsked) {
  FakeNacos other;
  other.Set(kV2List, V2Answer({NacosHost("10.0.0.2")}));
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  bases_ = {server_.base(), other.base()};
  Watch({{"service=orders"}});
  AwaitRounds();
  server_.Set(kV2List, {503, "server is STARTING now, please try again later!",
                        "Retry-After: 1\r\n"});
  NextRound();
  EXPECT_THAT(error_, HasSubstr("HTTP 503: \"server is STARTING now"));
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000");
  EXPECT_EQ(busy_ms_, 1000);
  const int64_t failed = now_;
  NextRound();
  EXPECT_EQ(now_ - failed, 100);
  EXPECT_EQ(error_, "");
  EXPECT_EQ(Instances(), "10.0.0.2:80*1000");
  // It is no witness of what the previous one said.
  EXPECT_FALSE(asked_ms_.has_value());
  NextRound();
  EXPECT_TRUE(asked_ms_.has_value());
  EXPECT_EQ(bases_.front(), other.base());
}

TEST_F(NacosPollTest, ADeadServerIsAskedAgainWithinFiveSeconds) {
  bases_ = {"http://127.0.0.1:1/nacos"};
  random_ = 0.999;
  Watch({{"service=orders"}});
  AwaitRounds();
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(error_, HasSubstr("Connection refused"));
    EXPECT_LT(discovery_->DeadlineMs() - now_, 5000);
    EXPECT_GT(discovery_->DeadlineMs() - now_, 500);
    NextRound();
  }
}

TEST_F(NacosPollTest, OneServiceThatIsRefusedDoesNotKeepTheOthers) {
  server_.Set(kV2List, [](const std::string& request) {
    return request.find("serviceName=bad") != std::string::npos
               ? FakeNacos::Answer{400, "Param 'serviceName' is illegal", ""}
               : V2Answer({NacosHost("10.0.0.1")});
  });
  Watch({{"service=bad"}, {"service=orders"}});
  AwaitRounds();
  EXPECT_EQ(lists_, 1);
  EXPECT_TRUE(discovery_->listed());
  EXPECT_EQ(Instances(1), "10.0.0.1:80*1000");
  EXPECT_THAT(error_, HasSubstr("service=bad: HTTP 400: \"Param "));
  EXPECT_THAT(discovery_->WhyUncertain(0), HasSubstr("HTTP 400"));
  EXPECT_EQ(discovery_->WhyUncertain(1), "");
}

TEST_F(NacosPollTest, AnAnswerThatIsNoneHolds) {
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  Watch({{"service=orders"}});
  AwaitRounds();
  server_.Set(kV2List, {200, "<html>", ""});
  NextRound();
  EXPECT_THAT(error_, HasSubstr("is no JSON"));
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000");
  EXPECT_EQ(discovery_->stats().rejected, 1u);
}

TEST_F(NacosPollTest, AHostNameForAnAddressIsToldOf) {
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1"), NacosHost("a.b")}));
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_THAT(trouble_, HasSubstr("1 registered instances get no request"));
  server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  NextRound();
  EXPECT_EQ(trouble_, "");
}

// ---- Login

constexpr char kToken[] =
    "{\"accessToken\":\"t0ken\",\"tokenTtl\":100,\"globalAdmin\":true}";

class NacosLoginTest : public NacosPollTest {
 protected:
  NacosLoginTest() {
    credentials_.user = "edge&co";
    credentials_.password = "p@ss word";
    server_.Set(kV2List, [this](const std::string& request) {
      return request.find("Authorization: Bearer " + valid_ + "\r\n") !=
                     std::string::npos
                 ? V2Answer({NacosHost("10.0.0.1")})
                 : FakeNacos::Answer{403, "{\"error\":\"Forbidden\"}", ""};
    });
  }
  std::string valid_ = "t0ken";
};

TEST_F(NacosLoginTest, LogsInFirst) {
  std::string form;
  server_.Set(kV1Login, [&form](const std::string& request) {
    form = request.substr(request.find("\r\n\r\n") + 4);
    return FakeNacos::Answer{200, kToken, ""};
  });
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_EQ(form, "username=edge%26co&password=p%40ss%20word");
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000");
  EXPECT_EQ(server_.Requests().size(), 2u);
}

TEST_F(NacosLoginTest, LogsInAgainBeforeTheTokenEnds) {
  server_.Set(kV1Login, {200, kToken, ""});
  Watch({{"service=orders"}});
  AwaitRounds();
  while (now_ < 1000 + 90000) NextRound();
  EXPECT_EQ(server_.Requests("login").size(), 2u);
}

TEST_F(NacosLoginTest, LogsInByV3WhereV1IsGone) {
  server_.Set(kV3Login, {200, kToken, ""});
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000");
}

TEST_F(NacosLoginTest, ATokenThatIsRefusedIsFollowedByAnother) {
  server_.Set(kV1Login, {200, kToken, ""});
  Watch({{"service=orders"}, {"service=pay"}});
  AwaitRounds();
  valid_ = "another";
  server_.Set(kV1Login,
              {200, "{\"accessToken\":\"another\",\"tokenTtl\":100}", ""});
  NextRound();
  EXPECT_EQ(error_, "");
  EXPECT_EQ(server_.Requests("login").size(), 2u);
}

TEST_F(NacosLoginTest, AnotherPasswordIsAnotherLogin) {
  server_.Set(kV1Login, {200, kToken, ""});
  Watch({{"service=orders"}});
  AwaitRounds();
  credentials_.password = "new";
  NextRound();
  EXPECT_EQ(server_.Requests("login").size(), 2u);
}

TEST_F(NacosLoginTest, WhatTheUserMayNotReadIsAnError) {
  server_.Set(kV1Login, {200, kToken, ""});
  valid_ = "of nobody";
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_TRUE(absl::IsPermissionDenied(status_));
  EXPECT_THAT(error_, HasSubstr("HTTP 403: \"Forbidden\"; the user may not"));
  NextRound();
  NextRound();
  EXPECT_EQ(server_.Requests("login").size(), 1u);
}

TEST_F(NacosLoginTest, AWrongPasswordIsToldOfAndNotShown) {
  server_.Set(kV1Login, {500, "caused: s3cret?", ""});
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_TRUE(absl::IsUnauthenticated(status_));
  EXPECT_THAT(error_, HasSubstr("login as \"edge\\u0026co\": HTTP 500"));
  EXPECT_THAT(error_, HasSubstr("password_file right?"));
  EXPECT_THAT(error_, Not(HasSubstr("p@ss")));
}

TEST_F(NacosLoginTest, ATokenThatWouldForgeAHeaderIsRefused) {
  server_.Set(kV1Login,
              {200, "{\"accessToken\":\"a\\r\\nX: b\",\"tokenTtl\":9}", ""});
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_THAT(error_, HasSubstr("control character"));
}

TEST_F(NacosLoginTest, WithoutAUserTheServersWishForOneIsToldOf) {
  credentials_ = Credentials();
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_THAT(error_, HasSubstr("write user and password_file, or access_key "
                                "and secret_file"));
}

// ---- Signatures, made by Python's hmac.

class NacosSignatureTest : public NacosPollTest {
 protected:
  NacosSignatureTest() {
    credentials_.access_key = "LTAI";
    credentials_.secret = "s3cret";
    server_.Set(kV2List, V2Answer({NacosHost("10.0.0.1")}));
  }
};

TEST_F(NacosSignatureTest, EachListIsSigned) {
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_EQ(Instances(), "10.0.0.1:80*1000");
  EXPECT_THAT(server_.Requests(),
              ElementsAre(absl::StrCat(
                  "GET ", kV2List,
                  "?namespaceId=public&groupName=DEFAULT_GROUP&"
                  "serviceName=orders&ak=LTAI&"
                  "data=1700000001000%40%40DEFAULT_GROUP%40%40orders&"
                  "signature=1pyBoqciUEHLvRi61VHF2max2Js%3D")));
  clock_.now = 2500;
  NextRound();
  EXPECT_THAT(server_.Requests("K%2FEE06Qw6WfxU8Vrl0vFCBxpsVo%3D"),
              testing::SizeIs(1));
}

TEST_F(NacosSignatureTest, AnotherSecretSignsTheNextList) {
  Watch({{"service=orders"}});
  AwaitRounds();
  credentials_.secret = "n3w";
  NextRound();
  EXPECT_THAT(server_.Requests("N%2FRD0BiAXQPiQCbtpRGJj9mvqzA%3D"),
              testing::SizeIs(1));
}

TEST_F(NacosSignatureTest, ARefusalIsToldOfAndTheSecretIsNotShown) {
  server_.Set(kV2List, {403, "{\"error\":\"Forbidden\"}", ""});
  Watch({{"service=orders"}});
  AwaitRounds();
  EXPECT_TRUE(absl::IsPermissionDenied(status_));
  EXPECT_THAT(error_, HasSubstr("HTTP 403: \"Forbidden\"; are access_key, "
                                "secret_file and this machine's clock right"));
  EXPECT_THAT(error_, Not(HasSubstr("s3cret")));
  EXPECT_THAT(error_, Not(HasSubstr("1pyBoq")));
  EXPECT_THAT(server_.Requests("login"), testing::IsEmpty());
}

}  // namespace
}  // namespace dynweight

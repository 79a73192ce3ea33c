// Tests of service_answer.h: what real servers say, and what none should.

#include "watcher/nacos/service_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Host(const std::string& ip, const std::string& more = "") {
  return absl::StrCat(R"({"ip":")", ip, R"(","port":8080,"weight":1.0,)",
                      R"("healthy":true,"enabled":true,"ephemeral":true,)",
                      R"("clusterName":"DEFAULT",)",
                      R"("serviceName":"DEFAULT_GROUP@@orders",)",
                      R"("metadata":{})", more, "}");
}

std::string Info(const std::vector<std::string>& hosts,
                 const std::string& flags =
                     R"("reachProtectionThreshold":false,"valid":true)") {
  return absl::StrCat(
      R"({"name":"DEFAULT_GROUP@@orders","groupName":"DEFAULT_GROUP",)",
      R"("clusters":"","cacheMillis":10000,"hosts":[)",
      absl::StrJoin(hosts, ","), R"(],"lastRefTime":1795645277560,)",
      R"("checksum":"","allIps":false)", flags.empty() ? "" : ",", flags, "}");
}

std::string Enveloped(const std::string& data) {
  return absl::StrCat(R"({"code":0,"message":"success","data":)", data, "}");
}

ServiceAnswer Read(const std::string& body, NacosApi api = NacosApi::kV1) {
  const auto answer = ReadServiceList(api, body);
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.ok() ? *answer : ServiceAnswer();
}

std::string Mistake(const std::string& body, NacosApi api = NacosApi::kV1) {
  return std::string(ReadServiceList(api, body).status().message());
}

std::vector<std::string> Texts(const ServiceAnswer& answer) {
  std::vector<std::string> texts;
  for (const Instance& instance : answer.instances) {
    texts.push_back(absl::StrCat(instance.address.ToString(), "/",
                                 instance.port, "/", instance.weight_milli));
  }
  return texts;
}

TEST(ServiceAnswerTest, EveryVersionSaysTheSame) {
  const std::vector<std::string> hosts = {Host("10.0.0.2"), Host("10.0.0.1"),
                                          Host("fd00::1")};
  const std::string v3 = absl::StrCat("[", absl::StrJoin(hosts, ","), "]");
  for (const ServiceAnswer& answer :
       {Read(Info(hosts)), Read(Enveloped(Info(hosts)), NacosApi::kV2),
        Read(Enveloped(v3), NacosApi::kV3)}) {
    EXPECT_THAT(Texts(answer),
                ElementsAre("10.0.0.1/8080/1000", "10.0.0.2/8080/1000",
                            "fd00::1/8080/1000"));
    EXPECT_EQ(answer.hosts, 3u);
    EXPECT_EQ(answer.WhyUncertain(), "");
  }
}

TEST(ServiceAnswerTest, V3DoesNotShowTheProtectionThreshold) {
  EXPECT_FALSE(Read(Enveloped("[" + Host("10.0.0.1") + "]"), NacosApi::kV3)
                   .at_protection_threshold.has_value());
  EXPECT_EQ(Read(Info({Host("10.0.0.1")})).at_protection_threshold, false);
}

TEST(ServiceAnswerTest, NoInstanceIsNoEvidence) {
  EXPECT_THAT(Read(Info({})).WhyUncertain(), HasSubstr("names no instance"));
  EXPECT_THAT(Read(Enveloped("[]"), NacosApi::kV3).WhyUncertain(),
              HasSubstr("names no instance"));
}

TEST(ServiceAnswerTest, AtTheProtectionThresholdIsNoEvidence) {
  EXPECT_THAT(
      Read(Info({Host("10.0.0.1")}, R"("reachProtectionThreshold":true)"))
          .WhyUncertain(),
      HasSubstr("protection threshold"));
}

TEST(ServiceAnswerTest, AnInvalidAnswerIsNoEvidence) {
  EXPECT_THAT(Read(Info({Host("10.0.0.1")}, R"("valid":false)")).WhyUncertain(),
              HasSubstr("invalid"));
}

TEST(ServiceAnswerTest, TwoListsShowTheProtectionThreshold) {
  const ServiceAnswer two = Read(Info({Host("10.0.0.1"), Host("10.0.0.2")}));
  const ServiceAnswer one = Read(Info({Host("10.0.0.1")}));
  EXPECT_TRUE(ReachesProtectionThreshold(two, one));
  EXPECT_FALSE(ReachesProtectionThreshold(two, two));
  // One that has come meanwhile.
  EXPECT_FALSE(ReachesProtectionThreshold(one, two));
}

TEST(ServiceAnswerTest, DisabledAndUnhealthyInstancesAreNoPeers) {
  const std::string disabled =
      R"({"ip":"10.0.0.2","port":80,"enabled":false,"healthy":true})";
  const std::string unhealthy =
      R"({"ip":"10.0.0.3","port":80,"enabled":true,"healthy":false})";
  const std::string old = R"({"ip":"10.0.0.4","port":80,"valid":false})";
  const ServiceAnswer answer =
      Read(Info({Host("10.0.0.1"), disabled, unhealthy, old}));
  EXPECT_THAT(Texts(answer), ElementsAre("10.0.0.1/8080/1000"));
  EXPECT_EQ(answer.hosts, 4u);
  // None that serves is an answer: somebody made them so.
  EXPECT_EQ(Read(Info({disabled, unhealthy})).WhyUncertain(), "");
}

TEST(ServiceAnswerTest, AWeightIsInThousandthsAndZeroOnlyWhenItIsZero) {
  EXPECT_EQ(WeightMilli(0), 0u);
  EXPECT_EQ(WeightMilli(0.0001), 1u);
  EXPECT_EQ(WeightMilli(0.0015), 2u);
  EXPECT_EQ(WeightMilli(0.5), 500u);
  EXPECT_EQ(WeightMilli(1), 1000u);
  EXPECT_EQ(WeightMilli(10000), 10000000u);
}

TEST(ServiceAnswerTest, AnInstanceOfTwoClustersIsOnePeer) {
  const std::string heavy =
      R"({"ip":"10.0.0.1","port":8080,"weight":3,"clusterName":"bj"})";
  EXPECT_THAT(Texts(Read(Info({Host("10.0.0.1"), heavy}))),
              ElementsAre("10.0.0.1/8080/3000"));
}

TEST(ServiceAnswerTest, TheNameIsTheIdOfTheRegistry) {
  const auto& named = Read(
      Info({Host("10.0.0.1", R"(,"instanceId":"10.0.0.1#8080#bj#g@@orders")"),
            Host("10.0.0.2")}));
  EXPECT_EQ(named.instances[0].name, "10.0.0.1#8080#bj#g@@orders");
  EXPECT_EQ(named.instances[1].name,
            "10.0.0.2#8080#DEFAULT#DEFAULT_GROUP@@orders");
  const auto& cut = Read(
      Info({Host("10.0.0.1", absl::StrCat(R"(,"instanceId":")",
                                          std::string(252, 'a'), "\u00e9\"")
                                 .c_str())}));
  EXPECT_EQ(cut.instances[0].name, std::string(252, 'a'));
}

std::string ZoneIn(const std::string& metadata) {
  const ServiceAnswer answer = Read(Info({absl::StrCat(
      R"({"ip":"10.0.0.1","port":80,"metadata":)", metadata, "}")}));
  EXPECT_EQ(answer.instances.size(), 1u) << metadata;
  return answer.instances.empty() ? "?" : answer.instances[0].zone;
}

TEST(ServiceAnswerTest, TheZoneIsThatOfTheMetadata) {
  EXPECT_EQ(ZoneIn(R"({"zone":"cn-beijing-a","version":"1"})"), "cn-beijing-a");
  EXPECT_EQ(ZoneIn(R"({"zone":"<\"\n>"})"), "<\"\n>");
  EXPECT_EQ(ZoneIn(R"({"zone":")" + std::string(500, 'z') + "\"}"),
            std::string(39, 'z'));
}

// Whoever registers writes it, and must not spoil what is said of the others.
TEST(ServiceAnswerTest, MetadataOfAnyKindAreNoMistake) {
  for (const char* metadata :
       {"{}", "null", "5", "[]", R"("zone")", R"({"zone":5})",
        R"({"zone":{"a":"b"}})", R"({"zone":null})", R"({"zone":""})",
        R"({"zone":"a","zone":"b"})"}) {
    EXPECT_EQ(ZoneIn(metadata), "") << metadata;
  }
  EXPECT_EQ(ZoneIn(R"({"zone":")" + std::string(5000, 'z') + "\"}"), "");
}

TEST(ServiceAnswerTest, WhatNoPeerCanHaveIsCounted) {
  const ServiceAnswer answer = Read(Info(
      {Host("orders.example"), Host("0.0.0.0"), Host("10.0.0.1"),
       R"({"ip":"10.0.0.2","port":0})", R"({"ip":"10.0.0.2","port":70000})"}));
  EXPECT_EQ(answer.unusable, 4u);
  EXPECT_THAT(Texts(answer), ElementsAre("10.0.0.1/8080/1000"));
}

TEST(ServiceAnswerTest, WhatIsNoAnswerIsRefused) {
  EXPECT_NE(Mistake("server is STARTING now"), "");
  EXPECT_NE(Mistake("[]"), "");
  EXPECT_THAT(Mistake("{}"), HasSubstr("\"hosts\" is missing"));
  EXPECT_THAT(Mistake(Info({R"({"port":80})"})),
              HasSubstr("\"ip\" is missing"));
  EXPECT_THAT(Mistake(Info({R"({"ip":"10.0.0.1"})"})),
              HasSubstr("\"port\" is missing"));
  for (const char* weight : {"-1", "10000.5", "\"1\"", "1e999"}) {
    EXPECT_NE(Mistake(Info({absl::StrCat(
                  R"({"ip":"10.0.0.1","port":80,"weight":)", weight, "}")})),
              "")
        << weight;
  }
  EXPECT_THAT(Mistake(Info({Host("10.0.0.1", R"(,"healthy":false)")})),
              HasSubstr("duplicate"));
  EXPECT_THAT(Mistake("{\"data\":[]}", NacosApi::kV3),
              HasSubstr("\"code\" is missing"));
  EXPECT_THAT(Mistake(Enveloped("null"), NacosApi::kV2),
              HasSubstr("\"data\" is missing"));
  EXPECT_THAT(
      Mistake(R"({"code":30000,"message":"a\nb","data":null})", NacosApi::kV3),
      HasSubstr("code 30000, \"a\\nb\""));
}

TEST(ServiceAnswerTest, TooManyInstancesAreTooMuch) {
  const std::vector<std::string> hosts(ServiceAnswer::kMaxHosts + 1,
                                       R"({"ip":"10.0.0.1","port":80})");
  EXPECT_TRUE(absl::IsResourceExhausted(
      ReadServiceList(NacosApi::kV1, Info(hosts)).status()));
}

}  // namespace
}  // namespace dynweight

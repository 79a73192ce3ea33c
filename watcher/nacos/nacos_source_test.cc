// Tests of nacos_source.h.

#include "watcher/nacos/nacos_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dynweight {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Mistake(const std::vector<std::string_view>& words) {
  return std::string(NacosSource::Parse(words).status().message());
}

TEST(NacosSourceTest, AServiceIsOfTheDefaultGroupAndOfAllClusters) {
  const auto source = NacosSource::Parse({"service=orders"});
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->service, "orders");
  EXPECT_EQ(source->group, "DEFAULT_GROUP");
  EXPECT_THAT(source->clusters, ElementsAre());
  EXPECT_EQ(source->Key(), "service=orders");
  EXPECT_EQ(source->GroupedName(), "DEFAULT_GROUP@@orders");
  EXPECT_EQ(
      NacosSource::Parse({"service=orders", "group=DEFAULT_GROUP"})->Key(),
      "service=orders");
}

TEST(NacosSourceTest, WordsMayStandInAnyOrder) {
  const auto source =
      NacosSource::Parse({"clusters=sh,bj", "group=prod", "service=orders"});
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT(source->clusters, ElementsAre("bj", "sh"));
  EXPECT_EQ(source->Clusters(), "bj,sh");
  EXPECT_EQ(source->Key(), "service=orders group=prod clusters=bj,sh");
}

TEST(NacosSourceTest, AGroupMayStandBeforeTheService) {
  const auto source = NacosSource::Parse({"service=prod@@orders"});
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(source->Key(), "service=orders group=prod");
  EXPECT_TRUE(NacosSource::Parse({"service=a@@b", "group=a"}).ok());
  EXPECT_THAT(Mistake({"service=a@@b", "group=c"}), HasSubstr("another group"));
  EXPECT_THAT(Mistake({"service=a@@b@@c"}), HasSubstr("service=GROUP@@NAME"));
}

TEST(NacosSourceTest, TheKeyIsReadBackWhateverTheNames) {
  for (const char* service : {"orders", "com.a:1#x", "a b", "100%", "a,b",
                              "\xe8\xae\xa2\xe5\x8d\x95", "%20", "a=b"}) {
    NacosSource source;
    source.service = service;
    source.group = "my group";
    source.clusters = {"b j", "s%h"};
    const auto read = NacosSource::FromKey(source.Key());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, source) << source.Key();
  }
  EXPECT_FALSE(NacosSource::FromKey("service=a%2").ok());
  EXPECT_FALSE(NacosSource::FromKey("service=a%zz").ok());
}

TEST(NacosSourceTest, MistakesSayWhatToWrite) {
  EXPECT_THAT(Mistake({}), HasSubstr("write service=NAME"));
  EXPECT_THAT(Mistake({"group=a"}), HasSubstr("no service; write"));
  EXPECT_THAT(Mistake({"service="}), HasSubstr("no name of a service"));
  EXPECT_THAT(Mistake({"service=a", "clusters="}),
              HasSubstr("no name of a cluster"));
  EXPECT_THAT(Mistake({"service=a", "clusters=b,,c"}),
              HasSubstr("no name of a cluster"));
  EXPECT_THAT(Mistake({"service=a", "clusters=b,b"}), HasSubstr("twice"));
  EXPECT_THAT(Mistake({"service=a", "service=b"}),
              HasSubstr("write service= once"));
  EXPECT_THAT(Mistake({"service=a", "ports=b"}), HasSubstr("is no part"));
  EXPECT_THAT(Mistake({"service=a\xff"}), HasSubstr("UTF-8"));
  EXPECT_THAT(Mistake({"service=a\nb"}), HasSubstr("control character"));
  const std::string longest = "service=" + std::string(512, 'a');
  EXPECT_TRUE(NacosSource::Parse({longest}).ok());
  EXPECT_THAT(Mistake({longest + "a"}), HasSubstr("not longer than 512"));
}

TEST(NacosSourceTest, ItBeginsWithItsWords) {
  EXPECT_TRUE(NacosSource::Begins("group=a"));
  EXPECT_FALSE(NacosSource::Begins("slots=a"));
  EXPECT_FALSE(NacosSource::Begins("service"));
}

TEST(NacosSourceTest, ANamespaceIsAnId) {
  EXPECT_TRUE(CheckNacosNamespace("public").ok());
  EXPECT_TRUE(CheckNacosNamespace("7b5f0d34-5f3a-4b6d-8f1c-000000000001").ok());
  for (const char* text : {"", "a b", "a&b", "\xe8\xae\xa2"}) {
    EXPECT_FALSE(CheckNacosNamespace(text).ok()) << text;
  }
}

}  // namespace
}  // namespace dynweight

// Tests of how sources are spelled.

#include "watcher/kubernetes/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

using testing::HasSubstr;

std::string PodError(std::string_view text) {
  const absl::Status status = PodSource::Parse(text).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
  return std::string(status.message());
}

std::string NodeError(const std::vector<std::string_view>& arguments) {
  const absl::Status status = NodeSource::Parse(arguments).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  return std::string(status.message());
}

TEST(PodSource, WhatBeginsWithItsWordIsOne) {
  EXPECT_TRUE(PodSource::Begins("service="));
  EXPECT_TRUE(PodSource::Begins("rollout=x"));
  EXPECT_FALSE(PodSource::Begins("service"));
  EXPECT_FALSE(PodSource::Begins("nodes=role=ingress"));
  EXPECT_FALSE(PodSource::Begins("port=80"));
}

TEST(PodSource, ReadsEveryKindAndSpellsItTheSame) {
  for (const char* text :
       {"service=prod/orders", "pods=prod/app=orders,tier in (a,b)",
        "deployment=prod/orders.v2", "statefulset=prod/db",
        "rollout=prod/orders"}) {
    const absl::StatusOr<PodSource> source = PodSource::Parse(text);
    ASSERT_TRUE(source.ok()) << source.status();
    EXPECT_EQ(source->Key(), text);
    EXPECT_EQ(source->ns, "prod");
  }
  EXPECT_EQ(PodSource::Parse("pods=prod/a.b/c=d")->name, "a.b/c=d");
}

TEST(PodSource, SaysWhatToWriteInstead) {
  EXPECT_EQ(PodError("service=orders"),
            "\"service=orders\": write service=NAMESPACE/NAME");
  EXPECT_EQ(PodError("pods=prod"),
            "\"pods=prod\": write pods=NAMESPACE/LABEL_SELECTOR");
  EXPECT_THAT(PodError("servce=prod/orders"),
              HasSubstr("write service=NAMESPACE/NAME, pods="));
}

TEST(PodSource, RefusesMissingParts) {
  for (const char* text :
       {"", "service", "service=", "service=/", "service=/a", "service=a/",
        "=a/b", "prod/orders", "SERVICE=a/b"}) {
    PodError(text);
  }
}

TEST(PodSource, HoldsNamesToTheRulesOfKubernetes) {
  const std::string label(63, 'a');
  EXPECT_TRUE(PodSource::Parse("service=" + label + "/" + label).ok());
  EXPECT_TRUE(PodSource::Parse("service=prod/1st").ok());  // RFC 1123
  EXPECT_TRUE(PodSource::Parse("deployment=prod/" + label + label).ok());
  for (const std::string& text :
       {"service=" + label + "a/b", "service=a/" + label + "a",
        std::string("service=Prod/b"), std::string("service=a/b.c"),
        std::string("service=-a/b"), std::string("service=a/b-"),
        std::string("service=a/b/c"), std::string("service=a/b c"),
        std::string("deployment=a/b..c"), std::string("deployment=a/.b"),
        std::string("rollout=a/b_c"), std::string("pods=a/b=c=d"),
        "deployment=a/" + std::string(254, 'a')}) {
    PodError(text);
  }
}

TEST(NodeSource, ReadsEveryKindAndSpellsItTheSame) {
  const std::vector<std::vector<std::string_view>> all = {
      {"service=ingress-nginx/controller"},
      {"pods=ingress-nginx/app=controller"},
      {"nodes=role=ingress"},
      {"nodes=role in (a,b)", "address=ExternalIP"},
      {"addresses=10.0.0.1,10.0.0.2,fd00::1"}};
  for (const auto& arguments : all) {
    const absl::StatusOr<NodeSource> source = NodeSource::Parse(arguments);
    ASSERT_TRUE(source.ok()) << source.status();
    std::string text(arguments[0]);
    for (size_t i = 1; i < arguments.size(); i++) {
      absl::StrAppend(&text, " ", std::string(arguments[i]));
    }
    EXPECT_EQ(source->Key(), text);
  }
}

TEST(NodeSource, InternalAddressesAreTheDefault) {
  EXPECT_EQ(NodeSource::Parse({"nodes=a", "address=InternalIP"})->Key(),
            NodeSource::Parse({"nodes=a"})->Key());
}

TEST(NodeSource, AddressesAreSorted) {
  const NodeSource source =
      NodeSource::Parse({"addresses=fd00::1,10.0.0.2,10.0.0.1"}).value();
  EXPECT_EQ(source.Key(), "addresses=10.0.0.1,10.0.0.2,fd00::1");
}

TEST(NodeSource, RefusesBadAddresses) {
  for (std::string_view text :
       {"addresses=", "addresses=10.0.0.1,", "addresses=,10.0.0.1",
        "addresses=10.0.0.1:80", "addresses=[fd00::1]", "addresses=host",
        "addresses=0.0.0.0", "addresses=10.0.0.1, 10.0.0.2"}) {
    NodeError({text});
  }
  EXPECT_THAT(NodeError({"addresses=10.0.0.1,10.0.0.1:80"}),
              HasSubstr("\"10.0.0.1:80\""));
}

TEST(NodeSource, RefusesDuplicateAddresses) {
  EXPECT_THAT(NodeError({"addresses=fd00::1,10.0.0.1,fd00:0::1"}),
              HasSubstr("fd00::1 twice"));
}

TEST(NodeSource, BoundsTheNumberOfAddresses) {
  std::string text = "addresses=10.0.0.1";
  for (int i = 1; i < 1024; i++) {
    absl::StrAppend(&text, ",10.1.", i / 256, ".", i % 256);
  }
  EXPECT_TRUE(NodeSource::Parse({text}).ok());
  text += ",10.2.0.1";
  EXPECT_THAT(NodeError({text}), HasSubstr("more than 1024"));
}

TEST(NodeSource, RefusesArgumentsThatDoNotBelong) {
  NodeError({});
  NodeError({"deployment=a/b"});
  NodeError({"nodes=a", "address=Hostname"});
  NodeError({"nodes=a", "adress=ExternalIP"});
  NodeError({"nodes=a", "address=InternalIP", "more"});
  EXPECT_THAT(NodeError({"service=a/b", "address=InternalIP"}),
              HasSubstr("nodes= only"));
}

TEST(NodeSource, SaysHowToTakeEveryNode) {
  EXPECT_THAT(NodeError({"nodes="}), HasSubstr("nodes=kubernetes.io/hostname"));
}

std::string InstanceKey(const std::vector<std::string_view>& words) {
  const absl::StatusOr<InstanceSource> source = InstanceSource::Parse(words);
  EXPECT_TRUE(source.ok()) << source.status();
  return source.ok() ? source->Key() : "";
}

std::string InstanceError(const std::vector<std::string_view>& words) {
  const absl::Status status = InstanceSource::Parse(words).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  return std::string(status.message());
}

TEST(InstanceSource, ReadsAServiceAndAPort) {
  EXPECT_EQ(InstanceKey({"service=prod/orders"}), "service=prod/orders");
  EXPECT_EQ(InstanceKey({"port=http", "service=prod/orders"}),
            "service=prod/orders port=http");
  EXPECT_EQ(InstanceKey({"service=prod/orders", "port=08080"}),
            "service=prod/orders port=8080");
}

TEST(InstanceSource, RefusesWhatHasNoAddresses) {
  for (const char* text :
       {"deployment=prod/orders", "pods=prod/app=orders", "rollout=prod/r"}) {
    EXPECT_THAT(InstanceError({text}), HasSubstr("is no source of instances"));
  }
}

TEST(InstanceSource, SaysWhatToWriteInstead) {
  EXPECT_THAT(InstanceError({}), HasSubstr("service=NAMESPACE/NAME"));
  EXPECT_THAT(InstanceError({"port=http"}), HasSubstr("no source"));
  EXPECT_THAT(InstanceError({"service=orders"}),
              HasSubstr("service=NAMESPACE/NAME"));
  EXPECT_THAT(InstanceError({"service=a/b", "service=a/c"}),
              HasSubstr("second source"));
  EXPECT_THAT(InstanceError({"service=a/b", "port=1", "port=2"}),
              HasSubstr("second port"));
  for (const char* port : {"port=", "port=0", "port=65536", "port=-1",
                           "port=99999999999", "port=Http", "port=a_b"}) {
    EXPECT_THAT(InstanceError({"service=a/b", port}), HasSubstr("port"))
        << port;
  }
  EXPECT_THAT(InstanceError({"service=a/b", "slot=3"}),
              HasSubstr("unknown parameter"));
}

}  // namespace
}  // namespace dynweight

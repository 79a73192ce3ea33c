// Tests of endpoints as peers.

#include "watcher/kubernetes/slice_instances.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "watcher/testing/endpoint_slices_fixture.h"

namespace dynweight {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kHttp[] = R"({"name":"http","port":8080,"protocol":"TCP"})";
constexpr char kAdmin[] = R"({"name":"admin","port":9090})";

// A pod "orders-<n>" of address 10.1.0.<n>, or fd00::<n>.
std::string PodEndpoint(int n, std::string conditions = kReady,
                        bool v6 = false) {
  return absl::StrCat(R"({"addresses":[")", v6 ? "fd00::" : "10.1.0.", n,
                      R"("],"conditions":)", conditions,
                      R"(,"targetRef":{"kind":"Pod","uid":"uid-)", n,
                      R"(","name":"orders-)", n, R"("}})");
}

std::string PodSlice(std::string name,
                     const std::vector<std::string>& endpoints,
                     const std::vector<std::string>& ports,
                     std::string type = "IPv4") {
  return absl::StrCat(
      R"({"metadata":{"name":")", name, R"(","namespace":"prod","labels":{)",
      R"("kubernetes.io/service-name":"orders"}},)", R"("addressType":")", type,
      R"(","endpoints":[)", absl::StrJoin(endpoints, ","), R"(],"ports":[)",
      absl::StrJoin(ports, ","), "]}");
}

class SliceInstancesTest : public EndpointSlicesTest {
 protected:
  SliceInstances Answer() {
    return slices_->Instances("prod", "orders", port_);
  }
  // "orders-1@10.1.0.1:8080", and "!" where it drains.
  std::vector<std::string> Seen() {
    std::vector<std::string> seen;
    for (const Instance& instance : Answer().instances) {
      seen.push_back(
          absl::StrCat(instance.weight_milli == 0 ? "!" : "", instance.name,
                       "@", instance.address.ToString(), ":", instance.port));
    }
    return seen;
  }
  std::string WhyNoPort() { return Answer().no_port; }

  PortChoice port_;
};

TEST_F(SliceInstancesTest, AServiceOfOnePortNeedsNoName) {
  List({PodSlice("a", {PodEndpoint(1), PodEndpoint(2, kNotReady)}, {kHttp})});
  EXPECT_THAT(Seen(), ElementsAre("orders-1@10.1.0.1:8080"));
  EXPECT_EQ(WhyNoPort(), "");
}

TEST_F(SliceInstancesTest, ANamedPortIsThatOfItsSlice) {
  port_.name = "http";
  List({PodSlice("a", {PodEndpoint(1)}, {kHttp, kAdmin}),
        PodSlice("b", {PodEndpoint(2)},
                 {R"({"name":"http","port":8443})", kAdmin})});
  EXPECT_THAT(Seen(),
              ElementsAre("orders-1@10.1.0.1:8080", "orders-2@10.1.0.2:8443"));
}

TEST_F(SliceInstancesTest, APortThatChangesMovesItsPods) {
  port_.name = "http";
  List({PodSlice("a", {PodEndpoint(1)}, {kHttp})});
  slices_->TakeChanged();
  ASSERT_TRUE(
      Apply(EventType::kModified,
            PodSlice("a", {PodEndpoint(1)}, {R"({"name":"http","port":8081})"}))
          .ok());
  EXPECT_THAT(slices_->TakeChanged(), testing::SizeIs(1));
  EXPECT_THAT(Seen(), ElementsAre("orders-1@10.1.0.1:8081"));
}

TEST_F(SliceInstancesTest, ANumberIsTakenAsItIs) {
  port_.number = 7000;
  List({PodSlice("a", {PodEndpoint(1)}, {kHttp, kAdmin}),
        PodSlice("b", {PodEndpoint(2)}, {})});
  EXPECT_THAT(Seen(),
              ElementsAre("orders-1@10.1.0.1:7000", "orders-2@10.1.0.2:7000"));
}

TEST_F(SliceInstancesTest, OfSeveralPortsNobodyKnowsWhich) {
  List({PodSlice("a", {PodEndpoint(1)}, {kHttp, kAdmin})});
  EXPECT_THAT(Seen(), IsEmpty());
  EXPECT_EQ(WhyNoPort(),
            "it has several ports (admin 9090, http 8080) and the line names "
            "none: write port=NAME");
}

TEST_F(SliceInstancesTest, SeveralNamesOfOnePortAreNoDoubt) {
  List({PodSlice("a", {PodEndpoint(1)},
                 {kHttp, R"({"name":"web","port":8080})"})});
  EXPECT_THAT(Seen(), ElementsAre("orders-1@10.1.0.1:8080"));
}

TEST_F(SliceInstancesTest, OtherProtocolsAreNoPorts) {
  List({PodSlice("a", {PodEndpoint(1)},
                 {kHttp, R"({"name":"dns","port":53,"protocol":"UDP"})"})});
  EXPECT_THAT(Seen(), ElementsAre("orders-1@10.1.0.1:8080"));
}

TEST_F(SliceInstancesTest, ANameThatNoPortHasIsTold) {
  port_.name = "web";
  List({PodSlice("a", {PodEndpoint(1)}, {kHttp})});
  EXPECT_THAT(Seen(), IsEmpty());
  EXPECT_EQ(WhyNoPort(), "none of its ports is named web: it has http 8080");
  List({PodSlice("a", {PodEndpoint(1)}, {R"({"port":null})"})});
  EXPECT_THAT(WhyNoPort(), HasSubstr("name no TCP port"));
  // Nobody takes requests: that is certain, whatever the ports.
  List({PodSlice("a", {PodEndpoint(1, kNotReady)}, {kHttp})});
  EXPECT_EQ(WhyNoPort(), "");
}

TEST_F(SliceInstancesTest, PodsWithoutThePortAreNoPeers) {
  port_.name = "http";
  List({PodSlice("a", {PodEndpoint(1)}, {kHttp}),
        PodSlice("b", {PodEndpoint(2)}, {kAdmin})});
  EXPECT_THAT(Seen(), ElementsAre("orders-1@10.1.0.1:8080"));
  EXPECT_EQ(WhyNoPort(), "");
}

TEST_F(SliceInstancesTest, OnesThatTerminateDrain) {
  List({PodSlice(
      "a",
      {PodEndpoint(1), PodEndpoint(2, kTerminating), PodEndpoint(3, kGone)},
      {kHttp})});
  EXPECT_THAT(Seen(),
              ElementsAre("orders-1@10.1.0.1:8080", "!orders-2@10.1.0.2:8080"));
}

TEST_F(SliceInstancesTest, ReadyOnesThatTerminateDrain) {
  // As a Service with publishNotReadyAddresses tells it.
  List({PodSlice(
      "a",
      {PodEndpoint(1), PodEndpoint(2, R"({"ready":true,"terminating":true})")},
      {kHttp})});
  EXPECT_THAT(Seen(),
              ElementsAre("orders-1@10.1.0.1:8080", "!orders-2@10.1.0.2:8080"));
}

TEST_F(SliceInstancesTest, OnesThatTerminateServeWhereNothingElseIs) {
  List({PodSlice("a",
                 {PodEndpoint(1, kTerminating), PodEndpoint(2, kNotReady),
                  PodEndpoint(3, kGone)},
                 {kHttp})});
  EXPECT_THAT(Seen(), ElementsAre("orders-1@10.1.0.1:8080"));
}

TEST_F(SliceInstancesTest, ADualStackPodIsThereOnceByIpv4) {
  List({PodSlice("v6",
                 {PodEndpoint(1, kReady, true), PodEndpoint(2, kReady, true)},
                 {kHttp}, "IPv6"),
        PodSlice("v4", {PodEndpoint(2), PodEndpoint(1)}, {kHttp})});
  EXPECT_THAT(Seen(),
              ElementsAre("orders-1@10.1.0.1:8080", "orders-2@10.1.0.2:8080"));
  List({PodSlice("v6", {PodEndpoint(1, kReady, true)}, {kHttp}, "IPv6")});
  EXPECT_THAT(Seen(), ElementsAre("orders-1@fd00::1:8080"));
}

TEST_F(SliceInstancesTest, APodInTwoSlicesServesWhereOneSaysSo) {
  List({PodSlice("a", {PodEndpoint(1, kTerminating)}, {kHttp}),
        PodSlice("b", {PodEndpoint(1)}, {kHttp})});
  EXPECT_THAT(Seen(), ElementsAre("orders-1@10.1.0.1:8080"));
}

TEST_F(SliceInstancesTest, APodThatAnotherSliceNamesByAddressIsThereOnce) {
  List({PodSlice("a", {PodEndpoint(1)}, {kHttp}),
        PodSlice("b", {R"({"addresses":["10.1.0.1"]})"}, {kHttp})});
  EXPECT_THAT(Seen(), ElementsAre("orders-1@10.1.0.1:8080"));
}

TEST_F(SliceInstancesTest, EndpointsHaveTheirSubsetsPorts) {
  slices_->SetResource("endpoints");
  List({R"({"metadata":{"name":"orders","namespace":"prod"},"subsets":[)"
        R"({"addresses":[{"ip":"10.1.0.1","targetRef":{"uid":"u1",)"
        R"("name":"orders-1"}}],"ports":[{"name":"http","port":8080}]},)"
        R"({"addresses":[{"ip":"10.1.0.2","targetRef":{"uid":"u2",)"
        R"("name":"orders-2"}}],"ports":[{"name":"http","port":8081}]}]})"});
  port_.name = "http";
  EXPECT_THAT(Seen(),
              ElementsAre("orders-1@10.1.0.1:8080", "orders-2@10.1.0.2:8081"));
}

}  // namespace
}  // namespace dynweight

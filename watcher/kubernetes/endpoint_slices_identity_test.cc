// Tests of who a pod is, where it departs to, and of older servers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/endpoint_slices_fixture.h"

namespace dynweight {
namespace {

using EventType = ObjectSink::EventType;
using testing::ElementsAre;
using testing::HasSubstr;

std::string Labelled(const std::string& slice, const std::string& label) {
  std::string text = slice;
  return text.insert(text.find("\"labels\":{") + 10, label + ",");
}

TEST_F(EndpointSlicesTest, PodsOfOtherClustersCountWhereTheyRun) {
  const std::string local = SliceJson("a", "orders", Endpoints(1, 3));
  const std::string other = SliceJson("b", "orders", Endpoints(10, 4));
  std::string annotated = other;
  annotated.insert(annotated.find("\"labels\""),
                   R"("annotations":{"endpointslice.karmada.io/)"
                   R"(provision-cluster":"member2"},)");
  for (const std::string& foreign :
       {Labelled(other, R"("endpointslice.kubernetes.io/managed-by":)"
                        R"("endpointslice-dispatch-controller.karmada.io")"),
        Labelled(other, R"("endpointslice.kubernetes.io/managed-by":)"
                        R"("endpointslice-mesh-controller.cilium.io")"),
        Labelled(other, R"("multicluster.kubernetes.io/source-cluster":"x")"),
        annotated}) {
    List({local, foreign});
    EXPECT_EQ(Orders(), 3u) << foreign;
    List({foreign});
    EXPECT_EQ(Orders(), 0u);
    EXPECT_THAT(slices_->WhyNone("prod", "orders"),
                HasSubstr("all 1 EndpointSlices of the Service are about pods "
                          "of other clusters"));
  }
  List({local, Labelled(other, R"("endpointslice.kubernetes.io/managed-by":)"
                               R"("endpointslice-controller.k8s.io")")});
  EXPECT_EQ(Orders(), 7u);
}

TEST_F(EndpointSlicesTest, AMirrorWithoutUidsCountsNobodyAgain) {
  List({SliceJson("a", "orders", Endpoints(1, 2)),
        SliceJson(
            "mirror", "orders",
            {R"({"addresses":["10.1.0.1"]})", R"({"addresses":["10.1.0.2"]})",
             R"({"addresses":["10.1.0.3"]})"})});
  EXPECT_EQ(Orders(), 3u);
}

TEST_F(EndpointSlicesTest, TwoPodsOfOneHostAddressAreTwo) {
  List({SliceJson("a", "orders",
                  {Endpoint("u1", "10.0.0.1"), Endpoint("u2", "10.0.0.1")})});
  EXPECT_EQ(Orders(), 2u);
}

class DeparturesTest : public EndpointSlicesTest {
 protected:
  // The three pods of "orders", by what is said of each.
  std::string Three(std::string a, std::string b, std::string c) {
    std::vector<std::string> endpoints;
    int i = 0;
    for (const std::string& conditions : {a, b, c}) {
      ++i;
      if (conditions.empty()) continue;
      endpoints.push_back(Endpoint(absl::StrCat("u", i),
                                   absl::StrCat("10.1.0.", i), conditions));
    }
    return SliceJson("a", "orders", endpoints);
  }
  // Takes the event up and says how many departed.
  uint64_t Event(const std::string& slice) {
    EXPECT_TRUE(Apply(EventType::kModified, slice).ok());
    return Departed();
  }
  uint64_t Departed() {
    slices_->TakeChanged();
    return slices_->TakeDeparted("prod", "orders").count;
  }
  void Begin() {
    List({Three(kReady, kReady, kReady)});
    EXPECT_EQ(Departed(), 0u);
  }
};

TEST_F(DeparturesTest, WhatTerminatesHasDepartedOnce) {
  Begin();
  EXPECT_EQ(Event(Three(kTerminating, kReady, kReady)), 1u);
  EXPECT_EQ(Event(Three(kGone, kTerminating, kReady)), 1u);
  EXPECT_EQ(Event(Three("", kGone, kReady)), 0u);
  EXPECT_EQ(Event(Three("", "", kReady)), 0u);
}

TEST_F(DeparturesTest, ItsAddressIsTold) {
  Begin();
  EXPECT_TRUE(
      Apply(EventType::kModified, Three(kTerminating, kReady, kReady)).ok());
  slices_->TakeChanged();
  EXPECT_THAT(slices_->TakeDeparted("prod", "orders").addresses,
              ElementsAre(*IpAddress::Parse("10.1.0.1")));
}

TEST_F(DeparturesTest, WhatTurnsNotReadyOrVanishesHasNot) {
  Begin();
  EXPECT_EQ(Event(Three(kNotReady, kReady, kReady)), 0u);
  EXPECT_EQ(Event(Three(kNotReady, "", kReady)), 0u);
  EXPECT_TRUE(Apply(EventType::kDeleted, Three("", "", kReady)).ok());
  EXPECT_EQ(Departed(), 0u);
}

TEST_F(DeparturesTest, WhatWasLostAndThenTerminatesHas) {
  Begin();
  EXPECT_EQ(Event(Three(kNotReady, kReady, kReady)), 0u);
  EXPECT_EQ(Event(Three(kGone, kReady, kReady)), 1u);
}

TEST_F(DeparturesTest, WhatWasLostBeforeItWasAcceptedIsPast) {
  Begin();
  EXPECT_EQ(Event(Three(kNotReady, kReady, kReady)), 0u);
  slices_->Accept("prod", "orders");
  EXPECT_EQ(Event(Three(kGone, kReady, kReady)), 0u);
}

TEST_F(DeparturesTest, WhatOnlyAListSaysHasNot) {
  Begin();
  List({Three(kTerminating, kReady, kReady)});
  EXPECT_EQ(Departed(), 0u);
  // Until an event says it again.
  EXPECT_EQ(Event(Three(kTerminating, kTerminating, kReady)), 2u);
}

TEST_F(DeparturesTest, TheLastOnesThatServeWhileTheyTerminateDepartAsTheyGo) {
  Begin();
  EXPECT_EQ(Event(Three(kTerminating, kTerminating, kTerminating)), 0u);
  EXPECT_EQ(Orders(), 3u);
  EXPECT_EQ(Event(Three(kGone, kTerminating, kTerminating)), 1u);
  EXPECT_EQ(Event(Three("", "", "")), 2u);
  EXPECT_EQ(Orders(), 0u);
}

TEST_F(EndpointSlicesTest, TheUnreadyAreThoseWhomNobodyTakesAway) {
  List({SliceJson(
      "a", "orders",
      {Endpoint("u1", "10.1.0.1", kNotReady), Endpoint("u2", "10.1.0.2", kGone),
       Endpoint("u3", "10.1.0.3", kReady)})});
  const auto unready = slices_->Unready("prod", "orders");
  ASSERT_EQ(unready.size(), 1u);
  EXPECT_EQ(unready[0].address, *IpAddress::Parse("10.1.0.1"));
}

TEST_F(EndpointSlicesTest, AServiceWithoutSlicesIsToldFromOneWithoutEndpoints) {
  List({SliceJson("a", "orders", {})});
  EXPECT_EQ(slices_->WhyNone("prod", "orders"), "");
  EXPECT_EQ(slices_->WhyNone("prod", "users"),
            "no EndpointSlice of a Service users in prod: is there one of this "
            "name?");
}

// As discovery.k8s.io/v1beta1 has it (Kubernetes 1.17 to 1.24).
TEST_F(EndpointSlicesTest, ReadsV1Beta1WithTopologyAndWithoutServing) {
  List({R"({"metadata":{"name":"orders-x7k2p","namespace":"prod","labels":)"
        R"({"endpointslice.kubernetes.io/managed-by":)"
        R"("endpointslice-controller.k8s.io",)"
        R"("kubernetes.io/service-name":"orders"}},"addressType":"IPv4",)"
        R"("endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true},)"
        R"("targetRef":{"kind":"Pod","namespace":"prod","name":"orders-1",)"
        R"("uid":"u1","resourceVersion":"641"},"topology":)"
        R"({"kubernetes.io/hostname":"node-1",)"
        R"("topology.kubernetes.io/zone":"a"}},)"
        R"({"addresses":["10.0.0.2"],"conditions":{"ready":false},)"
        R"("targetRef":{"kind":"Pod","uid":"u2"},"topology":)"
        R"({"kubernetes.io/hostname":"node-2"}}],)"
        R"("ports":[{"name":"http","protocol":"TCP","port":8080}]})"});
  EXPECT_EQ(Orders(), 1u);
  const auto nodes = slices_->Addresses("prod", "orders");
  ASSERT_EQ(nodes.size(), 1u);
  EXPECT_EQ(nodes[0].name, "node-1");
}

// As the core API has Endpoints.
constexpr char kEndpoints[] =
    R"({"metadata":{"name":"orders","namespace":"prod","labels":{"app":"x"}},)"
    R"("subsets":[{"addresses":[{"ip":"10.0.0.1","nodeName":"node-1",)"
    R"("targetRef":{"kind":"Pod","namespace":"prod","name":"a","uid":"u1"}},)"
    R"({"ip":"10.0.0.2","nodeName":"node-2",)"
    R"("targetRef":{"kind":"Pod","uid":"u2"}}],"notReadyAddresses":)"
    R"([{"ip":"10.0.0.3","targetRef":{"kind":"Pod","uid":"u3"}}],)"
    R"("ports":[{"port":8080,"protocol":"TCP"}]},)"
    R"({"addresses":[{"ip":"10.0.0.2","nodeName":"node-2",)"
    R"("targetRef":{"kind":"Pod","uid":"u2"}},)"
    R"({"ip":"10.9.0.1"}],"ports":[{"port":9090}]}]})";

TEST_F(EndpointSlicesTest, ReadsEndpointsEachPodOnce) {
  slices_->SetResource("endpoints");
  List({kEndpoints});
  EXPECT_EQ(Orders(), 3u);
  EXPECT_THAT(Addresses(),
              ElementsAre("node-1@10.0.0.1", "node-2@10.0.0.2", "@10.9.0.1"));
  const auto unready = slices_->Unready("prod", "orders");
  ASSERT_EQ(unready.size(), 1u);
  EXPECT_EQ(unready[0].address, *IpAddress::Parse("10.0.0.3"));
  EXPECT_TRUE(Apply(EventType::kModified,
                    R"({"metadata":{"name":"orders","namespace":"prod"}})")
                  .ok());
  EXPECT_EQ(Orders(), 0u);
}

TEST_F(EndpointSlicesTest, BadEndpointsAreAMistake) {
  slices_->SetResource("endpoints");
  slices_->BeginList();
  for (const char* bad :
       {R"({"metadata":{"name":"orders","namespace":"prod"},"subsets":{}})",
        R"({"metadata":{"name":"orders","namespace":"prod"},)"
        R"("subsets":[{"addresses":[{"hostname":"x"}]}]})",
        R"({"metadata":{"name":"orders","namespace":"prod"},)"
        R"("subsets":[{"addresses":7}]})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Stage(bad))) << bad;
  }
}

TEST_F(EndpointSlicesTest, AfterAnUpgradeSlicesAreReadAgain) {
  slices_->SetResource("endpoints");
  List({kEndpoints});
  slices_->SetResource("endpointslices");
  List({SliceJson("orders-1", "orders", Endpoints(0, 5))});
  EXPECT_EQ(Orders(), 5u);
}

}  // namespace
}  // namespace dynweight

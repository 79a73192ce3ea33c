// Tests of counting pods by EndpointSlices.

#include "watcher/kubernetes/endpoint_slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

using EventType = ObjectSink::EventType;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr char kReady[] = R"({"ready":true})";
constexpr char kNotReady[] = R"({"ready":false})";

std::string Endpoint(std::string uid, std::string address,
                     std::string conditions = kReady) {
  return absl::StrCat(R"({"addresses":[")", address, R"("],"conditions":)",
                      conditions, R"(,"nodeName":"node-)", address,
                      R"(","targetRef":{"kind":"Pod","uid":")", uid, R"("}})");
}

std::string SliceJson(std::string name, std::string service,
                      const std::vector<std::string>& endpoints,
                      std::string type = "IPv4", std::string ns = "prod") {
  return absl::StrCat(R"({"metadata":{"name":")", name, R"(","namespace":")",
                      ns, R"(","labels":{"kubernetes.io/service-name":")",
                      service, R"("}},"addressType":")", type,
                      R"(","endpoints":[)", absl::StrJoin(endpoints, ","),
                      "]}");
}

// `count` endpoints whose uids and addresses begin with number `first`.
std::vector<std::string> Endpoints(int first, int count) {
  std::vector<std::string> endpoints;
  for (int i = first; i < first + count; i++) {
    endpoints.push_back(Endpoint(absl::StrCat("uid-", i),
                                 absl::StrCat("10.1.", i / 250, ".", i % 250)));
  }
  return endpoints;
}

class EndpointSlicesTest : public testing::Test {
 protected:
  EndpointSlicesTest() {
    slices_->Want("prod", "orders");
    slices_->Want("prod", "users");
  }

  absl::Status Stage(std::string_view text) {
    return slices_->Stage(ParseJson(text).value().get());
  }
  absl::Status Apply(EventType type, std::string_view text) {
    return slices_->Apply(type, ParseJson(text).value().get());
  }
  void List(const std::vector<std::string>& objects) {
    slices_->BeginList();
    for (const std::string& object : objects) {
      const absl::Status status = Stage(object);
      EXPECT_TRUE(status.ok()) << status;
    }
    slices_->CommitList();
  }
  uint64_t Orders() { return slices_->Ready("prod", "orders"); }
  uint64_t Users() { return slices_->Ready("prod", "users"); }
  std::vector<std::string> Addresses() {
    std::vector<std::string> result;
    for (const IngressNode& node : slices_->Addresses("prod", "orders")) {
      result.push_back(absl::StrCat(node.name, "@", node.address.ToString()));
    }
    return result;
  }

  std::unique_ptr<EndpointSlices> slices_ = EndpointSlices::Create();
};

TEST_F(EndpointSlicesTest, KnowsNothingBeforeTheFirstList) {
  EXPECT_FALSE(slices_->listed());
  slices_->BeginList();
  EXPECT_TRUE(Stage(SliceJson("s", "orders", Endpoints(0, 3))).ok());
  EXPECT_FALSE(slices_->listed());
  EXPECT_EQ(Orders(), 0u);
  slices_->CommitList();
  EXPECT_TRUE(slices_->listed());
  EXPECT_EQ(Orders(), 3u);
}

TEST_F(EndpointSlicesTest, ServiceWithoutSlicesHasNoPods) {
  List({});
  EXPECT_TRUE(slices_->listed());
  EXPECT_EQ(Orders(), 0u);
  EXPECT_THAT(Addresses(), IsEmpty());
}

TEST_F(EndpointSlicesTest, CountsReadyEndpointsOnly) {
  List({SliceJson(
      "s", "orders",
      {Endpoint("a", "10.0.0.1"), Endpoint("b", "10.0.0.2", kNotReady)})});
  EXPECT_EQ(Orders(), 1u);
}

TEST_F(EndpointSlicesTest, AbsentReadyIsTrue) {
  List({SliceJson(
      "s", "orders",
      {Endpoint("a", "10.0.0.1", "{}"), Endpoint("b", "10.0.0.2", "null"),
       Endpoint("c", "10.0.0.3", R"({"ready":null,"serving":null})"),
       R"({"addresses":["10.0.0.4"]})"})});
  EXPECT_EQ(Orders(), 4u);
}

TEST_F(EndpointSlicesTest, CountsServingAndTerminatingWhenNoneIsReady) {
  const std::string leaving =
      R"({"ready":false,"serving":true,"terminating":true})";
  const std::string gone =
      R"({"ready":false,"serving":false,"terminating":true})";
  const std::string odd = R"({"ready":false,"serving":true})";
  List({SliceJson(
      "s", "orders",
      {Endpoint("a", "10.0.0.1", leaving), Endpoint("b", "10.0.0.2", gone),
       Endpoint("c", "10.0.0.3", odd), Endpoint("d", "10.0.0.4", leaving)})});
  EXPECT_EQ(Orders(), 2u);
  EXPECT_THAT(Addresses(),
              ElementsAre("node-10.0.0.1@10.0.0.1", "node-10.0.0.4@10.0.0.4"));
  // One ready pod, in another slice, ends the fallback.
  EXPECT_TRUE(Apply(EventType::kAdded,
                    SliceJson("t", "orders", {Endpoint("e", "10.0.0.5")}))
                  .ok());
  EXPECT_EQ(Orders(), 1u);
  EXPECT_THAT(Addresses(), ElementsAre("node-10.0.0.5@10.0.0.5"));
}

TEST_F(EndpointSlicesTest, DualStackPodCountsOnce) {
  List({SliceJson("v4", "orders",
                  {Endpoint("a", "10.0.0.1"), Endpoint("b", "10.0.0.2")}),
        SliceJson("v6", "orders",
                  {Endpoint("a", "fd00::1"), Endpoint("b", "fd00::2")},
                  "IPv6")});
  EXPECT_EQ(Orders(), 2u);
  EXPECT_THAT(Addresses(),
              ElementsAre("node-10.0.0.1@10.0.0.1", "node-10.0.0.2@10.0.0.2"));
}

TEST_F(EndpointSlicesTest, ReadyInOneSliceIsReady) {
  List({SliceJson("s", "orders", {Endpoint("a", "10.0.0.1", kNotReady)}),
        SliceJson("t", "orders", {Endpoint("a", "10.0.0.1")})});
  EXPECT_EQ(Orders(), 1u);
}

TEST_F(EndpointSlicesTest, PodInTwoSlicesCountsOnce) {
  List({SliceJson("s", "orders", Endpoints(0, 10)),
        SliceJson("t", "orders", Endpoints(5, 10))});
  EXPECT_EQ(Orders(), 15u);
}

TEST_F(EndpointSlicesTest, WithoutTargetRefTheAddressIdentifies) {
  const std::string one = R"({"addresses":["fd00::1","fd00::9"]})";
  const std::string same = R"({"addresses":["fd00:0:0::1"],"targetRef":{}})";
  const std::string two = R"({"addresses":["10.0.0.2"],"targetRef":null})";
  List({SliceJson("s", "orders", {one, two}, "IPv6"),
        SliceJson("t", "orders", {same}, "IPv6")});
  EXPECT_EQ(Orders(), 2u);
}

TEST_F(EndpointSlicesTest, UidsAndAddressesNeverMeet) {
  List({SliceJson(
      "s", "orders",
      {Endpoint("10.0.0.1", "10.0.0.7"), R"({"addresses":["10.0.0.1"]})"})});
  EXPECT_EQ(Orders(), 2u);
}

TEST_F(EndpointSlicesTest, PassesOverFqdn) {
  List({SliceJson("s", "orders", {Endpoint("a", "example.com")}, "FQDN")});
  EXPECT_EQ(Orders(), 0u);
}

TEST_F(EndpointSlicesTest, PodWithAnUnusableAddressCountsButIsNoNode) {
  List({SliceJson("s", "orders",
                  {Endpoint("a", "0.0.0.0"), Endpoint("b", "10.0.0.1")})});
  EXPECT_EQ(Orders(), 2u);
  EXPECT_THAT(Addresses(), ElementsAre("node-10.0.0.1@10.0.0.1"));
}

TEST_F(EndpointSlicesTest, AddressesAreDistinctAndSorted) {
  List({SliceJson("s", "orders",
                  {Endpoint("a", "10.0.0.9"), Endpoint("b", "10.0.0.1"),
                   Endpoint("c", "10.0.0.9")})});
  EXPECT_EQ(Orders(), 3u);
  EXPECT_THAT(Addresses(),
              ElementsAre("node-10.0.0.1@10.0.0.1", "node-10.0.0.9@10.0.0.9"));
}

TEST_F(EndpointSlicesTest, CountsRightWhile1500PodsMoveBetween15Slices) {
  std::vector<std::string> objects;
  for (int i = 0; i < 15; i++) {
    objects.push_back(
        SliceJson(absl::StrCat("s", i), "orders", Endpoints(i * 100, 100)));
  }
  List(objects);
  ASSERT_EQ(Orders(), 1500u);
  // The controller repacks: each slice takes over fifty pods of the next one
  // before that one gives them up.
  for (int i = 0; i < 15; i++) {
    EXPECT_TRUE(Apply(EventType::kModified,
                      SliceJson(absl::StrCat("s", i), "orders",
                                Endpoints(i * 100, i == 14 ? 100 : 150)))
                    .ok());
    EXPECT_EQ(Orders(), 1500u);
  }
  for (int i = 1; i < 15; i++) {
    EXPECT_TRUE(Apply(EventType::kModified,
                      SliceJson(absl::StrCat("s", i), "orders",
                                Endpoints(i * 100 + 50, i == 14 ? 50 : 100)))
                    .ok());
    EXPECT_EQ(Orders(), 1500u);
  }
}

TEST_F(EndpointSlicesTest, EventsAddModifyAndDelete) {
  List({SliceJson("s", "orders", Endpoints(0, 2))});
  EXPECT_TRUE(
      Apply(EventType::kAdded, SliceJson("t", "orders", Endpoints(2, 2))).ok());
  EXPECT_EQ(Orders(), 4u);
  EXPECT_TRUE(
      Apply(EventType::kModified, SliceJson("t", "orders", Endpoints(2, 5)))
          .ok());
  EXPECT_EQ(Orders(), 7u);
  EXPECT_TRUE(Apply(EventType::kDeleted, SliceJson("s", "orders", {})).ok());
  EXPECT_EQ(Orders(), 5u);
  EXPECT_TRUE(
      Apply(EventType::kDeleted, SliceJson("unknown", "orders", {})).ok());
  EXPECT_EQ(Orders(), 5u);
}

TEST_F(EndpointSlicesTest, SliceThatMovesLeavesItsFormerService) {
  List({SliceJson("s", "orders", Endpoints(0, 3))});
  slices_->TakeChanged();
  EXPECT_TRUE(
      Apply(EventType::kModified, SliceJson("s", "users", Endpoints(0, 3)))
          .ok());
  EXPECT_EQ(Orders(), 0u);
  EXPECT_EQ(Users(), 3u);
  EXPECT_THAT(
      slices_->TakeChanged(),
      UnorderedElementsAre(Pair("prod", "orders"), Pair("prod", "users")));
  EXPECT_TRUE(
      Apply(EventType::kModified, SliceJson("s", "elsewhere", Endpoints(0, 3)))
          .ok());
  EXPECT_EQ(Users(), 0u);
  EXPECT_THAT(slices_->TakeChanged(), ElementsAre(Pair("prod", "users")));
}

TEST_F(EndpointSlicesTest, DeletionNeedsNoServiceLabel) {
  List({SliceJson("s", "orders", Endpoints(0, 3))});
  EXPECT_TRUE(Apply(EventType::kDeleted,
                    R"({"metadata":{"name":"s","namespace":"prod"}})")
                  .ok());
  EXPECT_EQ(Orders(), 0u);
}

TEST_F(EndpointSlicesTest, SlicesOfTheSameNameInOtherNamespacesAreOthers) {
  List({SliceJson("s", "orders", Endpoints(0, 3))});
  EXPECT_TRUE(
      Apply(EventType::kDeleted, SliceJson("s", "orders", {}, "IPv4", "test"))
          .ok());
  EXPECT_TRUE(Apply(EventType::kAdded,
                    SliceJson("t", "orders", Endpoints(9, 3), "IPv4", "test"))
                  .ok());
  EXPECT_EQ(Orders(), 3u);
}

TEST_F(EndpointSlicesTest, DoesNotLookIntoSlicesNobodyAskedFor) {
  List({R"({"metadata":{"name":"a","namespace":"prod"},"endpoints":7})",
        R"({"metadata":{"name":"b","namespace":"prod",
            "labels":{"kubernetes.io/service-name":"other"}},
            "endpoints":[1]})"});
  EXPECT_EQ(Orders(), 0u);
}

TEST_F(EndpointSlicesTest, StagedSlicesAreInvisibleAndDroppedByTheNextList) {
  List({SliceJson("s", "orders", Endpoints(0, 2))});
  slices_->BeginList();
  EXPECT_TRUE(Stage(SliceJson("t", "orders", Endpoints(5, 5))).ok());
  EXPECT_EQ(Orders(), 2u);
  List({SliceJson("u", "orders", Endpoints(0, 1))});
  EXPECT_EQ(Orders(), 1u);
}

TEST_F(EndpointSlicesTest, EventsDuringAListGoToThePresentSlices) {
  List({SliceJson("s", "orders", Endpoints(0, 2))});
  slices_->BeginList();
  EXPECT_TRUE(
      Apply(EventType::kModified, SliceJson("s", "orders", Endpoints(0, 3)))
          .ok());
  EXPECT_EQ(Orders(), 3u);
  slices_->CommitList();
  EXPECT_EQ(Orders(), 0u);
}

TEST_F(EndpointSlicesTest, FirstListChangesEveryWantedService) {
  List({});
  EXPECT_THAT(
      slices_->TakeChanged(),
      UnorderedElementsAre(Pair("prod", "orders"), Pair("prod", "users")));
  EXPECT_THAT(slices_->TakeChanged(), IsEmpty());
}

TEST_F(EndpointSlicesTest, RelistReportsOnlyWhatDiffers) {
  List({SliceJson("s", "orders", Endpoints(0, 2)),
        SliceJson("t", "users", Endpoints(0, 2))});
  slices_->TakeChanged();
  List({SliceJson("s", "orders", Endpoints(0, 2)),
        SliceJson("t", "users", Endpoints(0, 3))});
  EXPECT_THAT(slices_->TakeChanged(), ElementsAre(Pair("prod", "users")));
  EXPECT_EQ(Users(), 3u);
}

TEST_F(EndpointSlicesTest, EventThatSaysNothingNewChangesNothing) {
  const std::string slice = SliceJson("s", "orders", Endpoints(0, 2));
  List({slice});
  slices_->TakeChanged();
  EXPECT_TRUE(Apply(EventType::kModified, slice).ok());
  EXPECT_THAT(slices_->TakeChanged(), IsEmpty());
}

TEST_F(EndpointSlicesTest, MistakenEventChangesNothing) {
  List({SliceJson("s", "orders", Endpoints(0, 2))});
  slices_->TakeChanged();
  std::vector<std::string> endpoints = Endpoints(0, 5);
  endpoints.push_back(
      R"({"addresses":["10.0.0.1"],"conditions":{"ready":"yes"}})");
  const absl::Status status =
      Apply(EventType::kModified, SliceJson("s", "orders", endpoints));
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"ready\""));
  EXPECT_EQ(Orders(), 2u);
  EXPECT_THAT(slices_->TakeChanged(), IsEmpty());
}

TEST_F(EndpointSlicesTest, RefusesWrongKinds) {
  slices_->BeginList();
  const std::string begin =
      R"({"metadata":{"name":"s","namespace":"prod",)"
      R"("labels":{"kubernetes.io/service-name":"orders"}},)";
  for (const std::string& text :
       {std::string("[]"), std::string("7"), std::string("{}"),
        std::string(R"({"metadata":[]})"),
        std::string(R"({"metadata":{"name":"s"}})"),
        std::string(R"({"metadata":{"name":7,"namespace":"prod"}})"),
        std::string(
            R"({"metadata":{"name":"s","namespace":"prod","labels":[]}})"),
        begin + R"("endpoints":[]})", begin + R"("addressType":4})",
        begin + R"("addressType":"IPv4","endpoints":{}})",
        begin + R"("addressType":"IPv4","endpoints":[[]]})",
        begin + R"("addressType":"IPv4","endpoints":[{}]})",
        begin +
            R"("addressType":"IPv4","endpoints":[{"addresses":"10.0.0.1"}]})",
        begin + R"("addressType":"IPv4","endpoints":[{"addresses":[1]}]})",
        begin + R"("addressType":"IPv4","endpoints":[{"addresses":[null]}]})",
        begin +
            R"("addressType":"IPv4","endpoints":[{"targetRef":{"uid":1}}]})",
        begin + R"("addressType":"IPv4","endpoints":[{"targetRef":"x"}]})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Stage(text))) << text;
  }
}

TEST_F(EndpointSlicesTest, BoundsStringsAndEndpoints) {
  slices_->BeginList();
  EXPECT_TRUE(absl::IsInvalidArgument(Stage(SliceJson(
      "s", "orders", {Endpoint(std::string(129, 'u'), "10.0.0.1")}))));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Stage(SliceJson("s", "orders", {Endpoint("u", std::string(65, '1'))}))));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Stage(SliceJson(std::string(254, 's'), "orders", {}))));
  EXPECT_TRUE(Stage(SliceJson("s", "orders", Endpoints(0, 10000))).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(
      Stage(SliceJson("s", "orders", Endpoints(0, 10001)))));
}

TEST_F(EndpointSlicesTest, AnswersNothingForServicesNobodyAskedFor) {
  List({SliceJson("s", "other", Endpoints(0, 2))});
  EXPECT_EQ(slices_->Ready("prod", "other"), 0u);
  EXPECT_THAT(slices_->Addresses("prod", "other"), IsEmpty());
}

constexpr char kTerminating[] =
    R"({"ready":false,"serving":true,"terminating":true})";
constexpr char kGone[] =
    R"({"ready":false,"serving":false,"terminating":true})";

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
        SliceJson("mirror", "orders",
                  {R"({"addresses":["10.1.0.1"]})",
                   R"({"addresses":["10.1.0.2"]})",
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
  List({SliceJson("a", "orders",
                  {Endpoint("u1", "10.1.0.1", kNotReady),
                   Endpoint("u2", "10.1.0.2", kGone),
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
  EXPECT_THAT(Addresses(), ElementsAre("node-1@10.0.0.1", "node-2@10.0.0.2",
                                       "@10.9.0.1"));
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

// Tests of counting pods by EndpointSlices.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watcher/testing/endpoint_slices_fixture.h"

namespace dynweight {
namespace {

using EventType = ObjectSink::EventType;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

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

}  // namespace
}  // namespace dynweight

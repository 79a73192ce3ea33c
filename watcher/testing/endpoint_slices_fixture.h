// EndpointSlices as a list or a watch brings them.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_ENDPOINT_SLICES_FIXTURE_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_ENDPOINT_SLICES_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "watcher/kubernetes/endpoint_slices.h"
#include "watcher/text/json_value.h"

namespace dynweight {

using EventType = ObjectSink::EventType;

inline constexpr char kReady[] = R"({"ready":true})";
inline constexpr char kNotReady[] = R"({"ready":false})";
inline constexpr char kTerminating[] =
    R"({"ready":false,"serving":true,"terminating":true})";
inline constexpr char kGone[] =
    R"({"ready":false,"serving":false,"terminating":true})";

inline std::string Endpoint(std::string uid, std::string address,
                            std::string conditions = kReady) {
  return absl::StrCat(R"({"addresses":[")", address, R"("],"conditions":)",
                      conditions, R"(,"nodeName":"node-)", address,
                      R"(","targetRef":{"kind":"Pod","uid":")", uid, R"("}})");
}

inline std::string SliceJson(std::string name, std::string service,
                             const std::vector<std::string>& endpoints,
                             std::string type = "IPv4",
                             std::string ns = "prod") {
  return absl::StrCat(R"({"metadata":{"name":")", name, R"(","namespace":")",
                      ns, R"(","labels":{"kubernetes.io/service-name":")",
                      service, R"("}},"addressType":")", type,
                      R"(","endpoints":[)", absl::StrJoin(endpoints, ","),
                      "]}");
}

// `count` endpoints whose uids and addresses begin with number `first`.
inline std::vector<std::string> Endpoints(int first, int count) {
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
    slices_->Interest("prod", "orders");
    slices_->Interest("prod", "users");
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

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_ENDPOINT_SLICES_FIXTURE_H_

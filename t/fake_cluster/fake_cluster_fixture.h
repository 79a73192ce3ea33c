// A fake cluster and a client of it.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_FAKE_CLUSTER_FIXTURE_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_FAKE_CLUSTER_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "t/fake_cluster/fake_cluster.h"
#include "t/fake_cluster/json.h"

namespace dynweight {

using fake::Json;
using fake::Member;
using fake::ParseJson;
using fake::StringMember;

inline constexpr char kSlices[] = "/apis/discovery.k8s.io/v1/endpointslices";
inline constexpr char kPods[] = "/api/v1/pods";

inline FakeApp App(const std::string& name, int pods) {
  FakeApp app;
  app.ns = "prod";
  app.name = name;
  app.pods = pods;
  return app;
}

inline FakeFault Fault(const std::string& kind, int times = 0) {
  FakeFault fault;
  fault.kind = kind;
  fault.times = times;
  return fault;
}

inline std::string Version(const Json& list) {
  return StringMember(Member(list.get(), "metadata"), "resourceVersion");
}

inline std::string Next(const Json& list) {
  return StringMember(Member(list.get(), "metadata"), "continue");
}

inline std::vector<std::string> Names(const Json& list) {
  std::vector<std::string> names;
  const cJSON* item;
  cJSON_ArrayForEach(item, Member(list.get(), "items")) {
    names.push_back(StringMember(Member(item, "metadata"), "name"));
  }
  return names;
}

class FakeClusterTest : public ::testing::Test {
 protected:
  FakeClusterTest() : FakeClusterTest(FakeClusterOptions()) {}
  explicit FakeClusterTest(const FakeClusterOptions& options)
      : cluster_(FakeCluster::Start(options)),
        client_("127.0.0.1", cluster_->port()) {
    client_.set_keep_alive(true);
    client_.set_read_timeout(30);
  }

  httplib::Result Get(const std::string& target) { return client_.Get(target); }

  int Status(const std::string& target) {
    httplib::Result result = Get(target);
    return result ? result->status : 0;
  }

  Json List(const std::string& target) {
    httplib::Result result = Get(target);
    return result ? ParseJson(result->body) : nullptr;
  }

  // The events of a watch until the server ends it.
  std::vector<Json> Watch(const std::string& target) {
    std::vector<Json> events;
    httplib::Client client("127.0.0.1", cluster_->port());
    client.set_read_timeout(30);
    std::string body;
    client.Get(target, [&](const char* data, size_t size) {
      body.append(data, size);
      return true;
    });
    for (size_t end; (end = body.find('\n')) != std::string::npos;) {
      events.push_back(ParseJson(body.substr(0, end)));
      body.erase(0, end + 1);
    }
    return events;
  }

  static std::vector<std::string> Types(const std::vector<Json>& events) {
    std::vector<std::string> types;
    for (const Json& event : events) {
      types.push_back(StringMember(event.get(), "type"));
    }
    return types;
  }

  std::string WatchFrom(uint64_t version, const std::string& more = "") {
    return std::string(kSlices) + "?watch=1&timeoutSeconds=1&resourceVersion=" +
           std::to_string(version) + more;
  }

  std::unique_ptr<FakeCluster> cluster_;
  httplib::Client client_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_FAKE_CLUSTER_FIXTURE_H_

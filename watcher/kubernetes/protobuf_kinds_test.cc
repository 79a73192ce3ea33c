// Tests that both encodings of an API server come to the same, for each kind:
// what is in watcher/fuzz_corpus/protobuf, recorded by t/kube/record.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/api_document.h"
#include "watcher/kubernetes/endpoint_slices.h"
#include "watcher/kubernetes/list_scanner.h"
#include "watcher/kubernetes/nodes.h"
#include "watcher/kubernetes/pods.h"
#include "watcher/kubernetes/protobuf/list_items.h"
#include "watcher/kubernetes/protobuf/object_json.h"
#include "watcher/kubernetes/protobuf/watch_frames.h"
#include "watcher/kubernetes/replicas.h"
#include "watcher/kubernetes/watch_framing.h"

namespace dynweight {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr size_t kMaxBytes = 4 << 20;

std::string Recorded(const std::string& name) {
  std::ifstream file(absl::StrCat(RECORDED "/", name), std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(text.empty()) << name;
  return text;
}

struct Page {
  ListEnvelope envelope;
  std::vector<std::string> objects;
};

Page ReadPage(std::string_view resource, const std::string& json) {
  Page page;
  ListScanner scanner(kMaxBytes);
  const absl::Status status =
      scanner.Append(json, [&page](std::string_view object) {
        page.objects.emplace_back(object);
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  const auto envelope = scanner.Finish(resource);
  EXPECT_TRUE(envelope.ok()) << envelope.status();
  if (envelope.ok()) page.envelope = *envelope;
  return page;
}

std::string JsonOfList(const std::string& path, const std::string& body) {
  std::string json;
  const auto take = [&json](std::string_view text) {
    json += text;
    return absl::OkStatus();
  };
  ListItems items(kMaxBytes);
  items.Reset(FindProtobufKind(path));
  absl::Status status = items.Append(body, take);
  if (status.ok()) status = items.Finish(take);
  EXPECT_TRUE(status.ok()) << status;
  return json;
}

bool IsNothing(const cJSON* value) {
  if (cJSON_IsString(value)) return value->valuestring[0] == '\0';
  if (cJSON_IsNumber(value)) return value->valuedouble == 0;
  return value->child == nullptr &&
         (cJSON_IsObject(value) || cJSON_IsArray(value) || cJSON_IsNull(value));
}

// All that stands in `reduced` stands in `whole`, too; JSON leaves out what is
// empty.
void ExpectPart(const cJSON* reduced, const cJSON* whole,
                const std::string& where) {
  if (whole == nullptr) {
    EXPECT_TRUE(IsNothing(reduced)) << where;
    return;
  }
  if (cJSON_IsArray(reduced)) {
    EXPECT_EQ(cJSON_GetArraySize(reduced), cJSON_GetArraySize(whole)) << where;
    for (int i = 0; i < cJSON_GetArraySize(reduced); ++i) {
      ExpectPart(cJSON_GetArrayItem(reduced, i), cJSON_GetArrayItem(whole, i),
                 absl::StrCat(where, "[", i, "]"));
    }
  } else if (cJSON_IsObject(reduced)) {
    for (const cJSON* e = reduced->child; e != nullptr; e = e->next) {
      ExpectPart(e, cJSON_GetObjectItemCaseSensitive(whole, e->string),
                 absl::StrCat(where, ".", e->string));
    }
  } else {
    EXPECT_TRUE(cJSON_Compare(reduced, whole, /*case_sensitive=*/true))
        << where;
  }
}

void ExpectPart(const std::string& reduced, const std::string& whole) {
  ExpectPart(ParseJson(reduced).value().get(), ParseJson(whole).value().get(),
             "");
}

// What a sink knows once it has such a list.
using Summary = std::function<std::string(const std::vector<std::string>&)>;

std::string Names(const std::vector<IngressNode>& nodes) {
  std::string text;
  for (const IngressNode& node : nodes) {
    absl::StrAppend(&text, " ", node.name, "@", node.address.ToString());
  }
  return text;
}

void FeedList(const std::vector<std::string>& objects, ObjectSink* sink) {
  sink->BeginList();
  for (const std::string& object : objects) {
    const absl::Status status = sink->Stage(ParseJson(object).value().get());
    EXPECT_TRUE(status.ok()) << status;
  }
  sink->CommitList();
}

std::string SummaryOfSlices(const std::vector<std::string>& objects,
                            std::string_view resource) {
  const auto slices = EndpointSlices::Create();
  slices->Interest("prod", "orders");
  slices->SetResource(resource);
  FeedList(objects, slices.get());
  std::string instances;
  for (const char* port : {"", "http", "none"}) {
    const SliceInstances found =
        slices->Instances("prod", "orders", {port, /*number=*/0});
    absl::StrAppend(&instances, "; ", port, found.no_port);
    for (const Instance& instance : found.instances) {
      absl::StrAppend(&instances, " ", instance.name, "@",
                      instance.address.ToString(), ":", instance.port, "*",
                      instance.weight_milli);
    }
  }
  return absl::StrCat(slices->Ready("prod", "orders"), " ready",
                      Names(slices->Addresses("prod", "orders")), "; not",
                      Names(slices->Unready("prod", "orders")), "; ",
                      slices->WhyNone("prod", "orders"), instances);
}

std::string SummaryOfPods(const std::vector<std::string>& objects) {
  const auto pods = Pods::Create();
  FeedList(objects, pods.get());
  return absl::StrCat(pods->Ready(), " ready", Names(pods->Hosts()), "; not",
                      Names(pods->UnreadyHosts()), "; ", pods->WhyNone());
}

std::string SummaryOfNodes(const std::vector<std::string>& objects) {
  std::string text;
  for (const auto type :
       {NodeAddressType::kInternalIp, NodeAddressType::kExternalIp}) {
    const auto nodes = Nodes::Create(type);
    FeedList(objects, nodes.get());
    absl::StrAppend(&text, "live", Names(nodes->Live()), "; not",
                    Names(nodes->Unready()), "; ", nodes->WhyNone(), "\n");
  }
  return text;
}

std::string SummaryOfReplicas(const std::vector<std::string>& objects) {
  const auto replicas = Replicas::Create();
  for (const char* name : {"orders", "new", "none"}) {
    replicas->Interest("prod", name);
  }
  FeedList(objects, replicas.get());
  std::string text;
  for (const char* name : {"orders", "new", "none"}) {
    absl::StrAppend(&text, replicas->Ready("prod", name), " ready ",
                    replicas->WhyNone("prod", name), "; ");
  }
  return text;
}

// The list of that name in both encodings; what it comes to.
std::string ExpectSame(const std::string& name, const std::string& path,
                       const Summary& summary) {
  const std::string resource = path.substr(path.rfind('/') + 1);
  const Page whole = ReadPage(resource, Recorded(name + ".json"));
  const Page reduced =
      ReadPage(resource, JsonOfList(path, Recorded(name + ".protobuf")));
  EXPECT_EQ(reduced.envelope.resource_version, whole.envelope.resource_version);
  EXPECT_EQ(reduced.envelope.next, whole.envelope.next);
  EXPECT_EQ(reduced.objects.size(), whole.objects.size());
  if (reduced.objects.size() != whole.objects.size()) return "";
  for (size_t i = 0; i < whole.objects.size(); ++i) {
    ExpectPart(reduced.objects[i], whole.objects[i]);
  }
  const std::string text = summary(reduced.objects);
  EXPECT_EQ(text, summary(whole.objects));
  return text;
}

constexpr char kSlices[] =
    "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices";

TEST(ProtobufKindsTest, EndpointSlices) {
  const auto summary = [](const std::vector<std::string>& objects) {
    return SummaryOfSlices(objects, "endpointslices");
  };
  EXPECT_THAT(ExpectSame("endpointslices", kSlices, summary),
              AllOf(HasSubstr("6 ready"), HasSubstr(":8080*1000")));
}

TEST(ProtobufKindsTest, APage) {
  const auto summary = [](const std::vector<std::string>&) { return ""; };
  ExpectSame("page", kSlices, summary);
  EXPECT_FALSE(
      ReadPage("endpointslices", JsonOfList(kSlices, Recorded("page.protobuf")))
          .envelope.next.empty());
}

TEST(ProtobufKindsTest, Endpoints) {
  const auto summary = [](const std::vector<std::string>& objects) {
    return SummaryOfSlices(objects, "endpoints");
  };
  EXPECT_THAT(
      ExpectSame("endpoints", "/api/v1/namespaces/prod/endpoints", summary),
      HasSubstr("2 ready worker-1@10.9.0.1"));
}

TEST(ProtobufKindsTest, Nodes) {
  EXPECT_THAT(ExpectSame("nodes", "/api/v1/nodes", &SummaryOfNodes),
              HasSubstr("5 match, 1 not Ready, 1 excluded by label "
                        "node.kubernetes.io/"
                        "exclude-from-external-load-balancers, 1 about to be "
                        "deleted"));
}

TEST(ProtobufKindsTest, Pods) {
  EXPECT_THAT(
      ExpectSame("pods", "/api/v1/namespaces/prod/pods", &SummaryOfPods),
      HasSubstr("4 match, 0 not ready, 1 terminating or finished"));
}

TEST(ProtobufKindsTest, Deployments) {
  EXPECT_THAT(
      ExpectSame("deployments", "/apis/apps/v1/namespaces/prod/deployments",
                 &SummaryOfReplicas),
      HasSubstr("3 ready ; 0 ready ; 0 ready no object none"));
}

TEST(ProtobufKindsTest, StatefulSets) {
  EXPECT_THAT(
      ExpectSame("statefulsets", "/apis/apps/v1/namespaces/prod/statefulsets",
                 &SummaryOfReplicas),
      HasSubstr("3 ready ; 0 ready no object new"));
}

TEST(ProtobufKindsTest, Nothing) {
  EXPECT_THAT(
      ExpectSame("nothing", "/api/v1/namespaces/default/pods", &SummaryOfPods),
      HasSubstr("no pod matches"));
}

// ---- Watches.

std::vector<std::string> EventsOfProtobuf(const std::string& name) {
  std::vector<std::string> events;
  WatchFrames frames(kMaxBytes);
  const absl::Status status = frames.Append(
      Recorded(name + ".protobuf"), [&events](std::string_view bytes) {
        auto json =
            WatchEventJson(bytes, *FindProtobufKind(kSlices), kMaxBytes);
        EXPECT_TRUE(json.ok()) << json.status();
        if (json.ok()) events.push_back(*std::move(json));
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_FALSE(frames.partial());
  return events;
}

std::vector<std::string> EventsOfJson(const std::string& name) {
  std::vector<std::string> events;
  WatchFraming framing(kMaxBytes);
  const absl::Status status = framing.Append(Recorded(name + ".json"),
                                             [&events](std::string_view line) {
                                               events.emplace_back(line);
                                               return absl::OkStatus();
                                             });
  EXPECT_TRUE(status.ok()) << status;
  return events;
}

// The types of the events.
std::string ExpectSameWatch(const std::string& name) {
  const std::vector<std::string> reduced = EventsOfProtobuf(name);
  const std::vector<std::string> whole = EventsOfJson(name);
  EXPECT_EQ(reduced.size(), whole.size());
  std::string types;
  for (size_t i = 0; i < std::min(reduced.size(), whole.size()); ++i) {
    ExpectPart(reduced[i], whole[i]);
    const JsonDocument a = ParseJson(reduced[i]).value();
    const JsonDocument b = ParseJson(whole[i]).value();
    const auto event = ReadWatchEvent(a.get());
    const auto expected = ReadWatchEvent(b.get());
    EXPECT_TRUE(event.ok()) << event.status();
    EXPECT_TRUE(expected.ok()) << expected.status();
    if (!event.ok() || !expected.ok()) continue;
    EXPECT_EQ(event->type, expected->type);
    EXPECT_EQ(event->resource_version, expected->resource_version);
    types += "AMDBE"[static_cast<int>(event->type)];
  }
  return types;
}

TEST(ProtobufKindsTest, AWatch) { EXPECT_EQ(ExpectSameWatch("watch"), "MD"); }

TEST(ProtobufKindsTest, ABookmark) {
  EXPECT_THAT(ExpectSameWatch("bookmark"), HasSubstr("AB"));
}

TEST(ProtobufKindsTest, AnErrorOfAWatch) {
  EXPECT_EQ(ExpectSameWatch("expired"), "E");
  const std::string event = EventsOfProtobuf("expired").at(0);
  const JsonDocument document = ParseJson(event).value();
  const ApiRefusal refusal =
      RefusalOfEvent(ReadWatchEvent(document.get()).value().object);
  EXPECT_EQ(refusal.kind, ApiRefusal::Kind::kExpired);
  EXPECT_EQ(refusal.code, 410);
}

// ---- Refusals.

ApiRefusal ExpectSameRefusal(const std::string& name, int code) {
  const std::string json = StatusJson(Recorded(name + ".protobuf"));
  ExpectPart(json, Recorded(name + ".json"));
  const ApiRefusal refusal = RefusalOfAnswer(code, -1, json);
  const ApiRefusal expected =
      RefusalOfAnswer(code, -1, Recorded(name + ".json"));
  EXPECT_EQ(refusal.kind, expected.kind);
  EXPECT_EQ(refusal.message, expected.message);
  EXPECT_EQ(refusal.retry_after_ms, expected.retry_after_ms);
  return refusal;
}

TEST(ProtobufKindsTest, Refusals) {
  EXPECT_THAT(ExpectSameRefusal("forbidden", 403).message,
              HasSubstr("cannot list resource \"secrets\""));
  const ApiRefusal too_large = ExpectSameRefusal("too_large", 504);
  EXPECT_EQ(too_large.kind, ApiRefusal::Kind::kTooLarge);
  EXPECT_EQ(too_large.retry_after_ms, 1000);
}

}  // namespace
}  // namespace dynweight

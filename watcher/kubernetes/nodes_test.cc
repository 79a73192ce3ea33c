// Tests of which Node objects are live ingress nodes.

#include "watcher/kubernetes/nodes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

using EventType = ObjectSink::EventType;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kReadyNode[] =
    R"("conditions":[{"type":"Ready","status":"True"}])";

std::string NodeJson(std::string name, std::string address,
                     std::string metadata = "", std::string spec = "",
                     std::string conditions = kReadyNode) {
  return absl::StrCat(R"({"metadata":{"name":")", name, "\"", metadata,
                      R"(},"spec":{)", spec, R"(},"status":{)", conditions,
                      R"(,"addresses":[{"type":"Hostname","address":"h"},)",
                      R"({"type":"InternalIP","address":")", address,
                      R"("},{"type":"ExternalIP","address":"192.0.2.7"}]}})");
}

class NodesTest : public testing::Test {
 protected:
  absl::Status Apply(EventType type, std::string_view text) {
    return nodes_->Apply(type, ParseJson(text).value().get());
  }
  void List(const std::vector<std::string>& objects) {
    nodes_->BeginList();
    for (const std::string& object : objects) {
      const absl::Status status =
          nodes_->Stage(ParseJson(object).value().get());
      EXPECT_TRUE(status.ok()) << status;
    }
    nodes_->CommitList();
  }
  std::vector<std::string> Live() {
    std::vector<std::string> result;
    for (const IngressNode& node : nodes_->Live()) {
      result.push_back(absl::StrCat(node.name, "@", node.address.ToString()));
    }
    return result;
  }

  std::unique_ptr<Nodes> nodes_ = Nodes::Create(NodeAddressType::kInternalIp);
};

TEST_F(NodesTest, KnowsNothingBeforeTheFirstList) {
  EXPECT_FALSE(nodes_->listed());
  List({});
  EXPECT_TRUE(nodes_->listed());
  EXPECT_TRUE(nodes_->TakeChanged());
  EXPECT_FALSE(nodes_->TakeChanged());
}

TEST_F(NodesTest, LiveNodesAreSortedByAddress) {
  List({NodeJson("b", "10.0.0.2"), NodeJson("a", "10.0.0.10"),
        NodeJson("c", "10.0.0.1")});
  EXPECT_THAT(Live(), ElementsAre("c@10.0.0.1", "b@10.0.0.2", "a@10.0.0.10"));
}

TEST_F(NodesTest, NodesThatShareAnAddressAreOne) {
  List({NodeJson("b", "10.0.0.1"), NodeJson("a", "10.0.0.1")});
  EXPECT_THAT(Live(), ElementsAre("a@10.0.0.1"));
}

TEST_F(NodesTest, NotReadyNodesAreLeftOut) {
  List({NodeJson("a", "10.0.0.1", "", "",
                 R"("conditions":[{"type":"Ready","status":"False"}])"),
        NodeJson("b", "10.0.0.2", "", "",
                 R"("conditions":[{"type":"Ready","status":"Unknown"}])"),
        NodeJson("c", "10.0.0.3", "", "",
                 R"("conditions":[{"type":"DiskPressure","status":"True"}])"),
        NodeJson("d", "10.0.0.4", "", "", R"("conditions":null)")});
  EXPECT_THAT(Live(), IsEmpty());
}

TEST_F(NodesTest, DeletedNodesAreLeftOut) {
  List({NodeJson("a", "10.0.0.1",
                 R"(,"deletionTimestamp":"2026-01-01T00:00:00Z")")});
  EXPECT_THAT(Live(), IsEmpty());
}

TEST_F(NodesTest, NodesTheAutoscalerRemovesAreLeftOut) {
  List({NodeJson(
      "a", "10.0.0.1", "",
      R"("taints":[{"key":"x"},)"
      R"({"key":"ToBeDeletedByClusterAutoscaler","effect":"NoSchedule"}])")});
  EXPECT_THAT(Live(), IsEmpty());
}

TEST_F(NodesTest, ExcludedNodesAreLeftOutWhateverTheLabelSays) {
  for (const char* value : {"\"\"", "\"false\"", "null"}) {
    List({NodeJson(
        "a", "10.0.0.1",
        absl::StrCat(
            R"(,"labels":{)"
            R"("node.kubernetes.io/exclude-from-external-load-balancers":)",
            value, "}"))});
    EXPECT_THAT(Live(), IsEmpty()) << value;
  }
}

TEST_F(NodesTest, CordonedNodesStay) {
  List({NodeJson("a", "10.0.0.1", "",
                 R"("unschedulable":true,)"
                 R"("taints":[{"key":"node.kubernetes.io/unschedulable"}])")});
  EXPECT_THAT(Live(), ElementsAre("a@10.0.0.1"));
}

TEST_F(NodesTest, TakesTheAddressTypeAskedFor) {
  nodes_ = Nodes::Create(NodeAddressType::kExternalIp);
  List({NodeJson("a", "10.0.0.1")});
  EXPECT_THAT(Live(), ElementsAre("a@192.0.2.7"));
}

TEST_F(NodesTest, PrefersAnIpv4Address) {
  List({NodeJson("a", R"(fd00::1"},{"type":"InternalIP","address":"10.0.0.1"},)"
                      R"({"type":"InternalIP","address":"10.0.0.2)"),
        NodeJson("b", "fd00::2")});
  EXPECT_THAT(Live(), ElementsAre("a@10.0.0.1", "b@fd00::2"));
}

TEST_F(NodesTest, NodesWithoutAUsableAddressAreLeftOut) {
  List({NodeJson("a", "host"), NodeJson("b", "0.0.0.0"),
        R"({"metadata":{"name":"c"},"status":{)" + std::string(kReadyNode) +
            "}}"});
  EXPECT_THAT(Live(), IsEmpty());
}

TEST_F(NodesTest, EventsAddChangeAndDelete) {
  List({NodeJson("a", "10.0.0.1")});
  nodes_->TakeChanged();
  EXPECT_TRUE(Apply(EventType::kAdded, NodeJson("b", "10.0.0.2")).ok());
  EXPECT_THAT(Live(), ElementsAre("a@10.0.0.1", "b@10.0.0.2"));
  EXPECT_TRUE(nodes_->TakeChanged());
  EXPECT_TRUE(Apply(EventType::kModified,
                    NodeJson("a", "10.0.0.1", "", "", R"("conditions":[])"))
                  .ok());
  EXPECT_THAT(Live(), ElementsAre("b@10.0.0.2"));
  EXPECT_TRUE(Apply(EventType::kDeleted, R"({"metadata":{"name":"b"}})").ok());
  EXPECT_THAT(Live(), IsEmpty());
}

TEST_F(NodesTest, HeartbeatsChangeNothing) {
  List({NodeJson("a", "10.0.0.1")});
  nodes_->TakeChanged();
  EXPECT_TRUE(Apply(EventType::kModified,
                    NodeJson("a", "10.0.0.1", R"(,"resourceVersion":"9")"))
                  .ok());
  List({NodeJson("a", "10.0.0.1")});
  EXPECT_FALSE(nodes_->TakeChanged());
}

TEST_F(NodesTest, HostileNamesAreKeptAsTheyAre) {
  List({NodeJson(R"(</script>\"\n)", "10.0.0.1")});
  EXPECT_THAT(Live(), ElementsAre("</script>\"\n@10.0.0.1"));
}

TEST_F(NodesTest, MistakenEventChangesNothing) {
  List({NodeJson("a", "10.0.0.1")});
  nodes_->TakeChanged();
  for (const char* text :
       {"{}", "[]", R"({"metadata":{"name":"a"},"status":[]})",
        R"({"metadata":{"name":"a"},"status":{"conditions":{}}})",
        R"({"metadata":{"name":"a"},"status":{"conditions":[1]}})",
        R"({"metadata":{"name":"a"},"status":{"addresses":"x"}})",
        R"({"metadata":{"name":"a"},"status":{"conditions":[{"type":1}]}})",
        R"({"metadata":{"name":"a","deletionTimestamp":1}})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Apply(EventType::kModified, text)))
        << text;
  }
  EXPECT_THAT(Live(), ElementsAre("a@10.0.0.1"));
  EXPECT_FALSE(nodes_->TakeChanged());
}

TEST_F(NodesTest, WhyThereIsNone) {
  List({});
  EXPECT_EQ(nodes_->WhyNone(), "no Node matches");
  constexpr char kExclude[] = R"(,"labels":{"node.kubernetes.io/)"
                              R"(exclude-from-external-load-balancers":""})";
  List({NodeJson("a", "10.0.0.1", kExclude),
        NodeJson("b", "10.0.0.2", kExclude),
        NodeJson("c", "10.0.0.3", kExclude)});
  EXPECT_EQ(nodes_->WhyNone(),
            "3 match, 3 excluded by label "
            "node.kubernetes.io/exclude-from-external-load-balancers");
  List({NodeJson("a", "", "", "", kReadyNode),
        NodeJson("b", "10.0.0.2", R"(,"deletionTimestamp":"x")"),
        NodeJson("c", "10.0.0.3", "", "",
                 R"("conditions":[{"type":"Ready","status":"Unknown"}])")});
  EXPECT_EQ(nodes_->WhyNone(),
            "3 match, 1 not Ready, 1 about to be deleted, 1 without an address "
            "of type InternalIP");
  EXPECT_EQ(nodes_->Unready().size(), 1u);
}

}  // namespace
}  // namespace dynweight

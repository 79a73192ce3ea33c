// Node objects reduced to the live ones and their addresses.

#include "watcher/kubernetes/nodes.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_meta.h"
#include "watcher/kubernetes/object_table.h"
#include "weightcalc/ingress_node.h"

namespace dynweight {
namespace {

// Presence counts, whatever the value (cloud-provider's service controller).
constexpr char kExcludeLabel[] =
    "node.kubernetes.io/exclude-from-external-load-balancers";
constexpr std::string_view kDeletionTaint = "ToBeDeletedByClusterAutoscaler";

bool AboutToBeDeleted(const cJSON* spec, JsonReader* reader) {
  bool found = false;
  reader->ForEachObject(
      reader->Array(spec, "taints"), "taints", kMaxStatusEntries,
      [&found, reader](const cJSON* taint) {
        found |= reader->String(taint, "key", kMaxWordBytes) == kDeletionTaint;
      });
  return found;
}

// The first address of the type; the first IPv4 one where there is one.
IpAddress AddressOf(const cJSON* status, std::string_view type,
                    JsonReader* reader) {
  IpAddress best;
  reader->ForEachObject(
      reader->Array(status, "addresses"), "addresses", kMaxStatusEntries,
      [&best, type, reader](const cJSON* entry) {
        if (reader->String(entry, "type", kMaxWordBytes) != type) return;
        const IpAddress address =
            IpAddress::Parse(reader->String(entry, "address", kMaxWordBytes))
                .value_or(IpAddress());
        if (best.family == IpAddress::kNone ||
            (best.family == IpAddress::kIpv6 &&
             address.family == IpAddress::kIpv4)) {
          best = address;
        }
      });
  return best;
}

enum class NodeState : uint8_t {
  kLive,
  kNotReady,
  kExcluded,   // by label
  kGoing,      // deletionTimestamp or the autoscaler's taint
  kNoAddress,  // of the wanted type
};

struct NodeEntry {
  IngressNode node;
  NodeState state = NodeState::kGoing;

  friend bool operator==(const NodeEntry& a, const NodeEntry& b) {
    return a.node == b.node && a.state == b.state;
  }
};

class NodesImpl final : public Nodes {
 public:
  explicit NodesImpl(NodeAddressType type)
      : type_(type == NodeAddressType::kExternalIp ? "ExternalIP"
                                                   : "InternalIP") {}

  void BeginList() override { table_.BeginList(); }

  absl::Status Stage(const cJSON* object) override {
    JsonReader reader("Node");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kCluster, &reader);
    NodeEntry node = Reduce(object, meta, &reader);
    if (!reader.ok()) return reader.status();
    return table_.Stage(meta.Key(), std::move(node));
  }

  void CommitList() override { table_.CommitList(); }

  absl::Status Apply(EventType type, const cJSON* object) override {
    JsonReader reader("Node");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kCluster, &reader);
    std::optional<NodeEntry> node;
    if (type != EventType::kDeleted) node = Reduce(object, meta, &reader);
    if (!reader.ok()) return reader.status();
    return table_.Apply(meta.Key(), std::move(node));
  }

  bool listed() const override { return table_.listed(); }

  std::vector<IngressNode> Live() const override {
    return NodesOf(NodeState::kLive);
  }
  std::vector<IngressNode> Unready() const override {
    return NodesOf(NodeState::kNotReady);
  }

  bool TakeChanged() override { return table_.TakeChanged(); }

  size_t matched() const override { return table_.present().size(); }

  std::string WhyNone() const override {
    const size_t all = table_.present().size();
    if (all == 0) return "no Node matches";
    std::string text = absl::StrCat(all, " match");
    const auto add = [this, &text](NodeState state, absl::string_view what) {
      size_t count = 0;
      for (const auto& [key, entry] : table_.present()) {
        count += entry.state == state;
      }
      if (count != 0) absl::StrAppend(&text, ", ", count, " ", what);
    };
    add(NodeState::kNotReady, "not Ready");
    add(NodeState::kExcluded,
        absl::StrCat("excluded by label ", kExcludeLabel));
    add(NodeState::kGoing, "about to be deleted");
    add(NodeState::kNoAddress,
        absl::StrCat("without an address of type ",
                     absl::string_view(type_.data(), type_.size())));
    return text;
  }

 private:
  NodeEntry Reduce(const cJSON* object, const ObjectMeta& meta,
                   JsonReader* reader) const {
    const cJSON* status = reader->Object(object, "status");
    // All of it is read, so that a mistake is one whatever the state.
    const IpAddress address = AddressOf(status, type_, reader);
    const bool going = AboutToBeDeleted(reader->Object(object, "spec"), reader);
    const bool ready = IsConditionReady(status, reader);
    NodeState state = NodeState::kLive;
    if (meta.deleting || going) {
      state = NodeState::kGoing;
    } else if (cJSON_GetObjectItemCaseSensitive(meta.labels, kExcludeLabel) !=
               nullptr) {
      state = NodeState::kExcluded;
    } else if (address.family == IpAddress::kNone) {
      state = NodeState::kNoAddress;
    } else if (!ready) {
      state = NodeState::kNotReady;
    }
    return NodeEntry{{address, std::string(meta.name)}, state};
  }

  std::vector<IngressNode> NodesOf(NodeState state) const {
    std::vector<IngressNode> nodes;
    nodes.reserve(table_.present().size());
    for (const auto& [key, entry] : table_.present()) {
      if (entry.state == state) nodes.push_back(entry.node);
    }
    SortNodes(&nodes);
    return nodes;
  }

  const std::string_view type_;
  ObjectTable<NodeEntry> table_;
};

}  // namespace

std::unique_ptr<Nodes> Nodes::Create(NodeAddressType type) {
  return std::make_unique<NodesImpl>(type);
}

}  // namespace dynweight

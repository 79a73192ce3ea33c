// Node objects reduced to the live ones and their addresses.

#include "watcher/nodes.h"

#include "watcher/node_order.h"
#include "watcher/object_meta.h"
#include "watcher/object_table.h"

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

class NodesImpl final : public Nodes {
 public:
  explicit NodesImpl(NodeSource::AddressType type)
      : type_(type == NodeSource::AddressType::kExternalIp ? "ExternalIP"
                                                           : "InternalIP") {}

  void BeginList() override { table_.BeginList(); }

  absl::Status Stage(const cJSON* object) override {
    JsonReader reader("Node");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kCluster, &reader);
    std::optional<IngressNode> node = Reduce(object, meta, &reader);
    if (!reader.ok()) return reader.status();
    return table_.Stage(meta.Key(), std::move(node));
  }

  void CommitList() override { table_.CommitList(); }

  absl::Status Apply(EventType type, const cJSON* object) override {
    JsonReader reader("Node");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kCluster, &reader);
    std::optional<IngressNode> node;
    if (type != EventType::kDeleted) node = Reduce(object, meta, &reader);
    if (!reader.ok()) return reader.status();
    return table_.Apply(meta.Key(), std::move(node));
  }

  bool listed() const override { return table_.listed(); }

  std::vector<IngressNode> Live() const override {
    std::vector<IngressNode> nodes;
    nodes.reserve(table_.present().size());
    for (const auto& [key, node] : table_.present()) nodes.push_back(node);
    SortNodes(&nodes);
    return nodes;
  }

  bool TakeChanged() override { return table_.TakeChanged(); }

 private:
  std::optional<IngressNode> Reduce(const cJSON* object, const ObjectMeta& meta,
                                    JsonReader* reader) const {
    const cJSON* status = reader->Object(object, "status");
    const bool live =
        IsConditionReady(status, reader) && !meta.deleting &&
        !AboutToBeDeleted(reader->Object(object, "spec"), reader) &&
        cJSON_GetObjectItemCaseSensitive(meta.labels, kExcludeLabel) == nullptr;
    const IpAddress address = AddressOf(status, type_, reader);
    if (!live || address.family == IpAddress::kNone) return std::nullopt;
    return IngressNode{address, std::string(meta.name)};
  }

  const std::string_view type_;
  ObjectTable<IngressNode> table_;
};

}  // namespace

std::unique_ptr<Nodes> Nodes::Create(NodeSource::AddressType type) {
  return std::make_unique<NodesImpl>(type);
}

}  // namespace dynweight

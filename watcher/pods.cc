// Pods reduced to the ready ones and their hosts.

#include "watcher/pods.h"

#include "watcher/node_order.h"
#include "watcher/object_meta.h"
#include "watcher/object_table.h"

namespace dynweight {
namespace {

class PodsImpl final : public Pods {
 public:
  void BeginList() override { table_.BeginList(); }

  absl::Status Stage(const cJSON* object) override {
    JsonReader reader("Pod");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
    std::optional<IngressNode> host = Reduce(object, meta, &reader);
    if (!reader.ok()) return reader.status();
    return table_.Stage(meta.Key(), std::move(host));
  }

  void CommitList() override { table_.CommitList(); }

  absl::Status Apply(EventType type, const cJSON* object) override {
    JsonReader reader("Pod");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
    std::optional<IngressNode> host;
    if (type != EventType::kDeleted) host = Reduce(object, meta, &reader);
    if (!reader.ok()) return reader.status();
    return table_.Apply(meta.Key(), std::move(host));
  }

  bool listed() const override { return table_.listed(); }

  uint64_t Ready() const override { return table_.present().size(); }

  std::vector<IngressNode> Hosts() const override {
    std::vector<IngressNode> hosts;
    hosts.reserve(table_.present().size());
    for (const auto& [key, host] : table_.present()) hosts.push_back(host);
    SortNodes(&hosts);
    return hosts;
  }

  bool TakeChanged() override { return table_.TakeChanged(); }

 private:
  // The host of a ready pod; its address may be missing (kNone).
  static std::optional<IngressNode> Reduce(const cJSON* object,
                                           const ObjectMeta& meta,
                                           JsonReader* reader) {
    const cJSON* status = reader->Object(object, "status");
    const std::string_view phase =
        reader->String(status, "phase", kMaxNameBytes);
    const std::string_view address =
        reader->String(status, "hostIP", kMaxAddressBytes);
    const std::string_view node = reader->String(reader->Object(object, "spec"),
                                                 "nodeName", kMaxNameBytes);
    if (!IsConditionReady(status, reader) || meta.deleting ||
        phase != "Running") {
      return std::nullopt;
    }
    return IngressNode{IpAddress::Parse(address).value_or(IpAddress()),
                       std::string(node)};
  }

  ObjectTable<IngressNode> table_;
};

}  // namespace

std::unique_ptr<Pods> Pods::Create() { return std::make_unique<PodsImpl>(); }

}  // namespace dynweight

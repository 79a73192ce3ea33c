// Pods reduced to the ready ones and their hosts.

#include "watcher/kubernetes/pods.h"

#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_meta.h"
#include "watcher/kubernetes/object_table.h"
#include "weightcalc/ingress_node.h"

namespace dynweight {
namespace {

enum class PodState : uint8_t { kReady, kNotReady, kOver };

struct PodEntry {
  IngressNode host;  // its address may be missing (kNone)
  PodState state = PodState::kOver;

  friend bool operator==(const PodEntry& a, const PodEntry& b) {
    return a.host == b.host && a.state == b.state;
  }
};

class PodsImpl final : public Pods {
 public:
  void BeginList() override { table_.BeginList(); }

  absl::Status Stage(const cJSON* object) override {
    JsonReader reader("Pod");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
    PodEntry pod = Reduce(object, meta, &reader);
    if (!reader.ok()) return reader.status();
    return table_.Stage(meta.Key(), std::move(pod));
  }

  void CommitList() override {
    std::vector<std::pair<std::string, IpAddress>> were_ready;
    for (const auto& [key, pod] : table_.present()) {
      if (pod.state == PodState::kReady) {
        were_ready.emplace_back(key, pod.host.address);
      }
    }
    table_.CommitList();
    ready_ = 0;
    for (const auto& [key, pod] : table_.present()) {
      if (pod.state != PodState::kReady) continue;
      ++ready_;
      lost_.erase(key);
    }
    for (auto& [key, address] : were_ready) {
      if (!IsReady(key)) lost_.emplace(std::move(key), address);
    }
  }

  absl::Status Apply(EventType type, const cJSON* object) override {
    JsonReader reader("Pod");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
    std::optional<PodEntry> pod;
    if (type != EventType::kDeleted) pod = Reduce(object, meta, &reader);
    if (!reader.ok()) return reader.status();
    const std::string key = meta.Key();
    const auto before = table_.present().find(key);
    std::optional<IpAddress> was_ready;
    if (before != table_.present().end() &&
        before->second.state == PodState::kReady) {
      was_ready = before->second.host.address;
    }
    absl::Status status = table_.Apply(key, std::move(pod));
    if (status.ok()) Note(key, was_ready, meta.deleting);
    return status;
  }

  bool listed() const override { return table_.listed(); }

  uint64_t Ready() const override { return ready_; }

  std::vector<IngressNode> Hosts() const override {
    return HostsOf(PodState::kReady);
  }
  std::vector<IngressNode> UnreadyHosts() const override {
    return HostsOf(PodState::kNotReady);
  }

  bool TakeChanged() override { return table_.TakeChanged(); }

  Departed TakeDeparted() override {
    return std::exchange(departed_, Departed());
  }
  void Accept() override { lost_.clear(); }

  size_t matched() const override { return table_.present().size(); }

  std::string WhyNone() const override {
    size_t unready = 0;
    for (const auto& [key, pod] : table_.present()) {
      unready += pod.state == PodState::kNotReady;
    }
    const size_t all = table_.present().size();
    if (all == 0) return "no pod matches";
    return absl::StrCat(all, " match, ", unready, " not ready, ",
                        all - unready - ready_, " terminating or finished");
  }

 private:
  static PodEntry Reduce(const cJSON* object, const ObjectMeta& meta,
                         JsonReader* reader) {
    const cJSON* status = reader->Object(object, "status");
    const std::string_view phase =
        reader->String(status, "phase", kMaxNameBytes);
    const std::string_view address =
        reader->String(status, "hostIP", kMaxAddressBytes);
    const std::string_view node = reader->String(reader->Object(object, "spec"),
                                                 "nodeName", kMaxNameBytes);
    const bool ready = IsConditionReady(status, reader);
    if (meta.deleting || phase != "Running") return PodEntry();
    return PodEntry{
        {IpAddress::Parse(address).value_or(IpAddress()), std::string(node)},
        ready ? PodState::kReady : PodState::kNotReady};
  }

  bool IsReady(const std::string& key) const {
    const auto pod = table_.present().find(key);
    return pod != table_.present().end() &&
           pod->second.state == PodState::kReady;
  }

  // After an event about the pod. `was_ready`: its host, if it was before.
  void Note(const std::string& key, std::optional<IpAddress> was_ready,
            bool deleting) {
    const bool is_ready = IsReady(key);
    ready_ = ready_ + is_ready - was_ready.has_value();
    const auto lost = lost_.find(key);
    if (is_ready) {
      if (lost != lost_.end()) lost_.erase(lost);
      return;
    }
    if (!was_ready && lost != lost_.end()) was_ready = lost->second;
    if (!was_ready) return;
    if (!deleting) {
      lost_.emplace(key, *was_ready);
      return;
    }
    lost_.erase(key);
    ++departed_.count;
    if (was_ready->family != IpAddress::kNone) {
      departed_.addresses.push_back(*was_ready);
    }
  }

  std::vector<IngressNode> HostsOf(PodState state) const {
    std::vector<IngressNode> hosts;
    for (const auto& [key, pod] : table_.present()) {
      if (pod.state == state) hosts.push_back(pod.host);
    }
    SortNodes(&hosts);
    return hosts;
  }

  ObjectTable<PodEntry> table_;
  uint64_t ready_ = 0;
  // Pods that were ready and are not, without a word, by key.
  absl::flat_hash_map<std::string, IpAddress> lost_;
  Departed departed_;
};

}  // namespace

std::unique_ptr<Pods> Pods::Create() { return std::make_unique<PodsImpl>(); }

}  // namespace dynweight

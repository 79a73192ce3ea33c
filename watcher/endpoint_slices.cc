// EndpointSlices of a cluster, kept by the service they belong to.

#include "watcher/endpoint_slices.h"

#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "watcher/node_order.h"
#include "watcher/object_meta.h"
#include "watcher/reduced_slice.h"

namespace dynweight {
namespace {

constexpr size_t kMaxEndpoints = 1000000;  // of all wanted services

// Slices of one service by their key.
using SliceMap = absl::flat_hash_map<std::string, ReducedSlice>;

// Calls visit(slice, endpoint) for each endpoint that takes traffic: the ready
// ones, and when there are none in any slice, those that are serving while
// they terminate.
template <typename Visit>
void ForEachServing(const SliceMap& slices, Visit&& visit) {
  for (const auto wanted :
       {EndpointState::kReady, EndpointState::kServingTerminating}) {
    bool found = false;
    for (const auto& [key, slice] : slices) {
      for (const ReducedEndpoint& endpoint : slice.endpoints) {
        if (endpoint.state != wanted) continue;
        found = true;
        visit(slice, endpoint);
      }
    }
    if (found) return;
  }
}

// All slices of the wanted services at one time. Services are numbers.
class SliceTable {
 public:
  void Reset(size_t services) {
    services_.assign(services, SliceMap());
    owner_.clear();
    endpoints_ = 0;
  }

  const SliceMap& slices(uint32_t service) const { return services_[service]; }

  std::optional<uint32_t> OwnerOf(const std::string& key) const {
    const auto at = owner_.find(key);
    if (at == owner_.end()) return std::nullopt;
    return at->second;
  }

  absl::Status CheckRoom(const ReducedSlice& slice) const {
    if (owner_.size() < kMaxSinkObjects &&
        endpoints_ + slice.endpoints.size() <= kMaxEndpoints) {
      return absl::OkStatus();
    }
    return absl::ResourceExhaustedError(absl::StrCat(
        "EndpointSlices of the services in use: more than ", kMaxSinkObjects,
        " slices or ", kMaxEndpoints, " endpoints"));
  }

  void Put(const std::string& key, uint32_t service, ReducedSlice slice) {
    Remove(key);
    endpoints_ += slice.endpoints.size();
    owner_[key] = service;
    services_[service][key] = std::move(slice);
  }

  void Remove(const std::string& key) {
    const auto at = owner_.find(key);
    if (at == owner_.end()) return;
    SliceMap& slices = services_[at->second];
    const auto slice = slices.find(key);
    endpoints_ -= slice->second.endpoints.size();
    slices.erase(slice);
    owner_.erase(at);
  }

 private:
  std::vector<SliceMap> services_;
  absl::flat_hash_map<std::string, uint32_t> owner_;  // slice key -> service
  size_t endpoints_ = 0;
};

class EndpointSlicesImpl final : public EndpointSlices {
 public:
  void Want(std::string_view ns, std::string_view service) override {
    const bool fresh =
        wanted_.try_emplace(ObjectKey(ns, service), names_.size()).second;
    if (!fresh) return;
    names_.emplace_back(ns, service);
    counts_.emplace_back();
    changed_.push_back(false);
    present_.Reset(names_.size());
    staged_.Reset(names_.size());
  }

  void SetResource(std::string_view resource) override {
    endpoints_ = resource == "endpoints";
  }

  void BeginList() override { staged_.Reset(names_.size()); }

  absl::Status Stage(const cJSON* object) override {
    return Take(object, &staged_, /*live=*/false);
  }

  void CommitList() override {
    for (uint32_t i = 0; i < names_.size(); i++) {
      if (!listed_ || present_.slices(i) != staged_.slices(i)) MarkChanged(i);
    }
    listed_ = true;
    present_ = std::move(staged_);
    staged_.Reset(names_.size());
  }

  absl::Status Apply(EventType type, const cJSON* object) override {
    if (type != EventType::kDeleted) {
      return Take(object, &present_, /*live=*/true);
    }
    JsonReader reader("EndpointSlice");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
    if (reader.ok()) Drop(meta.Key(), &present_, /*live=*/true);
    return reader.status();
  }

  bool listed() const override { return listed_; }

  uint64_t Ready(std::string_view ns, std::string_view service) const override {
    const auto at = wanted_.find(ObjectKey(ns, service));
    if (at == wanted_.end() || !listed_) return 0;
    std::optional<uint64_t>& count = counts_[at->second];
    if (!count.has_value()) count = CountPods(present_.slices(at->second));
    return *count;
  }

  std::vector<IngressNode> Addresses(std::string_view ns,
                                     std::string_view service) const override {
    const auto at = wanted_.find(ObjectKey(ns, service));
    if (at == wanted_.end() || !listed_) return {};
    return AddressesOf(present_.slices(at->second));
  }

  std::vector<std::pair<std::string, std::string>> TakeChanged() override {
    std::vector<std::pair<std::string, std::string>> result;
    result.reserve(queue_.size());
    for (const uint32_t service : queue_) {
      changed_[service] = false;
      result.push_back(names_[service]);
    }
    queue_.clear();
    return result;
  }

 private:
  // `live`: the table is the visible one, and changes are noted.
  absl::Status Take(const cJSON* object, SliceTable* table, bool live) {
    JsonReader reader("EndpointSlice");
    const ObjectMeta meta =
        ReadObjectMeta(object, ObjectScope::kNamespace, &reader);
    const std::string_view service =
        endpoints_ ? meta.name
                   : reader.String(meta.labels, "kubernetes.io/service-name",
                                   kMaxNameBytes);
    if (!reader.ok()) return reader.status();
    const std::string key = meta.Key();
    const auto wanted = wanted_.find(ObjectKey(meta.ns, service));
    if (wanted == wanted_.end()) {
      Drop(key, table, live);
      return absl::OkStatus();
    }

    ReducedSlice slice = endpoints_ ? ReduceEndpoints(object, &reader)
                                    : ReduceSlice(object, &reader);
    if (!reader.ok()) return reader.status();
    if (slice.endpoints.empty()) {
      Drop(key, table, live);
      return absl::OkStatus();
    }
    absl::Status room = table->CheckRoom(slice);
    if (!room.ok()) return room;
    const std::optional<uint32_t> owner = table->OwnerOf(key);
    if (owner == wanted->second &&
        table->slices(*owner).find(key)->second == slice) {
      return absl::OkStatus();
    }
    if (live && owner.has_value()) MarkChanged(*owner);
    if (live) MarkChanged(wanted->second);
    table->Put(key, wanted->second, std::move(slice));
    return absl::OkStatus();
  }

  void Drop(const std::string& key, SliceTable* table, bool live) {
    const std::optional<uint32_t> owner = table->OwnerOf(key);
    if (live && owner.has_value()) MarkChanged(*owner);
    table->Remove(key);
  }

  void MarkChanged(uint32_t service) {
    counts_[service].reset();
    if (changed_[service]) return;
    changed_[service] = true;
    queue_.push_back(service);
  }

  static uint64_t CountPods(const SliceMap& slices) {
    std::vector<EndpointId> ids;
    ForEachServing(
        slices, [&ids](const ReducedSlice&, const ReducedEndpoint& endpoint) {
          ids.push_back(endpoint.id);
        });
    std::sort(ids.begin(), ids.end());
    return static_cast<uint64_t>(std::unique(ids.begin(), ids.end()) -
                                 ids.begin());
  }

  static std::vector<IngressNode> AddressesOf(const SliceMap& slices) {
    struct Candidate {
      EndpointId id;
      IpAddress address;
      std::string_view node;
    };
    std::vector<Candidate> candidates;
    ForEachServing(slices, [&candidates](const ReducedSlice& slice,
                                         const ReducedEndpoint& endpoint) {
      if (endpoint.address.family == IpAddress::kNone) return;
      candidates.push_back(
          {endpoint.id, endpoint.address, slice.node_name(endpoint)});
    });
    // IPv4 sorts first: it is the address a dual-stack pod keeps.
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) {
                if (a.id != b.id) return a.id < b.id;
                if (a.address != b.address) return a.address < b.address;
                return a.node < b.node;
              });
    candidates.erase(std::unique(candidates.begin(), candidates.end(),
                                 [](const Candidate& a, const Candidate& b) {
                                   return a.id == b.id;
                                 }),
                     candidates.end());
    std::vector<IngressNode> nodes;
    nodes.reserve(candidates.size());
    for (const Candidate& candidate : candidates) {
      nodes.push_back({candidate.address, std::string(candidate.node)});
    }
    SortNodes(&nodes);
    return nodes;
  }

  absl::flat_hash_map<std::string, uint32_t> wanted_;  // "ns/service"
  std::vector<std::pair<std::string, std::string>> names_;
  SliceTable present_;
  SliceTable staged_;
  mutable std::vector<std::optional<uint64_t>> counts_;  // once computed
  std::vector<bool> changed_;    // whether it stands in queue_
  std::vector<uint32_t> queue_;  // changed since TakeChanged()
  bool listed_ = false;
  bool endpoints_ = false;  // the objects are Endpoints
};

}  // namespace

std::unique_ptr<EndpointSlices> EndpointSlices::Create() {
  return std::make_unique<EndpointSlicesImpl>();
}

}  // namespace dynweight

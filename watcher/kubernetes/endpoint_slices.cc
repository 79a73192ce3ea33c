// EndpointSlices of a cluster, kept by the service they belong to.

#include "watcher/kubernetes/endpoint_slices.h"

#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_meta.h"
#include "watcher/kubernetes/reduced_slice.h"
#include "weightcalc/ingress_node.h"

namespace dynweight {
namespace {

constexpr size_t kMaxEndpoints = 1000000;  // of all wanted services

// Slices of one service by their key.
using SliceMap = absl::flat_hash_map<std::string, ReducedSlice>;

// One that takes traffic.
struct Serving {
  EndpointId id;
  IpAddress address;
  bool terminating;
  bool by_address;
  std::string_view node;  // points into its slice
};

// Calls visit(slice, endpoint) for each endpoint.
template <typename Visit>
void ForEachEndpoint(const SliceMap& slices, Visit&& visit) {
  for (const auto& [key, slice] : slices) {
    for (const ReducedEndpoint& endpoint : slice.endpoints) {
      visit(slice, endpoint);
    }
  }
}

// A slice that somebody else writes may name a pod by its address alone: it is
// the pod of that address in the slices that know uids.
void DropNamedTwice(std::vector<Serving>* serving) {
  const auto by_uid = std::partition(
      serving->begin(), serving->end(),
      [](const Serving& endpoint) { return endpoint.by_address; });
  if (by_uid == serving->begin() || by_uid == serving->end()) return;
  std::vector<IpAddress> known;
  for (auto it = by_uid; it != serving->end(); ++it) {
    known.push_back(it->address);
  }
  std::sort(known.begin(), known.end());
  serving->erase(
      std::remove_if(serving->begin(), by_uid,
                     [&known](const Serving& endpoint) {
                       return endpoint.address.family != IpAddress::kNone &&
                              std::binary_search(known.begin(), known.end(),
                                                 endpoint.address);
                     }),
      by_uid);
}

// The endpoints that take traffic, each once, sorted by id: the ready ones,
// and when there are none in any slice, those that are serving while they
// terminate.
std::vector<Serving> ServingOf(const SliceMap& slices) {
  std::vector<Serving> serving;
  for (const auto wanted :
       {EndpointState::kReady, EndpointState::kServingTerminating}) {
    ForEachEndpoint(slices, [&](const ReducedSlice& slice,
                                const ReducedEndpoint& endpoint) {
      if (endpoint.state != wanted) return;
      serving.push_back({endpoint.id, endpoint.address, endpoint.terminating,
                         endpoint.by_address, slice.node_name(endpoint)});
    });
    if (!serving.empty()) break;
  }
  DropNamedTwice(&serving);
  // IPv4 sorts first: it is the address a dual-stack pod keeps, where it has
  // one.
  std::sort(serving.begin(), serving.end(),
            [](const Serving& a, const Serving& b) {
              if (a.id != b.id) return a.id < b.id;
              const bool a_none = a.address.family == IpAddress::kNone;
              const bool b_none = b.address.family == IpAddress::kNone;
              if (a_none != b_none) return b_none;
              if (a.address != b.address) return a.address < b.address;
              return a.node < b.node;
            });
  serving.erase(std::unique(serving.begin(), serving.end(),
                            [](const Serving& a, const Serving& b) {
                              return a.id == b.id;
                            }),
                serving.end());
  return serving;
}

// Who of a service left, and whether anybody meant it.
class Departures {
 public:
  // What takes traffic now. `by_list`: no event says so.
  void Update(const SliceMap& slices, const std::vector<Serving>& serving,
              bool by_list) {
    departed_ = Departed();
    std::vector<Counted> counted;
    counted.reserve(serving.size());
    for (const Serving& endpoint : serving) {
      counted.push_back(
          {endpoint.id, endpoint.address, endpoint.terminating && !by_list});
    }
    if (!lost_.empty()) {
      for (const Counted& one : counted) lost_.erase(one.id);
    }
    auto next = counted.begin();
    for (const Counted& before : counted_) {
      while (next != counted.end() && next->id < before.id) ++next;
      if (next != counted.end() && next->id == before.id) {
        next->terminating |= before.terminating;
      } else if (before.terminating) {
        Depart(before.address);
      } else {
        lost_[before.id] = before.address;
      }
    }
    counted_ = std::move(counted);
    if (by_list || lost_.empty()) return;
    ForEachEndpoint(
        slices, [this](const ReducedSlice&, const ReducedEndpoint& endpoint) {
          if (!endpoint.terminating) return;
          const auto lost = lost_.find(endpoint.id);
          if (lost == lost_.end()) return;
          Depart(lost->second);
          lost_.erase(lost);
        });
  }

  Departed Take() { return std::exchange(departed_, Departed()); }
  void Accept() { lost_.clear(); }

 private:
  struct Counted {
    EndpointId id;
    IpAddress address;
    bool terminating;  // as an event said
  };

  void Depart(const IpAddress& address) {
    ++departed_.count;
    if (address.family != IpAddress::kNone) {
      departed_.addresses.push_back(address);
    }
  }

  std::vector<Counted> counted_;                     // by id
  absl::flat_hash_map<EndpointId, IpAddress> lost_;  // without a word
  Departed departed_;
};

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
  void Interest(std::string_view ns, std::string_view service) override {
    const bool fresh =
        wanted_.try_emplace(ObjectKey(ns, service), names_.size()).second;
    if (!fresh) return;
    names_.emplace_back(ns, service);
    counts_.emplace_back();
    departures_.emplace_back();
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
    changed_by_list_ = true;
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
    if (!count.has_value()) {
      count = ServingOf(present_.slices(at->second)).size();
    }
    return *count;
  }

  std::vector<IngressNode> Addresses(std::string_view ns,
                                     std::string_view service) const override {
    const auto at = wanted_.find(ObjectKey(ns, service));
    if (at == wanted_.end() || !listed_) return {};
    return AddressesOf(ServingOf(present_.slices(at->second)));
  }

  std::vector<IngressNode> Unready(std::string_view ns,
                                   std::string_view service) const override {
    const auto at = wanted_.find(ObjectKey(ns, service));
    if (at == wanted_.end() || !listed_) return {};
    std::vector<IngressNode> nodes;
    ForEachEndpoint(
        present_.slices(at->second),
        [&nodes](const ReducedSlice& slice, const ReducedEndpoint& endpoint) {
          if (endpoint.state == EndpointState::kNotReady &&
              !endpoint.terminating) {
            nodes.push_back(
                {endpoint.address, std::string(slice.node_name(endpoint))});
          }
        });
    SortNodes(&nodes);
    return nodes;
  }

  SliceInstances Instances(std::string_view ns, std::string_view service,
                           const PortChoice& port) const override {
    const auto at = wanted_.find(ObjectKey(ns, service));
    if (at == wanted_.end() || !listed_) return {};
    std::vector<const ReducedSlice*> slices;
    for (const auto& [key, slice] : present_.slices(at->second)) {
      slices.push_back(&slice);
    }
    return InstancesOf(slices, port);
  }

  std::vector<std::pair<std::string, std::string>> TakeChanged() override {
    std::vector<std::pair<std::string, std::string>> result;
    result.reserve(queue_.size());
    for (const uint32_t service : queue_) {
      changed_[service] = false;
      result.push_back(names_[service]);
      const SliceMap& slices = present_.slices(service);
      const std::vector<Serving> serving = ServingOf(slices);
      counts_[service] = serving.size();
      departures_[service].Update(slices, serving, changed_by_list_);
    }
    queue_.clear();
    changed_by_list_ = false;
    return result;
  }

  Departed TakeDeparted(std::string_view ns,
                        std::string_view service) override {
    const auto at = wanted_.find(ObjectKey(ns, service));
    return at == wanted_.end() ? Departed() : departures_[at->second].Take();
  }

  void Accept(std::string_view ns, std::string_view service) override {
    const auto at = wanted_.find(ObjectKey(ns, service));
    if (at != wanted_.end()) departures_[at->second].Accept();
  }

  std::string WhyNone(std::string_view ns,
                      std::string_view service) const override {
    const auto at = wanted_.find(ObjectKey(ns, service));
    if (at == wanted_.end() || !listed_) return std::string();
    const SliceMap& slices = present_.slices(at->second);
    const auto foreign = static_cast<size_t>(
        std::count_if(slices.begin(), slices.end(),
                      [](const auto& slice) { return slice.second.foreign; }));
    if (slices.size() != foreign) return std::string();
    if (foreign != 0) {
      return absl::StrCat("all ", foreign, " EndpointSlices of the Service ",
                          "are about pods of other clusters");
    }
    return absl::StrCat("no EndpointSlice of a Service ", std::string(service),
                        " in ", std::string(ns),
                        ": is there one of this name?");
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

  static std::vector<IngressNode> AddressesOf(
      const std::vector<Serving>& serving) {
    std::vector<IngressNode> nodes;
    nodes.reserve(serving.size());
    for (const Serving& endpoint : serving) {
      nodes.push_back({endpoint.address, std::string(endpoint.node)});
    }
    SortNodes(&nodes);
    return nodes;
  }

  absl::flat_hash_map<std::string, uint32_t> wanted_;  // "ns/service"
  std::vector<std::pair<std::string, std::string>> names_;
  SliceTable present_;
  SliceTable staged_;
  mutable std::vector<std::optional<uint64_t>> counts_;  // once computed
  std::vector<Departures> departures_;
  bool changed_by_list_ = false;  // what stands in queue_
  std::vector<bool> changed_;     // whether it stands in queue_
  std::vector<uint32_t> queue_;   // changed since TakeChanged()
  bool listed_ = false;
  bool endpoints_ = false;  // the objects are Endpoints
};

}  // namespace

std::unique_ptr<EndpointSlices> EndpointSlices::Create() {
  return std::make_unique<EndpointSlicesImpl>();
}

}  // namespace dynweight

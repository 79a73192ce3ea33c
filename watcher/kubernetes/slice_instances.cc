// See slice_instances.h.

#include "watcher/kubernetes/slice_instances.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace dynweight {
namespace {

// Of a message.
constexpr size_t kMaxNamed = 8;

struct Found {
  EndpointId id;
  IpAddress address;
  uint16_t port;
  bool by_address;
  bool drains;
  std::string_view pod;  // points into its slice
};

// 0: the endpoint has no such port, or nobody can tell which is meant.
uint16_t PortOf(const ReducedPorts& ports, const PortChoice& choice) {
  if (choice.number != 0) return choice.number;
  uint16_t found = 0;
  for (const ReducedPort& port : ports) {
    if (!choice.name.empty() && port.name != choice.name) continue;
    if (found != 0 && found != port.number) return 0;
    found = port.number;
  }
  return found;
}

// "http 8080, admin 9090"
std::string PortNames(const std::set<std::pair<std::string, uint16_t>>& ports) {
  std::vector<std::string> names;
  for (const auto& [name, number] : ports) {
    if (names.size() == kMaxNamed) {
      names.push_back("...");
      break;
    }
    names.push_back(name.empty() ? absl::StrCat(number)
                                 : absl::StrCat(name, " ", number));
  }
  return absl::StrJoin(names, ", ");
}

std::string WhyNoPort(const std::set<std::pair<std::string, uint16_t>>& ports,
                      const PortChoice& choice) {
  if (ports.empty()) {
    return "its EndpointSlices name no TCP port: write port=NUMBER";
  }
  if (choice.name.empty()) {
    return absl::StrCat("it has several ports (", PortNames(ports),
                        ") and the line names none: write port=NAME");
  }
  return absl::StrCat("none of its ports is named ", choice.name, ": it has ",
                      PortNames(ports));
}

// One for each pod: that which serves, then the one of the first address.
void DropSamePods(std::vector<Found>* found) {
  std::sort(found->begin(), found->end(), [](const Found& a, const Found& b) {
    return std::tie(a.id, a.drains, a.address, a.port, a.pod) <
           std::tie(b.id, b.drains, b.address, b.port, b.pod);
  });
  found->erase(
      std::unique(found->begin(), found->end(),
                  [](const Found& a, const Found& b) { return a.id == b.id; }),
      found->end());
  if (std::none_of(found->begin(), found->end(),
                   [](const Found& one) { return one.by_address; })) {
    return;
  }
  // A slice that somebody else writes may name a pod by its address alone.
  std::set<IpAddress> known;
  for (const Found& one : *found) {
    if (!one.by_address) known.insert(one.address);
  }
  found->erase(std::remove_if(found->begin(), found->end(),
                              [&known](const Found& one) {
                                return one.by_address &&
                                       known.count(one.address) != 0;
                              }),
               found->end());
}

}  // namespace

SliceInstances InstancesOf(absl::Span<const ReducedSlice* const> slices,
                           const PortChoice& port) {
  std::vector<Found> found;
  std::set<std::pair<std::string, uint16_t>> others;  // ports
  bool portless = false;
  for (const ReducedSlice* slice : slices) {
    for (const ReducedEndpoint& endpoint : slice->endpoints) {
      if (endpoint.state == EndpointState::kNotReady ||
          endpoint.address.family == IpAddress::kNone) {
        continue;
      }
      const ReducedPorts& ports = slice->ports[endpoint.ports];
      const uint16_t number = PortOf(ports, port);
      if (number == 0) {
        portless = true;
        for (const ReducedPort& other : ports) {
          if (others.size() > kMaxNamed) break;
          others.insert({other.name, other.number});
        }
        continue;
      }
      found.push_back({endpoint.id, endpoint.address, number,
                       endpoint.by_address, endpoint.terminating,
                       slice->pod_name(endpoint)});
    }
  }
  DropSamePods(&found);
  const bool all_drain = std::all_of(
      found.begin(), found.end(), [](const Found& one) { return one.drains; });

  SliceInstances result;
  result.instances.reserve(found.size());
  for (const Found& one : found) {
    result.instances.push_back({one.address, one.port, std::string(one.pod),
                                one.drains && !all_drain ? 0u : 1000u});
  }
  SortInstances(&result.instances);
  if (found.empty() && portless) result.no_port = WhyNoPort(others, port);
  return result;
}

}  // namespace dynweight

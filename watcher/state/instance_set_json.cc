// See instance_set_json.h.

#include "watcher/state/instance_set_json.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "watcher/state/view_text.h"
#include "watcher/text/json_text.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

// The literal parts, so that MaxInstanceSetsBytes() counts what is written.
constexpr std::string_view kInstances = ",\"instances\":{";
constexpr std::string_view kSet = ":{\"instances\":[";
constexpr std::string_view kPort = "\",\"port\":";
constexpr std::string_view kName = ",\"name\":";
constexpr std::string_view kWeight = ",\"weight_milli\":";
constexpr std::string_view kNone = ",\"none\":true";
constexpr size_t kMaxPortDigits = 5;
constexpr size_t kMaxWeightDigits = 10;
constexpr size_t kMaxNameRead = 253;  // RFC 1123 subdomain
// A sane name grows by what replaces invalid UTF-8, no more.
constexpr size_t kMaxNameText = 2 + 3 * kMaxNodeNameBytes;

// A member of the object of all sets.
void AppendInstanceSet(const std::string& key, const InstanceSet& set,
                       size_t room, std::string* out) {
  AppendJsonString(key, SIZE_MAX, out);
  *out += kSet;
  const size_t n = std::min(set.instances.size(), room);
  for (size_t i = 0; i < n; i++) {
    const Instance& instance = set.instances[i];
    if (i != 0) *out += ',';
    *out += kAddress;
    *out += instance.address.ToString();
    *out += kPort;
    AppendCount(instance.port, out);
    *out += kName;
    AppendJsonString(instance.name, kMaxNodeNameBytes, out);
    *out += kWeight;
    AppendCount(instance.weight_milli, out);
    *out += '}';
  }
  *out += ']';
  if (set.provisional) *out += kProvisional;
  if (set.none) *out += kNone;
  *out += kTotal;
  AppendCount(set.instances.size() + set.cut, out);
  *out += kObserved;
  AppendTime(set.observed_ms, out);
  *out += '}';
}

InstanceSet ReadInstanceSet(const cJSON* json, JsonReader* reader) {
  InstanceSet set;
  set.observed_ms =
      static_cast<int64_t>(reader->RequiredCount(json, "observed"));
  set.provisional = reader->Bool(json, "provisional").value_or(false);
  set.none = reader->Bool(json, "none").value_or(false);
  reader->ForEachObject(
      reader->Array(json, "instances"), "instances", kMaxViewInstances,
      [&set, reader](const cJSON* element) {
        const std::optional<IpAddress> address = IpAddress::Parse(
            reader->RequiredString(element, "address", kMaxAddressText));
        const uint64_t port = reader->RequiredCount(element, "port");
        const uint64_t milli = reader->RequiredCount(element, "weight_milli");
        if (!address.has_value() || port < 1 || port > UINT16_MAX ||
            milli < 1 || milli > UINT32_MAX) {
          reader->Fail("instances",
                       "must have an address, a port and a weight");
          return;
        }
        set.instances.push_back(
            {*address, static_cast<uint16_t>(port),
             std::string(reader->String(element, "name", kMaxNameRead)),
             static_cast<uint32_t>(milli)});
      });
  SaneInstances(&set.instances);
  const uint64_t total = reader->Count(json, "total").value_or(0);
  set.cut = total > set.instances.size() ? total - set.instances.size() : 0;
  return set;
}

}  // namespace

void SaneInstances(std::vector<Instance>* instances) {
  for (Instance& instance : *instances) {
    std::string& name = instance.name;
    if (name.size() > kMaxNodeNameBytes) name.resize(kMaxNodeNameBytes);
    for (char& c : name) {
      const auto byte = static_cast<uint8_t>(c);
      if (byte < 0x20 || byte == 0x7F || c == '"' || c == '\\' || c == '<' ||
          c == '>' || c == '&') {
        c = '?';
      }
    }
  }
  SortInstances(instances);
  if (instances->size() > kMaxViewInstances) {
    instances->resize(kMaxViewInstances);
  }
}

void InstanceSetTexts::Forget(std::string_view key) {
  const auto it = texts_.find(key);
  if (it != texts_.end()) texts_.erase(it);
}

void AppendInstanceSets(const InstanceSets& sets,
                        absl::FunctionRef<size_t(const std::string& key)> room,
                        InstanceSetTexts* kept, std::string* out) {
  if (sets.empty()) return;
  *out += kInstances;
  InstanceSetTexts none;
  auto& texts = (kept == nullptr ? &none : kept)->texts_;
  // Both are in the same order: a text stands next to the one before.
  auto text = texts.begin();
  for (auto it = sets.begin(); it != sets.end(); ++it) {
    const auto& [key, set] = *it;
    if (it != sets.begin()) *out += ',';
    if (kept == nullptr) {
      AppendInstanceSet(key, set, room(key), out);
      continue;
    }
    text = texts.try_emplace(text, key);
    if (text->second.empty()) {
      AppendInstanceSet(key, set, room(key), &text->second);
    }
    *out += text->second;
    ++text;
  }
  *out += '}';
}

InstanceSets ReadInstanceSets(const cJSON* parent, JsonReader* reader) {
  InstanceSets sets;
  reader->ForEachObject(reader->Object(parent, "instances"), "instances",
                        kMaxInstanceSets, [&sets, reader](const cJSON* set) {
                          sets.try_emplace(set->string,
                                           ReadInstanceSet(set, reader));
                        });
  return sets;
}

size_t MaxInstanceSetsBytes(
    const std::map<std::string, size_t, std::less<>>& room) {
  constexpr size_t kInstanceBytes =
      kAddress.size() + kMaxAddressText + kPort.size() + kMaxPortDigits +
      kName.size() + kMaxNameText + kWeight.size() + kMaxWeightDigits +
      std::string_view("},").size();
  constexpr size_t kSetBytes = kSet.size() + std::string_view("]").size() +
                               kProvisional.size() + kNone.size() +
                               kTotal.size() + kMaxDigits + kObserved.size() +
                               kMaxDigits + std::string_view("},").size();
  if (room.empty()) return 0;
  size_t bytes = kInstances.size() + std::string_view("}").size();
  for (const auto& [key, most] : room) {
    bytes += MaxJsonStringBytes(key.size()) + kSetBytes + most * kInstanceBytes;
  }
  return bytes;
}

}  // namespace dynweight

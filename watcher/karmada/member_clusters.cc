// See member_clusters.h.

#include "watcher/karmada/member_clusters.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_meta.h"

namespace dynweight {
namespace {

constexpr size_t kMaxTextBytes = 32 << 10;  // by the API's rules
constexpr size_t kShownBytes = 120;

// What a condition says, as far as a person reads.
std::string Shown(std::string_view text) {
  std::string shown(text.substr(0, kShownBytes));
  for (char& c : shown) {
    if (c < ' ' || c > '~') c = '?';
  }
  return shown;
}

std::string NoSuchMember(std::string_view name) {
  return absl::StrCat("Karmada has no member cluster \"", std::string(name),
                      "\": has it been unjoined, or is the name wrong?");
}

// Why a member with this status is not ready; "": it is.
std::string WhyOf(const cJSON* status, std::string_view name,
                  JsonReader* reader) {
  std::string why;
  bool ready = false;
  reader->ForEachObject(
      reader->Array(status, "conditions"), "conditions", kMaxStatusEntries,
      [&, reader](const cJSON* condition) {
        if (reader->String(condition, "type", kMaxWordBytes) != "Ready") return;
        if (reader->String(condition, "status", kMaxWordBytes) == "True") {
          ready = true;
          return;
        }
        why = absl::StrCat(
            Shown(reader->String(condition, "reason", kMaxWordBytes)), ": ",
            Shown(reader->String(condition, "message", kMaxTextBytes)));
      });
  if (!ready && why.empty()) why = "it has no condition Ready";
  if (why.empty()) return why;
  return absl::StrCat("Karmada does not hear member cluster \"",
                      std::string(name), "\" (", why,
                      "), so that its numbers may be old");
}

}  // namespace

void MemberClusters::BeginList() {
  for (auto& [name, member] : members_) member.staged = NoSuchMember(name);
}

absl::Status MemberClusters::Stage(const cJSON* object) {
  Member* member = nullptr;
  std::string why;
  const absl::Status status = Read(EventType::kAdded, object, &member, &why);
  if (status.ok() && member != nullptr) member->staged = std::move(why);
  return status;
}

void MemberClusters::CommitList() {
  for (auto& [name, member] : members_) member.present = member.staged;
  listed_ = true;
}

absl::Status MemberClusters::Apply(EventType type, const cJSON* object) {
  Member* member = nullptr;
  std::string why;
  const absl::Status status = Read(type, object, &member, &why);
  if (status.ok() && member != nullptr) member->present = std::move(why);
  return status;
}

const std::string& MemberClusters::WhyNotReady(std::string_view name) const {
  return members_.find(name)->second.present;
}

absl::Status MemberClusters::Read(EventType type, const cJSON* object,
                                  Member** member, std::string* why) {
  JsonReader reader("Cluster");
  const ObjectMeta meta =
      ReadObjectMeta(object, ObjectScope::kCluster, &reader);
  if (!reader.ok()) return reader.status();
  const auto at = members_.find(meta.name);
  if (at == members_.end()) return absl::OkStatus();
  *member = &at->second;
  if (type == EventType::kDeleted) {
    *why = NoSuchMember(meta.name);
  } else {
    *why = WhyOf(reader.Object(object, "status"), meta.name, &reader);
  }
  return reader.status();
}

}  // namespace dynweight

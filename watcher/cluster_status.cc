// The status of a cluster as JSON of bounded size.

#include "watcher/cluster_status.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "watcher/json_text.h"

namespace dynweight {
namespace {

// Together, fully escaped, these leave room for everything else.
constexpr size_t kMaxApiBytes = 256;
constexpr size_t kMaxModeBytes = 16;
constexpr size_t kMaxErrorBytes = 512;
constexpr size_t kMaxPathBytes = 512;
constexpr size_t kMaxVersionBytes = 128;

void AppendMember(const char* name, uint64_t value, std::string* out) {
  absl::StrAppend(out, ",\"", name, "\":", std::min(value, kMaxJsonInteger));
}

void AppendTime(const char* name, int64_t ms, std::string* out) {
  AppendMember(name, static_cast<uint64_t>(std::max<int64_t>(ms, 0)), out);
}

}  // namespace

std::string EncodeClusterStatus(const ClusterStatus& status) {
  std::string out = "{\"api\":";
  out.reserve(1024);
  AppendJsonString(status.api, kMaxApiBytes, &out);
  out += ",\"mode\":";
  AppendJsonString(status.mode, kMaxModeBytes, &out);
  absl::StrAppend(&out, ",\"complete\":", status.complete ? "true" : "false");
  absl::StrAppend(&out, ",\"synced\":", status.synced ? "true" : "false");
  AppendTime("last_success", status.last_success_ms, &out);
  out += ",\"last_error\":";
  AppendJsonString(status.last_error, kMaxErrorBytes, &out);
  AppendTime("last_error_at", status.last_error_ms, &out);
  AppendTime("failing_since", status.failing_since_ms, &out);
  AppendMember("requests", status.requests, &out);
  AppendMember("lists", status.lists, &out);
  AppendMember("watches", status.watches, &out);
  AppendMember("events", status.events, &out);
  AppendMember("relists", status.relists, &out);
  AppendMember("failures", status.failures, &out);
  AppendMember("bytes", status.bytes, &out);
  AppendMember("rejected", status.rejected, &out);

  // As many versions as there is room for; the rest is counted.
  constexpr size_t kTailBytes = 64;
  std::string versions;
  size_t left_out = 0;
  for (const auto& [path, version] : status.resource_versions) {
    std::string entry = versions.empty() ? "" : ",";
    AppendJsonString(path, kMaxPathBytes, &entry);
    entry += ':';
    AppendJsonString(version, kMaxVersionBytes, &entry);
    if (out.size() + versions.size() + entry.size() + kTailBytes >
        kMaxStatusBytes) {
      left_out++;
    } else {
      versions += entry;
    }
  }
  absl::StrAppend(&out, ",\"resource_versions\":{", versions, "}");
  if (left_out != 0) AppendMember("versions_left_out", left_out, &out);
  out += '}';
  return out;
}

}  // namespace dynweight

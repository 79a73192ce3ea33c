// The status of a cluster, packed and as JSON, of bounded size.

#include "watcher/cluster_status.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_text.h"

namespace dynweight {
namespace {

// Together, fully escaped, these leave room for everything else.
constexpr size_t kMaxApiBytes = 256;
constexpr size_t kMaxModeBytes = 16;
constexpr size_t kMaxProbeBytes = 128;
constexpr size_t kMaxErrorBytes = 512;
constexpr size_t kMaxPathBytes = 512;
constexpr size_t kMaxVersionBytes = 128;
constexpr size_t kMaxWarningBytes = 256;
constexpr size_t kMaxWarnings = 4;

void AppendMember(const char* name, uint64_t value, std::string* out) {
  absl::StrAppend(out, ",\"", name, "\":", std::min(value, kMaxJsonInteger));
}

void AppendTimeMember(const char* name, int64_t ms, std::string* out) {
  AppendMember(name, static_cast<uint64_t>(std::max<int64_t>(ms, 0)), out);
}

// The fields of fixed size, in the order in which they are packed. One list
// serves both directions: `Status` is const when packing.
template <typename Status, typename Function>
void ForEachNumber(Status& status, Function&& function) {
  function(status.complete);
  function(status.rest_refused);
  function(status.synced);
  function(status.last_success_ms);
  function(status.observed_ms);
  function(status.last_error_ms);
  function(status.failing_since_ms);
  function(status.requests);
  function(status.lists);
  function(status.watches);
  function(status.events);
  function(status.relists);
  function(status.failures);
  function(status.bytes);
  function(status.rejected);
  function(status.held_back);
  function(status.probes);
  function(status.probe_failures);
  function(status.probe_targets);
  function(status.probe_passing);
  function(status.probe_failing);
  function(status.probes_ignored);
}

void PackNumber(uint64_t number, std::string* out) {
  out->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

void PackText(std::string_view text, size_t max_bytes, std::string* out) {
  text = text.substr(0, max_bytes);
  PackNumber(text.size(), out);
  *out += text;
}

uint64_t UnpackNumber(std::string_view* bytes) {
  uint64_t number = 0;
  if (bytes->size() < sizeof(number)) {
    *bytes = {};
    return 0;
  }
  std::memcpy(&number, bytes->data(), sizeof(number));
  bytes->remove_prefix(sizeof(number));
  return number;
}

std::string UnpackText(std::string_view* bytes) {
  const uint64_t length = UnpackNumber(bytes);
  std::string text(bytes->substr(0, length));
  bytes->remove_prefix(text.size());
  return text;
}

}  // namespace

std::string PackClusterStatus(const ClusterStatus& status) {
  std::string out;
  ForEachNumber(status, [&out](auto number) {
    PackNumber(static_cast<uint64_t>(number), &out);
  });
  PackText(status.api, kMaxApiBytes, &out);
  PackText(status.mode, kMaxModeBytes, &out);
  PackText(status.last_error, kMaxErrorBytes, &out);
  PackText(status.probe, kMaxProbeBytes, &out);
  const size_t warnings = std::min(status.warnings.size(), kMaxWarnings);
  PackNumber(status.warnings_left_out + status.warnings.size() - warnings,
             &out);
  PackNumber(warnings, &out);
  for (size_t i = 0; i < warnings; ++i) {
    PackText(status.warnings[i], kMaxWarningBytes, &out);
  }
  std::string versions;
  uint64_t packed = 0;
  for (const auto& [path, version] : status.resource_versions) {
    std::string entry;
    PackText(path, kMaxPathBytes, &entry);
    PackText(version, kMaxVersionBytes, &entry);
    if (out.size() + versions.size() + entry.size() + 2 * sizeof(uint64_t) >
        kMaxStatusBytes) {
      break;
    }
    versions += entry;
    ++packed;
  }
  PackNumber(
      status.versions_left_out + status.resource_versions.size() - packed,
      &out);
  PackNumber(packed, &out);
  return out + versions;
}

ClusterStatus UnpackClusterStatus(std::string_view bytes) {
  ClusterStatus status;
  ForEachNumber(status, [&bytes](auto& number) {
    number = static_cast<std::decay_t<decltype(number)>>(UnpackNumber(&bytes));
  });
  status.api = UnpackText(&bytes);
  status.mode = UnpackText(&bytes);
  status.last_error = UnpackText(&bytes);
  status.probe = UnpackText(&bytes);
  status.warnings_left_out = UnpackNumber(&bytes);
  for (uint64_t n = UnpackNumber(&bytes); n > 0 && !bytes.empty(); --n) {
    status.warnings.push_back(UnpackText(&bytes));
  }
  status.versions_left_out = UnpackNumber(&bytes);
  for (uint64_t n = UnpackNumber(&bytes); n > 0 && !bytes.empty(); --n) {
    std::string path = UnpackText(&bytes);
    status.resource_versions[std::move(path)] = UnpackText(&bytes);
  }
  return status;
}

std::string EncodeClusterStatus(const ClusterStatus& status) {
  std::string out = "{\"api\":";
  out.reserve(1024);
  AppendJsonString(status.api, kMaxApiBytes, &out);
  out += ",\"mode\":";
  AppendJsonString(status.mode, kMaxModeBytes, &out);
  absl::StrAppend(&out, ",\"complete\":", status.complete ? "true" : "false");
  absl::StrAppend(&out, ",\"synced\":", status.synced ? "true" : "false");
  AppendTimeMember("last_success", status.last_success_ms, &out);
  AppendTimeMember("observed", status.observed_ms, &out);
  out += ",\"last_error\":";
  AppendJsonString(status.last_error, kMaxErrorBytes, &out);
  AppendTimeMember("last_error_at", status.last_error_ms, &out);
  AppendTimeMember("failing_since", status.failing_since_ms, &out);
  AppendMember("requests", status.requests, &out);
  AppendMember("lists", status.lists, &out);
  AppendMember("watches", status.watches, &out);
  AppendMember("events", status.events, &out);
  AppendMember("relists", status.relists, &out);
  AppendMember("failures", status.failures, &out);
  AppendMember("bytes", status.bytes, &out);
  AppendMember("rejected", status.rejected, &out);
  AppendMember("held_back", status.held_back, &out);
  if (!status.probe.empty()) {
    out += ",\"probe\":{\"probe\":";
    AppendJsonString(status.probe, kMaxProbeBytes, &out);
    AppendMember("targets", status.probe_targets, &out);
    AppendMember("passing", status.probe_passing, &out);
    AppendMember("failing", status.probe_failing, &out);
    AppendMember("probes", status.probes, &out);
    AppendMember("failures", status.probe_failures, &out);
    absl::StrAppend(
        &out, ",\"ignored\":", status.probes_ignored ? "true" : "false", "}");
  }

  // Escaped, a text may take six times its room.
  constexpr size_t kBehindWarnings = 256;
  std::string warnings;
  uint64_t unsaid = status.warnings_left_out;
  for (const std::string& warning : status.warnings) {
    std::string entry = warnings.empty() ? "" : ",";
    AppendJsonString(warning, kMaxWarningBytes, &entry);
    if (out.size() + warnings.size() + entry.size() + kBehindWarnings >
        kMaxStatusBytes) {
      ++unsaid;
    } else {
      warnings += entry;
    }
  }
  absl::StrAppend(&out, ",\"warnings\":[", warnings, "]");
  if (unsaid != 0) AppendMember("warnings_left_out", unsaid, &out);

  // As many versions as there is room for; the rest is counted.
  constexpr size_t kTailBytes = 64;
  std::string versions;
  uint64_t left_out = status.versions_left_out;
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

// Watch events and Status.

#include "watcher/kubernetes/api_document.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_meta.h"

namespace dynweight {
namespace {

// An EndpointSlice of 1,000 endpoints, the most there may be, has 25,000.
constexpr size_t kMaxValues = 256 << 10;
constexpr size_t kMaxMessageBytes = 200;
constexpr size_t kMaxEventTypeBytes = 64;
constexpr size_t kMaxCauses = 16;
constexpr uint64_t kMaxRetryAfterSeconds = 86400;

std::string Printable(std::string_view text) {
  std::string result(text.substr(0, kMaxMessageBytes));
  for (char& c : result) {
    if (c < ' ' || c > '~') c = '?';
  }
  return result;
}

std::string_view Text(const cJSON* object, const char* name) {
  JsonReader reader("Status");
  return reader.String(object, name, size_t{1} << 20);
}

// "clusters.cluster.karmada.io \"bj\" not found", in its parts.
std::string MissingMember(const cJSON* details) {
  if (Text(details, "group") != "cluster.karmada.io" ||
      Text(details, "kind") != "clusters") {
    return std::string();
  }
  return Printable(Text(details, "name"));
}

// Takes over what a Status object says of its reason.
void ReadStatus(const cJSON* status, ApiRefusal* refusal) {
  refusal->message = Printable(Text(status, "message"));
  // Servers up to 1.18.5 give no cause, those up to 1.16 no details either:
  // the text is all there is (client-go, isTooLargeResourceVersionError).
  bool too_large =
      Text(status, "reason") == "ResourceVersionTooLarge" ||
      ((Text(status, "reason") == "Timeout" || refusal->code == 504) &&
       Text(status, "message").find("Too large resource version") !=
           std::string_view::npos);
  const bool expired =
      Text(status, "reason") == "Expired" || Text(status, "reason") == "Gone";

  JsonReader reader("Status");
  const cJSON* details = reader.Object(status, "details");
  reader.ForEachObject(
      reader.Array(details, "causes"), "causes", kMaxCauses,
      [&](const cJSON* cause) {
        too_large |= Text(cause, "reason") == "ResourceVersionTooLarge" ||
                     Text(cause, "message") == "Too large resource version";
      });
  if (refusal->code == 404) refusal->missing_member = MissingMember(details);
  JsonReader delay("Status");
  const uint64_t seconds =
      delay.Count(delay.Object(status, "details"), "retryAfterSeconds")
          .value_or(0);
  if (refusal->retry_after_ms < 0 && seconds > 0) {
    refusal->retry_after_ms =
        static_cast<int64_t>(std::min(seconds, kMaxRetryAfterSeconds)) * 1000;
  }

  if (too_large) {
    refusal->kind = ApiRefusal::Kind::kTooLarge;
  } else if (expired || refusal->code == 410) {
    refusal->kind = ApiRefusal::Kind::kExpired;
  } else if (refusal->code == 429) {
    refusal->kind = ApiRefusal::Kind::kBusy;
  }
}

}  // namespace

absl::StatusOr<JsonDocument> ParseApiDocument(std::string_view text) {
  // Every value but the first follows one of these.
  const auto opens_value = [](char c) {
    return c == ',' || c == '[' || c == '{';
  };
  if (text.size() > kMaxValues &&
      static_cast<size_t>(
          std::count_if(text.begin(), text.end(), opens_value)) > kMaxValues) {
    return absl::ResourceExhaustedError(
        absl::StrCat("an object has more than ", kMaxValues, " values"));
  }
  return ParseJson(text);
}

ApiRefusal RefusalOfAnswer(int http_status, int64_t retry_after_ms,
                           std::string_view body) {
  ApiRefusal refusal;
  refusal.code = http_status;
  refusal.retry_after_ms = retry_after_ms;
  const absl::StatusOr<JsonDocument> document = ParseApiDocument(body);
  ReadStatus(document.ok() ? document->get() : nullptr, &refusal);
  return refusal;
}

ApiRefusal RefusalOfEvent(const cJSON* status) {
  ApiRefusal refusal;
  JsonReader reader("Status");
  const uint64_t code = reader.Count(status, "code").value_or(0);
  refusal.code = code < 1000 ? static_cast<int>(code) : 0;
  ReadStatus(status, &refusal);
  return refusal;
}

absl::StatusOr<WatchEvent> ReadWatchEvent(const cJSON* document) {
  using Type = WatchEvent::Type;
  static constexpr std::array<std::pair<std::string_view, Type>, 5> kTypes = {{
      {"ADDED", Type::kAdded},
      {"MODIFIED", Type::kModified},
      {"DELETED", Type::kDeleted},
      {"BOOKMARK", Type::kBookmark},
      {"ERROR", Type::kError},
  }};
  JsonReader reader("watch event");
  const cJSON* root = reader.Root(document);
  const std::string_view name =
      reader.RequiredString(root, "type", kMaxEventTypeBytes);
  const auto* type = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](auto& t) { return t.first == name; });
  WatchEvent event;
  if (type == kTypes.end()) {
    reader.Fail("type", "is unknown");
  } else {
    event.type = type->second;
  }
  event.object = reader.Object(root, "object");
  if (event.object == nullptr) reader.Fail("object", "is missing");
  if (event.type != Type::kError) {
    event.resource_version = std::string(
        reader.RequiredString(reader.Object(event.object, "metadata"),
                              "resourceVersion", kMaxResourceVersionBytes));
  }
  if (!reader.ok()) return reader.status();
  return event;
}

}  // namespace dynweight

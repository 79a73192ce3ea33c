// See object_json.h.

#include "watcher/kubernetes/protobuf/object_json.h"

#include <cstdint>
#include <protozero/pbf_reader.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/protobuf/message_json.h"
#include "watcher/text/json_text.h"

namespace dynweight {
namespace {

constexpr absl::string_view kMediaType = "application/vnd.kubernetes.protobuf";
// Of what the longest error body that is kept can become.
constexpr size_t kMaxStatusTextBytes = 64 << 10;
constexpr size_t kMaxEventTypeBytes = 64;

// Calls take(number, bytes) for each field of a message of nothing but texts
// and messages.
template <typename Take>
absl::Status ForEachField(std::string_view message, Take&& take) {
  try {
    protozero::pbf_reader reader(message.data(), message.size());
    while (reader.next()) {
      if (reader.wire_type() != protozero::pbf_wire_type::length_delimited) {
        reader.skip();
        continue;
      }
      const uint32_t number = reader.tag();
      const protozero::data_view view = reader.get_view();
      take(number, std::string_view(view.data(), view.size()));
    }
    return absl::OkStatus();
  } catch (const protozero::exception&) {
    return absl::InvalidArgumentError("is no protobuf of Kubernetes");
  }
}

bool IsOf(const ProtobufEnvelope& envelope, const ProtobufKind& kind) {
  return envelope.kind == kind.name && envelope.api_version == kind.api_version;
}

}  // namespace

bool IsProtobuf(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  return absl::EqualsIgnoreCase(
      absl::StripAsciiWhitespace(absl::string_view(type.data(), type.size())),
      kMediaType);
}

absl::Status ReadTypeMeta(std::string_view bytes, ProtobufEnvelope* envelope) {
  return ForEachField(bytes, [&](uint32_t number, std::string_view value) {
    if (number == 1) envelope->api_version = value;
    if (number == 2) envelope->kind = value;
  });
}

absl::StatusOr<ProtobufEnvelope> ReadProtobufEnvelope(std::string_view bytes) {
  if (bytes.substr(0, kProtobufMagic.size()) != kProtobufMagic) {
    return absl::InvalidArgumentError("is no protobuf of Kubernetes");
  }
  bytes.remove_prefix(kProtobufMagic.size());
  ProtobufEnvelope envelope;
  std::string_view type;
  bool encoded = false;
  absl::Status status =
      ForEachField(bytes, [&](uint32_t number, std::string_view value) {
        if (number == ProtobufEnvelope::kTypeMeta) type = value;
        if (number == ProtobufEnvelope::kRaw) envelope.object = value;
        if (number == ProtobufEnvelope::kContentEncoding) {
          encoded = !value.empty();
        }
      });
  if (status.ok()) status = ReadTypeMeta(type, &envelope);
  if (!status.ok()) return status;
  if (encoded) {
    return absl::InvalidArgumentError("protobuf: an object is compressed");
  }
  return envelope;
}

absl::StatusOr<std::string> WatchEventJson(std::string_view bytes,
                                           const ProtobufKind& kind,
                                           size_t max_bytes) {
  std::string_view type;
  std::string_view extension;
  std::string_view object;
  absl::Status status =
      ForEachField(bytes, [&](uint32_t number, std::string_view value) {
        if (number == 1) type = value;
        if (number == 2) extension = value;
      });
  if (status.ok()) {
    status =
        ForEachField(extension, [&](uint32_t number, std::string_view value) {
          if (number == 1) object = value;
        });
  }
  if (!status.ok()) return status;
  const absl::StatusOr<ProtobufEnvelope> envelope =
      ReadProtobufEnvelope(object);
  if (!envelope.ok()) return envelope.status();
  const bool is_status = IsOf(*envelope, kStatusKind);
  if (!is_status && !IsOf(*envelope, kind)) {
    return absl::InvalidArgumentError(
        absl::StrCat("protobuf: the object of an event is no ", kind.name));
  }
  std::string json;
  json.reserve(envelope->object.size() + kMaxEventTypeBytes);
  json += "{\"type\":";
  AppendJsonString(type, kMaxEventTypeBytes, &json);
  json += ",\"object\":";
  status = AppendMessageJson(envelope->object,
                             is_status ? *kStatusKind.fields : *kind.fields,
                             max_bytes, &json);
  if (!status.ok()) return status;
  json += '}';
  return json;
}

std::string StatusJson(std::string_view bytes) {
  const absl::StatusOr<ProtobufEnvelope> envelope = ReadProtobufEnvelope(bytes);
  if (!envelope.ok() || !IsOf(*envelope, kStatusKind)) return "";
  std::string json;
  const absl::Status status = AppendMessageJson(
      envelope->object, *kStatusKind.fields, kMaxStatusTextBytes, &json);
  return status.ok() ? json : "";
}

}  // namespace dynweight

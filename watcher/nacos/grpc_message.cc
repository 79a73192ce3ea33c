// See grpc_message.h.

#include "watcher/nacos/grpc_message.h"

#include <cstdint>
#include <protozero/exception.hpp>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

// Of nacos_grpc_service.proto, and of google.protobuf.Any and a map's entry.
constexpr uint32_t kPayloadMetadata = 2;
constexpr uint32_t kPayloadBody = 3;
constexpr uint32_t kMetadataType = 3;
constexpr uint32_t kMetadataHeaders = 7;
constexpr uint32_t kEntryKey = 1;
constexpr uint32_t kEntryValue = 2;
constexpr uint32_t kAnyValue = 2;

// A flag for compression, and a length.
constexpr size_t kFrameBytes = 5;
constexpr size_t kMaxTypeBytes = 128;

size_t LengthIn(std::string_view frame) {
  size_t length = 0;
  for (size_t i = 1; i < kFrameBytes; ++i) {
    length = length << 8 | static_cast<unsigned char>(frame[i]);
  }
  return length;
}

std::string Metadata(const GrpcMessage& message) {
  std::string metadata;
  protozero::pbf_writer writer(metadata);
  writer.add_string(kMetadataType, message.type);
  for (const auto& [name, value] : message.headers) {
    protozero::pbf_writer entry(writer, kMetadataHeaders);
    entry.add_string(kEntryKey, name);
    entry.add_string(kEntryValue, value);
  }
  return metadata;
}

// The last of them counts, as protobuf has it.
std::string LastString(protozero::data_view message, uint32_t field) {
  std::string last;
  protozero::pbf_reader reader(message);
  while (reader.next()) {
    if (reader.tag_and_type() ==
        protozero::tag_and_type(field,
                                protozero::pbf_wire_type::length_delimited)) {
      last = reader.get_string();
    } else {
      reader.skip();
    }
  }
  return last;
}

}  // namespace

std::string WriteGrpcMessage(const GrpcMessage& message) {
  std::string payload;
  {
    protozero::pbf_writer writer(payload);
    writer.add_message(kPayloadMetadata, Metadata(message));
    protozero::pbf_writer any(writer, kPayloadBody);
    any.add_bytes(kAnyValue, message.json);
  }
  std::string frame(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    frame += static_cast<char>(payload.size() >> shift & 0xff);
  }
  return frame + payload;
}

absl::StatusOr<GrpcMessage> ReadGrpcPayload(std::string_view payload) {
  GrpcMessage message;
  try {
    const std::string metadata =
        LastString({payload.data(), payload.size()}, kPayloadMetadata);
    message.type = LastString(metadata, kMetadataType);
    const std::string any =
        LastString({payload.data(), payload.size()}, kPayloadBody);
    message.json = LastString(any, kAnyValue);
  } catch (const protozero::exception&) {
    return absl::InvalidArgumentError("the message is no Payload of Nacos");
  }
  if (message.type.empty() || message.type.size() > kMaxTypeBytes) {
    return absl::InvalidArgumentError("the message has no type");
  }
  return message;
}

absl::Status GrpcFraming::Append(std::string_view data, const Visit& visit) {
  partial_ += data;
  size_t at = 0;
  while (partial_.size() - at >= kFrameBytes) {
    const std::string_view rest = std::string_view(partial_).substr(at);
    const size_t length = LengthIn(rest);
    if (rest[0] != '\0') {
      return absl::InvalidArgumentError("the message is compressed");
    }
    if (length > GrpcMessage::kMaxBytes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "a message is longer than ", GrpcMessage::kMaxBytes, " bytes"));
    }
    if (rest.size() - kFrameBytes < length) break;
    const absl::Status status = visit(rest.substr(kFrameBytes, length));
    if (!status.ok()) return status;
    at += kFrameBytes + length;
  }
  partial_.erase(0, at);
  return absl::OkStatus();
}

absl::StatusOr<GrpcMessage> ReadGrpcAnswer(std::string_view frame) {
  GrpcFraming framing;
  absl::StatusOr<GrpcMessage> message =
      absl::InvalidArgumentError("the answer has no message");
  const absl::Status status =
      framing.Append(frame, [&message](std::string_view payload) {
        message = ReadGrpcPayload(payload);
        return message.status();
      });
  if (!status.ok()) return status;
  return message;
}

}  // namespace dynweight

// See list_items.h.

#include "watcher/kubernetes/protobuf/list_items.h"

#include <algorithm>
#include <protozero/types.hpp>
#include <protozero/varint.hpp>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/protobuf/message_json.h"
#include "watcher/kubernetes/protobuf/object_json.h"
#include "watcher/text/json_text.h"

namespace dynweight {
namespace {

using protozero::pbf_wire_type;
using Envelope = ProtobufEnvelope;

// Fields of every list: v1.ListMeta and the objects.
enum ListField { kMetadata = 1, kItems = 2 };

constexpr char kItemsBegin[] = "{\"items\":[";
constexpr size_t kMaxKindBytes = 128;

absl::Status NoList(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("no list: ", why));
}

absl::Status NoProtobuf() { return NoList("is no protobuf of Kubernetes"); }

}  // namespace

void ListItems::Reset(const ProtobufKind* kind) {
  kind_ = kind;
  place_ = Place::kMagic;
  in_list_ = encoded_ = any_ = false;
  left_ = list_left_ = 0;
  seen_ = 0;
  for (std::string* text :
       {&head_, &field_, &api_version_, &list_kind_, &metadata_}) {
    *text = std::string();
  }
}

absl::Status ListItems::Append(std::string_view data, OnJson on_json) {
  while (!data.empty()) {
    const bool in_list = in_list_;
    size_t used = 1;
    absl::Status status;
    if (place_ == Place::kSkipped || place_ == Place::kField) {
      used = static_cast<size_t>(std::min<uint64_t>(left_, data.size()));
      status = Body(data.substr(0, used), on_json);
    } else {
      status = Head(data[0], on_json);
    }
    if (!status.ok()) return status;
    data.remove_prefix(used);
    if (!in_list) continue;
    list_left_ -= used;
    if (list_left_ > 0) continue;
    if (!AtField()) return NoList("it is cut off");
    in_list_ = false;
  }
  return absl::OkStatus();
}

absl::Status ListItems::Head(char c, OnJson on_json) {
  head_ += c;
  if (place_ == Place::kMagic) {
    if (head_.size() < kProtobufMagic.size()) return absl::OkStatus();
    if (head_ != kProtobufMagic) return NoProtobuf();
    head_.clear();
    place_ = Place::kTag;
    return absl::OkStatus();
  }
  constexpr char kMore = '\x80';
  if ((c & kMore) != 0) {
    return head_.size() < protozero::max_varint_length ? absl::OkStatus()
                                                       : NoProtobuf();
  }
  const char* begin = head_.data();
  const uint64_t value = protozero::decode_varint(&begin, begin + head_.size());
  head_.clear();
  if (place_ == Place::kTag) return TakeTag(value, on_json);
  if (wire_type_ == static_cast<uint32_t>(pbf_wire_type::varint)) {
    place_ = Place::kTag;  // a number, and none is read
    return absl::OkStatus();
  }
  return EnterField(value, on_json);
}

bool ListItems::Wanted() const {
  if (in_list_) return number_ == kMetadata || number_ == kItems;
  return number_ == Envelope::kTypeMeta || number_ == Envelope::kRaw ||
         number_ == Envelope::kContentEncoding;
}

absl::Status ListItems::TakeTag(uint64_t tag, OnJson on_json) {
  constexpr uint64_t kMaxTag = UINT32_MAX;
  constexpr uint32_t kTypeBits = 3;
  if (tag > kMaxTag || tag >> kTypeBits == 0) return NoProtobuf();
  number_ = static_cast<uint32_t>(tag >> kTypeBits);
  wire_type_ = static_cast<uint32_t>(tag & ((1U << kTypeBits) - 1));
  if (Wanted() &&
      wire_type_ != static_cast<uint32_t>(pbf_wire_type::length_delimited)) {
    return NoProtobuf();
  }
  switch (static_cast<pbf_wire_type>(wire_type_)) {
    case pbf_wire_type::varint:
    case pbf_wire_type::length_delimited:
      place_ = Place::kLength;
      return absl::OkStatus();
    case pbf_wire_type::fixed64:
      return EnterField(sizeof(uint64_t), on_json);
    case pbf_wire_type::fixed32:
      return EnterField(sizeof(uint32_t), on_json);
    default:
      return NoProtobuf();
  }
}

absl::Status ListItems::EnterField(uint64_t length, OnJson on_json) {
  // The last byte of the length is still counted.
  if (in_list_ && length > list_left_ - 1) return NoList("it is cut off");
  const bool wanted = Wanted();
  if (wanted && !(in_list_ && number_ == kItems)) {
    const uint32_t bit = 1U << (number_ + (in_list_ ? 16U : 0U));
    if ((seen_ & bit) != 0) return NoList("a field is a duplicate");
    seen_ |= bit;
  }
  if (!in_list_ && number_ == Envelope::kRaw) {
    place_ = Place::kTag;
    in_list_ = length > 0;
    list_left_ = length;
    return absl::OkStatus();
  }
  if (wanted && length > max_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "an object of the list is longer than ", max_bytes_, " bytes"));
  }
  left_ = length;
  place_ = wanted ? Place::kField : Place::kSkipped;
  return length > 0 ? absl::OkStatus() : Body("", on_json);
}

absl::Status ListItems::Body(std::string_view piece, OnJson on_json) {
  left_ -= piece.size();
  const bool wanted = place_ == Place::kField;
  if (left_ > 0) {
    if (wanted) field_.append(piece);
    return absl::OkStatus();
  }
  place_ = Place::kTag;
  if (!wanted) return absl::OkStatus();
  if (field_.empty()) return TakeField(piece, on_json);
  field_.append(piece);
  const absl::Status status = TakeField(field_, on_json);
  field_.clear();
  return status;
}

absl::Status ListItems::TakeField(std::string_view bytes, OnJson on_json) {
  if (in_list_) {
    return number_ == kItems ? TakeItem(bytes, on_json)
                             : AppendMessageJson(bytes, kListMetaFields,
                                                 max_bytes_, &metadata_);
  }
  if (number_ == Envelope::kContentEncoding) {
    encoded_ = !bytes.empty();
    return absl::OkStatus();
  }
  Envelope envelope;
  const absl::Status status = ReadTypeMeta(bytes, &envelope);
  api_version_ = std::string(envelope.api_version.substr(0, kMaxKindBytes));
  list_kind_ = std::string(envelope.kind.substr(0, kMaxKindBytes));
  return status;
}

absl::Status ListItems::TakeItem(std::string_view bytes, OnJson on_json) {
  std::string json = any_ ? "," : kItemsBegin;
  any_ = true;
  const absl::Status status =
      AppendMessageJson(bytes, *kind_->fields, max_bytes_, &json);
  return status.ok() ? on_json(json) : status;
}

absl::Status ListItems::Finish(OnJson on_json) {
  if (!AtField() || in_list_) return NoList("it is cut off");
  if (encoded_) return NoList("it is compressed within");
  if (list_kind_ != absl::StrCat(kind_->name, "List") ||
      api_version_ != kind_->api_version) {
    return NoList("it is of something else");
  }
  std::string json = any_ ? "" : kItemsBegin;
  absl::StrAppend(&json,
                  "],\"metadata\":", metadata_.empty() ? "{}" : metadata_,
                  ",\"kind\":");
  AppendJsonString(list_kind_, kMaxKindBytes, &json);
  json += '}';
  return on_json(json);
}

}  // namespace dynweight

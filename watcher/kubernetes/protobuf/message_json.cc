// See message_json.h.

#include "watcher/kubernetes/protobuf/message_json.h"

#include <algorithm>
#include <cstdint>
#include <protozero/pbf_reader.hpp>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "watcher/text/json_text.h"
#include "watcher/text/text_escape.h"

namespace dynweight {
namespace {

using Type = MessageField::Type;
using protozero::pbf_reader;
using protozero::pbf_wire_type;

absl::Status Invalid(const char* field, absl::string_view must) {
  return absl::InvalidArgumentError(
      absl::StrCat("protobuf: field \"", field, "\" ", must));
}

std::string_view View(pbf_reader* reader) {
  const protozero::data_view view = reader->get_view();
  return {view.data(), view.size()};
}

// Nearly all texts: they stand in JSON as they are.
bool IsPlain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
  });
}

// JSON's texts end at a NUL where they are read.
bool IsText(std::string_view text) {
  while (!text.empty()) {
    const auto* const odd = std::find_if(text.begin(), text.end(), [](char c) {
      return c == '\0' || static_cast<unsigned char>(c) >= 0x80;
    });
    text.remove_prefix(static_cast<size_t>(odd - text.begin()));
    if (text.empty()) break;
    const size_t length = text[0] == '\0' ? 0 : Utf8SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool Repeats(Type type) {
  return type == Type::kTexts || type == Type::kMessages || type == Type::kMap;
}

pbf_wire_type WireType(Type type) {
  return type == Type::kBool || type == Type::kInteger
             ? pbf_wire_type::varint
             : pbf_wire_type::length_delimited;
}

char Bracket(Type type, bool open) {
  if (type == Type::kMap) return open ? '{' : '}';
  return open ? '[' : ']';
}

// Writes one message; messages in it by further ones, as deep as the tables.
class Writer {
 public:
  Writer(const MessageFields& fields, size_t max_bytes, std::string* json)
      : fields_(fields), max_bytes_(max_bytes), json_(json) {}

  absl::Status Write(std::string_view message) {
    *json_ += '{';
    pbf_reader reader(message.data(), message.size());
    while (reader.next()) {
      const MessageField* const field = fields_.Find(reader.tag());
      if (field == nullptr) {
        reader.skip();
        continue;
      }
      absl::Status status = Begin(*field, reader.wire_type());
      if (status.ok()) status = Value(*field, &reader);
      if (!status.ok()) return status;
      if (json_->size() > max_bytes_) {
        return absl::ResourceExhaustedError(
            absl::StrCat("an object is longer than ", max_bytes_, " bytes"));
      }
    }
    Close();
    *json_ += '}';
    return absl::OkStatus();
  }

 private:
  // All that stands before the value.
  absl::Status Begin(const MessageField& field, pbf_wire_type wire_type) {
    if (wire_type != WireType(field.type)) {
      return Invalid(field.name, "has the wrong type");
    }
    if (open_ == &field) {
      *json_ += ',';
      return absl::OkStatus();
    }
    Close();
    const uint64_t bit = uint64_t{1} << field.number;
    if ((seen_ & bit) != 0) return Invalid(field.name, "is a duplicate");
    if (seen_ != 0) *json_ += ',';
    seen_ |= bit;
    *json_ += '"';
    *json_ += field.name;
    *json_ += "\":";
    if (Repeats(field.type)) {
      open_ = &field;
      *json_ += Bracket(field.type, /*open=*/true);
    }
    return absl::OkStatus();
  }

  // The end of a repeated field.
  void Close() {
    if (open_ != nullptr) *json_ += Bracket(open_->type, /*open=*/false);
    open_ = nullptr;
  }

  absl::Status Value(const MessageField& field, pbf_reader* reader) {
    switch (field.type) {
      case Type::kBool:
        *json_ += reader->get_uint64() != 0 ? "true" : "false";
        return absl::OkStatus();
      case Type::kInteger:
        absl::StrAppend(json_, reader->get_int64());
        return absl::OkStatus();
      case Type::kText:
      case Type::kTexts:
        return Text(field, View(reader));
      case Type::kTime:
        return Time(field, View(reader));
      case Type::kMap:
        return Entry(field, View(reader));
      default:
        return Writer(*field.nested, max_bytes_, json_).Write(View(reader));
    }
  }

  absl::Status Text(const MessageField& field, std::string_view text) {
    if (IsPlain(text)) {
      *json_ += '"';
      *json_ += text;
      *json_ += '"';
      return absl::OkStatus();
    }
    if (!IsText(text)) return Invalid(field.name, "must be UTF-8");
    // Of nothing longer is there room.
    AppendJsonString(text, max_bytes_, json_);
    return absl::OkStatus();
  }

  // An entry of a map is a message of its key and its value.
  absl::Status Entry(const MessageField& field, std::string_view entry) {
    std::string_view parts[2];
    pbf_reader reader(entry.data(), entry.size());
    while (reader.next()) {
      const uint32_t number = reader.tag();
      if (number != 1 && number != 2) {
        reader.skip();
        continue;
      }
      if (reader.wire_type() != pbf_wire_type::length_delimited) {
        return Invalid(field.name, "has an entry of the wrong type");
      }
      parts[number - 1] = View(&reader);
    }
    absl::Status status = Text(field, parts[0]);
    *json_ += ':';
    if (status.ok()) status = Text(field, parts[1]);
    return status;
  }

  // An empty message is no time, null in JSON.
  absl::Status Time(const MessageField& field, std::string_view time) {
    if (time.empty()) {
      *json_ += "null";
      return absl::OkStatus();
    }
    int64_t seconds = 0;
    pbf_reader reader(time.data(), time.size());
    while (reader.next()) {
      if (reader.tag() != 1) {
        reader.skip();
        continue;
      }
      if (reader.wire_type() != pbf_wire_type::varint) {
        return Invalid(field.name, "has the wrong type");
      }
      seconds = reader.get_int64();
    }
    absl::StrAppend(
        json_, "\"",
        absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", absl::FromUnixSeconds(seconds),
                         absl::UTCTimeZone()),
        "\"");
    return absl::OkStatus();
  }

  const MessageFields& fields_;
  const size_t max_bytes_;
  std::string* const json_;
  uint64_t seen_ = 0;                   // bits of field numbers
  const MessageField* open_ = nullptr;  // a repeated field under way
};

}  // namespace

absl::Status AppendMessageJson(std::string_view message,
                               const MessageFields& fields, size_t max_bytes,
                               std::string* json) {
  try {
    return Writer(fields, max_bytes, json).Write(message);
  } catch (const protozero::end_of_buffer_exception&) {
    return absl::InvalidArgumentError("protobuf: a message is cut off");
  } catch (const protozero::exception&) {
    return absl::InvalidArgumentError("is no protobuf");
  }
}

}  // namespace dynweight

// Takes the body of a list in protobuf apart while it arrives, and writes the
// JSON that it would have been: a list of any size costs the memory of its
// largest object.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_LIST_ITEMS_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_LIST_ITEMS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "watcher/kubernetes/protobuf/message_fields.h"

namespace dynweight {

// One page of a list. Pieces of the body may be cut anywhere. Not thread-safe.
class ListItems {
 public:
  using OnJson = absl::FunctionRef<absl::Status(std::string_view)>;

  // An object that is longer than `max_bytes`, here or in JSON, is an error,
  // and so is anything else that is kept.
  explicit ListItems(size_t max_bytes) : max_bytes_(max_bytes) {}

  // For a page of objects of that kind. Gives memory back.
  void Reset(const ProtobufKind* kind);

  // Calls on_json(text) with pieces that come, together, to one JSON object:
  // {"items":[...],"metadata":{...},"kind":"..."}. Stops at the first error, of
  // the list's (InvalidArgument, ResourceExhausted) or of on_json, and gives
  // it; nothing but Reset() is of use then. `text` is valid during the call
  // only, and on_json must not call this object.
  absl::Status Append(std::string_view data, OnJson on_json);

  // The body is complete: the rest of the JSON. InvalidArgument: it is cut off
  // or no such list.
  absl::Status Finish(OnJson on_json);

 private:
  enum class Place {
    kMagic,
    kTag,
    kLength,  // of a field, or the number that it is
    kSkipped,
    kField,
  };

  // Whether the field under way is read.
  bool Wanted() const;
  absl::Status Head(char c, OnJson on_json);
  absl::Status TakeTag(uint64_t tag, OnJson on_json);
  absl::Status EnterField(uint64_t length, OnJson on_json);
  absl::Status Body(std::string_view piece, OnJson on_json);
  absl::Status TakeField(std::string_view bytes, OnJson on_json);
  absl::Status TakeItem(std::string_view bytes, OnJson on_json);
  // Between two fields.
  bool AtField() const { return place_ == Place::kTag && head_.empty(); }

  const size_t max_bytes_;
  const ProtobufKind* kind_ = nullptr;
  Place place_ = Place::kMagic;
  std::string head_;     // an unfinished magic, tag or length
  uint32_t number_ = 0;  // of the field under way, and its wire type
  uint32_t wire_type_ = 0;
  uint64_t left_ = 0;       // bytes of that field
  bool in_list_ = false;    // fields are the list's, else the envelope's
  uint64_t list_left_ = 0;  // bytes of the list, left_ included
  std::string field_;       // an unfinished one
  uint32_t seen_ = 0;       // bits of fields that may stand but once
  std::string api_version_, list_kind_;
  bool encoded_ = false;
  std::string metadata_;  // JSON
  bool any_ = false;      // an object of the list came
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_PROTOBUF_LIST_ITEMS_H_

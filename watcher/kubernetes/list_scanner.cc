// Takes the body of a list apart while it arrives.

#include "watcher/kubernetes/list_scanner.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/object_meta.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

constexpr size_t kMaxKindBytes = 128;
constexpr size_t kMaxContinueBytes = 4096;

bool White(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool Opens(char c) { return c == '{' || c == '['; }
bool Closes(char c) { return c == '}' || c == ']'; }

// Whether a collection named `resource` lists as `kind`: the plural of every
// kind in use is the kind in lower case and an "s", of Ingress an "es", of
// Endpoints the kind.
bool ListsAs(std::string_view resource, std::string_view kind) {
  constexpr std::string_view kList = "List";
  if (kind.size() <= kList.size() ||
      kind.substr(kind.size() - kList.size()) != kList) {
    return false;
  }
  const std::string singular(kind.substr(0, kind.size() - kList.size()));
  const std::string lower = absl::AsciiStrToLower(singular);
  if (lower.back() != 's') return lower + "s" == resource;
  return lower == resource || lower + "es" == resource;
}

absl::Status NoList(std::string_view resource, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("no list of ", std::string(resource), ": ", why));
}

}  // namespace

void ListScanner::Reset() {
  place_ = Place::kEnvelope;
  depth_ = 0;
  in_string_ = escaped_ = items_seen_ = false;
  after_string_ = after_items_key_ = false;
  envelope_ = std::string();
  object_ = std::string();
}

absl::Status ListScanner::TooLong(std::string_view what) const {
  return absl::ResourceExhaustedError(absl::StrCat(
      std::string(what), " is longer than ", max_bytes_, " bytes"));
}

// Whether `c` belongs to a string; follows its escapes and its end.
bool ListScanner::InString(char c) {
  if (!in_string_) return false;
  if (escaped_) {
    escaped_ = false;
  } else if (c == '\\') {
    escaped_ = true;
  } else if (c == '"') {
    in_string_ = false;
    after_string_ = true;
  }
  return true;
}

absl::Status ListScanner::Append(std::string_view data, OnObject on_object) {
  for (size_t at = 0; at < data.size();) {
    absl::Status status;
    if (place_ == Place::kEnvelope) {
      status = Envelope(data[at++]);
    } else if (place_ == Place::kObject) {
      status = Object(data, &at, on_object);
    } else if (data[at] == '{' && place_ != Place::kAfterObject) {
      place_ = Place::kObject;  // which takes the bracket
    } else if (White(data[at])) {
      // A bomb of gzip may bring megabytes of it at once.
      while (at < data.size() && White(data[at])) ++at;
    } else {
      status = BetweenObjects(data[at++]);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ListScanner::Envelope(char c) {
  if (envelope_.size() >= max_bytes_) return TooLong("the list's envelope");
  envelope_ += c;
  if (InString(c) || White(c)) return absl::OkStatus();

  const bool after_string = after_string_;
  const bool after_items_key = after_items_key_;
  after_string_ = after_items_key_ = false;
  if (c == '"') {
    in_string_ = true;
    string_start_ = envelope_.size() - 1;
  } else if (c == ':') {
    after_items_key_ = after_string && depth_ == 1 &&
                       envelope_.compare(string_start_, 7, "\"items\"") == 0;
  } else if (c == '[' && after_items_key) {
    if (items_seen_)
      return absl::InvalidArgumentError("no list: \"items\" twice");
    items_seen_ = true;
    place_ = Place::kItemsStart;
  } else if (Opens(c)) {
    ++depth_;
  } else if (Closes(c)) {
    // Whether brackets match is seen when the envelope is parsed.
    if (depth_ == 0)
      return absl::InvalidArgumentError("no list: a stray bracket");
    --depth_;
  }
  return absl::OkStatus();
}

absl::Status ListScanner::BetweenObjects(char c) {
  if (c == ',' && place_ == Place::kAfterObject) {
    place_ = Place::kAfterComma;
    return absl::OkStatus();
  }
  if (c == ']' && place_ != Place::kAfterComma) {
    place_ = Place::kEnvelope;
    envelope_ += c;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      "no list: \"items\" holds something but objects");
}

absl::Status ListScanner::Object(std::string_view data, size_t* at,
                                 OnObject on_object) {
  const size_t begin = *at;
  while (*at < data.size()) {
    const char c = data[(*at)++];
    if (InString(c)) continue;
    if (c == '"') {
      in_string_ = true;
    } else if (Opens(c)) {
      ++depth_;
    } else if (Closes(c) && --depth_ == 1) {
      place_ = Place::kAfterObject;
      break;
    }
  }
  const std::string_view piece = data.substr(begin, *at - begin);
  if (piece.size() > max_bytes_ - object_.size()) {
    return TooLong("an object of the list");
  }
  if (place_ == Place::kObject) {
    object_.append(piece);
    return absl::OkStatus();
  }
  after_string_ = false;
  if (object_.empty()) return on_object(piece);
  object_.append(piece);
  const absl::Status status = on_object(object_);
  object_.clear();
  return status;
}

absl::StatusOr<ListEnvelope> ListScanner::Finish(
    std::string_view resource) const {
  if (place_ != Place::kEnvelope || depth_ != 0 || in_string_) {
    return NoList(resource, "it is cut off");
  }
  const absl::StatusOr<JsonDocument> document = ParseJson(envelope_);
  if (!document.ok()) return NoList(resource, document.status().message());

  JsonReader reader("List");
  const cJSON* list = reader.Root(document->get());
  const std::string_view kind =
      reader.RequiredString(list, "kind", kMaxKindBytes);
  if (reader.ok() && !ListsAs(resource, kind)) {
    reader.Fail("kind", "is of something else");
  }
  // Counted by hand: an "items" that the scanner did not see as such (its
  // name can be written with escapes) must not pass for an empty list.
  int items = 0;
  for (const cJSON* e = list == nullptr ? nullptr : list->child; e != nullptr;
       e = e->next) {
    if (std::string_view(e->string) != "items") continue;
    if (++items > 1 || e->child != nullptr ||
        !(cJSON_IsNull(e) || cJSON_IsArray(e))) {
      reader.Fail("items", "must be one array");
    }
  }
  if (items == 0) reader.Fail("items", "is missing");
  const cJSON* metadata = reader.Object(list, "metadata");
  ListEnvelope envelope;
  envelope.resource_version = std::string(reader.RequiredString(
      metadata, "resourceVersion", kMaxResourceVersionBytes));
  envelope.next =
      std::string(reader.String(metadata, "continue", kMaxContinueBytes));
  if (!reader.ok()) return NoList(resource, reader.status().message());
  return envelope;
}

}  // namespace dynweight

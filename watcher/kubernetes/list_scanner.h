// Takes the body of a list apart while it arrives: each object of "items" by
// itself, and the envelope around them. So a list of any size costs the
// memory of its largest object, not of its whole JSON tree, which is thirty
// times the text.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LIST_SCANNER_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LIST_SCANNER_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dynweight {

// What a page of a list says beside its objects.
struct ListEnvelope {
  std::string resource_version;  // opaque, never empty
  std::string next;              // the continue token; empty: the last page
};

// One page of a list. Pieces of the body may be cut anywhere. The scanner
// finds where an object begins and ends; whether it is JSON is for the one
// who parses it. Not thread-safe.
//
//   ListScanner scanner(4 << 20);
//   status = scanner.Append(data, [&](std::string_view object) { ... });
//   ...
//   absl::StatusOr<ListEnvelope> page = scanner.Finish("endpointslices");
class ListScanner {
 public:
  using OnObject = absl::FunctionRef<absl::Status(std::string_view)>;

  // An object, or the envelope, longer than `max_bytes` is an error.
  explicit ListScanner(size_t max_bytes) : max_bytes_(max_bytes) {}

  // Calls on_object(text) for each object of "items" that `data` completes.
  // Stops at the first error, of the list's (InvalidArgument,
  // ResourceExhausted) or of on_object, and gives it; nothing but Reset() is
  // of use then. `text` is valid during the call only, and on_object must not
  // call this object.
  absl::Status Append(std::string_view data, OnObject on_object);

  // The body is complete. InvalidArgument unless it was one list of the kind
  // that the collection `resource` ("endpointslices") has
  // ("EndpointSliceList"): one JSON object with that kind, one array "items"
  // (null is an empty one, as Go writes it) and metadata.resourceVersion.
  absl::StatusOr<ListEnvelope> Finish(std::string_view resource) const;

  // For the next page. Gives memory back.
  void Reset();

 private:
  enum class Place {
    kEnvelope,
    kItemsStart,   // after "[": an object or "]"
    kObject,       // within an object of "items"
    kAfterObject,  // "," or "]"
    kAfterComma,   // an object
  };

  absl::Status Envelope(char c);
  absl::Status BetweenObjects(char c);
  absl::Status Object(std::string_view data, size_t* at, OnObject on_object);
  bool InString(char c);
  absl::Status TooLong(std::string_view what) const;

  const size_t max_bytes_;
  Place place_ = Place::kEnvelope;
  size_t depth_ = 0;  // open brackets, in the envelope or in an object
  bool in_string_ = false;
  bool escaped_ = false;  // the character before was a backslash
  bool items_seen_ = false;
  // The last two things of the envelope's outermost object: a key is a string
  // with a colon after it.
  size_t string_start_ = 0;
  bool after_string_ = false;
  bool after_items_key_ = false;
  std::string envelope_;  // the body without the objects
  std::string object_;    // an unfinished object
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LIST_SCANNER_H_

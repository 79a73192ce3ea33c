// Reading JSON that nobody vouches for: checked access to cJSON values.

#ifndef DYNAMIC_WEIGHT_WATCHER_TEXT_JSON_VALUE_H_
#define DYNAMIC_WEIGHT_WATCHER_TEXT_JSON_VALUE_H_

#include <cjson/cJSON.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dynweight {

// The memory of one document, given back all at once. cJSON asks for some
// twenty pieces an endpoint; from the heap they cost a quarter of all that an
// event costs. Not thread-safe.
class JsonArena {
 public:
  // `text_bytes`: how long the text is, from which the first block is sized.
  explicit JsonArena(size_t text_bytes);
  ~JsonArena();
  JsonArena(const JsonArena&) = delete;
  JsonArena& operator=(const JsonArena&) = delete;

  // Aligned for anything; nullptr when there is no memory.
  void* Allocate(size_t bytes) noexcept;

 private:
  struct alignas(std::max_align_t) Block {
    Block* next;
  };

  Block* blocks_ = nullptr;
  char* free_ = nullptr;  // the rest of the newest block
  size_t free_bytes_ = 0;
  size_t next_block_bytes_;
};

// From now on documents lie in arenas; before they are on the heap, where
// sanitizers see each piece. It sets cJSON's allocation functions, which are
// the process's: outside ParseJson() they are malloc() and free(), as before.
// Only while the process has one thread. Idempotent.
void UseJsonArenas();

struct JsonDeleter {
  void operator()(cJSON* value) const {
    if (arena == nullptr) cJSON_Delete(value);
  }
  std::unique_ptr<JsonArena> arena;  // what the document lies in, if any
};
using JsonDocument = std::unique_ptr<cJSON, JsonDeleter>;

// Parses one JSON value with nothing but white space around it. cJSON bounds
// the depth (1,000). InvalidArgument gives the offset of the first mistake
// and never quotes the text. Not to be called by two threads at once: cJSON
// notes the place of its last mistake in a global.
absl::StatusOr<JsonDocument> ParseJson(std::string_view text);

// Reads members of one object. The first mistake sticks: later reads give
// nothing, so that the caller asks once, at the end, whether all went well.
// An absent parent has only absent members, and null is the same as absent.
// A member that stands twice is a mistake: which of the two is meant is not for
// us to guess. Not thread-safe. Results point into the document.
//
//   JsonReader reader("Node");
//   const cJSON* status = reader.Object(object, "status");
//   std::string_view phase = reader.String(status, "phase", 64);
//   if (!reader.ok()) return reader.status();
class JsonReader {
 public:
  // `kind` begins every message; it outlives the reader.
  explicit JsonReader(std::string_view kind) : kind_(kind) {}

  // Which object of the kind messages speak of; `name` outlives the reader.
  void set_subject(std::string_view name) { subject_ = name; }

  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }

  // The value itself, which must be an object.
  const cJSON* Root(const cJSON* value);
  // nullptr when absent.
  const cJSON* Object(const cJSON* parent, const char* name);
  const cJSON* Array(const cJSON* parent, const char* name);
  // "" when absent; longer than `max_bytes` is a mistake.
  std::string_view String(const cJSON* parent, const char* name,
                          size_t max_bytes);
  // As String(), but absent or empty is a mistake.
  std::string_view RequiredString(const cJSON* parent, const char* name,
                                  size_t max_bytes);
  // The first element of an array of strings; "" when there is none.
  std::string_view FirstString(const cJSON* parent, const char* name,
                               size_t max_bytes);
  std::optional<bool> Bool(const cJSON* parent, const char* name);
  // A whole number of [0, 2^53).
  std::optional<uint64_t> Count(const cJSON* parent, const char* name);
  // A finite number, with or without a fraction.
  std::optional<double> Number(const cJSON* parent, const char* name);
  // As Count(), but absent is a mistake (and gives 0).
  uint64_t RequiredCount(const cJSON* parent, const char* name);

  // Calls visit(element) for each element of an Array() or Object(), all of
  // which must be objects, until the first mistake. More than `max` are one.
  template <typename Visit>
  void ForEachObject(const cJSON* container, const char* name, size_t max,
                     Visit&& visit) {
    if (container == nullptr) return;
    size_t n = 0;
    for (const cJSON* e = container->child; e != nullptr && ok(); e = e->next) {
      if (!AdmitElement(e, name, ++n, max)) return;
      visit(e);
    }
  }

  // Makes a mistake of the member: `must` says what it has to be.
  void Fail(const char* name, const std::string& must);

 private:
  const cJSON* Member(const cJSON* parent, const char* name);
  bool AdmitElement(const cJSON* element, const char* name, size_t n,
                    size_t max);
  std::string_view Text(const cJSON* value, const char* name, size_t max_bytes);
  void FailWith(absl::StatusCode code, const char* name,
                const std::string& must);

  std::string_view kind_;
  std::string_view subject_;
  absl::Status status_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TEXT_JSON_VALUE_H_

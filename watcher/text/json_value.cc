// Checked access to cJSON values.

#include "watcher/text/json_value.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/text/json_text.h"

namespace dynweight {
namespace {

constexpr size_t kMinBlockBytes = 1 << 10;
constexpr size_t kMaxBlockBytes = 64 << 10;
// What a slice of endpoints takes, by the length of its text.
constexpr size_t kBytesPerTextByte = 6;

bool arenas_in_use = false;
// Of the ParseJson() under way on this thread.
thread_local JsonArena* current_arena = nullptr;

void* AllocateForCjson(size_t bytes) noexcept {
  return current_arena == nullptr ? std::malloc(bytes)
                                  : current_arena->Allocate(bytes);
}

// What a parser gives back midway stays in its arena.
void FreeForCjson(void* memory) noexcept {
  if (current_arena == nullptr) std::free(memory);
}

bool Absent(const cJSON* value) {
  return value == nullptr || cJSON_IsNull(value);
}

// The first of `members` and those after it that has the name.
const cJSON* FindMember(const cJSON* members, const char* name) {
  while (members != nullptr && std::strcmp(name, members->string) != 0) {
    members = members->next;
  }
  return members;
}

}  // namespace

JsonArena::JsonArena(size_t text_bytes)
    : next_block_bytes_(std::clamp(text_bytes * kBytesPerTextByte,
                                   kMinBlockBytes, kMaxBlockBytes)) {}

JsonArena::~JsonArena() {
  while (blocks_ != nullptr) std::free(std::exchange(blocks_, blocks_->next));
}

void* JsonArena::Allocate(size_t bytes) noexcept {
  constexpr size_t kAlign = alignof(std::max_align_t);
  if (bytes > SIZE_MAX / 2) return nullptr;
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  if (bytes > free_bytes_) {
    const size_t room = std::max(bytes, next_block_bytes_);
    auto* block = static_cast<Block*>(std::malloc(sizeof(Block) + room));
    if (block == nullptr) return nullptr;
    block->next = std::exchange(blocks_, block);
    free_ = reinterpret_cast<char*>(block + 1);
    free_bytes_ = room;
    next_block_bytes_ = kMaxBlockBytes;
  }
  free_bytes_ -= bytes;
  return std::exchange(free_, free_ + bytes);
}

void UseJsonArenas() {
  if (std::exchange(arenas_in_use, true)) return;
  cJSON_Hooks hooks = {&AllocateForCjson, &FreeForCjson};
  cJSON_InitHooks(&hooks);
}

absl::StatusOr<JsonDocument> ParseJson(std::string_view text) {
  JsonDeleter deleter;
  if (arenas_in_use) deleter.arena = std::make_unique<JsonArena>(text.size());
  const char* end = nullptr;
  current_arena = deleter.arena.get();
  cJSON* const value = cJSON_ParseWithLengthOpts(text.data(), text.size(), &end,
                                                 /*terminated=*/false);
  current_arena = nullptr;
  JsonDocument document(value, std::move(deleter));
  const size_t offset =
      end == nullptr ? 0 : static_cast<size_t>(end - text.data());
  if (document == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("is no JSON (byte ", offset, ")"));
  }
  const size_t rest = text.find_first_not_of(" \t\r\n", offset);
  if (rest != std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("something follows the JSON value (byte ", rest, ")"));
  }
  return document;
}

const cJSON* JsonReader::Root(const cJSON* value) {
  if (!ok()) return nullptr;
  if (!cJSON_IsObject(value)) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat(std::string(kind_), ": must be an object"));
    return nullptr;
  }
  return value;
}

const cJSON* JsonReader::Member(const cJSON* parent, const char* name) {
  if (!ok() || !cJSON_IsObject(parent)) return nullptr;
  const cJSON* value = FindMember(parent->child, name);
  if (value != nullptr && FindMember(value->next, name) != nullptr) {
    Fail(name, "is a duplicate");
    return nullptr;
  }
  return Absent(value) ? nullptr : value;
}

const cJSON* JsonReader::Object(const cJSON* parent, const char* name) {
  const cJSON* value = Member(parent, name);
  if (value == nullptr || cJSON_IsObject(value)) return value;
  Fail(name, "must be an object");
  return nullptr;
}

const cJSON* JsonReader::Array(const cJSON* parent, const char* name) {
  const cJSON* value = Member(parent, name);
  if (value == nullptr || cJSON_IsArray(value)) return value;
  Fail(name, "must be an array");
  return nullptr;
}

std::string_view JsonReader::Text(const cJSON* value, const char* name,
                                  size_t max_bytes) {
  if (!cJSON_IsString(value) || value->valuestring == nullptr) {
    Fail(name, "must be a string");
    return {};
  }
  const std::string_view text = value->valuestring;
  if (text.size() > max_bytes) {
    Fail(name, absl::StrCat("must not be longer than ", max_bytes, " bytes"));
    return {};
  }
  return text;
}

std::string_view JsonReader::String(const cJSON* parent, const char* name,
                                    size_t max_bytes) {
  const cJSON* value = Member(parent, name);
  return value == nullptr ? std::string_view() : Text(value, name, max_bytes);
}

std::string_view JsonReader::RequiredString(const cJSON* parent,
                                            const char* name,
                                            size_t max_bytes) {
  const std::string_view text = String(parent, name, max_bytes);
  if (ok() && text.empty()) Fail(name, "is missing");
  return text;
}

std::string_view JsonReader::FirstString(const cJSON* parent, const char* name,
                                         size_t max_bytes) {
  const cJSON* array = Array(parent, name);
  if (array == nullptr || array->child == nullptr) return {};
  return Text(array->child, name, max_bytes);
}

std::optional<bool> JsonReader::Bool(const cJSON* parent, const char* name) {
  const cJSON* value = Member(parent, name);
  if (value == nullptr) return std::nullopt;
  if (!cJSON_IsBool(value)) {
    Fail(name, "must be true or false");
    return std::nullopt;
  }
  return cJSON_IsTrue(value) != 0;
}

std::optional<uint64_t> JsonReader::Count(const cJSON* parent,
                                          const char* name) {
  const cJSON* value = Member(parent, name);
  if (value == nullptr) return std::nullopt;
  const double number = value->valuedouble;
  if (!cJSON_IsNumber(value) || !(number >= 0) ||
      number > static_cast<double>(kMaxJsonInteger) ||
      std::floor(number) != number) {
    Fail(name, "must be a whole number from 0 to 2^53-1");
    return std::nullopt;
  }
  return static_cast<uint64_t>(number);
}

std::optional<double> JsonReader::Number(const cJSON* parent,
                                         const char* name) {
  const cJSON* value = Member(parent, name);
  if (value == nullptr) return std::nullopt;
  if (!cJSON_IsNumber(value) || !std::isfinite(value->valuedouble)) {
    Fail(name, "must be a number");
    return std::nullopt;
  }
  return value->valuedouble;
}

uint64_t JsonReader::RequiredCount(const cJSON* parent, const char* name) {
  const std::optional<uint64_t> count = Count(parent, name);
  if (ok() && !count.has_value()) Fail(name, "is missing");
  return count.value_or(0);
}

bool JsonReader::AdmitElement(const cJSON* element, const char* name, size_t n,
                              size_t max) {
  if (n > max) {
    FailWith(absl::StatusCode::kResourceExhausted, name,
             absl::StrCat("must not have more than ", max, " elements"));
    return false;
  }
  if (!cJSON_IsObject(element)) {
    Fail(name, "must have objects only");
    return false;
  }
  return true;
}

void JsonReader::Fail(const char* name, const std::string& must) {
  FailWith(absl::StatusCode::kInvalidArgument, name, must);
}

void JsonReader::FailWith(absl::StatusCode code, const char* name,
                          const std::string& must) {
  if (!ok()) return;
  std::string text(kind_);
  if (!subject_.empty()) {
    text += ' ';
    AppendJsonString(subject_, 253, &text);
  }
  absl::StrAppend(&text, ": member \"", name, "\" ", must);
  status_ = absl::Status(code, text);
}

}  // namespace dynweight

// Fuzz target (libFuzzer): the bodies of watches and lists in protobuf, cut
// anywhere, come to the same as in one piece; and what is made of them is JSON.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "watcher/kubernetes/protobuf/list_items.h"
#include "watcher/kubernetes/protobuf/object_json.h"
#include "watcher/kubernetes/protobuf/watch_frames.h"
#include "watcher/text/json_value.h"

namespace dynweight {
namespace {

constexpr size_t kMaxBytes = 4096;

struct Outcome {
  std::string text;
  bool failed = false;
  bool complete = false;

  friend bool operator==(const Outcome& a, const Outcome& b) {
    // How far one gets before an error depends on where the body is cut.
    if (a.failed || b.failed) return a.failed == b.failed;
    return a.text == b.text && a.complete == b.complete;
  }
};

void CheckJson(std::string_view text) {
  if (!ParseJson(text).ok()) std::abort();
}

template <typename Reader, typename Take>
void Feed(std::string_view body, size_t piece, Reader* reader, Take&& take,
          Outcome* outcome) {
  while (!body.empty() && !outcome->failed) {
    const std::string_view data = body.substr(0, piece);
    body.remove_prefix(data.size());
    outcome->failed = !reader->Append(data, take).ok();
  }
}

Outcome Watch(std::string_view body, const ProtobufKind& kind, size_t piece) {
  Outcome outcome;
  WatchFrames frames(kMaxBytes);
  const auto take = [&](std::string_view bytes) {
    if (bytes.size() > kMaxBytes) std::abort();
    const auto json = WatchEventJson(bytes, kind, kMaxBytes);
    if (!json.ok()) return json.status();
    CheckJson(*json);
    outcome.text += *json;
    return absl::OkStatus();
  };
  Feed(body, piece, &frames, take, &outcome);
  outcome.complete = !frames.partial();
  return outcome;
}

Outcome List(std::string_view body, const ProtobufKind& kind, size_t piece) {
  Outcome outcome;
  ListItems items(kMaxBytes);
  items.Reset(&kind);
  const auto take = [&outcome](std::string_view text) {
    outcome.text += text;
    return absl::OkStatus();
  };
  Feed(body, piece, &items, take, &outcome);
  if (outcome.failed) return outcome;
  outcome.complete = items.Finish(take).ok();
  if (outcome.complete) CheckJson(outcome.text);
  return outcome;
}

}  // namespace
}  // namespace dynweight

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const size_t piece = 1 + size % 64;
  for (const dynweight::ProtobufKind& kind : dynweight::ProtobufKinds()) {
    using dynweight::List;
    using dynweight::Watch;
    if (!(Watch(body, kind, piece) == Watch(body, kind, size))) std::abort();
    if (!(List(body, kind, piece) == List(body, kind, size))) std::abort();
  }
  const std::string status = dynweight::StatusJson(body);
  if (!status.empty()) dynweight::CheckJson(status);
  return 0;
}

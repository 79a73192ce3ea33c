// Fuzz target (libFuzzer): the bodies of watches and lists, cut anywhere,
// come to the same as in one piece; and no text breaks what reads them.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "watcher/kubernetes/api_document.h"
#include "watcher/kubernetes/list_scanner.h"
#include "watcher/kubernetes/watch_framing.h"

namespace {

using dynweight::ListScanner;
using dynweight::WatchFraming;

constexpr size_t kMaxBytes = 4096;

struct Outcome {
  std::vector<std::string> texts;
  bool failed = false;
  bool complete = false;

  friend bool operator==(const Outcome& a, const Outcome& b) {
    // How far one gets before an error depends on where the body is cut.
    if (a.failed || b.failed) return a.failed == b.failed;
    return a.texts == b.texts && a.complete == b.complete;
  }
};

void ReadEvent(std::string_view text) {
  const auto document = dynweight::ParseApiDocument(text);
  if (!document.ok()) return;
  const auto event = dynweight::ReadWatchEvent(document->get());
  if (event.ok()) dynweight::RefusalOfEvent(event->object);
}

// Informers `body` to a WatchFraming or ListScanner in pieces of `piece` bytes.
template <typename Reader>
Outcome Informer(std::string_view body, size_t piece, Reader* reader) {
  Outcome outcome;
  while (!body.empty() && !outcome.failed) {
    const std::string_view data = body.substr(0, piece);
    body.remove_prefix(data.size());
    outcome.failed = !reader
                          ->Append(data,
                                   [&](std::string_view text) {
                                     if (text.size() > kMaxBytes) abort();
                                     ReadEvent(text);
                                     outcome.texts.emplace_back(text);
                                     return absl::OkStatus();
                                   })
                          .ok();
  }
  return outcome;
}

Outcome Watch(std::string_view body, size_t piece) {
  WatchFraming framing(kMaxBytes);
  Outcome outcome = Informer(body, piece, &framing);
  outcome.complete = !framing.partial();
  return outcome;
}

Outcome List(std::string_view body, size_t piece) {
  ListScanner scanner(kMaxBytes);
  Outcome outcome = Informer(body, piece, &scanner);
  if (!outcome.failed) {
    outcome.complete = scanner.Finish("endpointslices").ok();
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + data[0] % 64;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1,
                              size - 1);
  if (!(Watch(body, piece) == Watch(body, size))) abort();
  if (!(List(body, piece) == List(body, size))) abort();
  dynweight::RefusalOfAnswer(data[0] * 3, -1, body);
  return 0;
}

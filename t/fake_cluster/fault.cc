#include "t/fake_cluster/fault.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "t/fake_cluster/json.h"
#include "t/fake_cluster/sample_objects.h"

namespace dynweight::fake {
namespace {

constexpr size_t kPiece = 1 << 20;
constexpr uint64_t kGibibyte = uint64_t{1} << 30;

enum class Scope { kAny, kList, kWatch };

struct Kind {
  const char* name;
  Scope scope;
};

constexpr std::array<Kind, 23> kKinds = {{
    {"status", Scope::kAny},
    {"body", Scope::kAny},
    {"hang", Scope::kAny},
    {"hang_body", Scope::kAny},
    {"close_half", Scope::kAny},
    {"reset", Scope::kAny},
    {"delay", Scope::kAny},
    {"drip", Scope::kAny},
    {"huge", Scope::kAny},
    {"gzip_bomb", Scope::kAny},
    {"garbage", Scope::kAny},
    {"html", Scope::kAny},
    {"redirect", Scope::kAny},
    {"nested", Scope::kAny},
    {"bad_types", Scope::kList},
    {"empty_list", Scope::kList},
    {"continue_loop", Scope::kList},
    {"expired_continue", Scope::kList},
    {"watch_silent", Scope::kWatch},
    {"watch_error", Scope::kWatch},
    {"watch_cut_utf8", Scope::kWatch},
    {"watch_huge_line", Scope::kWatch},
    {"refuse", Scope::kAny},
}};

const Kind* FindFaultKind(const std::string& name) {
  for (const Kind& kind : kKinds) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

bool Suits(const FakeFault& fault, bool watch) {
  if (!fault.on.empty()) return fault.on == (watch ? "watch" : "list");
  Scope scope = FindFaultKind(fault.kind)->scope;
  return scope == Scope::kAny || (scope == Scope::kWatch) == watch;
}

std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 2463534242u;
  for (char& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    byte = static_cast<char>(state);
  }
  return bytes;
}

// About a MiB of list items, each with a comma behind it.
std::string Items() {
  std::string items;
  for (int i = 0; items.size() < kPiece; ++i) {
    FakeApp app;
    app.ns = "huge";
    app.name = "app-" + std::to_string(i);
    app.pods = 10;
    items += EndpointSlicesOf(app).front() + ",";
  }
  return items;
}

constexpr std::string_view kListBegin =
    "{\"kind\":\"List\",\"apiVersion\":\"v1\",\"metadata\":{"
    "\"resourceVersion\":\"1\"},\"items\":[";

// A list whose items are members of wrong types, a different mistake each
// time: the list's own at first, then those of every object in it.
std::string BadTypes(const std::string& list) {
  static std::atomic<unsigned> calls{0};
  Json json = ParseJson(list);
  auto replace = [](cJSON* object, const char* key, const char* value) {
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    cJSON_AddItemToObject(object, key, cJSON_Parse(value));
  };
  auto replace_in_items = [&](std::map<const char*, const char*> members) {
    for (cJSON* item = cJSON_GetObjectItem(json.get(), "items")->child;
         item != nullptr; item = item->next) {
      for (const auto& [key, value] : members) replace(item, key, value);
    }
  };
  switch (calls++ % 6) {
    case 0:
      replace(json.get(), "items", "{\"a\":1}");
      break;
    case 1:
      replace(json.get(), "items", "[\"a\",7,null]");
      break;
    case 2:
      replace(json.get(), "metadata", "[true]");
      break;
    case 3:
      replace_in_items({{"metadata", "{\"name\":7,\"namespace\":[]}"}});
      break;
    case 4:
      replace_in_items(
          {{"endpoints", "\"a\""}, {"status", "\"a\""}, {"spec", "[5]"}});
      break;
    default:
      replace_in_items({{"endpoints",
                         "[{\"addresses\":\"a\",\"conditions\":"
                         "{\"ready\":\"yes\"}}]"},
                        {"status",
                         "{\"readyReplicas\":\"many\",\"phase\":1,"
                         "\"addresses\":{},\"conditions\":7}"}});
  }
  return PrintJson(json.get());
}

// gzip data that inflates to `size` blanks inside a JSON list. A block that
// was flushed completely can be repeated, so this costs one block's work.
class GzipBomb {
 public:
  explicit GzipBomb(uint64_t size)
      : blocks_(std::max<uint64_t>(1, size / kPiece)) {
    deflateInit2(&stream_, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
    head_ = Deflate(kListBegin, Z_FULL_FLUSH);
    block_ = Deflate(std::string(kPiece, ' '), Z_FULL_FLUSH);
  }
  ~GzipBomb() { deflateEnd(&stream_); }

  void Send(Connection* connection) {
    if (!connection->SendChunk(head_)) return;
    for (uint64_t i = 0; i < blocks_; ++i) {
      if (!connection->SendChunk(block_)) return;
    }
    // The checksum is wrong by then; no client may come this far.
    connection->SendChunk(Deflate("]}", Z_FINISH)) && connection->SendChunk("");
  }

 private:
  std::string Deflate(std::string_view data, int flush) {
    std::string out(data.size() / 64 + 4096, '\0');
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream_.avail_in = static_cast<uInt>(data.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    deflate(&stream_, flush);
    out.resize(out.size() - stream_.avail_out);
    return out;
  }

  z_stream stream_ = {};
  const uint64_t blocks_;
  std::string head_;
  std::string block_;
};

void Hang(const FaultList& faults, const Connection* connection) {
  uint64_t clears = faults.clears();
  while (!connection->WaitGone(50) && faults.clears() == clears) {
  }
}

std::string WithLength(const Answer& answer, size_t length) {
  return HttpHead(answer) + "Content-Length: " + std::to_string(length) +
         "\r\n\r\n";
}

std::string InChunks(const Answer& answer) {
  return HttpHead(answer) + "Transfer-Encoding: chunked\r\n\r\n";
}

}  // namespace

bool FaultList::Known(const std::string& kind) {
  return FindFaultKind(kind) != nullptr;
}

void FaultList::Set(const FakeFault& fault) {
  std::lock_guard<std::mutex> lock(mutex_);
  faults_.insert(faults_.begin(), fault);
}

void FaultList::Clear() {
  std::lock_guard<std::mutex> lock(mutex_);
  faults_.clear();
  ++clears_;
}

uint64_t FaultList::clears() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return clears_;
}

template <typename Fits>
std::optional<FakeFault> FaultList::TakeIf(std::string_view path, Fits fits) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto it = faults_.begin(); it != faults_.end(); ++it) {
    if (path.substr(0, it->path_prefix.size()) != it->path_prefix) continue;
    bool counts = true;
    if (!fits(*it, &counts)) continue;
    FakeFault fault = *it;
    if (counts && it->times > 0 && --it->times == 0) faults_.erase(it);
    return fault;
  }
  return std::nullopt;
}

std::optional<FakeFault> FaultList::Take(std::string_view path, bool watch,
                                         bool later_page) {
  return TakeIf(path, [=](const FakeFault& fault, bool* counts) {
    *counts = fault.kind != "expired_continue" || later_page;
    return Suits(fault, watch);
  });
}

std::optional<FakeFault> FaultList::TakeRunning(std::string_view path) {
  return TakeIf(path, [](const FakeFault& fault, bool*) {
    return FindFaultKind(fault.kind)->scope == Scope::kWatch;
  });
}

std::string HttpHead(const Answer& answer) {
  std::string head = "HTTP/1.1 " + std::to_string(answer.status) +
                     (answer.status == 200 ? " OK" : " Error") +
                     "\r\nContent-Type: " + answer.content_type + "\r\n";
  for (const auto& [name, value] : answer.headers) {
    head += name + ": " + value + "\r\n";
  }
  return head;
}

bool AlterAnswer(const FakeFault& fault, Answer* answer) {
  if (fault.kind == "status") {
    answer->status = fault.code;
    answer->body = fault.body.empty() ? StatusObject(fault.code) : fault.body;
    if (fault.retry_after >= 0) {
      answer->headers.emplace("Retry-After", std::to_string(fault.retry_after));
    }
  } else if (fault.kind == "body") {
    answer->status = 200;
    answer->body = fault.body;
  } else if (fault.kind == "garbage" && !fault.raw) {
    answer->status = 200;
    answer->body = RandomBytes(65536);
  } else if (fault.kind == "html") {
    answer->status = 200;
    answer->content_type = "text/html; charset=utf-8";
    answer->body =
        "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>"
        "<form method=post><input name=user></form></body></html>\n";
  } else if (fault.kind == "redirect") {
    answer->status = 302;
    answer->headers.emplace("Location", fault.location);
    answer->body.clear();
  } else if (fault.kind == "nested") {
    answer->status = 200;
    answer->body = std::string(kListBegin) + std::string(1000000, '[');
  } else if (fault.kind == "bad_types" && answer->status == 200) {
    answer->body = BadTypes(answer->body);
  } else {
    return false;
  }
  return true;
}

bool BreakAnswer(const FakeFault& fault, const Answer& answer,
                 const FaultList& faults, Connection* connection) {
  std::string_view half =
      std::string_view(answer.body).substr(0, (answer.body.size() + 1) / 2);
  if (fault.kind == "hang") {
    connection->TakeOver();
    Hang(faults, connection);
  } else if (fault.kind == "hang_body") {
    connection->TakeOver();
    connection->Send(WithLength(answer, answer.body.size()));
    connection->Send(half);
    Hang(faults, connection);
  } else if (fault.kind == "close_half") {
    connection->TakeOver();
    connection->BreakOnClose();
    if (fault.chunked) {
      connection->Send(InChunks(answer));
      connection->SendChunk(half);
    } else {
      connection->Send(WithLength(answer, answer.body.size()));
      connection->Send(half);
    }
  } else if (fault.kind == "reset") {
    connection->TakeOver();
    connection->ResetOnClose();
  } else if (fault.kind == "drip") {
    connection->TakeOver();
    connection->Send(WithLength(answer, answer.body.size()));
    uint64_t clears = faults.clears();
    for (char byte : answer.body) {
      if (!connection->Send({&byte, 1}) ||
          connection->WaitGone(fault.delay_ms) || faults.clears() != clears) {
        break;
      }
    }
  } else if (fault.kind == "huge") {
    connection->TakeOver();
    std::string items = Items();
    bool open =
        connection->Send(InChunks(answer)) && connection->SendChunk(kListBegin);
    uint64_t size = fault.bytes > 0 ? fault.bytes : kGibibyte;
    for (uint64_t sent = 0; open && sent < size; sent += items.size()) {
      open = connection->SendChunk(items);
    }
    open && connection->SendChunk("null]}") && connection->SendChunk("");
  } else if (fault.kind == "gzip_bomb") {
    connection->TakeOver();
    Answer zipped = answer;
    zipped.headers.emplace("Content-Encoding", "gzip");
    if (connection->Send(InChunks(zipped))) {
      GzipBomb(fault.bytes > 0 ? fault.bytes : 4 * kGibibyte).Send(connection);
    }
  } else if (fault.kind == "garbage") {
    connection->TakeOver();
    connection->Send(RandomBytes(65536));
  } else {
    return false;
  }
  return true;
}

void BreakWatch(const FakeFault& fault, const std::string& status_event,
                const FaultList& faults, Connection* connection) {
  if (fault.kind == "watch_silent") {
    Hang(faults, connection);
  } else if (fault.kind == "watch_error") {
    connection->SendChunk(status_event) && connection->SendChunk("");
  } else if (fault.kind == "watch_cut_utf8") {
    connection->BreakOnClose();
    connection->SendChunk(
        "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"caf\xC3");
  } else if (fault.kind == "watch_huge_line") {
    bool open = connection->SendChunk(
        "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"");
    uint64_t size = fault.bytes > 0 ? fault.bytes : kGibibyte;
    std::string piece(kPiece, 'x');
    for (uint64_t sent = 0; open && sent < size; sent += piece.size()) {
      open = connection->SendChunk(piece);
    }
    open && connection->SendChunk("\"}}}\n") && connection->SendChunk("");
  }
}

}  // namespace dynweight::fake

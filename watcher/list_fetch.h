// One complete list of a collection: its pages, one after the other, into a
// sink.

#ifndef DYNAMIC_WEIGHT_WATCHER_LIST_FETCH_H_
#define DYNAMIC_WEIGHT_WATCHER_LIST_FETCH_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "watcher/http_transport.h"
#include "watcher/list_scanner.h"
#include "watcher/list_watch_request.h"
#include "watcher/object_sink.h"
#include "watcher/reflector.h"

namespace dynweight {

struct ListFetchResult {
  // OK: everything is staged in the sink, ready for CommitList().
  absl::Status error;
  std::string resource_version;  // the list's
  bool consistent = false;       // it was read without a resourceVersion
  bool version_refused = false;  // the version asked for may be of no use
  bool server_failed = false;    // the server as a whole does not answer
  int64_t retry_after_ms = -1;   // what it asks for; -1: nothing
};

// Not thread-safe; one list at a time.
class ListFetch : private HttpHandler {
 public:
  using OnResult = std::function<void(const ListFetchResult&)>;

  // `on_result` is called once for each Begin() that is not cancelled, never
  // from inside it; it may call Begin() again. Everything outlives the fetch.
  ListFetch(const ReflectorOptions& options, HttpTransport* transport,
            ObjectSink* sink, ReflectorStats* stats, OnResult on_result);
  ~ListFetch() override { Cancel(); }

  // Without `version` the list is consistent and comes in pages; with "0" it
  // is whatever the server's cache has; with another one, at least as new.
  void Begin(std::string base, const Credentials* credentials,
             std::optional<std::string> version);
  void Cancel();

  bool active() const { return active_; }
  const std::string& base() const { return base_; }

 private:
  void OnStatus(int) override {}
  bool OnBody(std::string_view data) override;
  void OnDone(const HttpResult& result, std::string_view error_body) override;

  void Restart(std::optional<std::string> version, uint32_t limit);
  void RequestPage();
  absl::Status Stage(std::string_view text);
  void OnRefused(const ApiRefusal& refusal);
  void OnPage();
  absl::Status TakeNext(std::string next);
  void Reject(const absl::Status& error);
  void Finish(const absl::Status& error);

  const ReflectorOptions& options_;
  const Collection collection_;
  HttpTransport* const transport_;
  ObjectSink* const sink_;
  ReflectorStats* const stats_;
  const OnResult on_result_;

  bool active_ = false;
  HttpTransport::Id id_ = 0;
  std::string base_;
  const Credentials* credentials_ = nullptr;
  ListQuery query_;  // of the page under way
  ListScanner scanner_;
  uint32_t pages_ = 0;
  uint32_t objects_ = 0;
  absl::flat_hash_set<std::string> tokens_;  // continue tokens so far
  ListFetchResult result_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_LIST_FETCH_H_

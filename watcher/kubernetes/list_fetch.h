// One complete list of a collection: its pages, one after the other, into a
// sink.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LIST_FETCH_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LIST_FETCH_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "watcher/discovery/discovery.h"
#include "watcher/kubernetes/list_scanner.h"
#include "watcher/kubernetes/list_watch_request.h"
#include "watcher/kubernetes/object_sink.h"
#include "watcher/kubernetes/protobuf/list_items.h"
#include "watcher/kubernetes/reflector_options.h"
#include "watcher/transport/http_transport.h"

namespace dynweight {

struct ListFetchResult {
  // OK: everything is staged in the sink, ready for CommitList().
  absl::Status error;
  std::string resource_version;  // the list's
  // What it was read with in the end: see ListQuery.
  std::optional<std::string> asked_version;
  bool version_refused = false;  // the server doesn't have the version
  bool version_suspect = false;  // it may be what the failure is due to
  bool server_failed = false;    // the server as a whole does not answer
  int http_status = 0;           // of a refusal; 0: it was none
  bool absent = false;           // there is no such collection there
  int64_t retry_after_ms = -1;   // what it asks for; -1: nothing
};

// A list comes whole where the server may answer from its cache, which takes no
// notice of a limit. One that fails for its size (it takes too long, or is
// longer than max_list_bytes) is asked for in pages from then on; pages that
// are too large still become smaller.
//
// A server that says nothing at all within the timeout may be busy, with the
// lists of a fleet maybe: each time it is given twice as long, as to cut a list
// off and ask again makes it busier. That its silence is due to the version, or
// to the length, is believed when it goes on; pages, and lists without a
// version, are read from etcd.
//
// Not thread-safe; one list at a time.
class ListFetch : private HttpHandler {
 public:
  using OnResult = std::function<void(const ListFetchResult&)>;

  // `on_result` is called once for each Begin() that is not cancelled, never
  // from inside it; it may call Begin() again. Everything outlives the fetch.
  ListFetch(const ReflectorOptions& options, HttpTransport* transport,
            ObjectSink* sink, DiscoveryStats* stats, OnResult on_result);
  ~ListFetch() override { Cancel(); }

  // `version` as in ListQuery. `collection` outlives the list.
  void Begin(std::string base, const Credentials* credentials,
             const Collection* collection, std::optional<std::string> version);
  void Cancel();

  bool active() const { return active_; }
  const std::string& base() const { return base_; }

 private:
  void OnStatus(int http_status, std::string_view content_type) override;
  bool OnBody(std::string_view data) override;
  void OnDone(const HttpResult& result, std::string_view error_body) override;

  void Restart(std::optional<std::string> version, uint32_t limit);
  bool Whole() const;
  void LearnFromFailure(const HttpResult& result);
  void RequestPage();
  absl::Status TakeJson(std::string_view text);
  absl::Status Stage(std::string_view text);
  void OnRefused(const ApiRefusal& refusal);
  void OnPage();
  absl::Status TakeNext(std::string next);
  void Reject(const absl::Status& error);
  void Finish(const absl::Status& error);

  const ReflectorOptions& options_;
  const Collection* collection_ = nullptr;
  HttpTransport* const transport_;
  ObjectSink* const sink_;
  DiscoveryStats* const stats_;
  const OnResult on_result_;

  bool active_ = false;
  HttpTransport::Id id_ = 0;
  std::string base_;
  const Credentials* credentials_ = nullptr;
  ListQuery query_;        // of the page under way
  bool in_pages_ = false;  // from now on: whole lists have failed
  uint32_t page_limit_;
  int cut_in_a_row_ = 0;                // lists that broke off
  int silent_in_a_row_ = 0;             // lists without a byte of an answer
  const ProtobufKind* kind_ = nullptr;  // null: JSON alone is asked for
  bool protobuf_ = false;               // the answer under way is
  ListItems items_;                     // of protobuf, for the scanner
  ListScanner scanner_;
  uint32_t pages_ = 0;
  uint32_t objects_ = 0;
  absl::flat_hash_set<std::string> tokens_;  // continue tokens so far
  ListFetchResult result_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_LIST_FETCH_H_

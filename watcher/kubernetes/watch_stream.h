// One watch of a collection: its events into a sink, until it ends.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_WATCH_STREAM_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_WATCH_STREAM_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "watcher/discovery/discovery.h"
#include "watcher/kubernetes/api_document.h"
#include "watcher/kubernetes/list_watch_request.h"
#include "watcher/kubernetes/object_sink.h"
#include "watcher/kubernetes/protobuf/message_fields.h"
#include "watcher/kubernetes/protobuf/watch_frames.h"
#include "watcher/kubernetes/reflector_options.h"
#include "watcher/kubernetes/watch_framing.h"
#include "watcher/transport/http_transport.h"

namespace dynweight {

struct WatchEnd {
  bool established = false;  // the server had agreed to it
  // OK: the server ended it as it should. Of an established watch that broke
  // off, or was cut in the middle of an event: how.
  absl::Status error;
  bool rejected = false;  // what it brought is of no use
  bool in_event = false;  // it ended in the middle of one
  // The server said no, by an HTTP status or by an ERROR event.
  std::optional<ApiRefusal> refusal;
  bool server_failed = false;  // the server as a whole does not answer
};

// Not thread-safe; one watch at a time.
class WatchStream : private HttpHandler {
 public:
  using OnOpen = std::function<void()>;
  using OnEvent = std::function<void(bool bookmark, std::string_view line)>;
  using OnEnd = std::function<void(const WatchEnd&)>;

  // `on_open` is called when the server has agreed; `on_event` after the sink
  // has taken an event, or for a bookmark, with the text of it. `on_end` is
  // called once for each Begin() that is not cancelled, never from inside it;
  // it may call Begin() again. The others may not. Everything outlives the
  // stream.
  WatchStream(const ReflectorOptions& options, HttpTransport* transport,
              ObjectSink* sink, DiscoveryStats* stats, OnOpen on_open,
              OnEvent on_event, OnEnd on_end);
  ~WatchStream() override { Cancel(); }

  // Events after `version`. The server is asked to end it after `seconds`.
  // `collection` outlives the watch.
  void Begin(std::string base, const Credentials* credentials,
             const Collection* collection, const std::string& version,
             int seconds);
  // A list of this version was committed: what it holds already is not applied
  // a second time, by this watch or a later one.
  void SkipUntil(const std::string& version) { skip_until_ = version; }
  // Applies an event that on_event has shown once more, if it is newer than
  // `version`.
  absl::Status ApplyAgain(std::string_view line, std::string_view version);
  void Cancel();

  bool active() const { return active_; }
  // Whether the server has agreed to this watch.
  bool established() const { return active_ && established_; }
  // Whether it is in the middle of an event.
  bool partial() const { return framing_.partial() || frames_.partial(); }
  const std::string& base() const { return base_; }
  // Of the last event or bookmark; before one, what Begin() was given.
  const std::string& resource_version() const { return version_; }

 private:
  void OnStatus(int http_status, std::string_view content_type) override;
  bool OnBody(std::string_view data) override;
  void OnDone(const HttpResult& result, std::string_view error_body) override;

  absl::Status TakeFrame(std::string_view bytes);
  absl::Status TakeEvent(std::string_view line);
  absl::Status Apply(const WatchEvent& event);
  void Refused(const ApiRefusal& refusal);
  void Reject(const absl::Status& error);
  void End(WatchEnd end);

  const ReflectorOptions& options_;
  const Collection* collection_ = nullptr;
  HttpTransport* const transport_;
  ObjectSink* const sink_;
  DiscoveryStats* const stats_;
  const OnOpen on_open_;
  const OnEvent on_event_;
  const OnEnd on_end_;

  bool active_ = false;
  bool established_ = false;
  HttpTransport::Id id_ = 0;
  std::string base_;
  std::string version_;
  std::string skip_until_;
  const ProtobufKind* kind_ = nullptr;  // null: JSON alone is asked for
  bool protobuf_ = false;               // the answer is
  WatchFraming framing_;                // of JSON
  WatchFrames frames_;                  // of protobuf
  std::optional<ApiRefusal> error_event_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_WATCH_STREAM_H_

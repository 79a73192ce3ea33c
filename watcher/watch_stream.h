// One watch of a collection: its events into a sink, until it ends.

#ifndef DYNAMIC_WEIGHT_WATCHER_WATCH_STREAM_H_
#define DYNAMIC_WEIGHT_WATCHER_WATCH_STREAM_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "watcher/api_document.h"
#include "watcher/http_transport.h"
#include "watcher/list_watch_request.h"
#include "watcher/object_sink.h"
#include "watcher/reflector.h"
#include "watcher/watch_framing.h"

namespace dynweight {

struct WatchEnd {
  absl::Status error;  // OK: the server ended it as it should
  // The server said no, by an HTTP status or by an ERROR event.
  std::optional<ApiRefusal> refusal;
  bool server_failed = false;  // the server as a whole does not answer
};

// Not thread-safe; one watch at a time.
class WatchStream : private HttpHandler {
 public:
  using OnEvent = std::function<void(bool bookmark)>;
  using OnEnd = std::function<void(const WatchEnd&)>;

  // `on_event` is called after the sink has taken an event, or for a bookmark.
  // `on_end` is called once for each Begin() that is not cancelled, never
  // from inside it; it may call Begin() again. on_event may not. Everything
  // outlives the stream.
  WatchStream(const ReflectorOptions& options, HttpTransport* transport,
              ObjectSink* sink, ReflectorStats* stats, OnEvent on_event,
              OnEnd on_end);
  ~WatchStream() override { Cancel(); }

  // Events after `version`. The server is asked to end it after `seconds`.
  void Begin(std::string base, const Credentials* credentials,
             const std::string& version, int seconds);
  void Cancel();

  bool active() const { return active_; }
  // Whether the server has agreed to this watch.
  bool established() const { return active_ && established_; }
  // Whether it is in the middle of an event.
  bool partial() const { return framing_.partial(); }
  const std::string& base() const { return base_; }
  // Of the last event or bookmark; before one, what Begin() was given.
  const std::string& resource_version() const { return version_; }

 private:
  void OnStatus(int http_status) override;
  bool OnBody(std::string_view data) override;
  void OnDone(const HttpResult& result, std::string_view error_body) override;

  absl::Status TakeEvent(std::string_view line);
  absl::Status Apply(const WatchEvent& event);
  void Refused(const ApiRefusal& refusal);
  void Reject(const absl::Status& error);
  void End(const WatchEnd& end);

  const ReflectorOptions& options_;
  const Collection collection_;
  HttpTransport* const transport_;
  ObjectSink* const sink_;
  ReflectorStats* const stats_;
  const OnEvent on_event_;
  const OnEnd on_end_;

  bool active_ = false;
  bool established_ = false;
  HttpTransport::Id id_ = 0;
  std::string base_;
  std::string version_;
  WatchFraming framing_;
  std::optional<ApiRefusal> error_event_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_WATCH_STREAM_H_

// One watch of a collection.

#include "watcher/kubernetes/watch_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/protobuf/object_json.h"
#include "watcher/kubernetes/resource_version.h"

namespace dynweight {
namespace {

// Whether a list of `version` holds what an event of `event_version` says.
bool IsOld(std::string_view event_version, std::string_view version) {
  return CompareResourceVersions(event_version, version).value_or(1) <= 0;
}

}  // namespace

WatchStream::WatchStream(const ReflectorOptions& options,
                         HttpTransport* transport, ObjectSink* sink,
                         DiscoveryStats* stats, OnOpen on_open,
                         OnEvent on_event, OnState on_state, OnEnd on_end)
    : options_(options),
      transport_(transport),
      sink_(sink),
      stats_(stats),
      on_open_(std::move(on_open)),
      on_event_(std::move(on_event)),
      on_state_(std::move(on_state)),
      on_end_(std::move(on_end)),
      framing_(options.max_line_bytes),
      frames_(options.max_line_bytes) {}

void WatchStream::Begin(std::string base, const Credentials* credentials,
                        const Collection* collection,
                        const std::string& version, int seconds) {
  Cancel();
  base_ = std::move(base);
  collection_ = collection;
  version_ = version;
  in_state_ = false;
  Start(credentials, WatchUrl(base_, *collection_, version_, seconds));
}

void WatchStream::BeginWithState(std::string base,
                                 const Credentials* credentials,
                                 const Collection* collection,
                                 const std::string& version, int seconds) {
  Cancel();
  base_ = std::move(base);
  collection_ = collection;
  version_ = version;
  in_state_ = true;
  state_bytes_ = 0;
  objects_ = 0;
  after_state_.Begin();
  sink_->SetResource(collection_->resource());
  sink_->BeginList();
  Start(credentials, StreamedListUrl(base_, *collection_, version_, seconds));
}

void WatchStream::Start(const Credentials* credentials, std::string url) {
  kind_ = FindProtobufKind(collection_->path);
  protobuf_ = false;
  framing_.Reset();
  frames_.Reset();
  error_event_.reset();
  established_ = false;
  active_ = true;
  HttpRequest request;
  request.url = std::move(url);
  request.credentials = credentials;
  if (kind_ != nullptr) request.accept = kAcceptProtobuf;
  request.connect_timeout_ms = options_.timeout_ms;
  request.fresh_connection = true;
  ++stats_->requests;
  id_ = transport_->Start(request, this);
}

void WatchStream::Cancel() {
  if (!active_) return;
  active_ = false;
  transport_->Cancel(id_);
}

void WatchStream::OnStatus(int http_status, std::string_view content_type) {
  protobuf_ = kind_ != nullptr && IsProtobuf(content_type);
  if (http_status != 200) return;
  established_ = true;
  ++stats_->watches;
  on_open_();
}

bool WatchStream::OnBody(std::string_view data) {
  const absl::Status status = Take(data);
  if (status.ok()) return true;
  transport_->Cancel(id_);
  if (error_event_.has_value()) {
    Refused(*std::exchange(error_event_, std::nullopt));
  } else {
    Reject(status);
  }
  return false;
}

absl::Status WatchStream::Take(std::string_view data) {
  stats_->bytes += data.size();
  if (in_state_) {
    state_bytes_ += data.size();
    if (state_bytes_ > options_.max_list_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the objects take more than ", options_.max_list_bytes, " bytes"));
    }
  }
  if (protobuf_) {
    return frames_.Append(
        data, [this](std::string_view bytes) { return TakeFrame(bytes); });
  }
  return framing_.Append(
      data, [this](std::string_view line) { return TakeEvent(line); });
}

absl::Status WatchStream::TakeFrame(std::string_view bytes) {
  const absl::StatusOr<std::string> line =
      WatchEventJson(bytes, *kind_, options_.max_line_bytes);
  return line.ok() ? TakeEvent(*line) : line.status();
}

absl::Status WatchStream::TakeEvent(std::string_view line) {
  const absl::StatusOr<JsonDocument> document = ParseApiDocument(line);
  if (!document.ok()) return document.status();
  absl::StatusOr<WatchEvent> event = ReadWatchEvent(document->get());
  if (!event.ok()) return event.status();
  if (event->type == WatchEvent::Type::kError) {
    error_event_ = RefusalOfEvent(event->object);
    return absl::AbortedError("ERROR event");
  }
  if (in_state_) return TakeState(*event, line);
  const bool bookmark = event->type == WatchEvent::Type::kBookmark;
  if (!bookmark) {
    if (!IsOld(event->resource_version, skip_until_)) {
      const absl::Status status = Apply(*event);
      if (!status.ok()) return status;
    }
    ++stats_->events;
  }
  version_ = std::move(event->resource_version);
  on_event_(bookmark, line);
  return absl::OkStatus();
}

// What is there comes as if just added; what happens meanwhile, before the end
// of that as well as after it.
absl::Status WatchStream::TakeState(const WatchEvent& event,
                                    std::string_view line) {
  if (event.type == WatchEvent::Type::kAdded && !after_state_.any()) {
    if (++objects_ > options_.max_objects) {
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", options_.max_objects, " objects"));
    }
    return sink_->Stage(event.object);
  }
  if (event.type != WatchEvent::Type::kBookmark) after_state_.Add(line);
  if (!event.ends_state) return absl::OkStatus();
  if (!after_state_.complete()) {
    return absl::ResourceExhaustedError("too many events before its end");
  }
  const absl::Status status = on_state_(event.resource_version);
  if (!status.ok()) return status;
  in_state_ = false;
  version_ = event.resource_version;
  for (const std::string& later : after_state_.Take()) {
    const absl::Status applied = TakeEvent(later);
    if (!applied.ok()) return applied;
  }
  return absl::OkStatus();
}

absl::Status WatchStream::ApplyAgain(std::string_view line,
                                     std::string_view version) {
  const absl::StatusOr<JsonDocument> document = ParseApiDocument(line);
  if (!document.ok()) return document.status();
  const absl::StatusOr<WatchEvent> event = ReadWatchEvent(document->get());
  if (!event.ok()) return event.status();
  if (IsOld(event->resource_version, version)) return absl::OkStatus();
  return Apply(*event);
}

absl::Status WatchStream::Apply(const WatchEvent& event) {
  switch (event.type) {
    case WatchEvent::Type::kAdded:
      return sink_->Apply(ObjectSink::EventType::kAdded, event.object);
    case WatchEvent::Type::kModified:
      return sink_->Apply(ObjectSink::EventType::kModified, event.object);
    default:
      return sink_->Apply(ObjectSink::EventType::kDeleted, event.object);
  }
}

void WatchStream::OnDone(const HttpResult& result,
                         std::string_view error_body) {
  if (!result.transport.ok()) {
    WatchEnd end;
    end.error =
        RequestError(Verb::kWatch, base_, *collection_, result.transport);
    // One that broke later says nothing about the server.
    end.server_failed =
        result.http_status == 0 && (absl::IsUnavailable(result.transport) ||
                                    absl::IsDeadlineExceeded(result.transport));
    return End(end);
  }
  if (result.http_status != 200) {
    stats_->bytes += error_body.size();
    return Refused(RefusalOfAnswer(
        result.http_status, result.retry_after_ms,
        protobuf_ ? StatusJson(error_body) : std::string(error_body)));
  }
  WatchEnd end;
  if (partial()) {
    end.error = RequestError(Verb::kWatch, base_, *collection_,
                             absl::UnavailableError("an event is cut off"));
  }
  End(end);
}

void WatchStream::Refused(const ApiRefusal& refusal) {
  WatchEnd end;
  end.error = RefusalError(Verb::kWatch, base_, *collection_, refusal);
  end.refusal = refusal;
  // An ERROR event comes from a server that answers.
  end.server_failed = !established_ && refusal.code >= 500 &&
                      refusal.kind == ApiRefusal::Kind::kOther;
  End(end);
}

void WatchStream::Reject(const absl::Status& error) {
  ++stats_->rejected;
  WatchEnd end;
  end.error = RequestError(Verb::kWatch, base_, *collection_, error);
  end.rejected = true;
  End(end);
}

void WatchStream::End(WatchEnd end) {
  end.established = established_;
  end.in_state = in_state_;
  end.in_event = partial();
  active_ = false;
  framing_.Reset();
  frames_.Reset();
  on_end_(end);
}

}  // namespace dynweight

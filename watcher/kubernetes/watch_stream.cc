// One watch of a collection.

#include "watcher/kubernetes/watch_stream.h"

#include <utility>

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
                         OnEvent on_event, OnEnd on_end)
    : options_(options),
      transport_(transport),
      sink_(sink),
      stats_(stats),
      on_open_(std::move(on_open)),
      on_event_(std::move(on_event)),
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
  kind_ = FindProtobufKind(collection_->path);
  protobuf_ = false;
  framing_.Reset();
  frames_.Reset();
  error_event_.reset();
  established_ = false;
  active_ = true;
  HttpRequest request;
  request.url = WatchUrl(base_, *collection_, version_, seconds);
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
  stats_->bytes += data.size();
  const absl::Status status =
      protobuf_ ? frames_.Append(data,
                                 [this](std::string_view bytes) {
                                   return TakeFrame(bytes);
                                 })
                : framing_.Append(data, [this](std::string_view line) {
                    return TakeEvent(line);
                  });
  if (status.ok()) return true;
  transport_->Cancel(id_);
  if (error_event_.has_value()) {
    Refused(*std::exchange(error_event_, std::nullopt));
  } else {
    Reject(status);
  }
  return false;
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
  end.in_event = partial();
  active_ = false;
  framing_.Reset();
  frames_.Reset();
  on_end_(end);
}

}  // namespace dynweight

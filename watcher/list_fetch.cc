// One complete list of a collection.

#include "watcher/list_fetch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/api_document.h"

namespace dynweight {
namespace {

constexpr uint32_t kMinPages = 1000;

uint32_t MaxPages(const ReflectorOptions& options) {
  const uint32_t full = options.max_objects / std::max(options.page_limit, 1u);
  return std::max(kMinPages, 2 * full);
}

}  // namespace

ListFetch::ListFetch(const ReflectorOptions& options, HttpTransport* transport,
                     ObjectSink* sink, ReflectorStats* stats,
                     OnResult on_result)
    : options_(options),
      collection_{options.path, options.label_selector, options.field_selector},
      transport_(transport),
      sink_(sink),
      stats_(stats),
      on_result_(std::move(on_result)),
      scanner_(options.max_line_bytes) {}

void ListFetch::Begin(std::string base, const Credentials* credentials,
                      std::optional<std::string> version) {
  Cancel();
  base_ = std::move(base);
  credentials_ = credentials;
  result_ = ListFetchResult();
  active_ = true;
  // With a limit a version other than 0 would mean "exactly this one".
  const bool paged = !version.has_value() || *version == "0";
  Restart(std::move(version), paged ? options_.page_limit : 0);
}

void ListFetch::Cancel() {
  if (!active_) return;
  active_ = false;
  transport_->Cancel(id_);
}

void ListFetch::Restart(std::optional<std::string> version, uint32_t limit) {
  result_.consistent = !version.has_value();
  query_ = {std::move(version), limit, ""};
  tokens_.clear();
  pages_ = objects_ = 0;
  sink_->BeginList();
  RequestPage();
}

void ListFetch::RequestPage() {
  scanner_.Reset();
  HttpRequest request;
  request.url = ListUrl(base_, collection_, query_);
  request.credentials = credentials_;
  request.connect_timeout_ms = options_.timeout_ms;
  request.total_timeout_ms = options_.timeout_ms;
  request.max_body = options_.max_list_bytes;
  request.compressed = true;
  ++stats_->requests;
  id_ = transport_->Start(request, this);
}

bool ListFetch::OnBody(std::string_view data) {
  stats_->bytes += data.size();
  const absl::Status status = scanner_.Append(
      data, [this](std::string_view object) { return Stage(object); });
  if (status.ok()) return true;
  transport_->Cancel(id_);
  Reject(status);
  return false;
}

absl::Status ListFetch::Stage(std::string_view text) {
  if (++objects_ > options_.max_objects) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more than ", options_.max_objects, " objects"));
  }
  const absl::StatusOr<JsonDocument> object = ParseApiDocument(text);
  return object.ok() ? sink_->Stage(object->get()) : object.status();
}

void ListFetch::OnDone(const HttpResult& result, std::string_view error_body) {
  if (result.transport.ok() && result.http_status == 200) return OnPage();
  if (result.transport.ok()) {
    stats_->bytes += error_body.size();
    return OnRefused(
        RefusalOfAnswer(result.http_status, result.retry_after_ms, error_body));
  }
  if (absl::IsResourceExhausted(result.transport)) {
    return Reject(result.transport);
  }
  // A server that has not come to the version waits for it some seconds before
  // it says so: maybe longer than we do, and one that was restored from a copy
  // would keep us waiting for ever.
  result_.version_refused = query_.resource_version.value_or("0") != "0" &&
                            result.http_status == 0 &&
                            absl::IsDeadlineExceeded(result.transport);
  result_.server_failed = absl::IsUnavailable(result.transport) ||
                          absl::IsDeadlineExceeded(result.transport);
  Finish(RequestError(Verb::kList, base_, collection_, result.transport));
}

void ListFetch::OnRefused(const ApiRefusal& refusal) {
  if (refusal.kind == ApiRefusal::Kind::kExpired ||
      refusal.kind == ApiRefusal::Kind::kTooLarge) {
    if (!query_.next.empty() && query_.limit > 0) {
      // The pages took longer than the server remembers: all in one.
      return Restart(query_.resource_version, 0);
    }
    if (query_.resource_version.has_value()) {
      result_.version_refused = true;
      return Restart(std::nullopt, options_.page_limit);
    }
  }
  result_.server_failed = refusal.code >= 500;
  result_.retry_after_ms = refusal.retry_after_ms;
  Finish(RefusalError(Verb::kList, base_, collection_, refusal));
}

void ListFetch::OnPage() {
  absl::StatusOr<ListEnvelope> page = scanner_.Finish(collection_.resource());
  if (!page.ok()) return Reject(page.status());
  // Later pages are of the same version; should a server think otherwise, a
  // watch from the first one's misses nothing.
  if (++pages_ == 1) {
    result_.resource_version = std::move(page->resource_version);
  }
  if (page->next.empty()) return Finish(absl::OkStatus());
  const absl::Status status = TakeNext(std::move(page->next));
  if (!status.ok()) return Reject(status);
  RequestPage();
}

absl::Status ListFetch::TakeNext(std::string next) {
  if (pages_ >= MaxPages(options_)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more than ", MaxPages(options_), " pages"));
  }
  if (!tokens_.insert(next).second) {
    return absl::InvalidArgumentError(
        "the pages go round in circles: a continue token came twice");
  }
  query_.next = std::move(next);
  return absl::OkStatus();
}

// The answer came and is of no use.
void ListFetch::Reject(const absl::Status& error) {
  ++stats_->rejected;
  Finish(RequestError(Verb::kList, base_, collection_, error));
}

void ListFetch::Finish(const absl::Status& error) {
  active_ = false;
  scanner_.Reset();
  tokens_ = {};
  if (!error.ok()) sink_->BeginList();  // gives up what was staged
  result_.error = error;
  on_result_(std::exchange(result_, ListFetchResult()));
}

}  // namespace dynweight

// One complete list of a collection.

#include "watcher/kubernetes/list_fetch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/api_document.h"
#include "watcher/kubernetes/protobuf/object_json.h"

namespace dynweight {
namespace {

constexpr uint32_t kMinPages = 1000;
// Fewest objects a page is asked for.
constexpr uint32_t kMinPageLimit = 10;
// A connection may break for many reasons; at the second time in a row the
// length of the list may be the one.
constexpr int kCutsBeforePages = 2;
// A server that waits for a version says after 3 s that it has not come to it,
// which is within the second one's timeout.
constexpr int kSilencesBeforeNoVersion = 2;
constexpr int kSilencesBeforePages = 3;
// To 40 s from 5 s, where an API server ends a request itself after 60.
constexpr int kMaxDoublings = 3;
// What comes steadily may take so many times the timeout. It only ends an
// answer that drips: a page has 500 objects, a MB or two.
constexpr int64_t kTotalTimeouts = 12;

uint32_t MaxPages(const ReflectorOptions& options) {
  const uint32_t full = options.max_objects / std::max(options.page_limit, 1u);
  return std::max(kMinPages, 2 * full);
}

}  // namespace

ListFetch::ListFetch(const ReflectorOptions& options, HttpTransport* transport,
                     ObjectSink* sink, DiscoveryStats* stats,
                     OnResult on_result)
    : options_(options),
      transport_(transport),
      sink_(sink),
      stats_(stats),
      on_result_(std::move(on_result)),
      page_limit_(options.page_limit),
      items_(options.max_line_bytes),
      scanner_(options.max_line_bytes) {}

void ListFetch::Begin(std::string base, const Credentials* credentials,
                      const Collection* collection,
                      std::optional<std::string> version) {
  Cancel();
  base_ = std::move(base);
  credentials_ = credentials;
  collection_ = collection;
  result_ = ListFetchResult();
  active_ = true;
  // The cache has no pages: with any version it gives all at once.
  if (in_pages_ && version == "0") version.reset();
  // A server without a cache heeds the limit beside "0". Beside another version
  // it would keep those that have a cache from using it.
  const bool limited = in_pages_ || version.value_or("0") == "0";
  Restart(std::move(version), limited ? page_limit_ : 0);
}

void ListFetch::Cancel() {
  if (!active_) return;
  active_ = false;
  transport_->Cancel(id_);
}

void ListFetch::Restart(std::optional<std::string> version, uint32_t limit) {
  kind_ = FindProtobufKind(collection_->path);
  result_.asked_version = version;
  query_ = {std::move(version), limit, ""};
  tokens_.clear();
  pages_ = objects_ = 0;
  sink_->SetResource(collection_->resource());
  sink_->BeginList();
  RequestPage();
}

// Whether the answer under way is to hold the whole list.
bool ListFetch::Whole() const {
  return query_.limit == 0 || query_.resource_version == "0";
}

void ListFetch::RequestPage() {
  scanner_.Reset();
  items_.Reset(kind_);
  protobuf_ = false;
  HttpRequest request;
  request.url = ListUrl(base_, *collection_, query_);
  request.credentials = credentials_;
  if (kind_ != nullptr) request.accept = kAcceptProtobuf;
  request.connect_timeout_ms = options_.timeout_ms;
  request.silence_timeout_ms = options_.timeout_ms
                               << std::min(silent_in_a_row_, kMaxDoublings);
  request.total_timeout_ms = kTotalTimeouts * options_.timeout_ms;
  request.max_body = options_.max_list_bytes;
  request.compressed = true;
  ++stats_->requests;
  id_ = transport_->Start(request, this);
}

void ListFetch::OnStatus(int /*http_status*/, std::string_view content_type) {
  protobuf_ = kind_ != nullptr && IsProtobuf(content_type);
}

bool ListFetch::OnBody(std::string_view data) {
  stats_->bytes += data.size();
  const absl::Status status =
      protobuf_
          ? items_.Append(
                data, [this](std::string_view text) { return TakeJson(text); })
          : TakeJson(data);
  if (status.ok()) return true;
  transport_->Cancel(id_);
  Reject(status);
  return false;
}

absl::Status ListFetch::TakeJson(std::string_view text) {
  return scanner_.Append(
      text, [this](std::string_view object) { return Stage(object); });
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
    return OnRefused(RefusalOfAnswer(
        result.http_status, result.retry_after_ms,
        protobuf_ ? StatusJson(error_body) : std::string(error_body)));
  }
  LearnFromFailure(result);
  if (absl::IsResourceExhausted(result.transport)) {
    return Reject(result.transport);
  }
  // A server that was restored from a copy would keep us waiting for ever.
  result_.version_suspect = query_.resource_version.value_or("0") != "0" &&
                            silent_in_a_row_ >= kSilencesBeforeNoVersion;
  result_.server_failed = absl::IsUnavailable(result.transport) ||
                          absl::IsDeadlineExceeded(result.transport);
  Finish(RequestError(Verb::kList, base_, *collection_, result.transport));
}

// Asked again in the same way, a list that is too large fails in the same way.
void ListFetch::LearnFromFailure(const HttpResult& result) {
  const bool began = result.http_status == 200;
  const bool cut = began && absl::IsUnavailable(result.transport);
  cut_in_a_row_ = cut ? cut_in_a_row_ + 1 : 0;
  const bool late = absl::IsDeadlineExceeded(result.transport);
  const bool silent = late && result.http_status == 0;
  silent_in_a_row_ = silent ? silent_in_a_row_ + 1 : 0;
  // A silence before the answer may be due to the version as well: the next
  // list goes without it, and is no whole one.
  const bool too_slow =
      late && (!silent || (silent_in_a_row_ >= kSilencesBeforePages &&
                           query_.resource_version.value_or("0") == "0"));
  const bool too_large = began && absl::IsResourceExhausted(result.transport);
  if (!too_slow && !too_large && cut_in_a_row_ < kCutsBeforePages) return;
  if (Whole()) {
    in_pages_ = true;
  } else {
    page_limit_ =
        std::min(page_limit_, std::max(page_limit_ / 4, kMinPageLimit));
  }
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
      return Restart(std::nullopt, page_limit_);
    }
  }
  silent_in_a_row_ = 0;
  // 400: some server's version means nothing to this one. 504: it, or
  // something between, has waited for the version in vain.
  result_.version_suspect = query_.resource_version.value_or("0") != "0" &&
                            (refusal.code == 400 || refusal.code == 504);
  result_.http_status = refusal.code;
  result_.absent = refusal.code == 404 && refusal.missing_member.empty();
  result_.server_failed = refusal.code >= 500;
  result_.retry_after_ms = refusal.retry_after_ms;
  Finish(RefusalError(Verb::kList, base_, *collection_, refusal));
}

void ListFetch::OnPage() {
  if (protobuf_) {
    const absl::Status status =
        items_.Finish([this](std::string_view text) { return TakeJson(text); });
    if (!status.ok()) return Reject(status);
  }
  absl::StatusOr<ListEnvelope> page = scanner_.Finish(collection_->resource());
  if (!page.ok()) return Reject(page.status());
  // Later pages are of the same version; should a server think otherwise, a
  // watch from the first one's misses nothing.
  if (++pages_ == 1) {
    result_.resource_version = std::move(page->resource_version);
  }
  silent_in_a_row_ = 0;
  if (page->next.empty()) {
    cut_in_a_row_ = 0;
    return Finish(absl::OkStatus());
  }
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
        "duplicate continue token: the pages of the list would never end");
  }
  query_.next = std::move(next);
  return absl::OkStatus();
}

// The answer came and is of no use.
void ListFetch::Reject(const absl::Status& error) {
  ++stats_->rejected;
  Finish(RequestError(Verb::kList, base_, *collection_, error));
}

void ListFetch::Finish(const absl::Status& error) {
  active_ = false;
  scanner_.Reset();
  items_.Reset(nullptr);
  tokens_ = {};
  if (!error.ok()) sink_->BeginList();  // gives up what was staged
  result_.error = error;
  on_result_(std::exchange(result_, ListFetchResult()));
}

}  // namespace dynweight

// See http_poller.h.

#include "watcher/nacos/http_poller.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/nacos/http_refusal.h"
#include "watcher/text/url_text.h"
#include "weightcalc/clock.h"

namespace dynweight {
namespace {

constexpr size_t kLanes = 8;
constexpr size_t kMaxBodyBytes = 8 << 20;
// Of a server that is away, so that its return is seen within 5 s.
constexpr int64_t kBackoffCapMs = 2400;
constexpr int64_t kOtherServerMs = 100;
constexpr int64_t kLoginSpacingMs = 60000;

struct Version {
  NacosApi api;
  const char* path;
  const char* clusters;  // the parameter's name
};
// In the order in which they are tried: v3's list lacks the protection
// threshold, so that each service takes more, for administrators and of one
// cluster each, which show who is healthy in truth.
constexpr Version kVersions[] = {
    {NacosApi::kV2, "/v2/ns/instance/list", "clusterName"},
    {NacosApi::kV1, "/v1/ns/instance/list", "clusters"},
    {NacosApi::kV3, "/v3/client/ns/instance/list", "clusterName"},
};
constexpr size_t kVersionCount = 3;
constexpr char kAdminPath[] = "/v3/admin/ns/instance/list";

}  // namespace

HttpPoller::HttpPoller(const NacosOptions& options, HttpTransport* transport,
                       DiscoveryDelegate* delegate, ServiceTable* table,
                       NacosLogin* login, DiscoveryStats* stats,
                       std::function<double()> random,
                       std::function<void(const Round& round)> ended)
    : options_(options),
      delegate_(delegate),
      table_(table),
      login_(login),
      stats_(stats),
      random_(random),
      ended_(std::move(ended)),
      backoff_(kBackoffCapMs, std::move(random)) {
  for (size_t i = 0; i < std::min(kLanes, table_->size()); ++i) {
    lanes_.push_back(std::make_unique<Lane>(transport));
  }
}

void HttpPoller::Start(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  next_at_ = now_ms_;
  Tick(now_ms);
}

void HttpPoller::Stop() {
  CancelLanes();
  if (active_) login_->Cancel();
  active_ = requested_ = false;
  next_at_ = kNever;
}

int64_t HttpPoller::DeadlineMs() const { return active_ ? kNever : next_at_; }

void HttpPoller::Tick(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  if (!active_ && now_ms_ >= next_at_) BeginRound();
}

// Only noted, as the delegate may call this from within OnList().
void HttpPoller::RequestRound(int64_t now_ms) {
  if (next_at_ == kNever && !active_) return;  // stopped
  requested_ = true;
  // A server that fails is not asked sooner.
  if (!active_ && first_error_.ok()) next_at_ = std::min(next_at_, now_ms);
}

void HttpPoller::BeginRound() {
  active_ = true;
  requested_ = false;
  base_ = delegate_->ApiBase();
  if (base_ != std::exchange(last_base_, base_)) blind_ = false;
  began_ms_ = now_ms_;
  logged_in_ = false;
  versions_asked_ = 1;
  first_error_ = absl::OkStatus();
  to_ask_.clear();
  for (size_t i = 0; i < table_->size(); ++i) to_ask_.push_back(i);
  if (login_->Needed(*delegate_->credentials(), now_ms_)) return Login();
  Go();
}

void HttpPoller::Login() {
  logged_in_ = true;
  ++stats_->requests;
  login_->Begin(base_, *delegate_->credentials(), now_ms_,
                [this](const absl::Status& error) { OnLogin(error); });
}

void HttpPoller::OnLogin(const absl::Status& error) {
  if (error.ok()) return Go();
  FailRound(error, /*server_failed=*/true, -1);
}

// Gives each idle lane a service; ends the round when there is none left.
void HttpPoller::Go() {
  bool any = false;
  for (const auto& lane : lanes_) {
    if (!active_) return;
    if (!lane->fetch.active() && !to_ask_.empty()) {
      lane->service = to_ask_.front();
      lane->all.reset();
      to_ask_.pop_front();
      Ask(lane.get());
    }
    any |= lane->fetch.active();
  }
  if (!any) EndRound();
}

std::string HttpPoller::UrlOf(const Lane& lane) const {
  const Version& version = kVersions[version_];
  const NacosSource& source = table_->source(lane.service);
  std::string url = absl::StrCat(base_, lane.all ? kAdminPath : version.path);
  AppendUrlParameter("namespaceId", options_.ns, &url);
  AppendUrlParameter("groupName", source.group, &url);
  AppendUrlParameter("serviceName", source.service, &url);
  std::string clusters = lane.all ? lane.clusters.back() : source.Clusters();
  // v3 takes none for DEFAULT; a comma names none and is not none.
  if (clusters.empty() && !lane.all && version.api == NacosApi::kV3) {
    clusters.push_back(',');
  }
  if (!clusters.empty()) AppendUrlParameter(version.clusters, clusters, &url);
  for (const auto& [name, value] :
       login_->Signature(*delegate_->credentials(), source.GroupedName())) {
    AppendUrlParameter(name, value, &url);
  }
  return url;
}

void HttpPoller::Ask(Lane* lane) {
  HttpRequest request;
  request.url = UrlOf(*lane);
  request.credentials = delegate_->credentials();
  if (!login_->token().empty()) {
    request.headers.push_back(
        absl::StrCat("Authorization: Bearer ", login_->token()));
  }
  request.connect_timeout_ms = options_.timeout_ms;
  request.silence_timeout_ms = options_.timeout_ms;
  request.total_timeout_ms = 4 * options_.timeout_ms;
  request.max_body = kMaxBodyBytes;
  request.compressed = true;
  ++stats_->requests;
  lane->fetch.Begin(
      request, [this, lane](const HttpResult& result, const std::string& body) {
        stats_->bytes += body.size();
        OnAnswer(lane, result, body);
      });
}

void HttpPoller::OnAnswer(Lane* lane, const HttpResult& result,
                          const std::string& body) {
  if (absl::IsResourceExhausted(result.transport)) {
    ++stats_->rejected;
    return RefuseService(lane,
                         ErrorOf(*lane, result.transport.code(),
                                 std::string(result.transport.message())));
  }
  if (!result.transport.ok()) {
    return FailRound(
        ErrorOf(*lane, result.transport.code(),
                std::string(result.transport.message())),
        /*server_failed=*/!absl::IsUnauthenticated(result.transport), -1);
  }
  if (result.http_status == 200) return OnList(lane, body);
  OnRefused(lane, result, body);
}

void HttpPoller::OnList(Lane* lane, const std::string& body) {
  const NacosApi api = kVersions[version_].api;
  absl::StatusOr<ServiceAnswer> answer = ReadServiceList(api, body);
  if (!answer.ok()) {
    ++stats_->rejected;
    return RefuseService(lane, ErrorOf(*lane, answer.status().code(),
                                       std::string(answer.status().message())));
  }
  if (lane->all) {
    if (!TakeHealthy(lane, *answer)) return Ask(lane);
    answer = *std::exchange(lane->all, std::nullopt);
  } else if (api == NacosApi::kV3 && answer->hosts != 0 && !blind_ &&
             answer->clusters.size() <= ServiceAnswer::kMaxClusters) {
    lane->all = *std::move(answer);
    lane->clusters = lane->all->clusters;
    lane->healthy = ServiceAnswer();
    return Ask(lane);
  }
  table_->Take(lane->service, *std::move(answer));
  Go();
}

// Whether that was the last of the lists that say who is healthy.
bool HttpPoller::TakeHealthy(Lane* lane, const ServiceAnswer& answer) {
  std::vector<Instance>& healthy = lane->healthy.instances;
  healthy.insert(healthy.end(), answer.instances.begin(),
                 answer.instances.end());
  lane->clusters.pop_back();
  if (!lane->clusters.empty()) return false;
  std::sort(healthy.begin(), healthy.end());
  lane->all->at_protection_threshold =
      ReachesProtectionThreshold(*lane->all, lane->healthy);
  return true;
}

void HttpPoller::OnRefused(Lane* lane, const HttpResult& result,
                           const std::string& body) {
  const int status = result.http_status;
  if (lane->all && !IsServerFailure(status)) {
    blind_ = true;
    table_->Take(lane->service, *std::exchange(lane->all, std::nullopt));
    return Go();
  }
  if (IsAbsentApi(status)) return OnAbsentApi(result, body);
  const std::string text = DescribeRefusal(status, body);
  if (IsDenied(status)) return OnDenied(lane, text);
  if (IsServerFailure(status)) {
    return FailRound(ErrorOf(*lane, absl::StatusCode::kUnavailable, text),
                     /*server_failed=*/true, result.retry_after_ms);
  }
  RefuseService(lane, ErrorOf(*lane, absl::StatusCode::kInvalidArgument, text));
}

// The round begins again by the next version. What was answered until now by
// this one stands: it is asked for again all the same.
void HttpPoller::OnAbsentApi(const HttpResult& result,
                             const std::string& body) {
  CancelLanes();
  version_ = (version_ + 1) % kVersionCount;
  blind_ = false;
  if (++versions_asked_ > kVersionCount) {
    return FailRound(
        absl::NotFoundError(absl::StrCat(
            base_, ": ", DescribeRefusal(result.http_status, body),
            ": no version of Nacos's API is there; does api end with the "
            "server's context path, such as /nacos, and is the port that of "
            "the server and not of its console?")),
        /*server_failed=*/true, -1);
  }
  to_ask_.clear();
  for (size_t i = 0; i < table_->size(); ++i) to_ask_.push_back(i);
  Go();
}

void HttpPoller::OnDenied(Lane* lane, const std::string& text) {
  const std::string& user = delegate_->credentials()->user;
  if (!user.empty() && !logged_in_ && now_ms_ >= login_not_before_ms_) {
    // The token may have been taken back: all that is under way has it.
    for (const auto& other : lanes_) {
      if (other.get() == lane || other->fetch.active()) {
        to_ask_.push_back(other->service);
      }
    }
    CancelLanes();
    login_->Forget();
    return Login();
  }
  if (logged_in_) login_not_before_ms_ = now_ms_ + kLoginSpacingMs;
  RefuseService(
      lane, ErrorOf(*lane, absl::StatusCode::kPermissionDenied,
                    absl::StrCat(text, DeniedMend(*delegate_->credentials()))));
}

void HttpPoller::RefuseService(Lane* lane, const absl::Status& error) {
  table_->Refuse(lane->service,
                 std::string(error.message().data(), error.message().size()));
  if (first_error_.ok()) first_error_ = error;
  Go();
}

void HttpPoller::EndRound() {
  active_ = false;
  ++stats_->lists;
  // So that many edges don't ask in step.
  const double part = 0.9 + 0.1 * random_();
  next_at_ = std::max(
      now_ms_, began_ms_ + static_cast<int64_t>(
                               static_cast<double>(options_.interval_ms) *
                               (stats_->lists == 1 ? random_() : part)));
  failed_ = 0;
  if (first_error_.ok()) {
    backoff_.Healthy(now_ms_);
  } else {
    ++stats_->failures;
  }
  if (requested_) next_at_ = now_ms_;
  ended_({true, base_, began_ms_, first_error_});
}

void HttpPoller::FailRound(const absl::Status& error, bool server_failed,
                           int64_t retry_after_ms) {
  CancelLanes();
  active_ = false;
  first_error_ = error;
  ++stats_->failures;
  if (retry_after_ms >= 0) delegate_->OnApiBusy(base_, retry_after_ms);
  if (server_failed) delegate_->OnApiFailure(base_);
  int64_t wait_ms = std::max(backoff_.Failed(now_ms_), retry_after_ms);
  // Another server is asked without delay, once.
  if (failed_++ == 0 && delegate_->ApiBase() != base_) wait_ms = kOtherServerMs;
  next_at_ = now_ms_ + wait_ms;
  ended_({false, base_, began_ms_, error});
}

void HttpPoller::CancelLanes() {
  for (const auto& lane : lanes_) lane->fetch.Cancel();
}

absl::Status HttpPoller::ErrorOf(const Lane& lane, absl::StatusCode code,
                                 const std::string& text) const {
  return absl::Status(
      code, absl::StrCat(base_, kVersions[version_].path, " of ",
                         table_->source(lane.service).Key(), ": ", text));
}

}  // namespace dynweight

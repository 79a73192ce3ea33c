// See grpc_subscriber.h.

#include "watcher/nacos/grpc_subscriber.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/nacos/http_refusal.h"
#include "watcher/text/json_text.h"
#include "watcher/text/json_value.h"
#include "weightcalc/clock.h"

namespace dynweight {
namespace {

// A server allows 100 streams and more at a time, one of which is the stream.
constexpr size_t kMaxCalls = 32;
constexpr int64_t kHealthMs = 5000;
// Pushes may get lost: subscribed again after so long, and up to twice that.
constexpr int64_t kSyncMs = 300000;
// By how much one answer may overtake another. What is older than that was made
// by a clock that was set back.
constexpr uint64_t kOvertakenMs = 10000;
constexpr int64_t kSyncSpacingMs = 1000;
constexpr int64_t kUnregisteredMs = 100;
constexpr int kMaxUnregistered = 50;
constexpr size_t kMaxServiceNameBytes = 1024;
// Of com.alibaba.nacos.api.remote.response.ErrorResponse.
constexpr int kUnregisteredCode = 301;
constexpr int kDeniedCode = 403;

std::string Named(const char* name, std::string_view value) {
  return absl::StrCat("\"", name,
                      "\":", JsonString(value, kMaxServiceNameBytes));
}

// {"resultCode":500,"errorCode":403,"message":"..."}
struct Result {
  bool ok = false;
  double code = 0;
  std::string text;
};

Result ReadResult(JsonReader* reader, const cJSON* root) {
  Result result;
  const double result_code = reader->Number(root, "resultCode").value_or(0);
  result.code = reader->Number(root, "errorCode").value_or(0);
  const std::string_view message =
      reader->String(root, "message", kMaxRefusalBytes);
  result.ok = reader->ok() && result_code == 200;
  result.text = absl::StrCat("the server answers with code ", result.code, ", ",
                             JsonString(message, kQuotedRefusalBytes));
  return result;
}

// What no other connection of the process has.
uint64_t ConnectionNumber() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

}  // namespace

GrpcSubscriber::GrpcSubscriber(const NacosOptions& options,
                               HttpTransport* transport,
                               DiscoveryDelegate* delegate, ServiceTable* table,
                               NacosLogin* login, DiscoveryStats* stats,
                               std::function<double()> random, Events events)
    : options_(options),
      transport_(transport),
      delegate_(delegate),
      table_(table),
      login_(login),
      stats_(stats),
      random_(std::move(random)),
      events_(std::move(events)) {
  for (size_t i = 0; i < table_->size(); ++i) {
    const NacosSource& source = table_->source(i);
    const auto [it, first] =
        by_name_.try_emplace(source.GroupedName(), services_.size());
    if (first) services_.push_back({source.group, source.service, {}, 0});
    services_[it->second].members.push_back(i);
  }
}

void GrpcSubscriber::Begin(const std::string& base, int64_t now_ms) {
  Stop();
  now_ms_ = std::max(now_ms_, now_ms);
  base_ = base;
  unregistered_ = 0;
  logged_in_ = false;
  const absl::StatusOr<std::string> url = GrpcUrl(base);
  if (!url.ok()) return Fail(url.status());
  url_ = *url;
  if (login_->Needed(*delegate_->credentials(), now_ms_)) return Login();
  Connect();
}

void GrpcSubscriber::Stop() {
  if (state_ == State::kLogin) login_->Cancel();
  if (connection_ != nullptr) {
    connection_->Close();
    ended_.push_back(std::move(connection_));
  }
  state_ = State::kIdle;
  synced_ = requested_ = false;
  sync_at_ms_ = health_at_ms_ = kNever;
  to_ask_.clear();
  asking_ = 0;
}

// Logs in for a connection that is to be, or for the sync under way.
void GrpcSubscriber::Login() {
  state_ = State::kLogin;
  logged_in_ = true;
  ++stats_->requests;
  login_->Begin(base_, *delegate_->credentials(), now_ms_,
                [this](const absl::Status& error) {
                  if (!error.ok()) return Fail(error);
                  if (connection_ == nullptr) return Connect();
                  state_ = State::kSubscribing;
                  Go();
                });
}

void GrpcSubscriber::Connect() {
  state_ = State::kConnecting;
  connection_ = std::make_unique<GrpcConnection>(
      ConnectionNumber(), url_, options_.timeout_ms, transport_,
      delegate_->credentials(), stats_,
      GrpcConnection::Events{
          [this] { OnReady(); },
          [this](const std::string& type, const cJSON* request) {
            OnPushed(type, request);
          },
          [this](const absl::Status& error) { Fail(error); }});
  for (Service& service : services_) service.made_ms = 0;
  connection_->Open(now_ms_);
}

void GrpcSubscriber::OnReady() {
  health_at_ms_ = now_ms_ + kHealthMs;
  Sync();
}

int64_t GrpcSubscriber::DeadlineMs() const {
  if (!ended_.empty()) return now_ms_;
  int64_t deadline = std::min(sync_at_ms_, health_at_ms_);
  if (connection_ != nullptr) {
    deadline = std::min(deadline, connection_->DeadlineMs());
  }
  return deadline;
}

void GrpcSubscriber::Tick(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  ended_.clear();
  if (connection_ != nullptr) connection_->Tick(now_ms_);
  if (connection_ == nullptr) return;
  if (now_ms_ >= health_at_ms_) CheckHealth();
  if (now_ms_ < sync_at_ms_) return;
  sync_at_ms_ = kNever;
  if (state_ == State::kSubscribed) return Sync();
  if (state_ == State::kSubscribing) Go();  // after a pause
}

// Only noted, as it may be called from within synced() or pushed().
void GrpcSubscriber::RequestSync(int64_t now_ms) {
  requested_ = true;
  if (state_ != State::kSubscribed) return;
  sync_at_ms_ =
      std::min(sync_at_ms_, std::max(now_ms, began_ms_ + kSyncSpacingMs));
}

void GrpcSubscriber::Sync() {
  state_ = State::kSubscribing;
  sync_at_ms_ = kNever;
  requested_ = false;
  logged_in_ = false;
  began_ms_ = now_ms_;
  first_error_ = absl::OkStatus();
  to_ask_.clear();
  for (size_t i = 0; i < services_.size(); ++i) to_ask_.push_back(i);
  if (login_->Needed(*delegate_->credentials(), now_ms_)) return Login();
  Go();
}

void GrpcSubscriber::Go() {
  while (state_ == State::kSubscribing && sync_at_ms_ == kNever &&
         asking_ < kMaxCalls && !to_ask_.empty()) {
    const size_t service = to_ask_.front();
    to_ask_.pop_front();
    ++asking_;
    Subscribe(service);
  }
  if (state_ == State::kSubscribing && asking_ == 0 && to_ask_.empty()) {
    EndSync();
  }
}

void GrpcSubscriber::Subscribe(size_t index) {
  const Service& service = services_[index];
  GrpcMessage request;
  request.type = "SubscribeServiceRequest";
  request.json = absl::StrCat("{", Named("namespace", options_.ns), ",",
                              Named("serviceName", service.name), ",",
                              Named("groupName", service.group), ",",
                              Named("clusters", ""),
                              R"(,"subscribe":true,"module":"naming"})");
  // As clients of Nacos sign: each request anew, for the time is in it.
  request.headers =
      login_->Signature(*delegate_->credentials(),
                        table_->source(service.members[0]).GroupedName());
  const std::string& token = login_->token();
  if (!token.empty()) request.headers.emplace_back("accessToken", token);
  connection_->Call(
      request, [this, index, token](const absl::StatusOr<GrpcMessage>& answer) {
        OnAnswer(index, token, answer);
      });
}

void GrpcSubscriber::OnAnswer(size_t index, const std::string& token,
                              const absl::StatusOr<GrpcMessage>& answer) {
  --asking_;
  if (!answer.ok()) return Fail(answer.status());
  const absl::StatusOr<JsonDocument> document = ParseJson(answer->json);
  JsonReader reader("SubscribeServiceResponse");
  const cJSON* root = document.ok() ? reader.Root(document->get()) : nullptr;
  if (answer->type != "SubscribeServiceResponse" ||
      !ReadResult(&reader, root).ok) {
    OnRefused(index, token, *answer);
    return Go();
  }
  Take(&services_[index], reader.Object(root, "serviceInfo"));
  Go();
}

void GrpcSubscriber::OnRefused(size_t index, const std::string& token,
                               const GrpcMessage& answer) {
  const absl::StatusOr<JsonDocument> document = ParseJson(answer.json);
  JsonReader reader("answer");
  const Result result = ReadResult(
      &reader, document.ok() ? reader.Root(document->get()) : nullptr);
  if (result.code == kUnregisteredCode) {
    // A server that doesn't say when it has set the connection up, and has not.
    if (++unregistered_ > kMaxUnregistered) {
      return Fail(absl::UnavailableError(result.text));
    }
    to_ask_.push_back(index);
    sync_at_ms_ = now_ms_ + kUnregisteredMs;
    return;
  }
  const std::string& user = delegate_->credentials()->user;
  if (result.code == kDeniedCode && !user.empty()) {
    const bool renewed = token != login_->token();
    if (renewed || !logged_in_) to_ask_.push_back(index);
    if (!renewed && !logged_in_) {
      login_->Forget();
      return Login();
    }
    if (renewed) return;
  }
  Refuse(services_[index],
         absl::StrCat(
             base_, " of ", table_->source(services_[index].members[0]).Key(),
             ": ", result.text,
             result.code == kDeniedCode ? DeniedMend(*delegate_->credentials())
                                        : ""));
}

void GrpcSubscriber::Refuse(const Service& service, const std::string& why) {
  for (const size_t member : service.members) table_->Refuse(member, why);
  if (first_error_.ok()) first_error_ = absl::UnavailableError(why);
}

void GrpcSubscriber::OnPushed(const std::string& type, const cJSON* request) {
  if (type == "ConnectResetRequest") {
    // The server wants its connections elsewhere.
    delegate_->OnApiBusy(base_, kHealthMs);
    return Fail(absl::UnavailableError("the server asks to connect again"));
  }
  if (type != "NotifySubscriberRequest") return;
  JsonReader reader(type);
  const cJSON* root = reader.Root(request);
  const cJSON* info = reader.Object(root, "serviceInfo");
  std::string name(reader.String(info, "name", kMaxServiceNameBytes));
  const std::string group(
      reader.String(info, "groupName", kMaxServiceNameBytes));
  if (name.find("@@") == std::string::npos) {
    name = absl::StrCat(group, "@@", name);
  }
  const auto found = by_name_.find(name);
  if (!reader.ok() || info == nullptr || found == by_name_.end()) {
    ++stats_->rejected;
    return;
  }
  Take(&services_[found->second], info);
  events_.pushed();
}

void GrpcSubscriber::Take(Service* service, const cJSON* info) {
  for (const size_t member : service->members) {
    absl::StatusOr<ServiceAnswer> answer =
        ReadServiceInfo(info, table_->source(member).clusters);
    if (!answer.ok()) {
      ++stats_->rejected;
      return Refuse(*service,
                    absl::StrCat(base_, " of ", table_->source(member).Key(),
                                 ": ", answer.status().message()));
    }
    // Overtaken by what was pushed after it.
    if (answer->made_ms < service->made_ms &&
        service->made_ms - answer->made_ms < kOvertakenMs) {
      return;
    }
    if (member == service->members.back()) service->made_ms = answer->made_ms;
    table_->Take(member, *std::move(answer));
  }
}

void GrpcSubscriber::EndSync() {
  state_ = State::kSubscribed;
  synced_ = true;
  ++stats_->lists;
  sync_at_ms_ = now_ms_ + kSyncMs +
                static_cast<int64_t>(static_cast<double>(kSyncMs) * random_());
  if (requested_) sync_at_ms_ = now_ms_;
  events_.synced(began_ms_, first_error_);
}

void GrpcSubscriber::CheckHealth() {
  health_at_ms_ = kNever;
  if (!connection_->ready()) return;
  connection_->Call({"HealthCheckRequest", "{}", {}},
                    [this](const absl::StatusOr<GrpcMessage>& answer) {
                      if (!answer.ok()) return Fail(answer.status());
                      if (answer->type != "HealthCheckResponse") {
                        return Fail(absl::UnavailableError(
                            "the server does not know the connection"));
                      }
                      health_at_ms_ = now_ms_ + kHealthMs;
                      if (synced_) events_.healthy();
                    });
}

void GrpcSubscriber::Fail(const absl::Status& error) {
  Stop();
  ++stats_->failures;
  events_.failed(absl::Status(
      error.code(), absl::StrCat(base_, ", gRPC: ", error.message())));
}

}  // namespace dynweight

// See grpc_connection.h.

#include "watcher/nacos/grpc_connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "watcher/nacos/http_refusal.h"
#include "watcher/text/json_text.h"
#include "watcher/text/json_value.h"
#include "weightcalc/clock.h"

namespace dynweight {
namespace {

constexpr int kPortOffset = 1000;
// A server that doesn't say when it has set a connection up has done so by
// then.
constexpr int64_t kUnacknowledgedMs = 200;
constexpr size_t kMaxRequestIdBytes = 256;
constexpr char kSetup[] =
    R"({"clientVersion":"nginx-dynamic-weight:v0.1","tenant":"",)"
    R"("labels":{"source":"sdk","module":"naming"},"abilityTable":{}})";

// {"resultCode":200,"requestId":"7"} for a request of the server; of one that
// is no JSON the id is empty.
std::string AnswerTo(const cJSON* request) {
  JsonReader reader("request");
  const std::string_view id =
      reader.String(reader.Root(request), "requestId", kMaxRequestIdBytes);
  return absl::StrCat(R"({"resultCode":200,"requestId":)",
                      JsonString(id, kMaxRequestIdBytes), "}");
}

// "ClientDetectionRequest" is answered by "ClientDetectionResponse".
bool AnswerType(const std::string& type, std::string* answer) {
  constexpr absl::string_view kRequest = "Request";
  if (!absl::EndsWith(type, kRequest)) return false;
  *answer =
      absl::StrCat(type.substr(0, type.size() - kRequest.size()), "Response");
  return true;
}

absl::Status CallError(const HttpResult& result, const std::string& body) {
  if (!result.transport.ok()) return result.transport;
  if (result.http_status != 200) {
    return absl::UnavailableError(DescribeRefusal(result.http_status, body));
  }
  if (result.grpc_status > 0) {
    return absl::UnavailableError(
        absl::StrCat("gRPC status ", result.grpc_status));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> GrpcUrl(const std::string& base) {
  const bool tls = absl::StartsWith(base, "https://");
  const std::string scheme = tls ? "https://" : "http://";
  const std::string place =
      base.substr(scheme.size(), base.find('/', scheme.size()) - scheme.size());
  // An IPv6 address has colons of its own.
  const size_t colon = place.find(':', place.find(']') + 1);
  int port = tls ? 443 : 80;
  if (colon != std::string::npos &&
      !absl::SimpleAtoi(place.substr(colon + 1), &port)) {
    return absl::InvalidArgumentError("api has no port");
  }
  if (port + kPortOffset > UINT16_MAX) {
    return absl::UnimplementedError("api's port and 1000 is no port");
  }
  return absl::StrCat(scheme, place.substr(0, colon), ":", port + kPortOffset);
}

GrpcConnection::GrpcConnection(uint64_t number, std::string url,
                               int64_t timeout_ms, HttpTransport* transport,
                               const Credentials* credentials,
                               DiscoveryStats* stats, Events events)
    : number_(number),
      url_(std::move(url)),
      timeout_ms_(timeout_ms),
      transport_(transport),
      credentials_(credentials),
      stats_(stats),
      events_(std::move(events)) {}

GrpcConnection::~GrpcConnection() { Close(); }

void GrpcConnection::Close() {
  ended_ = true;
  if (std::exchange(streaming_, false)) transport_->Cancel(stream_);
  for (const auto& call : calls_) call->Cancel();
}

HttpRequest GrpcConnection::Request(const char* path,
                                    const std::string& body) const {
  HttpRequest request;
  request.url = absl::StrCat(url_, path);
  request.method = "POST";
  request.headers = {"Content-Type: application/grpc"};
  request.body = body;
  request.channel.number = number_;
  request.credentials = credentials_;
  request.connect_timeout_ms = timeout_ms_;
  return request;
}

void GrpcConnection::Open(int64_t now_ms) {
  now_ms_ = now_ms;
  due_ms_ = now_ms + 3 * timeout_ms_;
  Begin({"ServerCheckRequest", "{}", {}}, /*opens=*/true,
        [this](const absl::StatusOr<GrpcMessage>& answer) { OnCheck(answer); });
}

void GrpcConnection::Begin(const GrpcMessage& message, bool opens, Done done) {
  HttpRequest request = Request("/Request/request", WriteGrpcMessage(message));
  request.channel.opens = opens;
  request.silence_timeout_ms = timeout_ms_;
  request.total_timeout_ms = 4 * timeout_ms_;
  request.max_body = GrpcMessage::kMaxBytes + 1024;
  auto idle = std::find_if(calls_.begin(), calls_.end(),
                           [](const auto& call) { return !call->active(); });
  if (idle == calls_.end()) {
    idle = calls_.insert(calls_.end(), std::make_unique<HttpFetch>(transport_));
  }
  ++stats_->requests;
  (*idle)->Begin(request,
                 [this, done = std::move(done)](const HttpResult& result,
                                                const std::string& body) {
                   stats_->bytes += body.size();
                   if (ended_) return;
                   const absl::Status error = CallError(result, body);
                   if (!error.ok()) return done(error);
                   done(ReadGrpcAnswer(body));
                 });
}

void GrpcConnection::Call(const GrpcMessage& request, Done done) {
  Begin(request, /*opens=*/false, std::move(done));
}

void GrpcConnection::OnCheck(const absl::StatusOr<GrpcMessage>& answer) {
  if (!answer.ok()) return End(answer.status());
  const absl::StatusOr<JsonDocument> document = ParseJson(answer->json);
  if (answer->type != "ServerCheckResponse" || !document.ok()) {
    return End(absl::UnavailableError("the server does not say that it is up"));
  }
  JsonReader reader("ServerCheckResponse");
  const cJSON* root = reader.Root(document->get());
  acknowledges_ =
      reader.Bool(root, "supportAbilityNegotiation").value_or(false);
  OpenStream();
}

void GrpcConnection::OpenStream() {
  HttpRequest request =
      Request("/BiRequestStream/requestBiStream",
              WriteGrpcMessage({"ConnectionSetupRequest", kSetup, {}}));
  request.channel.streams = true;
  streaming_ = true;
  ++stats_->watches;
  stream_ = transport_->Start(request, this);
  if (!acknowledges_) ready_at_ms_ = now_ms_ + kUnacknowledgedMs;
}

int64_t GrpcConnection::DeadlineMs() const {
  return ready_ || ended_ ? kNever : std::min(ready_at_ms_, due_ms_);
}

void GrpcConnection::Tick(int64_t now_ms) {
  now_ms_ = std::max(now_ms_, now_ms);
  if (ready_ || ended_) return;
  if (now_ms_ >= ready_at_ms_) return BeReady();
  if (now_ms_ >= due_ms_) {
    End(absl::DeadlineExceededError("the server does not set up a connection"));
  }
}

void GrpcConnection::BeReady() {
  ready_ = true;
  events_.ready();
}

bool GrpcConnection::OnBody(std::string_view data) {
  stats_->bytes += data.size();
  if (ended_) return true;
  const absl::Status status =
      framing_.Append(data, [this](std::string_view payload) {
        OnPayload(payload);
        return absl::OkStatus();
      });
  if (!status.ok()) {
    ++stats_->rejected;
    End(status);
  }
  return true;
}

void GrpcConnection::OnPayload(std::string_view payload) {
  if (ended_) return;
  const absl::StatusOr<GrpcMessage> request = ReadGrpcPayload(payload);
  if (!request.ok()) {
    ++stats_->rejected;
    return End(request.status());
  }
  ++stats_->events;
  GrpcMessage answer;
  if (!AnswerType(request->type, &answer.type)) return;
  const absl::StatusOr<JsonDocument> document = ParseJson(request->json);
  const cJSON* root = document.ok() ? document->get() : nullptr;
  answer.json = AnswerTo(root);
  if (!transport_->Send(stream_, WriteGrpcMessage(answer))) {
    return End(absl::UnavailableError("the server takes no answers"));
  }
  if (request->type != "SetupAckRequest") {
    return events_.pushed(request->type, root);
  }
  if (!ready_) BeReady();
}

void GrpcConnection::OnDone(const HttpResult& result, std::string_view body) {
  streaming_ = false;
  absl::Status error = CallError(result, std::string(body));
  if (error.ok()) {
    error = absl::UnavailableError("the server has ended the connection");
  }
  End(error);
}

void GrpcConnection::End(const absl::Status& error) {
  if (std::exchange(ended_, true)) return;
  events_.ended(error);
}

}  // namespace dynweight

// See nacos_login.h.

#include "watcher/nacos/nacos_login.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "watcher/nacos/http_refusal.h"
#include "watcher/text/json_text.h"
#include "watcher/text/json_value.h"
#include "watcher/text/url_text.h"
#include "watcher/transport/credential_files.h"

namespace dynweight {
namespace {

constexpr const char* kPaths[] = {"/v1/auth/login", "/v3/auth/user/login"};
constexpr size_t kPathCount = 2;
constexpr size_t kMaxLoginBytes = 256 << 10;
constexpr uint64_t kMaxTtlSeconds = 365 * 86400;
constexpr size_t kQuotedUserBytes = 64;

}  // namespace

bool NacosLogin::Needed(const Credentials& credentials, int64_t now_ms) const {
  if (credentials.user.empty()) return false;
  return token_.empty() || now_ms >= renew_at_ms_ ||
         credentials.user != user_ || credentials.password != password_;
}

NamedValues NacosLogin::Signature(const Credentials& credentials,
                                  std::string_view service) const {
  if (credentials.access_key.empty()) return {};
  return SignRequest(credentials.access_key, credentials.secret, service,
                     clock_->UnixMs());
}

void NacosLogin::Forget() {
  token_.clear();
  renew_at_ms_ = INT64_MAX;
}

void NacosLogin::Begin(const std::string& base, const Credentials& credentials,
                       int64_t now_ms, Done done) {
  base_ = base;
  credentials_ = credentials;
  // They are for the files of Kubernetes, and would be sent beside ours.
  credentials_.token.clear();
  credentials_.token_file.clear();
  began_ms_ = now_ms;
  done_ = std::move(done);
  asked_ = 0;
  error_ = absl::OkStatus();
  Ask();
}

void NacosLogin::Ask() {
  ++asked_;
  HttpRequest request;
  request.method = "POST";
  request.url = absl::StrCat(base_, kPaths[path_]);
  request.credentials = &credentials_;
  request.body = "username=";
  AppendUrlEscaped(credentials_.user, &request.body);
  request.body += "&password=";
  AppendUrlEscaped(credentials_.password, &request.body);
  request.connect_timeout_ms = timeout_ms_;
  request.silence_timeout_ms = timeout_ms_;
  request.total_timeout_ms = 4 * timeout_ms_;
  request.max_body = kMaxLoginBytes;
  fetch_.Begin(request,
               [this](const HttpResult& result, const std::string& body) {
                 OnAnswer(result, body);
               });
}

void NacosLogin::OnAnswer(const HttpResult& result, const std::string& body) {
  if (!result.transport.ok()) {
    return done_(
        absl::Status(result.transport.code(),
                     absl::StrCat("login: ", result.transport.message())));
  }
  if (result.http_status == 200) return done_(TakeToken(body));
  const absl::Status refused = absl::UnauthenticatedError(absl::StrCat(
      "login as ", JsonString(credentials_.user, kQuotedUserBytes), ": ",
      DescribeRefusal(result.http_status, body),
      "; are user and password_file right? A server may answer so, too, when "
      "it is not well"));
  if (!IsAbsentApi(result.http_status) && error_.ok()) error_ = refused;
  path_ = (path_ + 1) % kPathCount;
  if (asked_ < kPathCount) return Ask();
  done_(error_.ok() ? refused : error_);
}

absl::Status NacosLogin::TakeToken(const std::string& body) {
  const absl::StatusOr<JsonDocument> document = ParseJson(body);
  if (!document.ok()) {
    return absl::InternalError(
        absl::StrCat("login: the answer ", document.status().message()));
  }
  JsonReader reader("login: the answer");
  const cJSON* root = reader.Root(document->get());
  const std::string_view text =
      reader.RequiredString(root, "accessToken", kMaxTokenBytes);
  const uint64_t ttl_s = reader.Count(root, "tokenTtl").value_or(0);
  if (!reader.ok()) return reader.status();
  absl::StatusOr<std::string> token = CheckToken(text, "login: accessToken");
  if (!token.ok()) return token.status();
  token_ = *std::move(token);
  user_ = credentials_.user;
  password_ = credentials_.password;
  renew_at_ms_ =
      began_ms_ + static_cast<int64_t>(std::min(ttl_s, kMaxTtlSeconds)) * 900;
  return absl::OkStatus();
}

const char* DeniedMend(const Credentials& credentials) {
  if (!credentials.access_key.empty()) {
    return "; are access_key, secret_file and this machine's clock right, and "
           "may the key read the namespace?";
  }
  if (!credentials.user.empty()) {
    return "; the user may not read it: grant it that right of the namespace";
  }
  return "; the server wants a login: write user and password_file, or "
         "access_key and secret_file";
}

}  // namespace dynweight

// See probe_check.h.

#include "watcher/probe/probe_check.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

ProbeOutcome Passed() {
  ProbeOutcome outcome;
  outcome.passed = true;
  return outcome;
}

ProbeOutcome Failed(ProbeReason reason, int status = 0) {
  ProbeOutcome outcome;
  outcome.reason = reason;
  outcome.status = static_cast<uint16_t>(status);
  return outcome;
}

ProbeOutcome OutcomeOf(HttpFailure failure) {
  switch (failure) {
    case HttpFailure::kNone:
      return Passed();
    case HttpFailure::kOwn: {
      ProbeOutcome outcome;
      outcome.tells = false;
      return outcome;
    }
    case HttpFailure::kConnect:
      return Failed(ProbeReason::kRefused);
    case HttpFailure::kNoConnect:
      return Failed(ProbeReason::kNoConnect);
    case HttpFailure::kTls:
      return Failed(ProbeReason::kTls);
    case HttpFailure::kNoAnswer:
      return Failed(ProbeReason::kNoAnswer);
    case HttpFailure::kAnswer:
      return Failed(ProbeReason::kClosed);
    case HttpFailure::kNotHttp:
      return Failed(ProbeReason::kGarbage);
  }
  return Failed(ProbeReason::kGarbage);
}

}  // namespace

ProbeCheck::ProbeCheck(const ProbeConfig* config, const IpAddress& address,
                       uint16_t port, HttpTransport* transport, Done done)
    : config_(config), transport_(transport), done_(std::move(done)) {
  std::string host = address.ToString();
  if (address.family == IpAddress::kIpv6) host = absl::StrCat("[", host, "]");
  if (!config->host.empty()) {
    request_.address = host;
    host = config->host;
    // As a client writes it that knows no other port.
    if (config->http()) request_.headers = {absl::StrCat("Host: ", host)};
  }
  request_.url = absl::StrCat(config->tls() ? "https://" : "http://", host, ":",
                              port, config->http() ? config->uri : "/");
  request_.accept = "*/*";
  request_.credentials = &config->trust;
  request_.connect_timeout_ms = config->timeout_ms;
  request_.total_timeout_ms = config->timeout_ms;
  request_.fresh_connection = true;
  request_.connect_only = !config->http();
}

ProbeCheck::~ProbeCheck() {
  if (running()) transport_->Cancel(transfer_);
}

void ProbeCheck::Start() {
  body_.clear();
  transfer_ = transport_->Start(request_, this);
}

void ProbeCheck::OnStatus(int http_status, std::string_view) {
  if (!config_->Accepts(http_status)) {
    End(Failed(ProbeReason::kStatus, http_status));
  } else if (config_->body.empty()) {
    End(Passed());
  }
}

bool ProbeCheck::OnBody(std::string_view data) {
  Look(data);
  return running();
}

void ProbeCheck::Look(std::string_view data) {
  body_.append(data.substr(0, ProbeConfig::kMaxBodyBytes - body_.size()));
  if (body_.find(config_->body) != body_.npos) {
    End(Passed());
  } else if (body_.size() == ProbeConfig::kMaxBodyBytes) {
    End(Failed(ProbeReason::kBody));
  }
}

// The whole answer came, or none.
void ProbeCheck::OnDone(const HttpResult& result, std::string_view error_body) {
  if (!result.transport.ok() || !config_->http()) {
    End(OutcomeOf(result.transport.ok() ? HttpFailure::kNone : result.failure));
    return;
  }
  if (result.http_status == 0) {
    // libcurl takes a header that is cut off for one that is complete.
    End(Failed(ProbeReason::kClosed));
    return;
  }
  // Of another status than 200 the transport keeps the body.
  Look(error_body);
  if (running()) End(Failed(ProbeReason::kBody));
}

void ProbeCheck::End(const ProbeOutcome& outcome) {
  transport_->Cancel(std::exchange(transfer_, 0));
  done_(outcome);
}

}  // namespace dynweight

// What libcurl's errors mean; see curl_request.h.

#include <curl/curl.h>

#include <cctype>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "watcher/transport/curl_request.h"

namespace dynweight {
namespace {

// "… port 6443 after 12 ms: Connection refused" without the time it took.
std::string WithoutDuration(std::string text) {
  constexpr std::string_view kAfter = " after ";
  constexpr std::string_view kMs = " ms";
  const size_t begin = text.find(kAfter);
  if (begin == std::string::npos) return text;
  size_t end = begin + kAfter.size();
  while (end < text.size() &&
         std::isdigit(static_cast<unsigned char>(text[end])))
    ++end;
  if (text.compare(end, kMs.size(), kMs) != 0) return text;
  return text.erase(begin, end + kMs.size() - begin);
}

// "https://user:secret@host" without user and secret.
std::string WithoutUserinfo(std::string text) {
  for (size_t at = 0; (at = text.find("://", at)) != std::string::npos;) {
    at += 3;
    const size_t end = text.find_first_of("/ '\"", at);
    const size_t sign = text.substr(0, end).rfind('@');
    if (sign != std::string::npos && sign >= at) text.erase(at, sign + 1 - at);
  }
  return text;
}

// "host:7" of a channel with the port of the server. Of a handshake that failed
// libcurl 8 does not say with whom.
std::string WithPort(std::string text, CURLcode code,
                     const CurlRequest& request) {
  const std::string& own = request.channel_port;
  if (own.empty()) return text;
  const size_t at = text.find(":" + own);
  const size_t end = at + 1 + own.size();
  if (at != std::string::npos &&
      (end >= text.size() ||
       !std::isdigit(static_cast<unsigned char>(text[end])))) {
    return text.replace(at + 1, own.size(), request.port);
  }
  if (code != CURLE_SSL_CONNECT_ERROR) return text;
  return absl::StrCat(text, " in connection to ", request.host, ":",
                      request.port);
}

const char* Mend(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
      return "is the address in api right, and is the server up?";
    case CURLE_COULDNT_RESOLVE_PROXY:
#if LIBCURL_VERSION_NUM >= 0x074900
    case CURLE_PROXY:
#endif
      return "see proxy-url in the kubeconfig";
    case CURLE_SSL_CONNECT_ERROR:
      return "does api name a TLS port, and are client_certificate and its key "
             "right?";
    case CURLE_PEER_FAILED_VERIFICATION:
      return "does ca_file hold the authority that signed the server's "
             "certificate, and is tls_server_name (or the host in api) in it?";
    case CURLE_SSL_CACERT_BADFILE:
      return "ca_file must hold certificates as PEM";
    case CURLE_SSL_CERTPROBLEM:
      return "client_certificate and client_certificate_key must be PEM and "
             "belong together, the key without a password";
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return "api must name an HTTP server, and https for a TLS port";
    default:
      return nullptr;
  }
}

// Of a request that was cut before it was sent. libcurl counts a connection of
// which the handshake is missing as none, but its socket has a port. libcurl 8
// knows none (-1) until the handshake is over: a name for both, then.
bool WaitedForHandshake(const CurlRequest& request) {
  long local_port = 0;
  curl_easy_getinfo(request.easy.get(), CURLINFO_LOCAL_PORT, &local_port);
  if (local_port >= 0) return local_port != 0;
  const char* url = nullptr;
  curl_easy_getinfo(request.easy.get(), CURLINFO_EFFECTIVE_URL, &url);
  return url != nullptr && std::string_view(url).substr(0, 6) == "https:";
}

}  // namespace

absl::Status CurlError(CURLcode code, const std::string& detail,
                       const CurlRequest& request) {
  if (code == CURLE_OPERATION_TIMEDOUT) {
    curl_off_t transfer_begins = 0;
    curl_easy_getinfo(request.easy.get(), CURLINFO_PRETRANSFER_TIME_T,
                      &transfer_begins);
    if (transfer_begins == 0) {
      return absl::UnavailableError(
          "no connection within timeout; is the address in api right, and is "
          "the server up?");
    }
    return absl::DeadlineExceededError(
        "no complete answer within many times timeout");
  }
  std::string text;
  switch (code) {
    case CURLE_OUT_OF_MEMORY:
      return absl::ResourceExhaustedError("no memory");
    case CURLE_PARTIAL_FILE:
      text = "the connection was closed in the middle of the answer";
      break;
    default:
      text = detail.empty() ? curl_easy_strerror(code)
                            : WithPort(WithoutUserinfo(WithoutDuration(detail)),
                                       code, request);
  }
  if (code == CURLE_COULDNT_CONNECT) {
    long error = 0;
    curl_easy_getinfo(request.easy.get(), CURLINFO_OS_ERRNO, &error);
    char buffer[128];
    if (error != 0) {
      absl::StrAppend(
          &text, " (",
          strerror_r(static_cast<int>(error), buffer, sizeof(buffer)), ")");
    }
  }
  if (const char* mend = Mend(code)) absl::StrAppend(&text, "; ", mend);
  return absl::UnavailableError(text);
}

HttpFailure CurlFailure(CURLcode code, const CurlRequest& request) {
  curl_off_t transfer_begins = 0;
  long error = 0;
  switch (code) {
    case CURLE_OK:
      return HttpFailure::kNone;
    case CURLE_OPERATION_TIMEDOUT:
      curl_easy_getinfo(request.easy.get(), CURLINFO_PRETRANSFER_TIME_T,
                        &transfer_begins);
      if (transfer_begins != 0) return HttpFailure::kNoAnswer;
      return WaitedForHandshake(request) ? HttpFailure::kTls
                                         : HttpFailure::kNoConnect;
    case CURLE_COULDNT_CONNECT:
      curl_easy_getinfo(request.easy.get(), CURLINFO_OS_ERRNO, &error);
      return error == ECONNREFUSED || error == ECONNRESET ||
                     error == EHOSTUNREACH || error == ENETUNREACH ||
                     error == ETIMEDOUT || error == EHOSTDOWN
                 ? HttpFailure::kConnect
                 : HttpFailure::kOwn;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
      return HttpFailure::kTls;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_HTTP2:
      return HttpFailure::kNotHttp;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
      return HttpFailure::kOwn;
    default:
      return HttpFailure::kAnswer;
  }
}

}  // namespace dynweight

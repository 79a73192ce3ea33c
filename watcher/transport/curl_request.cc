// One HTTP request as libcurl wants it.

#include "watcher/transport/curl_request.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

#if LIBCURL_VERSION_NUM < 0x074d00
#error "libcurl 7.77 or newer is needed (CURLOPT_CAINFO_BLOB)"
#endif

namespace dynweight {
namespace {

constexpr char kUserAgent[] = "nginx-dynamic-weight/0.1";
constexpr long kKeepIdleSeconds = 30;
constexpr long kKeepIntervalSeconds = 10;
// Silence of the peer's TCP for so long ends a connection.
constexpr unsigned kTcpUserTimeoutMs = 60000;
constexpr long kBufferBytes = 64 << 10;

// Gathers the first failure of many options.
class Options {
 public:
  explicit Options(CURL* easy) : easy_(easy) {}

  template <typename T>
  void Set(CURLoption option, T value) {
    if (code_ == CURLE_OK) code_ = curl_easy_setopt(easy_, option, value);
  }
  void SetText(CURLoption option, const std::string& text) {
    Set(option, text.c_str());
  }
  void SetBlob(CURLoption option, std::string_view text) {
    curl_blob blob;
    blob.data = const_cast<char*>(text.data());
    blob.len = text.size();
    blob.flags = CURL_BLOB_COPY;
    Set(option, &blob);
  }
  void Note(CURLcode code) {
    if (code_ == CURLE_OK) code_ = code;
  }
  CURLcode code() const { return code_; }

 private:
  CURL* const easy_;
  CURLcode code_ = CURLE_OK;
};

bool Append(const std::string& line, CurlList* list) {
  curl_slist* longer = curl_slist_append(list->get(), line.c_str());
  if (longer == nullptr) return false;
  list->release();
  list->reset(longer);
  return true;
}

int OnSocket(void*, curl_socket_t socket, curlsocktype) {
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kTcpUserTimeoutMs,
             sizeof(kTcpUserTimeoutMs));
  return CURL_SOCKOPT_OK;
}

// `data`, or else what `file` holds; nothing when neither is given.
absl::StatusOr<std::optional<std::string>> Pem(const std::string& data,
                                               const std::string& file,
                                               CredentialFiles* files) {
  if (!data.empty()) return data;
  if (file.empty()) return std::nullopt;
  absl::StatusOr<std::string> content = files->Read(file, kMaxCertificateBytes);
  if (!content.ok()) return content.status();
  return *std::move(content);
}

// Certificates are handed over as text and not as file names: libcurl compares
// them when it looks for a connection or TLS session to use again, so that
// one made with a previous file is not.
absl::Status SetTls(const Credentials& credentials, CredentialFiles* files,
                    Options* options) {
  options->Set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  options->Set(CURLOPT_SSL_VERIFYPEER, credentials.tls_verify ? 1L : 0L);
  options->Set(CURLOPT_SSL_VERIFYHOST, credentials.tls_verify ? 2L : 0L);

  const auto ca = Pem(credentials.ca_data, credentials.ca_file, files);
  if (!ca.ok()) return ca.status();
  if (ca->has_value()) {
    options->SetBlob(CURLOPT_CAINFO_BLOB, **ca);
    // Or the system's authorities would be trusted beside it.
    options->Set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
  }
  const auto certificate = Pem(credentials.client_certificate_data,
                               credentials.client_certificate, files);
  if (!certificate.ok()) return certificate.status();
  const auto key = Pem(credentials.client_certificate_key_data,
                       credentials.client_certificate_key, files);
  if (!key.ok()) return key.status();
  if (certificate->has_value()) {
    options->SetBlob(CURLOPT_SSLCERT_BLOB, **certificate);
    options->SetBlob(CURLOPT_SSLKEY_BLOB,
                     key->has_value() ? **key : **certificate);
    // Without a password OpenSSL would ask the terminal for that of an
    // encrypted key.
    options->Set(CURLOPT_KEYPASSWD, "");
  }
  return absl::OkStatus();
}

absl::Status SetToken(const Credentials& credentials, CredentialFiles* files,
                      CurlList* headers) {
  absl::StatusOr<std::string> token;
  if (!credentials.token_file.empty()) {
    token = files->ReadToken(credentials.token_file);
  } else if (!credentials.token.empty()) {
    token = CheckToken(credentials.token, "token");
  } else {
    return absl::OkStatus();
  }
  if (!token.ok()) return token.status();
  if (!Append(absl::StrCat("Authorization: Bearer ", *token), headers)) {
    return absl::ResourceExhaustedError("no memory");
  }
  return absl::OkStatus();
}

std::string PartOrEmpty(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string result = text;
  curl_free(text);
  return result;
}

// libcurl expects of a server's certificate, and says in SNI, the host of the
// URL. For another name, the URL gets that name, the connection goes to where
// the URL pointed, and so does the Host header.
absl::StatusOr<std::string> RenameServer(const std::string& text,
                                         const std::string& name,
                                         CurlRequest* result) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(
      curl_url(), &curl_url_cleanup);
  if (url == nullptr ||
      curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return absl::InvalidArgumentError("not a URL; see api");
  }
  const std::string host = PartOrEmpty(url.get(), CURLUPART_HOST);
  if (PartOrEmpty(url.get(), CURLUPART_SCHEME) != "https" || host == name)
    return text;

  const std::string written_port = PartOrEmpty(url.get(), CURLUPART_PORT);
  const std::string port =
      PartOrEmpty(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (curl_url_set(url.get(), CURLUPART_HOST, name.c_str(), 0) != CURLUE_OK) {
    return absl::InvalidArgumentError("tls_server_name is not a host name");
  }
  const std::string host_header =
      written_port.empty() ? host : absl::StrCat(host, ":", written_port);
  if (!Append(absl::StrCat("Host: ", host_header), &result->headers) ||
      !Append(absl::StrCat(name, ":", port, ":", host, ":", port),
              &result->connect_to)) {
    return absl::ResourceExhaustedError("no memory");
  }
  return PartOrEmpty(url.get(), CURLUPART_URL);
}

curl_socket_t NoSocket(void*, curlsocktype, curl_sockaddr*) {
  return CURL_SOCKET_BAD;
}

// A connection of a channel is of a port that nothing else has, by which
// libcurl finds it again; it goes to where the URL points, and so does the Host
// header. The host stays, by which a certificate is verified.
absl::StatusOr<std::string> SetChannel(const HttpRequest& request,
                                       const std::string& tls_server_name,
                                       CurlRequest* result, Options* options) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(
      curl_url(), &curl_url_cleanup);
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL,
                                     request.url.c_str(), 0) != CURLUE_OK) {
    return absl::InvalidArgumentError("not a URL; see api");
  }
  const std::string host = PartOrEmpty(url.get(), CURLUPART_HOST);
  const std::string port =
      PartOrEmpty(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  const bool tls = PartOrEmpty(url.get(), CURLUPART_SCHEME) == "https";
  if (tls && !tls_server_name.empty() &&
      curl_url_set(url.get(), CURLUPART_HOST, tls_server_name.c_str(), 0) !=
          CURLUE_OK) {
    return absl::InvalidArgumentError("tls_server_name is not a host name");
  }
  const std::string own = absl::StrCat(1 + request.channel.number % UINT16_MAX);
  curl_url_set(url.get(), CURLUPART_PORT, own.c_str(), 0);
  if (!Append(absl::StrCat("Host: ", host, ":", port), &result->headers) ||
      !Append("TE: trailers", &result->headers) ||
      !Append(absl::StrCat("::", host, ":", port), &result->connect_to)) {
    return absl::ResourceExhaustedError("no memory");
  }
  result->http2 = true;
  result->channel_port = own;
  result->port = port;
  result->host = host;
  options->Set(CURLOPT_PIPEWAIT, 1L);
  if (tls) {
    options->Set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_2TLS});
  } else {
    // libcurl 7.88 fails when it finds the connection by prior knowledge.
    options->Set(CURLOPT_HTTP_VERSION,
                 request.channel.opens
                     ? long{CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE}
                     : long{CURL_HTTP_VERSION_2_0});
  }
  // Where the connection has gone, another one would be no part of the channel.
  if (!request.channel.opens) {
    options->Set(CURLOPT_OPENSOCKETFUNCTION, &NoSocket);
  }
  return PartOrEmpty(url.get(), CURLUPART_URL);
}

void SetProxy(const Credentials& credentials, Options* options) {
  // Empty: none, whatever the environment says.
  options->SetText(CURLOPT_PROXY, credentials.proxy_url);
  options->Set(CURLOPT_NOPROXY, "");
  options->Set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  options->Set(CURLOPT_HEADEROPT, long{CURLHEADER_SEPARATE});
  options->Set(CURLOPT_PROXY_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
}

void SetConnection(const HttpRequest& request, Options* options) {
  options->Set(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
  // A host name that is being resolved must not hold up the end of a worker.
  options->Set(CURLOPT_QUICK_EXIT, 1L);
#endif
#if LIBCURL_VERSION_NUM >= 0x075500
  options->Set(CURLOPT_PROTOCOLS_STR, "http,https");
#else
  options->Set(CURLOPT_PROTOCOLS, long{CURLPROTO_HTTP | CURLPROTO_HTTPS});
#endif
  options->Set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  options->Set(CURLOPT_FOLLOWLOCATION, 0L);
  options->Set(CURLOPT_UNRESTRICTED_AUTH, 0L);
  options->Set(CURLOPT_NETRC, long{CURL_NETRC_IGNORED});
  options->Set(CURLOPT_TCP_KEEPALIVE, 1L);
  options->Set(CURLOPT_TCP_KEEPIDLE, kKeepIdleSeconds);
  options->Set(CURLOPT_TCP_KEEPINTVL, kKeepIntervalSeconds);
  options->Set(CURLOPT_SOCKOPTFUNCTION, &OnSocket);
  options->Set(CURLOPT_CONNECTTIMEOUT_MS,
               static_cast<long>(request.connect_timeout_ms));
  options->Set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.total_timeout_ms));
  options->Set(CURLOPT_BUFFERSIZE, kBufferBytes);
  if (request.fresh_connection) {
    options->Set(CURLOPT_FRESH_CONNECT, 1L);
    options->Set(CURLOPT_FORBID_REUSE, 1L);
  }
  if (request.connect_only) options->Set(CURLOPT_CONNECT_ONLY, 1L);
}

bool IsControl(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

absl::Status AddHeaders(const HttpRequest& request, CurlRequest* result) {
  for (const std::string& field : request.headers) {
    if (std::any_of(field.begin(), field.end(), IsControl)) {
      return absl::InvalidArgumentError(
          "a header field with a control character");
    }
    if (!Append(field, &result->headers)) {
      return absl::ResourceExhaustedError("no memory");
    }
  }
  return absl::OkStatus();
}

void SetMethod(const HttpRequest& request, CurlRequest* result,
               Options* options) {
  if (request.channel.streams) {
    options->Note(result->upload.Set(result->easy.get(), request.body));
    return;
  }
  if (request.method == "GET" && request.body.empty()) return;
  result->body = request.body;
  options->SetText(CURLOPT_CUSTOMREQUEST, request.method);
  if (request.body.empty() && request.method != "POST" &&
      request.method != "PUT") {
    return;
  }
  options->Set(CURLOPT_POSTFIELDSIZE_LARGE,
               static_cast<curl_off_t>(result->body.size()));
  options->SetText(CURLOPT_POSTFIELDS, result->body);
}

}  // namespace

absl::Status PrepareCurlRequest(const HttpRequest& request,
                                CredentialFiles* files, CurlRequest* result) {
  static const Credentials kAnonymous;
  const Credentials& credentials =
      request.credentials == nullptr ? kAnonymous : *request.credentials;
  result->easy.reset(curl_easy_init());
  if (result->easy == nullptr ||
      !Append(absl::StrCat("Accept: ", request.accept), &result->headers)) {
    return absl::ResourceExhaustedError("no memory");
  }
  std::string url = request.url;
  Options options(result->easy.get());
  SetConnection(request, &options);
  absl::StatusOr<std::string> renamed = url;
  if (request.channel.number != 0) {
    renamed =
        SetChannel(request, credentials.tls_server_name, result, &options);
  } else if (!credentials.tls_server_name.empty()) {
    renamed = RenameServer(url, credentials.tls_server_name, result);
  }
  if (!renamed.ok()) return renamed.status();
  if (!request.address.empty() &&
      !Append(absl::StrCat("::", request.address, ":"), &result->connect_to)) {
    return absl::ResourceExhaustedError("no memory");
  }
  url = *std::move(renamed);
  absl::Status status = SetToken(credentials, files, &result->headers);
  if (status.ok()) status = AddHeaders(request, result);
  if (!status.ok()) return status;
  SetMethod(request, result, &options);
  SetProxy(credentials, &options);
  status = SetTls(credentials, files, &options);
  if (!status.ok()) return status;
  options.SetText(CURLOPT_URL, url);
  options.Set(CURLOPT_USERAGENT, kUserAgent);
  options.Set(CURLOPT_HTTPHEADER, result->headers.get());
  options.Set(CURLOPT_CONNECT_TO, result->connect_to.get());
  if (request.compressed) options.Set(CURLOPT_ACCEPT_ENCODING, "gzip");
  if (options.code() != CURLE_OK) {
    return absl::InternalError(
        absl::StrCat("libcurl: ", curl_easy_strerror(options.code())));
  }
  return absl::OkStatus();
}

}  // namespace dynweight

#include "watcher/transport/api_url.h"

#include <curl/curl.h>

#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

constexpr size_t kMaxUrlBytes = 2048;

std::optional<std::string> Part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return std::nullopt;
  std::string result = text;
  curl_free(text);
  return result;
}

}  // namespace

absl::StatusOr<std::string> ParseApiUrl(std::string_view text) {
  constexpr char kMend[] = "write http://HOST:PORT or https://HOST:PORT";
  if (text.size() > kMaxUrlBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("URL longer than ", kMaxUrlBytes, " bytes"));
  }
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) {
      return absl::InvalidArgumentError(
          absl::StrCat("space or control character in URL; ", kMend));
    }
  }
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(
      curl_url(), &curl_url_cleanup);
  if (url == nullptr) return absl::ResourceExhaustedError("no memory");

  const std::string copy(text);
  if (curl_url_set(url.get(), CURLUPART_URL, copy.c_str(), 0) != CURLUE_OK) {
    return absl::InvalidArgumentError(absl::StrCat("not a URL; ", kMend));
  }
  const auto scheme = Part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return absl::InvalidArgumentError(
        absl::StrCat("scheme is neither http nor https; ", kMend));
  }
  if (Part(url.get(), CURLUPART_USER) || Part(url.get(), CURLUPART_PASSWORD)) {
    return absl::InvalidArgumentError(
        "user name or password in URL; use token_file or client_certificate");
  }
  if (Part(url.get(), CURLUPART_QUERY) || Part(url.get(), CURLUPART_FRAGMENT)) {
    return absl::InvalidArgumentError(
        absl::StrCat("query or fragment in URL; ", kMend));
  }
  auto normal = Part(url.get(), CURLUPART_URL);
  if (!normal) return absl::InvalidArgumentError(kMend);
  while (!normal->empty() && normal->back() == '/') normal->pop_back();
  return *std::move(normal);
}

}  // namespace dynweight

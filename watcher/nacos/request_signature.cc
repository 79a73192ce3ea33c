// See request_signature.h.

#include "watcher/nacos/request_signature.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace dynweight {
namespace {

// "": OpenSSL can't.
std::string HmacSha1(const std::string& key, const std::string& data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  // nginx complains of errors that it finds in OpenSSL's queue.
  ERR_set_mark();
  const bool done = HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()),
                         reinterpret_cast<const unsigned char*>(data.data()),
                         data.size(), digest, &size) != nullptr;
  ERR_pop_to_mark();
  if (!done) return "";
  return std::string(reinterpret_cast<const char*>(digest), size);
}

}  // namespace

NamedValues SignRequest(const std::string& access_key,
                        const std::string& secret, std::string_view service,
                        int64_t unix_ms) {
  const std::string data =
      absl::StrCat(unix_ms, service.empty() ? "" : "@@", std::string(service));
  NamedValues values = {{"ak", access_key}, {"data", data}};
  const std::string digest = HmacSha1(secret, data);
  if (!digest.empty()) {
    values.emplace_back("signature", absl::Base64Escape(digest));
  }
  return values;
}

}  // namespace dynweight

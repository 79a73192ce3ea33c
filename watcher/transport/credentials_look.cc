// See credentials_look.h.

#include "watcher/transport/credentials_look.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "watcher/transport/kubeconfig.h"

namespace dynweight {
namespace {

template <typename T, void (*free)(T*)>
struct Free {
  void operator()(T* object) const { free(object); }
};
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO, BIO_free_all>>;

// nginx complains of errors that it finds in OpenSSL's queue.
struct OwnErrors {
  OwnErrors() { ERR_set_mark(); }
  ~OwnErrors() { ERR_pop_to_mark(); }
};

// A place that messages name: the file, or where it stands in a kubeconfig.
struct Pem {
  std::string place;
  std::string_view text;
};

absl::Status Refuse(const Pem& pem, const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat(pem.place, " ", why));
}

Bio Open(const Pem& pem) {
  return Bio(
      BIO_new_mem_buf(pem.text.data(), static_cast<int>(pem.text.size())));
}

// What a text without "-----BEGIN" may be.
std::string WhatElse(std::string_view text) {
  std::string decoded;
  if (absl::Base64Unescape({text.data(), text.size()}, &decoded) &&
      absl::StrContains(decoded, "-----BEGIN ")) {
    return "is base64 of PEM: decode it first, as base64 -d does";
  }
  if (!text.empty() && text[0] == 0x30) {
    return "is DER: write PEM, as openssl x509 -inform DER gives it";
  }
  return "holds no PEM: it must have lines of \"-----BEGIN ...\"";
}

// How many certificates it holds, all of them sound.
absl::StatusOr<int> CountCertificates(const Pem& pem, Certificate* first) {
  if (!absl::StrContains({pem.text.data(), pem.text.size()}, "-----BEGIN ")) {
    return Refuse(pem, WhatElse(pem.text));
  }
  const OwnErrors own;
  const Bio bio = Open(pem);
  int count = 0;
  for (;;) {
    Certificate certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    if (count++ == 0) *first = std::move(certificate);
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return Refuse(
        pem, absl::StrCat("has a damaged certificate, number ", count + 1));
  }
  if (count == 0) return Refuse(pem, "holds no certificate");
  return count;
}

// An encrypted key has no one to ask for its password.
int NoPassword(char*, int, int, void*) { return -1; }

absl::Status CheckPair(const Pem& certificate, const Pem& key) {
  Certificate own;
  const auto count = CountCertificates(certificate, &own);
  if (!count.ok()) return count.status();
  if (!absl::StrContains({key.text.data(), key.text.size()}, "-----BEGIN ")) {
    return Refuse(key, WhatElse(key.text));
  }
  if (absl::StrContains({key.text.data(), key.text.size()}, "ENCRYPTED")) {
    return Refuse(key,
                  "has a password: write it without one, as openssl pkey "
                  "does");
  }
  const OwnErrors errors;
  const Bio bio = Open(key);
  const Key loaded(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassword, nullptr));
  if (loaded == nullptr) return Refuse(key, "holds no key that can be read");
  if (X509_check_private_key(own.get(), loaded.get()) != 1) {
    return Refuse(key, absl::StrCat("is the key of another certificate than ",
                                    certificate.place));
  }
  return absl::OkStatus();
}

std::string Place(const std::string& file, const char* data) {
  return file.empty() ? std::string(data) : absl::StrCat("\"", file, "\"");
}

absl::Status ReadInto(const std::string& file, size_t max_bytes,
                      CredentialFiles* files, std::string* data) {
  if (file.empty() || !data->empty()) return absl::OkStatus();
  absl::StatusOr<std::string> content = files->Read(file, max_bytes);
  if (!content.ok()) return content.status();
  *data = *std::move(content);
  return absl::OkStatus();
}

// Those of the kubeconfig as it is now.
absl::StatusOr<Credentials> Again(const Credentials& credentials) {
  absl::StatusOr<Kubeconfig> config =
      ReadKubeconfig(credentials.kubeconfig, credentials.kubeconfig_context);
  if (!config.ok()) return config.status();
  if (config->server != credentials.kubeconfig_server) {
    return absl::FailedPreconditionError(
        absl::StrCat("kubeconfig \"", credentials.kubeconfig,
                     "\" names another server now: reload nginx"));
  }
  return std::move(config->credentials);
}

}  // namespace

bool HaveFiles(const Credentials& credentials) {
  return !credentials.kubeconfig.empty() || !credentials.token_file.empty() ||
         !credentials.password_file.empty() ||
         !credentials.secret_file.empty() || !credentials.ca_file.empty() ||
         !credentials.client_certificate.empty() ||
         !credentials.client_certificate_key.empty();
}

absl::StatusOr<Credentials> ReadCredentials(const Credentials& credentials,
                                            CredentialFiles* files) {
  Credentials read = credentials;
  if (!credentials.kubeconfig.empty()) {
    absl::StatusOr<Credentials> again = Again(credentials);
    if (!again.ok()) return again.status();
    read = *std::move(again);
  }
  if (!read.token_file.empty()) {
    absl::StatusOr<std::string> token = files->ReadToken(read.token_file);
    if (!token.ok()) return token.status();
    read.token = *std::move(token);
  }
  if (!read.password_file.empty()) {
    absl::StatusOr<std::string> password =
        files->ReadPassword(read.password_file);
    if (!password.ok()) return password.status();
    read.password = *std::move(password);
  }
  if (!read.secret_file.empty()) {
    absl::StatusOr<std::string> secret = files->ReadSecret(read.secret_file);
    if (!secret.ok()) return secret.status();
    read.secret = *std::move(secret);
  }
  for (const absl::Status& status :
       {ReadInto(read.ca_file, kMaxCertificateBytes, files, &read.ca_data),
        ReadInto(read.client_certificate, kMaxCertificateBytes, files,
                 &read.client_certificate_data),
        ReadInto(read.client_certificate_key, kMaxCertificateBytes, files,
                 &read.client_certificate_key_data)}) {
    if (!status.ok()) return status;
  }
  read.token_file.clear();
  read.password_file.clear();
  read.secret_file.clear();
  read.ca_file.clear();
  read.client_certificate.clear();
  read.client_certificate_key.clear();
  return read;
}

absl::Status CheckCredentials(const Credentials& credentials) {
  CredentialFiles files;
  const absl::StatusOr<Credentials> read = ReadCredentials(credentials, &files);
  if (!read.ok()) return read.status();
  if (!read->token.empty()) {
    const auto token = CheckToken(
        read->token, Place(credentials.token_file, "the user's token"));
    if (!token.ok()) return token.status();
  }
  if (!read->ca_data.empty()) {
    Certificate first;
    const auto count = CountCertificates(
        {Place(credentials.ca_file, "certificate-authority-data"),
         read->ca_data},
        &first);
    if (!count.ok()) return count.status();
    if (!read->tls_verify) {
      return absl::InvalidArgumentError(
          credentials.kubeconfig.empty()
              ? "ca_file is without effect beside tls_verify off: remove one "
                "of the two"
              : "certificate-authority is without effect beside "
                "insecure-skip-tls-verify: remove one of the two");
    }
  }
  if (!read->client_certificate_data.empty() &&
      !read->client_certificate_key_data.empty()) {
    return CheckPair(
        {Place(credentials.client_certificate, "client-certificate-data"),
         read->client_certificate_data},
        {Place(credentials.client_certificate_key, "client-key-data"),
         read->client_certificate_key_data});
  }
  return absl::OkStatus();
}

}  // namespace dynweight

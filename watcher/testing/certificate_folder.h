// For tests: certificates.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_CERTIFICATE_FOLDER_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_CERTIFICATE_FOLDER_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "watcher/testing/temporary_directory.h"

namespace dynweight {

// Self-signed certificates NAME.crt with NAME.key, made once.
class CertificateFolder : public testing::Environment {
 public:
  void SetUp() override {
    directory_ = std::make_unique<TemporaryDirectory>();
    Make("server", "IP:127.0.0.1");
    Make("renamed", "DNS:api.example");
    Make("client", "DNS:client.example");
  }
  void TearDown() override { directory_.reset(); }

  std::string File(const std::string& name) const {
    return directory_->File(name);
  }
  std::string Read(const std::string& name) const {
    return directory_->Read(name);
  }

 private:
  void Make(const std::string& name, const std::string& alternative) {
    const std::string command = absl::StrCat(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
        "-nodes -days 2 -subj /CN=",
        name, " -addext subjectAltName=", alternative, " -keyout ",
        File(name + ".key"), " -out ", File(name + ".crt"), " 2>/dev/null");
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }

  std::unique_ptr<TemporaryDirectory> directory_;
};

inline CertificateFolder* const certificates = static_cast<CertificateFolder*>(
    testing::AddGlobalTestEnvironment(new CertificateFolder));

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_CERTIFICATE_FOLDER_H_

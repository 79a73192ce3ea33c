// Tests of curl_transport.h over TLS.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "t/fake_cluster/fake_cluster.h"
#include "watcher/testing/certificate_folder.h"
#include "watcher/testing/recording_handler.h"
#include "watcher/testing/scripted_server.h"
#include "watcher/testing/temporary_directory.h"
#include "watcher/transport/curl_transport.h"

namespace dynweight {
namespace {

using testing::HasSubstr;

class CurlTlsTest : public testing::Test {
 protected:
  std::unique_ptr<FakeCluster> Serve(const std::string& name,
                                     const std::string& client_ca = "") {
    FakeClusterOptions options;
    options.cert_file = certificates->File(name + ".crt");
    options.key_file = certificates->File(name + ".key");
    if (!client_ca.empty()) {
      options.client_ca_file = certificates->File(client_ca + ".crt");
    }
    return FakeCluster::Start(options);
  }
  const HttpResult& Get(const FakeCluster& cluster) {
    handler_ = RecordingHandler();
    HttpRequest request;
    request.url = cluster.url() + "/api/v1/nodes";
    request.credentials = &credentials_;
    transport_->Start(request, &handler_);
    PollUntil(transport_.get(), [this] { return handler_.done > 0; });
    return handler_.result;
  }
  std::string Message() {
    return std::string(handler_.result.transport.message());
  }

  Credentials credentials_;
  RecordingHandler handler_;
  std::unique_ptr<CurlTransport> transport_ = CurlTransport::Create();
};

TEST_F(CurlTlsTest, AServerWhoseAuthorityIsInTheCaFileIsTrusted) {
  const auto cluster = Serve("server");
  credentials_.ca_file = certificates->File("server.crt");
  EXPECT_TRUE(Get(*cluster).transport.ok()) << handler_.result.transport;
  EXPECT_EQ(handler_.status, 200);
}

TEST_F(CurlTlsTest, CaDataWinsOverTheFile) {
  const auto cluster = Serve("server");
  credentials_.ca_data = certificates->Read("server.crt");
  credentials_.ca_file = "/nonexistent";
  EXPECT_TRUE(Get(*cluster).transport.ok()) << handler_.result.transport;
}

TEST_F(CurlTlsTest, ByDefaultTheSystemsAuthoritiesCount) {
  const auto cluster = Serve("server");
  EXPECT_TRUE(absl::IsUnavailable(Get(*cluster).transport));
  EXPECT_THAT(Message(), HasSubstr("ca_file"));
  EXPECT_EQ(handler_.status, 0);
}

TEST_F(CurlTlsTest, AnotherAuthorityIsNotTrusted) {
  const auto cluster = Serve("server");
  credentials_.ca_file = certificates->File("client.crt");
  EXPECT_TRUE(absl::IsUnavailable(Get(*cluster).transport));
  EXPECT_THAT(Message(), HasSubstr("ca_file"));
}

TEST_F(CurlTlsTest, VerificationCanBeSwitchedOff) {
  const auto cluster = Serve("renamed");
  credentials_.tls_verify = false;
  EXPECT_TRUE(Get(*cluster).transport.ok()) << handler_.result.transport;
}

TEST_F(CurlTlsTest, TheServersNameMustBeInItsCertificate) {
  const auto cluster = Serve("renamed");
  credentials_.ca_file = certificates->File("renamed.crt");
  EXPECT_TRUE(absl::IsUnavailable(Get(*cluster).transport));
  EXPECT_THAT(Message(), HasSubstr("tls_server_name"));
}

TEST_F(CurlTlsTest, TlsServerNameIsExpectedInsteadOfTheHost) {
  const auto cluster = Serve("renamed");
  credentials_.ca_file = certificates->File("renamed.crt");
  credentials_.tls_server_name = "api.example";
  EXPECT_TRUE(Get(*cluster).transport.ok()) << handler_.result.transport;
  credentials_.tls_server_name = "other.example";
  EXPECT_TRUE(absl::IsUnavailable(Get(*cluster).transport));
}

TEST_F(CurlTlsTest, AClientCertificateIsShown) {
  const auto cluster = Serve("server", "client");
  credentials_.ca_file = certificates->File("server.crt");
  EXPECT_FALSE(Get(*cluster).transport.ok());
  credentials_.client_certificate = certificates->File("client.crt");
  credentials_.client_certificate_key = certificates->File("client.key");
  EXPECT_TRUE(Get(*cluster).transport.ok()) << handler_.result.transport;
}

TEST_F(CurlTlsTest, AClientCertificateMayBeGivenAsData) {
  const auto cluster = Serve("server", "client");
  credentials_.ca_data = certificates->Read("server.crt");
  credentials_.client_certificate_data = certificates->Read("client.crt");
  credentials_.client_certificate_key_data = certificates->Read("client.key");
  EXPECT_TRUE(Get(*cluster).transport.ok()) << handler_.result.transport;
}

TEST_F(CurlTlsTest, AKeyOfAnotherCertificateIsExplained) {
  const auto cluster = Serve("server", "client");
  credentials_.ca_file = certificates->File("server.crt");
  credentials_.client_certificate = certificates->File("client.crt");
  credentials_.client_certificate_key = certificates->File("server.key");
  EXPECT_FALSE(Get(*cluster).transport.ok());
  EXPECT_THAT(Message(), HasSubstr("belong together"));
}

TEST_F(CurlTlsTest, AnUnreadableCaFileIsExplained) {
  const auto cluster = Serve("server");
  credentials_.ca_file = "/nonexistent/ca.crt";
  EXPECT_TRUE(absl::IsUnauthenticated(Get(*cluster).transport));
  EXPECT_THAT(Message(), HasSubstr("/nonexistent/ca.crt"));
}

TEST_F(CurlTlsTest, ACaFileOfSomethingElseIsExplained) {
  const auto cluster = Serve("server");
  credentials_.ca_file = certificates->File("server.key");
  EXPECT_FALSE(Get(*cluster).transport.ok());
  EXPECT_THAT(Message(), HasSubstr("ca_file"));
}

TEST_F(CurlTlsTest, AConnectionMadeWithAFormerCaFileIsNotUsedAgain) {
  const auto cluster = Serve("server");
  TemporaryDirectory directory;
  credentials_.ca_file =
      directory.Write("ca.crt", certificates->Read("server.crt"));
  EXPECT_TRUE(Get(*cluster).transport.ok()) << handler_.result.transport;
  directory.Write("ca.crt", certificates->Read("client.crt"));
  EXPECT_FALSE(Get(*cluster).transport.ok());
  directory.Write("ca.crt", certificates->Read("server.crt"));
  EXPECT_TRUE(Get(*cluster).transport.ok()) << handler_.result.transport;
}

TEST_F(CurlTlsTest, AConnectionMadeWithAFormerClientCertificateIsNotUsedAgain) {
  const auto cluster = Serve("server", "client");
  TemporaryDirectory directory;
  credentials_.ca_file = certificates->File("server.crt");
  credentials_.client_certificate =
      directory.Write("c.crt", certificates->Read("client.crt"));
  credentials_.client_certificate_key =
      directory.Write("c.key", certificates->Read("client.key"));
  EXPECT_TRUE(Get(*cluster).transport.ok()) << handler_.result.transport;
  directory.Write("c.crt", certificates->Read("renamed.crt"));
  directory.Write("c.key", certificates->Read("renamed.key"));
  EXPECT_FALSE(Get(*cluster).transport.ok());
}

TEST_F(CurlTlsTest, APlainServerIsExplained) {
  const auto cluster = FakeCluster::Start();
  HttpRequest request;
  request.url = absl::StrCat("https://127.0.0.1:", cluster->port(), "/");
  request.credentials = &credentials_;
  transport_->Start(request, &handler_);
  PollUntil(transport_.get(), [this] { return handler_.done > 0; });
  EXPECT_TRUE(absl::IsUnavailable(handler_.result.transport));
  EXPECT_THAT(Message(), HasSubstr("TLS port"));
}

TEST_F(CurlTlsTest, AHandshakeThatHangsEndsByTheConnectTimeout) {
  ScriptedServer server(
      [](ScriptedServer::Client* client) { client->WaitGone(); });
  HttpRequest request;
  request.url = absl::StrCat("https://127.0.0.1:", server.port(), "/");
  request.credentials = &credentials_;
  request.connect_timeout_ms = 100;
  transport_->Start(request, &handler_);
  PollUntil(transport_.get(), [this] { return handler_.done > 0; });
  EXPECT_TRUE(absl::IsUnavailable(handler_.result.transport));
  EXPECT_THAT(Message(), HasSubstr("no connection"));
}

}  // namespace
}  // namespace dynweight

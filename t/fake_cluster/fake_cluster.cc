#include "t/fake_cluster/fake_cluster.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <optional>
#include <thread>

#include "t/fake_cluster/connection_server.h"
#include "t/fake_cluster/fault.h"
#include "t/fake_cluster/kubernetes_api.h"
#include "t/fake_cluster/member_proxy.h"
#include "t/fake_cluster/object_store.h"
#include "t/fake_cluster/request_log.h"
#include "t/fake_cluster/sample_objects.h"

namespace dynweight::fake {
namespace {

struct TlsDeleter {
  void operator()(SSL_CTX* tls) const { SSL_CTX_free(tls); }
};
using Tls = std::unique_ptr<SSL_CTX, TlsDeleter>;

// Null: unusable files.
Tls MakeTls(const FakeClusterOptions& options) {
  Tls tls(SSL_CTX_new(TLS_server_method()));
  if (SSL_CTX_use_certificate_chain_file(tls.get(),
                                         options.cert_file.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(tls.get(), options.key_file.c_str(),
                                  SSL_FILETYPE_PEM) != 1) {
    return nullptr;
  }
  if (!options.client_ca_file.empty()) {
    if (SSL_CTX_load_verify_locations(tls.get(), options.client_ca_file.c_str(),
                                      nullptr) != 1) {
      return nullptr;
    }
    SSL_CTX_set_verify(
        tls.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return tls;
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

class FakeClusterImpl : public FakeCluster {
 public:
  FakeClusterImpl(FakeClusterOptions options, Tls tls)
      : options_(std::move(options)),
        tls_(std::move(tls)),
        store_(options_.history),
        api_(&store_, &faults_, &requests_),
        members_(&store_, &requests_, options_.member_hang_ms),
        port_(options_.port),
        token_(options_.token) {
    api_.SetBookmarkInterval(options_.bookmark_interval_ms);
    api_.SetVersion(options_.kubernetes);
    if (options_.starting) {
      // Later than anything that its predecessor said, as with etcd behind it.
      // Before anybody is connected: those that are would be dropped.
      store_.RewindVersion(static_cast<uint64_t>(time(nullptr)) * 1000);
      FakeFault unavailable;
      unavailable.kind = "status";
      unavailable.code = 503;
      faults_.Set(unavailable);
    }
  }

  ~FakeClusterImpl() override { Stop(); }

  bool Listen() {
    server_ = MakeServer();
    port_ = server_->Bind(options_.address, port_);
    if (port_ <= 0) return false;
    listener_ = std::thread([this] { Run(); });
    return true;
  }

  int port() const override { return port_; }

  std::string url() const override {
    bool v6 = options_.address.find(':') != std::string::npos;
    return (tls_ == nullptr ? "http://" : "https://") +
           (v6 ? "[" + options_.address + "]" : options_.address) + ":" +
           std::to_string(port_) + options_.prefix;
  }

  void Stop() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      if (server_ != nullptr) server_->Shutdown(nullptr);
      changed_.notify_all();
    }
    store_.Wake();
    if (listener_.joinable()) listener_.join();
  }

  bool Put(const std::string& object_json) override {
    return ObjectStore::Transaction(&store_).Put(object_json);
  }

  bool Delete(const std::string& kind, const std::string& ns,
              const std::string& name) override {
    const ResourceType* type = FindKind(kind);
    return type != nullptr && ObjectStore::Transaction(&store_).Delete(
                                  *type, type->namespaced ? ns : "", name);
  }

  void SetApp(const FakeApp& app) override {
    ObjectStore::Transaction transaction(&store_);
    ReplaceSlices(&transaction, app.ns, app.name, EndpointSlicesOf(app));
    if (app.pod_objects) {
      // In step with the slices: pods that are gone, then those that are.
      DeletePods(&transaction, app.ns, app.name,
                 app.pods + app.not_ready + app.terminating);
      for (const std::string& pod : PodsOf(app)) transaction.Put(pod);
    }
    if (app.deployment) transaction.Put(WorkloadOf(app, "Deployment"));
    if (app.statefulset) transaction.Put(WorkloadOf(app, "StatefulSet"));
    if (app.rollout) transaction.Put(WorkloadOf(app, "Rollout"));
  }

  void RemoveApp(const std::string& ns, const std::string& name) override {
    ObjectStore::Transaction transaction(&store_);
    ReplaceSlices(&transaction, ns, name, {});
    DeletePods(&transaction, ns, name, 0);
    for (const char* kind : {"Deployment", "StatefulSet", "Rollout"}) {
      transaction.Delete(*FindKind(kind), ns, name);
    }
  }

  void SetNodes(const std::vector<FakeNode>& nodes) override {
    ObjectStore::Transaction transaction(&store_);
    transaction.DeleteIf(*FindKind("Node"), [&](const StoredObject& object) {
      return std::none_of(nodes.begin(), nodes.end(), [&](const FakeNode& n) {
        return n.name == object.name;
      });
    });
    for (const FakeNode& node : nodes) transaction.Put(NodeObject(node));
  }

  void SetIngressService(const std::string& ns, const std::string& name,
                         const std::vector<std::string>& addresses) override {
    ObjectStore::Transaction transaction(&store_);
    ReplaceSlices(&transaction, ns, name,
                  EndpointSlicesAt(ns, name, addresses));
  }

  void SetMember(const std::string& name, int port) override {
    members_.SetMember(name, port);
  }

  void Clear() override {
    ObjectStore::Transaction transaction(&store_);
    for (const ResourceType& type : ResourceTypes()) {
      transaction.DeleteIf(type, [](const StoredObject&) { return true; });
    }
  }

  void Compact() override { store_.Compact(); }

  void RewindVersion(uint64_t version) override {
    store_.RewindVersion(version);
    DropConnections();
  }

  uint64_t version() const override { return store_.version(); }

  void SetToken(const std::string& token) override {
    std::lock_guard<std::mutex> lock(mutex_);
    token_ = token;
  }

  void SetBookmarkInterval(int64_t milliseconds) override {
    api_.SetBookmarkInterval(milliseconds);
    store_.Wake();
  }

  bool SetFault(const FakeFault& fault) override {
    if (!FaultList::Known(fault.kind)) return false;
    if (fault.kind == "refuse") {
      Refuse(fault.seconds);
    } else {
      faults_.Set(fault);
      store_.Wake();
    }
    return true;
  }

  void ClearFaults() override {
    faults_.Clear();
    std::unique_lock<std::mutex> lock(mutex_);
    refusing_ = false;
    changed_.notify_all();
    // A server that is ending waits for its own threads.
    if (own_connection != nullptr) return;
    changed_.wait(lock, [this] { return listening_ || stopping_; });
  }

  void DropConnections() override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (server_ != nullptr) server_->DropConnections(own_connection);
  }

  FakeRequests requests() const override {
    FakeRequests requests = requests_.Get();
    std::lock_guard<std::mutex> lock(mutex_);
    if (server_ != nullptr) {
      requests.open_connections = server_->open_connections();
    }
    return requests;
  }

  void ResetRequests() override { requests_.Reset(); }

 private:
  static void ReplaceSlices(ObjectStore::Transaction* transaction,
                            const std::string& ns, const std::string& service,
                            const std::vector<std::string>& slices) {
    std::vector<Json> objects;
    for (const std::string& slice : slices) objects.push_back(ParseJson(slice));
    transaction->DeleteIf(
        *FindKind("EndpointSlice"), [&](const StoredObject& object) {
          auto label = object.labels.find("kubernetes.io/service-name");
          return object.ns == ns && label != object.labels.end() &&
                 label->second == service &&
                 std::none_of(
                     objects.begin(), objects.end(), [&](const Json& slice) {
                       return StringMember(Member(slice.get(), "metadata"),
                                           "name") == object.name;
                     });
        });
    for (Json& object : objects) transaction->Put(std::move(object));
  }

  // Those that SetApp() numbered `first` and above.
  static void DeletePods(ObjectStore::Transaction* transaction,
                         const std::string& ns, const std::string& app,
                         int first) {
    transaction->DeleteIf(*FindKind("Pod"), [&](const StoredObject& object) {
      auto label = object.labels.find("app");
      return object.ns == ns && label != object.labels.end() &&
             label->second == app && StartsWith(object.name, app + "-") &&
             atoi(object.name.c_str() + app.size() + 1) >= first;
    });
  }

  std::unique_ptr<ConnectionServer> MakeServer() {
    return std::make_unique<ConnectionServer>(
        tls_.get(),
        [this](const HttpServerRequest& request, HttpServerResponse* response,
               Connection* connection) {
          Handle(request, response, connection);
        });
  }

  // The listener's life: it serves, is refused, serves again on its port.
  void Run() {
    while (true) {
      server_->Serve();
      std::unique_lock<std::mutex> lock(mutex_);
      // Its threads may still want to look at the cluster while they end.
      std::unique_ptr<ConnectionServer> ended = std::move(server_);
      lock.unlock();
      ended.reset();
      lock.lock();
      auto healed = [this] { return stopping_ || !refusing_; };
      if (refuse_seconds_ > 0) {
        changed_.wait_until(lock,
                            std::chrono::system_clock::now() +
                                std::chrono::seconds(refuse_seconds_),
                            healed);
      } else {
        changed_.wait(lock, healed);
      }
      if (stopping_) return;
      refusing_ = false;
      server_ = MakeServer();
      if (server_->Bind(options_.address, port_) <= 0) {
        fprintf(stderr, "fake cluster %s: cannot listen on %s:%d again: %s\n",
                options_.name.c_str(), options_.address.c_str(), port_,
                strerror(errno));
        abort();
      }
      listening_ = true;
      changed_.notify_all();
    }
  }

  void Refuse(int seconds) {
    std::lock_guard<std::mutex> lock(mutex_);
    refuse_seconds_ = seconds;
    if (!listening_ || stopping_) return;
    refusing_ = true;
    listening_ = false;
    server_->Shutdown(own_connection);
    store_.Wake();
  }

  void Handle(const HttpServerRequest& request, HttpServerResponse* response,
              Connection* connection) {
    if (StartsWith(request.path, "/_fake/")) {
      own_connection = connection;
      auto [status, json] = Control(request.method, request.path, request.body);
      own_connection = nullptr;
      response->status = status;
      response->Set(json, "application/json");
      return;
    }
    ApiRequest api_request;
    api_request.path = request.path;
    api_request.target = request.target;
    api_request.method = request.method;
    for (const auto& [key, value] : request.params) {
      api_request.query[key] = value;
    }
    api_request.authorization = request.Header("Authorization");
    api_request.user_agent = request.Header("User-Agent");
    if (!options_.prefix.empty()) {
      if (!StartsWith(request.path, options_.prefix + "/")) {
        api_request.path.clear();
      } else {
        api_request.path.erase(0, options_.prefix.size());
      }
    }
    std::string token;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      token = token_;
    }
    api_request.authorized =
        token.empty() || api_request.authorization == "Bearer " + token;
    std::optional<Answer> answer =
        MemberProxy::Serves(api_request.path)
            ? members_.Serve(api_request, request, connection)
            : api_.Serve(api_request, connection);
    if (!answer.has_value()) return;  // through the connection itself
    response->status = answer->status;
    for (const auto& [name, value] : answer->headers) {
      response->headers.emplace(name, value);
    }
    response->Set(answer->body, answer->content_type);
  }

  // The connection whose control request this thread serves: it must live to
  // carry the answer.
  static thread_local const Connection* own_connection;

  const FakeClusterOptions options_;
  const Tls tls_;
  ObjectStore store_;
  FaultList faults_;
  RequestLog requests_;
  KubernetesApi api_;
  MemberProxy members_;
  int port_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<ConnectionServer> server_;  // null while refusing
  std::string token_;
  bool listening_ = true;
  bool refusing_ = false;
  int refuse_seconds_ = 0;
  bool stopping_ = false;
  std::thread listener_;
};

thread_local const Connection* FakeClusterImpl::own_connection = nullptr;

}  // namespace
}  // namespace dynweight::fake

namespace dynweight {

std::unique_ptr<FakeCluster> FakeCluster::Start(FakeClusterOptions options) {
  fake::Tls tls;
  if (!options.cert_file.empty()) {
    tls = fake::MakeTls(options);
    if (tls == nullptr) {
      fprintf(stderr, "fake cluster %s: unusable certificate or key: %s, %s\n",
              options.name.c_str(), options.cert_file.c_str(),
              options.key_file.c_str());
      return nullptr;
    }
  }
  auto cluster = std::make_unique<fake::FakeClusterImpl>(std::move(options),
                                                         std::move(tls));
  if (!cluster->Listen()) {
    fprintf(stderr, "fake cluster: cannot listen: %s\n", strerror(errno));
    return nullptr;
  }
  return cluster;
}

}  // namespace dynweight

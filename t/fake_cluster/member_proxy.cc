#include "t/fake_cluster/member_proxy.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "t/fake_cluster/sample_objects.h"

namespace dynweight::fake {
namespace {

constexpr char kClusters[] = "/apis/cluster.karmada.io/v1alpha1/clusters/";
constexpr char kProxy[] = "/proxy/";
// How often a proxied watch looks whether its client is still there.
constexpr int kClientCheckMs = 100;

Answer StatusAnswer(int code, const std::string& body) {
  Answer answer;
  answer.status = code;
  answer.body = body;
  return answer;
}

Answer NoSuchMember(const std::string& name) {
  return StatusAnswer(
      404,
      StatusObject(404, "NotFound",
                   "clusters.cluster.karmada.io \"" + name + "\" not found",
                   "{\"name\":\"" + name +
                       "\",\"group\":\"cluster.karmada.io\",\"kind\":"
                       "\"clusters\"}"));
}

// A connection to the member that closes itself.
class MemberSocket {
 public:
  explicit MemberSocket(int port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address),
                         sizeof(address)) == 0;
  }
  ~MemberSocket() { close(fd_); }
  MemberSocket(const MemberSocket&) = delete;
  MemberSocket& operator=(const MemberSocket&) = delete;

  bool Send(const std::string& text) const {
    return connected_ && send(fd_, text.data(), text.size(), MSG_NOSIGNAL) ==
                             static_cast<ssize_t>(text.size());
  }
  bool WaitReadable(int64_t milliseconds) const {
    pollfd event = {fd_, POLLIN, 0};
    return poll(&event, 1, static_cast<int>(milliseconds)) == 1;
  }
  // Empty: it has ended.
  std::string Read() const {
    char piece[16384];
    const ssize_t got = recv(fd_, piece, sizeof(piece), 0);
    return got <= 0 ? "" : std::string(piece, static_cast<size_t>(got));
  }

 private:
  const int fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool connected_ = false;
};

}  // namespace

void MemberProxy::SetMember(const std::string& name, int port) {
  std::lock_guard<std::mutex> lock(mutex_);
  ports_[name] = port;
}

bool MemberProxy::Serves(const std::string& path) {
  return path.compare(0, sizeof(kClusters) - 1, kClusters) == 0 &&
         path.find(kProxy, sizeof(kClusters) - 1) != std::string::npos;
}

std::optional<Answer> MemberProxy::Serve(const ApiRequest& request,
                                         const HttpServerRequest& http,
                                         Connection* connection) {
  requests_->Add(request.path, &FakeRequestCounts::others,
                 request.method + " " + request.target);
  if (!request.authorized) return StatusAnswer(401, StatusObject(401));
  const size_t begin = sizeof(kClusters) - 1;
  const size_t end = request.path.find(kProxy, begin);
  const std::string name = request.path.substr(begin, end - begin);
  if (store_->Get(*FindKind("Cluster"), "", name) == nullptr) {
    return NoSuchMember(name);
  }
  int port = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    port = ports_[name];
  }
  const std::string target = request.target.substr(
      request.target.find(kProxy, request.target.find(kClusters)) +
      sizeof(kProxy) - 2);
  MemberSocket member(port);
  const bool asked = member.Send(
      request.method + " " + target + " HTTP/1.1\r\nHost: " + name +
      "\r\nAccept: " + http.Header("Accept") + "\r\nConnection: close\r\n\r\n");
  if (!asked || !member.WaitReadable(hang_ms_)) {
    return StatusAnswer(500, StatusObject(500));
  }
  // From here on as it comes, the end included.
  connection->TakeOver();
  while (!connection->WaitGone(0)) {
    if (!member.WaitReadable(kClientCheckMs)) continue;
    const std::string piece = member.Read();
    if (piece.empty() || !connection->Send(piece)) break;
  }
  return std::nullopt;
}

}  // namespace dynweight::fake

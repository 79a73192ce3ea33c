// HttpTransport on libcurl's multi interface, driven by its socket actions
// (curl_multi_socket_action(3)) and an epoll instance: an answer costs work for
// its own connection, whatever the number of watches that are quiet.

#include "watcher/transport/curl_transport.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "watcher/files/file_descriptor.h"
#include "watcher/transport/credential_files.h"
#include "watcher/transport/curl_answer.h"
#include "watcher/transport/curl_request.h"

namespace dynweight {
namespace {

constexpr size_t kKeptErrorBytes = 4 << 10;
// So much of an answer other than 200 is read, lest its connection be lost.
constexpr size_t kMaxErrorBytes = 64 << 10;
constexpr long kMaxKeptConnections = 32;
constexpr int64_t kMaxPollMs = 3600000;

using TimePoint = CurlAnswer::TimePoint;

class CurlTransportImpl final : public CurlTransport {
 public:
  CurlTransportImpl(CURLM* multi, FileDescriptor epoll, FileDescriptor wake);
  ~CurlTransportImpl() override;

  Id Start(const HttpRequest& request, HttpHandler* handler) override;
  bool Send(Id id, std::string_view data) override;
  void Cancel(Id id) override;
  void Poll(int64_t timeout_ms) override;
  void Rest(int64_t timeout_ms) override;
  void Wakeup() override {
    const uint64_t one = 1;
    // Fails only when the counter is full, and then it wakes, too.
    [[maybe_unused]] const ssize_t written =
        write(wake_.get(), &one, sizeof(one));
  }

 private:
  using Ending = CurlAnswer::Ending;

  struct Transfer {
    CurlTransportImpl* transport = nullptr;
    Id id = 0;
    HttpHandler* handler = nullptr;  // null: cancelled
    CurlRequest request;
    absl::Status prepared;
    std::string token_file;
    bool added = false;      // to the multi handle
    int64_t silence_ms = 0;  // 0: may be silent for ever
    TimePoint added_at;
    CurlAnswer answer;
  };

  // What libcurl wants to be told of: a socket, and that a time has passed.
  static int OnWant(CURL* easy, curl_socket_t socket, int what, void* self,
                    void* unused);
  static int OnTimer(CURLM* multi, long timeout_ms, void* self);
  static size_t OnHeader(char* data, size_t size, size_t n, void* transfer);
  static size_t OnBody(char* data, size_t size, size_t n, void* transfer);
  static bool TakeHeader(Transfer* transfer, std::string_view line);
  static bool TakeBody(Transfer* transfer, std::string_view data);
  // Calls take(transfer, data) for libcurl, through which no exception may
  // pass: Poll() throws it again.
  template <typename Take>
  static size_t Receive(void* transfer, char* data, size_t bytes, Take take);

  void Deliver();
  void Act();
  void Wait(int64_t timeout_ms);
  void TakeWakeup();
  void AddStarted();
  void ResumeSending();
  void EndSilent();
  static TimePoint SilentSince(const Transfer& transfer, TimePoint now);
  void DeliverFinished();
  void Finish(Id id, CURLcode code);
  void RemoveCancelled();
  void Remove(Transfer* transfer);

  static constexpr size_t kMaxReady = 64;

  CURLM* const multi_;
  const FileDescriptor epoll_;
  const FileDescriptor wake_;  // an eventfd
  TimePoint timer_at_ = TimePoint::max();
  std::array<epoll_event, kMaxReady> ready_;  // seen by Wait(), for Deliver()
  size_t ready_size_ = 0;
  CredentialFiles files_;
  std::unordered_map<Id, std::unique_ptr<Transfer>> transfers_;
  // When to look next whether a transfer has been silent for too long. Times
  // are not put off by each byte: one that has come too early is set anew.
  std::set<std::pair<TimePoint, Id>> silences_;
  std::vector<Id> started_;    // to be added by the next Poll()
  std::vector<Id> sending_;    // have more to send
  std::vector<Id> cancelled_;  // during a Poll(), to be removed at its end
  Id last_id_ = 0;
  std::exception_ptr thrown_;  // by a handler that libcurl called
  bool polling_ = false;       // libcurl or a handler is on the stack
  bool delivered_ = false;     // to a handler, by this Poll()
};

CurlTransportImpl::CurlTransportImpl(CURLM* multi, FileDescriptor epoll,
                                     FileDescriptor wake)
    : multi_(multi), epoll_(std::move(epoll)), wake_(std::move(wake)) {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &OnWant);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &OnTimer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  // One connection a transfer, but for channels; those of finished ones are
  // kept for the next.
  curl_multi_setopt(multi_, CURLMOPT_PIPELINING, long{CURLPIPE_MULTIPLEX});
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kMaxKeptConnections);
}

CurlTransportImpl::~CurlTransportImpl() {
  for (const auto& [id, transfer] : transfers_) Remove(transfer.get());
  transfers_.clear();
  curl_multi_cleanup(multi_);
}

HttpTransport::Id CurlTransportImpl::Start(const HttpRequest& request,
                                           HttpHandler* handler) {
  auto transfer = std::make_unique<Transfer>();
  transfer->transport = this;
  transfer->id = ++last_id_;
  transfer->handler = handler;
  transfer->answer.max_body = request.max_body;
  transfer->silence_ms = request.silence_timeout_ms;
  if (request.credentials != nullptr) {
    transfer->token_file = request.credentials->token_file;
  }
  transfer->prepared = PrepareCurlRequest(request, &files_, &transfer->request);
  if (transfer->prepared.ok()) {
    CURL* easy = transfer->request.easy.get();
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->answer.error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer.get());
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &OnHeader);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer.get());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &OnBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer.get());
  }
  const Id id = transfer->id;
  transfers_[id] = std::move(transfer);
  // libcurl takes no new handle within a callback, and we call no handler
  // here: Poll() does the rest.
  started_.push_back(id);
  return id;
}

bool CurlTransportImpl::Send(Id id, std::string_view data) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return false;
  sending_.push_back(id);
  return found->second->request.upload.Add(data);
}

void CurlTransportImpl::ResumeSending() {
  for (const Id id : std::exchange(sending_, {})) {
    const auto found = transfers_.find(id);
    if (found != transfers_.end()) found->second->request.upload.Resume();
  }
}

void CurlTransportImpl::Cancel(Id id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  found->second->handler = nullptr;
  if (polling_) {
    cancelled_.push_back(id);
    return;
  }
  Remove(found->second.get());
  transfers_.erase(found);
}

void CurlTransportImpl::Remove(Transfer* transfer) {
  if (transfer->added) {
    curl_multi_remove_handle(multi_, transfer->request.easy.get());
    transfer->added = false;
  }
}

void CurlTransportImpl::Poll(int64_t timeout_ms) {
  Deliver();
  if (delivered_ || !started_.empty() || !sending_.empty()) return;
  Wait(std::clamp<int64_t>(timeout_ms, 0, kMaxPollMs));
}

void CurlTransportImpl::Wait(int64_t timeout_ms) {
  TimePoint until = timer_at_;
  if (!silences_.empty()) until = std::min(until, silences_.begin()->first);
  if (until != TimePoint::max()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    timeout_ms = std::clamp<int64_t>(left.count(), 0, timeout_ms);
  }
  const int n = epoll_wait(epoll_.get(), ready_.data(), kMaxReady,
                           static_cast<int>(timeout_ms));
  ready_size_ = n < 0 ? 0 : static_cast<size_t>(n);  // EINTR
}

void CurlTransportImpl::Rest(int64_t timeout_ms) {
  pollfd wake = {wake_.get(), POLLIN, 0};
  poll(&wake, 1,
       static_cast<int>(std::clamp<int64_t>(timeout_ms, 0, kMaxPollMs)));
  if ((wake.revents & POLLIN) != 0) TakeWakeup();
}

void CurlTransportImpl::TakeWakeup() {
  uint64_t count;
  [[maybe_unused]] const ssize_t taken =
      read(wake_.get(), &count, sizeof(count));
}

int CurlTransportImpl::OnWant(CURL*, curl_socket_t socket, int what, void* self,
                              void*) {
  const int epoll = static_cast<CurlTransportImpl*>(self)->epoll_.get();
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nullptr);  // it may be closed
    return 0;
  }
  epoll_event event = {};
  event.data.fd = socket;
  event.events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) |
                 ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event) == 0) return 0;
  if (errno != ENOENT) return -1;  // ends the transfers
  return epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
}

int CurlTransportImpl::OnTimer(CURLM*, long timeout_ms, void* self) {
  static_cast<CurlTransportImpl*>(self)->timer_at_ =
      timeout_ms < 0 ? TimePoint::max()
                     : std::chrono::steady_clock::now() +
                           std::chrono::milliseconds(timeout_ms);
  return 0;
}

void CurlTransportImpl::Deliver() {
  // Also when a handler throws.
  const auto end = [](CurlTransportImpl* self) {
    self->polling_ = false;
    self->RemoveCancelled();
  };
  const std::unique_ptr<CurlTransportImpl, decltype(end)> polling(this, end);
  polling_ = true;
  delivered_ = false;
  AddStarted();
  ResumeSending();
  Act();
  if (thrown_ != nullptr) {
    std::rethrow_exception(std::exchange(thrown_, nullptr));
  }
  DeliverFinished();
  EndSilent();
}

// Tells libcurl what happened since. A socket that was closed meanwhile, or
// closed and opened anew, is none that it takes amiss.
void CurlTransportImpl::Act() {
  int running = 0;
  const size_t n = std::exchange(ready_size_, 0);
  for (size_t i = 0; i < n; i++) {
    const int fd = ready_[i].data.fd;
    if (fd == wake_.get()) {
      TakeWakeup();
      continue;
    }
    // Of an error libcurl finds out itself, with 0: told so it would say less.
    const uint32_t events = ready_[i].events;
    int what = 0;
    if ((events & ~(EPOLLIN | EPOLLOUT)) == 0) {
      what = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
             ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0);
    }
    curl_multi_socket_action(multi_, fd, what, &running);
  }
  if (timer_at_ <= std::chrono::steady_clock::now()) {
    timer_at_ = TimePoint::max();
    curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
  }
}

void CurlTransportImpl::AddStarted() {
  // Handlers that are told of a failure here may start more.
  for (const Id id : std::exchange(started_, {})) {
    const auto found = transfers_.find(id);
    if (found == transfers_.end()) continue;  // cancelled
    Transfer* transfer = found->second.get();
    if (transfer->handler == nullptr) continue;
    if (transfer->prepared.ok() &&
        curl_multi_add_handle(multi_, transfer->request.easy.get()) !=
            CURLM_OK) {
      transfer->prepared = absl::ResourceExhaustedError("no memory");
    }
    if (transfer->prepared.ok()) {
      transfer->added = true;
      transfer->added_at = std::chrono::steady_clock::now();
      if (transfer->silence_ms > 0) {
        silences_.insert({transfer->added_at +
                              std::chrono::milliseconds(transfer->silence_ms),
                          id});
      }
    } else {
      Finish(id, CURLE_OK);
    }
  }
}

// Since when nothing has come, while something should; `now` while there is no
// connection, which has a timeout of its own.
TimePoint CurlTransportImpl::SilentSince(const Transfer& transfer,
                                         TimePoint now) {
  if (transfer.answer.heard != TimePoint()) return transfer.answer.heard;
  curl_off_t asked_us = 0;
  curl_easy_getinfo(transfer.request.easy.get(), CURLINFO_PRETRANSFER_TIME_T,
                    &asked_us);
  if (asked_us <= 0) return now;
  return transfer.added_at + std::chrono::microseconds(asked_us);
}

void CurlTransportImpl::EndSilent() {
  const TimePoint now = std::chrono::steady_clock::now();
  while (!silences_.empty() && silences_.begin()->first <= now) {
    const Id id = silences_.begin()->second;
    silences_.erase(silences_.begin());
    const auto found = transfers_.find(id);
    if (found == transfers_.end()) continue;  // it has ended
    Transfer* transfer = found->second.get();
    if (transfer->handler == nullptr) continue;
    TimePoint end = SilentSince(*transfer, now) +
                    std::chrono::milliseconds(transfer->silence_ms);
    // What has come while this thread was held up counts as well.
    if (end <= now && HasUnread(transfer->request)) {
      end = now + std::chrono::milliseconds(transfer->silence_ms);
    }
    if (end > now) {
      silences_.insert({end, id});
      continue;
    }
    transfer->answer.ending = Ending::kSilent;
    Finish(id, CURLE_OK);
  }
}

void CurlTransportImpl::DeliverFinished() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    Finish(transfer->id, message->data.result);  // the message ends with it
  }
}

// Takes the transfer out first: its handler may start another or cancel any.
void CurlTransportImpl::Finish(Id id, CURLcode code) {
  const auto found = transfers_.find(id);
  const std::unique_ptr<Transfer> transfer = std::move(found->second);
  transfers_.erase(found);
  Remove(transfer.get());
  if (transfer->handler == nullptr) return;
  // Whatever the file's times say: the token it held is no good.
  if (transfer->answer.status == 401) files_.Forget(transfer->token_file);
  delivered_ = true;
  HttpResult result;
  if (transfer->prepared.ok()) {
    result = CurlResult(transfer->answer, transfer->request, code);
  } else {
    result.transport = transfer->prepared;
    result.failure = HttpFailure::kOwn;
  }
  transfer->handler->OnDone(result, transfer->answer.error_body);
}

void CurlTransportImpl::RemoveCancelled() {
  for (const Id id : std::exchange(cancelled_, {})) {
    const auto found = transfers_.find(id);
    if (found == transfers_.end()) continue;
    Remove(found->second.get());
    transfers_.erase(found);
  }
}

template <typename Take>
size_t CurlTransportImpl::Receive(void* user, char* data, size_t bytes,
                                  Take take) {
  auto* transfer = static_cast<Transfer*>(user);
  CurlTransportImpl* const transport = transfer->transport;
  try {
    if (transport->thrown_ != nullptr) return 0;
    return take(transfer, std::string_view(data, bytes)) ? bytes : 0;
  } catch (...) {
    transport->thrown_ = std::current_exception();
    return 0;
  }
}

size_t CurlTransportImpl::OnHeader(char* data, size_t size, size_t n,
                                   void* user) {
  return Receive(user, data, size * n, &TakeHeader);
}

size_t CurlTransportImpl::OnBody(char* data, size_t size, size_t n,
                                 void* user) {
  return Receive(user, data, size * n, &TakeBody);
}

// False ends the transfer.
bool CurlTransportImpl::TakeHeader(Transfer* transfer, std::string_view line) {
  if (transfer->handler == nullptr) return false;
  if (!transfer->answer.TakeLine(line)) return false;
  // A blank line ends the header; one of 1xx is followed by another header,
  // and trailers come after the body.
  if (line != "\r\n" && line != "\n") return true;
  long status = 0;
  curl_easy_getinfo(transfer->request.easy.get(), CURLINFO_RESPONSE_CODE,
                    &status);
  if (status < 200 || transfer->answer.status != 0) return true;
  transfer->answer.status = static_cast<int>(status);
  transfer->transport->delivered_ = true;
  const char* content_type = nullptr;
  curl_easy_getinfo(transfer->request.easy.get(), CURLINFO_CONTENT_TYPE,
                    &content_type);
  transfer->handler->OnStatus(transfer->answer.status,
                              content_type == nullptr ? "" : content_type);
  return transfer->handler != nullptr;
}

// As TakeHeader().
bool CurlTransportImpl::TakeBody(Transfer* transfer, std::string_view data) {
  if (transfer->handler == nullptr) return false;
  if (data.empty()) return true;
  transfer->answer.heard = std::chrono::steady_clock::now();
  transfer->answer.body_bytes += data.size();
  if (transfer->answer.status != 200) {
    const size_t room = kKeptErrorBytes - transfer->answer.error_body.size();
    transfer->answer.error_body.append(data.substr(0, room));
    if (transfer->answer.body_bytes <= kMaxErrorBytes) return true;
    transfer->answer.ending = Ending::kEnough;
    return false;
  }
  if (transfer->answer.max_body != 0 &&
      transfer->answer.body_bytes > transfer->answer.max_body) {
    transfer->answer.ending = Ending::kBody;
    return false;
  }
  transfer->transport->delivered_ = true;
  if (transfer->handler->OnBody(data)) return transfer->handler != nullptr;
  transfer->answer.ending = Ending::kRefused;
  return false;
}

}  // namespace

std::unique_ptr<CurlTransport> CurlTransport::Create() {
  FileDescriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  FileDescriptor wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = wake.get();
  if (!epoll.ok() || !wake.ok() ||
      epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return nullptr;
  }
  CURLM* multi = curl_multi_init();
  if (multi == nullptr) return nullptr;
  return std::make_unique<CurlTransportImpl>(multi, std::move(epoll),
                                             std::move(wake));
}

}  // namespace dynweight

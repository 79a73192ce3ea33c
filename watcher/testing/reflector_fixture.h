// A reflector under test: its transport, sink, delegate, clock and dice are all
// in the test's hand.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_REFLECTOR_FIXTURE_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_REFLECTOR_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/reflector.h"

namespace dynweight {

// Transfers whose answers the test gives.
class ScriptedTransport : public HttpTransport {
 public:
  struct Transfer {
    Id id = 0;
    HttpRequest request;
    HttpHandler* handler = nullptr;  // null: ended
    bool status_told = false;
    std::string content_type;  // of the answer

    bool open() const { return handler != nullptr; }
    bool is_watch() const {
      return request.url.find("watch=1") != std::string::npos;
    }
    // As it stands in the URL, escaped.
    std::optional<std::string> Parameter(const std::string& name) const {
      const std::string& url = request.url;
      for (const char* before : {"?", "&"}) {
        const std::string key = before + name + "=";
        const size_t at = url.find(key);
        if (at == std::string::npos) continue;
        const size_t begin = at + key.size();
        return url.substr(begin, url.find('&', begin) - begin);
      }
      return std::nullopt;
    }
  };

  Id Start(const HttpRequest& request, HttpHandler* handler) override {
    transfers.push_back(
        {transfers.size() + 1, request, handler, false, content_type});
    return transfers.size();
  }
  void Cancel(Id id) override {
    if (id >= 1 && id <= transfers.size()) transfers[id - 1].handler = nullptr;
  }

  void Deliver(Transfer* transfer, std::string_view body) {
    if (!transfer->status_told) {
      transfer->status_told = true;
      transfer->handler->OnStatus(200, transfer->content_type);
    }
    if (!transfer->open() || transfer->handler->OnBody(body)) return;
    End(transfer, absl::AbortedError("refused"), 200);
  }
  void End(Transfer* transfer, absl::Status status, int http_status,
           int64_t retry_after_ms = -1, std::string_view error_body = "") {
    if (!transfer->open()) return;
    HttpHandler* handler = transfer->handler;
    if (http_status != 0 && !transfer->status_told) {
      transfer->status_told = true;
      handler->OnStatus(http_status, transfer->content_type);
    }
    transfer->handler = nullptr;
    HttpResult result;
    result.transport = std::move(status);
    result.http_status = http_status;
    result.retry_after_ms = retry_after_ms;
    handler->OnDone(result, error_body);
  }

  std::deque<Transfer> transfers;                 // all there ever were
  std::string content_type = "application/json";  // of answers to come
};

// Names only.
class NameSink : public ObjectSink {
 public:
  void SetResource(std::string_view name) override {
    resource = std::string(name);
  }
  void BeginList() override { staged.clear(); }
  absl::Status Stage(const cJSON* object) override {
    const std::string name = Name(object);
    if (name == "bad") return absl::InvalidArgumentError("a bad object");
    staged.push_back(name);
    return absl::OkStatus();
  }
  void CommitList() override {
    present = std::move(staged);
    staged.clear();
    ++commits;
  }
  absl::Status Apply(EventType type, const cJSON* object) override {
    const std::string name = Name(object);
    if (name == "bad") return absl::InvalidArgumentError("a bad object");
    constexpr const char* kWords[] = {"added", "modified", "deleted"};
    events.push_back(absl::StrCat(kWords[static_cast<int>(type)], " ", name));
    return absl::OkStatus();
  }

  std::vector<std::string> staged, present, events;
  std::string resource;
  int commits = 0;

 private:
  static std::string Name(const cJSON* object) {
    return cJSON_GetObjectItem(cJSON_GetObjectItem(object, "metadata"), "name")
        ->valuestring;
  }
};

class RecordingDelegate : public DiscoveryDelegate {
 public:
  std::string ApiBase() override { return base; }
  const Credentials* credentials() override { return &credentials_; }
  void OnApiFailure(const std::string& failed) override {
    api_failures.push_back(failed);
    if (!next_base.empty()) base = next_base;
  }
  void OnApiBusy(const std::string& busy, int64_t retry_after_ms) override {
    api_busy.push_back({busy, retry_after_ms});
    if (!next_base_when_busy.empty()) base = next_base_when_busy;
  }
  bool Awaited() const override { return awaited; }
  void OnTrouble(const std::string& text) override { troubles.push_back(text); }
  void OnList(std::optional<int64_t> asked_ms) override {
    lists.push_back(asked_ms.has_value());
    list_asked_ms = asked_ms.value_or(-1);
    if (confirm_next_list) {
      confirm_next_list = false;
      reflector->RequestFreshList(0);
    }
  }
  void OnEvent() override { ++events; }
  void OnHealthy() override { ++healthy; }
  void OnError(const absl::Status& error) override {
    errors.push_back(std::string(error.message()));
  }

  std::string base = "https://a:6443";
  std::string next_base;  // to which a failure turns; empty: the same
  std::string next_base_when_busy;
  bool awaited = false;
  bool confirm_next_list = false;
  Reflector* reflector = nullptr;
  std::vector<std::string> api_failures;
  std::vector<std::pair<std::string, int64_t>> api_busy;
  std::vector<std::string> troubles;
  std::vector<bool> lists;     // whether it is not older than what was seen
  int64_t list_asked_ms = -1;  // of the last one, if so
  int events = 0;
  int healthy = 0;
  std::vector<std::string> errors;

 private:
  Credentials credentials_;
};

class ReflectorTest : public testing::Test {
 protected:
  using Transfer = ScriptedTransport::Transfer;

  ReflectorTest() {
    options_.path = "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices";
  }

  void Start() {
    reflector_ = Reflector::Create(options_, &transport_, &sink_, &delegate_,
                                   [this] { return random_; });
    delegate_.reflector = reflector_.get();
    reflector_->Start(now_ms_);
  }

  // Lets time pass, and the reflector act whenever it wants to.
  void Advance(int64_t ms) {
    const int64_t end_ms = now_ms_ + ms;
    for (int steps = 0; reflector_->Deadline() <= end_ms; ++steps) {
      ASSERT_LT(steps, 10000) << "the reflector never rests";
      now_ms_ = std::max(now_ms_, reflector_->Deadline());
      reflector_->Tick(now_ms_);
    }
    now_ms_ = end_ms;
    reflector_->Tick(now_ms_);
  }

  // The open transfer of that kind; null: none. More than one is a failure.
  Transfer* Open(bool watch) {
    Transfer* found = nullptr;
    for (Transfer& transfer : transport_.transfers) {
      if (!transfer.open() || transfer.is_watch() != watch) continue;
      EXPECT_EQ(found, nullptr) << "two at once: " << transfer.request.url;
      found = &transfer;
    }
    return found;
  }
  Transfer* List() { return Open(false); }
  Transfer* Watch() { return Open(true); }

  static std::string Object(const std::string& name,
                            const std::string& version = "1") {
    return absl::StrCat(R"({"metadata":{"name":")", name,
                        R"(","resourceVersion":")", version, R"("}})");
  }
  static std::string Page(const std::vector<std::string>& names,
                          const std::string& version,
                          const std::string& next = "") {
    std::string items;
    for (const std::string& name : names) {
      absl::StrAppend(&items, items.empty() ? "" : ",", Object(name));
    }
    return absl::StrCat(
        R"({"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1",)",
        R"("metadata":{"resourceVersion":")", version, R"(","continue":")",
        next, R"("},"items":[)", items, "]}");
  }
  static std::string Event(const std::string& type, const std::string& name,
                           const std::string& version) {
    return absl::StrCat(R"({"type":")", type, R"(","object":)",
                        Object(name, version), "}\n");
  }
  static std::string Bookmark(const std::string& version) {
    return Event("BOOKMARK", "", version);
  }
  static std::string StatusObject(int code, const std::string& reason) {
    return absl::StrCat(R"({"kind":"Status","status":"Failure","message":"m",)",
                        R"("reason":")", reason, R"(","code":)", code, "}");
  }
  static std::string ErrorEvent(int code, const std::string& reason) {
    return absl::StrCat(R"({"type":"ERROR","object":)",
                        StatusObject(code, reason), "}\n");
  }
  static constexpr char kTooLarge[] =
      R"({"kind":"Status","reason":"Timeout","code":504,"details":{"causes":)"
      R"([{"reason":"ResourceVersionTooLarge"}],"retryAfterSeconds":1}})";

  void AnswerList(const std::string& body) {
    Transfer* list = List();
    ASSERT_NE(list, nullptr);
    transport_.Deliver(list, body);
    transport_.End(list, absl::OkStatus(), 200);
  }
  void Refuse(Transfer* transfer, int code, const std::string& body = "",
              int64_t retry_after_ms = -1) {
    ASSERT_NE(transfer, nullptr);
    transport_.End(transfer, absl::OkStatus(), code, retry_after_ms, body);
  }
  void Break(Transfer* transfer, absl::Status status, int http_status = 0) {
    ASSERT_NE(transfer, nullptr);
    transport_.End(transfer, std::move(status), http_status);
  }
  void Send(const std::string& events) {
    Transfer* watch = Watch();
    ASSERT_NE(watch, nullptr);
    transport_.Deliver(watch, events);
  }
  // The header of a 200, and nothing more.
  void AnswerWatch() { Send(""); }
  void EndWatch() {
    Transfer* watch = Watch();
    ASSERT_NE(watch, nullptr);
    transport_.End(watch, absl::OkStatus(), 200);
  }
  // Listed one object at version 100, and watching.
  void Sync() {
    Start();
    AnswerList(Page({"x"}, "100"));
  }
  // How long until a list or watch is open again.
  int64_t WaitFor(bool watch) {
    const int64_t begin_ms = now_ms_;
    while (Open(watch) == nullptr && now_ms_ < begin_ms + 3600000) {
      now_ms_ = std::max(now_ms_, reflector_->Deadline());
      reflector_->Tick(now_ms_);
    }
    return now_ms_ - begin_ms;
  }

  ReflectorOptions options_;
  ScriptedTransport transport_;
  NameSink sink_;
  RecordingDelegate delegate_;
  double random_ = 0;
  int64_t now_ms_ = 1000;
  std::unique_ptr<Reflector> reflector_;
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_REFLECTOR_FIXTURE_H_

// A Nacos source under test: what servers say, and the clock, are in the test's
// hand.

#ifndef DYNAMIC_WEIGHT_WATCHER_TESTING_NACOS_FIXTURE_H_
#define DYNAMIC_WEIGHT_WATCHER_TESTING_NACOS_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "watcher/nacos/nacos_discovery.h"
#include "watcher/testing/manual_clock.h"
#include "watcher/testing/recording_handler.h"
#include "watcher/testing/scripted_server.h"

namespace dynweight {

// Answers by path, as the test set it; of everything else 404.
class FakeNacos {
 public:
  struct Answer {
    int status = 200;
    std::string body;
    std::string header;  // of further fields
  };
  // `request` is the header, and behind it the body.
  using Answerer = std::function<Answer(const std::string& request)>;

  FakeNacos()
      : server_([this](ScriptedServer::Client* client) { Serve(client); }) {}

  std::string base() const {
    return absl::StrCat("http://127.0.0.1:", server_.port(), "/nacos");
  }
  int port() const { return server_.port(); }
  // Of a path without query; "" for the body of a list: an empty one.
  void Set(const std::string& path, Answerer answerer) {
    std::lock_guard<std::mutex> lock(mutex_);
    answerers_[path] = std::move(answerer);
  }
  void Set(const std::string& path, Answer answer) {
    Set(path,
        [answer = std::move(answer)](const std::string&) { return answer; });
  }
  void Remove(const std::string& path) {
    std::lock_guard<std::mutex> lock(mutex_);
    answerers_.erase(path);
  }
  // First lines of all requests, "GET /nacos/...", and those whose path holds
  // `text`.
  std::vector<std::string> Requests(const std::string& text = "") {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> found;
    for (const std::string& request : requests_) {
      if (request.find(text) != std::string::npos) found.push_back(request);
    }
    return found;
  }

 private:
  void Serve(ScriptedServer::Client* client) {
    for (;;) {
      std::string request = client->Request();
      if (request.empty()) return;
      const size_t length = request.find("Content-Length: ");
      if (length != std::string::npos) {
        request += client->Body(
            std::strtoul(request.c_str() + length + 16, nullptr, 10));
      }
      const Answer answer = AnswerTo(request);
      client->Send(absl::StrCat("HTTP/1.1 ", answer.status,
                                " X\r\nContent-Length: ", answer.body.size(),
                                "\r\n", answer.header, "\r\n", answer.body));
    }
  }
  Answer AnswerTo(const std::string& request) {
    const std::string line = request.substr(0, request.find("\r\n"));
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    const std::string path = words[1].substr(0, words[1].find('?'));
    Answerer answerer;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      requests_.push_back(absl::StrCat(words[0], " ", words[1]));
      const auto found = answerers_.find(path);
      if (found == answerers_.end()) return {404, "Not Found", ""};
      answerer = found->second;
    }
    return answerer(request);
  }

  std::mutex mutex_;
  std::map<std::string, Answerer> answerers_;
  std::vector<std::string> requests_;
  ScriptedServer server_;
};

inline constexpr char kV1List[] = "/nacos/v1/ns/instance/list";
inline constexpr char kV2List[] = "/nacos/v2/ns/instance/list";
inline constexpr char kV3List[] = "/nacos/v3/client/ns/instance/list";
inline constexpr char kV3AdminList[] = "/nacos/v3/admin/ns/instance/list";
inline constexpr char kV1Login[] = "/nacos/v1/auth/login";
inline constexpr char kV3Login[] = "/nacos/v3/auth/user/login";

// A host of a list, with what else it says (",\"weight\":2").
inline std::string NacosHost(const std::string& ip,
                             const std::string& more = "") {
  return absl::StrCat("{\"ip\":\"", ip, "\",\"port\":80", more, "}");
}
inline FakeNacos::Answer V1Answer(const std::vector<std::string>& hosts,
                                  bool at_threshold = false) {
  return {200,
          absl::StrCat("{\"hosts\":[", absl::StrJoin(hosts, ","),
                       "],\"reachProtectionThreshold\":",
                       at_threshold ? "true" : "false", ",\"valid\":true}"),
          ""};
}
inline FakeNacos::Answer V2Answer(const std::vector<std::string>& hosts,
                                  bool at_threshold = false) {
  return {200,
          absl::StrCat("{\"code\":0,\"message\":\"success\",\"data\":",
                       V1Answer(hosts, at_threshold).body, "}"),
          ""};
}
inline FakeNacos::Answer V3Answer(const std::vector<std::string>& hosts) {
  return {200,
          absl::StrCat("{\"code\":0,\"message\":\"success\",\"data\":[",
                       absl::StrJoin(hosts, ","), "]}"),
          ""};
}

// A source, its host and its clock.
class NacosSourceTest : public testing::Test, public DiscoveryDelegate {
 protected:
  virtual HttpTransport* transport() = 0;

  void Watch(const std::vector<std::vector<std::string_view>>& lines) {
    NacosSources sources;
    for (const auto& words : lines) {
      sources.services.push_back(*NacosSource::Parse(words));
    }
    sources.options = options_;
    discovery_ = NacosDiscoveries(sources, transport(), &clock_,
                                  [this] { return random_; })[0](this);
    discovery_->Start(now_);
  }
  // "10.0.0.1:80*1000 ..." of what is certain.
  std::string Instances(size_t quantity = 0) {
    std::vector<std::string> texts;
    for (const Instance& instance : discovery_->Observe(quantity).instances) {
      texts.push_back(absl::StrCat(instance.address.ToString(), ":",
                                   instance.port, "*", instance.weight_milli));
    }
    return absl::StrJoin(texts, " ");
  }

  std::string ApiBase() override { return bases_.front(); }
  const Credentials* credentials() override { return &credentials_; }
  void OnApiFailure(const std::string& base) override {
    if (base != bases_.front()) return;
    bases_.push_back(base);
    bases_.pop_front();
  }
  void OnApiBusy(const std::string&, int64_t ms) override { busy_ms_ = ms; }
  void OnList(std::optional<int64_t> asked_ms) override {
    ++lists_;
    asked_ms_ = asked_ms;
    for (const size_t i : discovery_->TakeChanged()) changed_.push_back(i);
  }
  void OnEvent() override { ++events_; }
  void OnHealthy() override {
    error_.clear();
    ++rounds_;
  }
  void OnTrouble(const std::string& text) override { trouble_ = text; }
  void OnError(const absl::Status& error) override {
    status_ = error;
    error_ = std::string(error.message().data(), error.message().size());
    ++rounds_;
  }

  NacosOptions options_;
  Credentials credentials_;
  std::deque<std::string> bases_;  // the one in use first
  int64_t now_ = 1000;
  double random_ = 0.5;
  ManualClock clock_;  // of signatures alone
  int rounds_ = 0, lists_ = 0, events_ = 0;
  int64_t busy_ms_ = -1;
  std::optional<int64_t> asked_ms_;
  std::vector<size_t> changed_;
  absl::Status status_;
  std::string error_, trouble_;
  std::unique_ptr<Discovery> discovery_;
};

// It polls by real HTTP.
class NacosTest : public NacosSourceTest {
 protected:
  NacosTest() { options_.subscribe = false; }
  ~NacosTest() override { discovery_.reset(); }
  HttpTransport* transport() override { return transport_.get(); }

  // Until the source has done something more.
  void AwaitRounds() {
    const int until = rounds_ + 1;
    PollUntil(transport_.get(), [&] { return rounds_ >= until; });
  }
  // Moves the clock to when the source wants it, and waits for the round.
  void NextRound() {
    now_ = std::max(now_, discovery_->DeadlineMs());
    discovery_->Tick(now_);
    AwaitRounds();
  }

  std::unique_ptr<CurlTransport> transport_ = CurlTransport::Create();
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_TESTING_NACOS_FIXTURE_H_

// Faults: which request meets which one, and how a server looks that has it.

#ifndef DYNAMIC_WEIGHT_T_FAKE_CLUSTER_FAULT_H_
#define DYNAMIC_WEIGHT_T_FAKE_CLUSTER_FAULT_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "t/fake_cluster/connection_server.h"
#include "t/fake_cluster/model.h"

namespace dynweight::fake {

// What a request gets when nothing is wrong.
struct Answer {
  int status = 200;
  std::string content_type = "application/json";
  std::multimap<std::string, std::string> headers;
  std::string body;
};

// Thread-safe.
class FaultList {
 public:
  static bool Known(const std::string& kind);

  void Set(const FakeFault& fault);
  void Clear();
  // Changes with every Clear(): what hangs since before ends.
  uint64_t clears() const;

  // The fault that a request meets, counted against its `times`.
  // `later_page`: the request has a continue token.
  std::optional<FakeFault> Take(std::string_view path, bool watch,
                                bool later_page);
  // The watch_* fault that a running watch meets.
  std::optional<FakeFault> TakeRunning(std::string_view path);

 private:
  template <typename Fits>
  std::optional<FakeFault> TakeIf(std::string_view path, Fits fits);

  mutable std::mutex mutex_;
  std::vector<FakeFault> faults_;  // the last one first
  uint64_t clears_ = 0;
};

// Turns `answer` into what such a server says, for kinds that are an answer
// of their own. False: the kind is not one of these.
bool AlterAnswer(const FakeFault& fault, Answer* answer);

// Answers through the taken-over connection as such a server does, for the
// kinds that break the rules of HTTP or go on for long. False: the kind is
// not one of these.
bool BreakAnswer(const FakeFault& fault, const Answer& answer,
                 const FaultList& faults, Connection* connection);

// A watch_* kind, on a watch whose head was sent. `status_event` is the ERROR
// event of watch_error, a whole line.
void BreakWatch(const FakeFault& fault, const std::string& status_event,
                const FaultList& faults, Connection* connection);

// Status line and headers without a length.
std::string HttpHead(const Answer& answer);

}  // namespace dynweight::fake

#endif  // DYNAMIC_WEIGHT_T_FAKE_CLUSTER_FAULT_H_

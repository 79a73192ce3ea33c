// One probe of one node, from its connection to its outcome.

#ifndef DYNAMIC_WEIGHT_WATCHER_PROBE_PROBE_CHECK_H_
#define DYNAMIC_WEIGHT_WATCHER_PROBE_PROBE_CHECK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "watcher/config/probe_config.h"
#include "watcher/probe/probe_target.h"
#include "watcher/transport/http_transport.h"
#include "weightcalc/ip_address.h"

namespace dynweight {

// A connection of its own each time, so that the way to the node is tried, too.
// It ends as soon as its outcome is known: with the header, unless a text is
// looked for in the body; what a node sends beyond is never read, and a node
// that sends its answer byte by byte has `timeout` for all of it.
//
// Not thread-safe. `config` and `transport` outlive it.
class ProbeCheck : private HttpHandler {
 public:
  using Done = std::function<void(const ProbeOutcome&)>;

  // `done` is called once a Start(), by the transport; it may not destroy the
  // check.
  ProbeCheck(const ProbeConfig* config, const IpAddress& address, uint16_t port,
             HttpTransport* transport, Done done);
  ~ProbeCheck() override;
  ProbeCheck(const ProbeCheck&) = delete;
  ProbeCheck& operator=(const ProbeCheck&) = delete;

  bool running() const { return transfer_ != 0; }
  // Only while it does not run.
  void Start();

 private:
  void OnStatus(int http_status, std::string_view content_type) override;
  bool OnBody(std::string_view data) override;
  void OnDone(const HttpResult& result, std::string_view error_body) override;
  void Look(std::string_view data);
  void End(const ProbeOutcome& outcome);

  const ProbeConfig* const config_;
  HttpTransport* const transport_;
  const Done done_;
  HttpRequest request_;
  HttpTransport::Id transfer_ = 0;  // 0: none
  std::string body_;                // as much as is looked through
};

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_PROBE_PROBE_CHECK_H_

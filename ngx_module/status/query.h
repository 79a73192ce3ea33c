// What a request asks for, and of which process.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_QUERY_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_QUERY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ngx_module/status/model.h"

namespace dynweight {

// The process that answers.
struct AnsweringProcess {
  std::string_view nginx;  // version
  uint64_t pid = 0;
  uint64_t worker = 0;
  // Brings what the process knows of the model's upstream up to date; then
  // whether all of its peers are out, so that failures keep no request away.
  std::function<bool(size_t upstream)> all_out;
  // After all_out(): what each of the upstream's priorities has of its
  // requests; empty: there is but one.
  std::function<std::vector<PriorityLoad>(size_t upstream)> loads;
};

// Which peers one by one.
enum class AskedPeers : uint8_t {
  kAll,
  kNone,
  kDown,  // those that do not serve
};

struct StatusQuery {
  const StatusModel* model = nullptr;   // outlives what is made of the query
  std::optional<std::string> upstream;  // only this one
  std::string filter;                   // part of the name
  AskedPeers peers = AskedPeers::kAll;
  std::string nonce;  // of the page
  AnsweringProcess process;
};

// The upstreams that the query asks for, as indices.
std::vector<size_t> AskedUpstreams(const StatusQuery& query);

// Whether the query asks for the change of a weight, which knows the upstream
// by the beginning of its name.
bool AsksFor(const StatusQuery& query, const Decision& decision);

// All that are kept, oldest first.
std::vector<Decision> ReadDecisions(const StatusModel& model);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_QUERY_H_

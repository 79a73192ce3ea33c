// /ready: whether every line has a weight, and from then on, also across
// reloads: an edge that serves is not taken out because one source that is new
// does not answer. A provisional weight is one: it serves. Whatever is waited
// for is named.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_READINESS_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_READINESS_H_

#include <string>

#include "ngx_module/status/query.h"

namespace dynweight {

// Whether all upstreams have, or once had, a weight for each line.
bool IsReady(const StatusModel& model);

struct ReadyAnswer {
  bool ready = false;
  std::string body;  // JSON
};

// Of all upstreams, or of the one that the query asks for and that there is.
// Notes in the model's `ready` that all were.
ReadyAnswer AnswerReady(const StatusQuery& query);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_READINESS_H_

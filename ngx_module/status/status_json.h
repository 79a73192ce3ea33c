// /status: NGINX Plus's names for what a peer has, and the arithmetic behind
// each weight. conf.d/status.schema.json describes it.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_STATUS_JSON_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_STATUS_JSON_H_

#include <memory>

#include "ngx_module/status/document.h"
#include "ngx_module/status/query.h"

namespace dynweight {

std::unique_ptr<Document> MakeStatusJson(const StatusQuery& query);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_STATUS_JSON_H_

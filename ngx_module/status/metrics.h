// /metrics: the text format of Prometheus. The names are those of NGINX Plus's
// exporter where they fit, with the suffixes that promtool asks for.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_METRICS_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_METRICS_H_

#include <memory>

#include "ngx_module/status/document.h"
#include "ngx_module/status/query.h"

namespace dynweight {

std::unique_ptr<Document> MakeMetrics(const StatusQuery& query);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_METRICS_H_

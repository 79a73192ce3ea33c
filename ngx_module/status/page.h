// /: the page, whole and readable as it is sent; its script, where there is
// one, then keeps it up to date from /status.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_STATUS_PAGE_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_STATUS_PAGE_H_

#include <memory>

#include "ngx_module/status/document.h"
#include "ngx_module/status/query.h"

namespace dynweight {

std::unique_ptr<Document> MakePage(const StatusQuery& query);

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_NGX_MODULE_STATUS_PAGE_H_

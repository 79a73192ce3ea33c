// The status as nginx sees it. What the documents say and how stands in
// status/, which knows nothing of nginx:
//
//   ..._status.cc        the location: which document
//   ..._status_model.cc  the configuration as status/ wants it
//   ..._status_send.cc   sends a document without blocking

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_HTTP_NGX_HTTP_DYNAMIC_WEIGHT_STATUS_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_HTTP_NGX_HTTP_DYNAMIC_WEIGHT_STATUS_H_

#include "ngx_module/core/ngx_dynamic_weight.h"

#include <memory>
#include <string>
#include <string_view>

#include "ngx_module/status/document.h"
#include "ngx_module/status/query.h"


/*
 * _status_model.cc: asks for everything, of this process.  Without a zone, or
 * when there was no memory for it, the model is made by the first request.
 */

ngx_int_t ngx_http_dynamic_weight_init_query(
    ngx_http_dynamic_weight_main_conf_t *dmcf, dynweight::StatusQuery *query);

/* _status_send.cc */

ngx_int_t ngx_http_dynamic_weight_send_document(ngx_http_request_t *r,
    const char *type, std::unique_ptr<dynweight::Document> document);

/* a short JSON text */
ngx_int_t ngx_http_dynamic_weight_send(ngx_http_request_t *r,
    ngx_uint_t status, const std::string &text);

/* before either; `name` is not copied */
ngx_int_t ngx_http_dynamic_weight_add_header(ngx_http_request_t *r,
    const char *name, std::string_view value);


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_HTTP_NGX_HTTP_DYNAMIC_WEIGHT_STATUS_H_

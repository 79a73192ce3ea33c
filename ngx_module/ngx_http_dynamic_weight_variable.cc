// $dynamic_weight_cluster.

#include "ngx_http_dynamic_weight_request.h"


/* of one request, by internal redirects: the latest ones are named */
#define NGX_HTTP_DW_UPSTREAMS  16


/* the clusters of all attempts, spelled as $upstream_addr spells addresses */

ngx_int_t
ngx_http_dynamic_weight_cluster_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t)
{
    u_char                             *p;
    size_t                              len;
    ngx_uint_t                          n;
    ngx_http_dynamic_weight_attempt_t  *attempt;
    ngx_http_dynamic_weight_request_t  *rd;
    ngx_http_dynamic_weight_request_t  *chain[NGX_HTTP_DW_UPSTREAMS];

    rd = static_cast<ngx_http_dynamic_weight_request_t *>(
        ngx_http_get_module_ctx(r, ngx_http_dynamic_weight_module));

    /* the context holds the latest upstream first */

    len = 0;
    n = 0;

    for ( /* void */ ; rd && n < NGX_HTTP_DW_UPSTREAMS; rd = rd->next) {

        if (rd->attempts == NULL) {
            continue;
        }

        chain[n++] = rd;

        for (attempt = rd->attempts; attempt; attempt = attempt->next) {
            len += (attempt->cluster ? attempt->cluster->len : 1)
                   + sizeof(" : ") - 1;
        }
    }

    if (n == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = static_cast<u_char *>(ngx_pnalloc(r->pool, len));
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    while (n--) {

        for (attempt = chain[n]->attempts; attempt; attempt = attempt->next) {

            if (attempt->cluster) {
                p = ngx_cpymem(p, attempt->cluster->data,
                               attempt->cluster->len);

            } else {
                *p++ = '-';
            }

            if (attempt->next) {
                *p++ = ',';
                *p++ = ' ';
            }
        }

        if (n) {
            *p++ = ' ';
            *p++ = ':';
            *p++ = ' ';
        }
    }

    v->len = p - v->data;

    return NGX_OK;
}

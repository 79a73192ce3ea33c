// What an upstream says of the health of its peers, in the configuration.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_HTTP_NGX_HTTP_DYNAMIC_WEIGHT_HEALTH_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_HTTP_NGX_HTTP_DYNAMIC_WEIGHT_HEALTH_H_

#include "ngx_module/core/ngx_dynamic_weight.h"


/* dynamic_weight_panic, _probe, _outlier and _failover */

char *ngx_http_dynamic_weight_panic(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_dynamic_weight_probe(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_dynamic_weight_outlier(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_dynamic_weight_failover(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* of its primary peers, the first to serve first; empty: there is but one */
std::vector<uint32_t> ngx_http_dynamic_weight_priorities(
    const ngx_http_dynamic_weight_srv_conf_t *dscf);

/* _probe.cc: whether it has anybody to ask, and an address of each */
ngx_int_t ngx_http_dynamic_weight_check_probe(ngx_conf_t *cf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf);

/* an upstream whose groups have their tables */
ngx_int_t ngx_http_dynamic_weight_resolve_health(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_http_dynamic_weight_srv_conf_t *dscf);

/* _resolve.cc: whether anything is asked for that worker 0's thread does */
bool ngx_http_dynamic_weight_needs_watcher(
    const ngx_http_dynamic_weight_main_conf_t *dmcf);


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_HTTP_NGX_HTTP_DYNAMIC_WEIGHT_HEALTH_H_

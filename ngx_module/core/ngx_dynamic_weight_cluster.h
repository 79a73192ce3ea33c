// A dynamic_weight_cluster block: while it is read, and whether it is used.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_CLUSTER_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_CLUSTER_H_

#include "ngx_module/core/ngx_dynamic_weight.h"

#include <set>
#include <string_view>
#include <vector>


typedef struct {
    dynweight::ClusterConfig          *cluster;
    ngx_str_t                          name;
    std::set<std::string_view>         seen;       /* directives */
    ngx_str_t                          kubeconfig;
    ngx_str_t                          via;
} ngx_dynamic_weight_block_t;


typedef char *(*ngx_dynamic_weight_setter_pt)(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value);


typedef struct {
    std::string_view                   name;
    ngx_uint_t                         min;       /* arguments */
    ngx_uint_t                         max;
    bool                               several;   /* may be repeated */
    ngx_dynamic_weight_setter_pt       set;
} ngx_dynamic_weight_setter_t;


/* _cluster.cc: NULL when there is no such directive */

const ngx_dynamic_weight_setter_t *ngx_dynamic_weight_find_setter(
    std::string_view name);

/* _probe.cc: the setter of "probe" */

char *ngx_dynamic_weight_probe(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value);


/* _via.cc: what "via" and "member" say; before the block is checked */

char *ngx_dynamic_weight_go_via(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block,
    const std::vector<dynweight::ClusterConfig> &clusters);

void ngx_dynamic_weight_await_proxy(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block);


/* _check_clusters.cc: when all lines are known */

ngx_int_t ngx_http_dynamic_weight_check_clusters(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf);


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_CLUSTER_H_

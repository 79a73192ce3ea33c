// The module: which directives it has, its configuration, its processes' life.

#include "ngx_module/core/ngx_dynamic_weight.h"
#include "ngx_module/core/ngx_dynamic_weight_nginx.h"
#include "ngx_module/core/ngx_dynamic_weight_probe.h"
#include "ngx_module/http/ngx_http_dynamic_weight_health.h"


static ngx_int_t ngx_http_dynamic_weight_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_dynamic_weight_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_dynamic_weight_init_main_conf(ngx_conf_t *cf,
    void *conf);
static void *ngx_http_dynamic_weight_create_srv_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_dynamic_weight_init_process(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_dynamic_weight_init_worker(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static ngx_int_t ngx_http_dynamic_weight_init_hash(ngx_cycle_t *cycle,
    ngx_dynamic_weight_group_t *group);
static void ngx_http_dynamic_weight_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_dynamic_weight_commands[] = {

    { ngx_string("dynamic_weight_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_dynamic_weight_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_cluster"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_dynamic_weight_cluster,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_base"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_dynamic_weight_base,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_base"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_dynamic_weight_base,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_coalesce"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_dynamic_weight_coalesce,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_tuning"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_dynamic_weight_tuning,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight"),
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE123,
      ngx_http_dynamic_weight,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ingress_nodes"),
      NGX_HTTP_UPS_CONF|NGX_CONF_2MORE,
      ngx_http_dynamic_weight_ingress_nodes,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("instances"),
      NGX_HTTP_UPS_CONF|NGX_CONF_2MORE,
      ngx_http_dynamic_weight_instances,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_keepalive"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1234,
      ngx_http_dynamic_weight_keepalive,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_retries"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE12,
      ngx_http_dynamic_weight_retries,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_panic"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_dynamic_weight_panic,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_probe"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_dynamic_weight_probe,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_outlier"),
      NGX_HTTP_UPS_CONF|NGX_CONF_ANY,
      ngx_http_dynamic_weight_outlier,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("dynamic_weight_failover"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_dynamic_weight_failover,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /* nginx's own, which this module stands before: see _stock.cc */

    { ngx_string("keepalive"),
#if (NGX_DYNAMIC_WEIGHT_LOCAL_POOLS)
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE12,
#else
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
#endif
      ngx_http_dynamic_weight_stock_keepalive,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("keepalive_requests"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_dynamic_weight_stock_keepalive,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_dynamic_weight_srv_conf_t, keepalive_requests),
      NULL },

    { ngx_string("keepalive_time"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_dynamic_weight_stock_keepalive,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_dynamic_weight_srv_conf_t, keepalive_time),
      NULL },

    { ngx_string("keepalive_timeout"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_dynamic_weight_stock_keepalive,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_dynamic_weight_srv_conf_t, keepalive_timeout),
      NULL },

    { ngx_string("dynamic_weight_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_dynamic_weight_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_dynamic_weight_module_ctx = {
    ngx_http_dynamic_weight_add_variables,     /* preconfiguration */
    ngx_http_dynamic_weight_postconfiguration, /* postconfiguration */

    ngx_http_dynamic_weight_create_main_conf,  /* create main conf */
    ngx_http_dynamic_weight_init_main_conf,    /* init main conf */

    ngx_http_dynamic_weight_create_srv_conf,   /* create server conf */
    NULL,                                      /* merge server conf */

    NULL,                                      /* create location conf */
    NULL                                       /* merge location conf */
};


ngx_module_t  ngx_http_dynamic_weight_module = {
    NGX_MODULE_V1,
    &ngx_http_dynamic_weight_module_ctx,       /* module context */
    ngx_http_dynamic_weight_commands,          /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    NULL,                                      /* init module */
    ngx_http_dynamic_weight_init_process,      /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    ngx_http_dynamic_weight_exit_process,      /* exit process */
    NULL,                                      /* exit master */
    NGX_MODULE_V1_PADDING
};


/* this process has a zone mapped, and serves from it */
static bool       ngx_http_dynamic_weight_serves;


static ngx_int_t
ngx_http_dynamic_weight_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    dmcf = static_cast<ngx_http_dynamic_weight_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_dynamic_weight_module));

    /*
     * A reload without a master starts no process, and so no module: nginx
     * itself answers nobody after it, and our previous zone would be unmapped
     * under the watcher.  Refused, it leaves everything as it is.
     */

    if (ngx_process == NGX_PROCESS_SINGLE
        && !ngx_is_init_cycle(ngx_cycle)
        && (dmcf->zone || ngx_http_dynamic_weight_serves))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "dynamic_weight can't be reloaded with "
                      "\"master_process off\": restart nginx instead");
        return NGX_ERROR;
    }

    return ngx_dynamic_weight_guard(cf->log, NGX_ERROR,
                                    [&]() -> ngx_int_t {
        if (ngx_http_dynamic_weight_resolve(cf, dmcf) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_dynamic_weight_resolve_tuning(cf, dmcf) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_dynamic_weight_tell_probes(cf, *dmcf->config);

        return NGX_OK;
    });
}


static void *
ngx_http_dynamic_weight_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    dmcf = static_cast<ngx_http_dynamic_weight_main_conf_t *>(
        ngx_pcalloc(cf->pool, sizeof(ngx_http_dynamic_weight_main_conf_t)));
    if (dmcf == NULL) {
        return NULL;
    }

    dmcf->cycle = cf->cycle;
    dmcf->base = NGX_CONF_UNSET_UINT;

    if (ngx_array_init(&dmcf->upstreams, cf->pool, 8,
                       sizeof(ngx_http_dynamic_weight_srv_conf_t *))
            != NGX_OK
        || ngx_array_init(&dmcf->cluster_places, cf->pool, 4,
                          sizeof(ngx_dynamic_weight_place_t))
            != NGX_OK)
    {
        return NULL;
    }

    return ngx_dynamic_weight_guard(cf->log, nullptr, [&]() -> void * {
        dmcf->config = ngx_dynamic_weight_own(cf->pool,
                                                 new dynweight::WatcherConfig);
        return dmcf->config ? dmcf : nullptr;
    });
}


static char *
ngx_http_dynamic_weight_init_main_conf(ngx_conf_t *, void *conf)
{
    ngx_http_dynamic_weight_main_conf_t *dmcf =
        static_cast<ngx_http_dynamic_weight_main_conf_t *>(conf);

    ngx_conf_init_uint_value(dmcf->base, dynweight::kDefaultBase);

    return NGX_CONF_OK;
}


static void *
ngx_http_dynamic_weight_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_dynamic_weight_srv_conf_t  *dscf;

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t *>(
        ngx_pcalloc(cf->pool, sizeof(ngx_http_dynamic_weight_srv_conf_t)));
    if (dscf == NULL) {
        return NULL;
    }

    dscf->base = NGX_CONF_UNSET_UINT;
    dscf->keepalive = NGX_HTTP_DW_KEEPALIVE;
    dscf->keepalive_requests = NGX_CONF_UNSET_UINT;
    dscf->keepalive_time = NGX_CONF_UNSET_MSEC;
    dscf->keepalive_timeout = NGX_CONF_UNSET_MSEC;
    dscf->retries = dynweight::RetryBudget();
    dscf->outlier = dynweight::OutlierPolicy();
    dscf->overprovisioning = dynweight::kDefaultOverprovisioning;

    return dscf;
}


static ngx_int_t
ngx_http_dynamic_weight_init_process(ngx_cycle_t *cycle)
{
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    dmcf = ngx_http_dynamic_weight_cycle_conf(cycle);

    if (dmcf == NULL || dmcf->zone == NULL) {
        return NGX_OK;
    }

    /* the cache manager and loader come here too */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    ngx_http_dynamic_weight_serves = true;

    ngx_dynamic_weight_claim_column(cycle, dmcf);

    if (ngx_dynamic_weight_guard(cycle->log, NGX_ERROR, [&] {
            return ngx_http_dynamic_weight_init_worker(cycle, dmcf);
        })
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (dmcf->status_asked) {
        (void) ngx_dynamic_weight_guard(cycle->log, NGX_ERROR, [&] {
            return ngx_http_dynamic_weight_init_status(dmcf);
        });
    }

    /* the master restarts worker 0 when it dies: no election is needed */

    if (ngx_worker != 0) {
        return NGX_OK;
    }

    /*
     * A watcher that can't start is no reason not to serve: the weights hold,
     * and the log says why.
     */

    (void) ngx_dynamic_weight_guard(cycle->log, NGX_ERROR,
                                    [&]() -> ngx_int_t {
        ngx_dynamic_weight_start_shares(cycle, dmcf);

        if (!ngx_http_dynamic_weight_needs_watcher(dmcf)) {
            return NGX_OK;
        }

        return ngx_dynamic_weight_start_watcher(cycle);
    });

    return NGX_OK;
}


/* makes this worker's pick indexes; forgets what a predecessor held */

static ngx_int_t
ngx_http_dynamic_weight_init_worker(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                        i;
    ngx_dynamic_weight_group_t       *group;

    for (i = 0; i < dmcf->ntables; i++) {
        group = dmcf->groups[i];

        if (ngx_dynamic_weight_init_serving(cycle, dmcf, group)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        group->worker.occupants =
            static_cast<ngx_dynamic_weight_occupant_t *>(
                ngx_pcalloc(cycle->pool,
                            group->conf.nslots
                            * sizeof(ngx_dynamic_weight_occupant_t)));
        if (group->worker.occupants == NULL) {
            return NGX_ERROR;
        }

        group->worker.sessions =
            static_cast<ngx_http_dynamic_weight_sessions_t **>(
                ngx_pcalloc(cycle->pool,
                            group->conf.nslots
                            * sizeof(ngx_http_dynamic_weight_sessions_t *)));
        if (group->worker.sessions == NULL) {
            return NGX_ERROR;
        }

        if (group->conf.srv->hash_key
            && ngx_http_dynamic_weight_init_hash(cycle, group) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_dynamic_weight_init_keepalive(cycle, dmcf);
}


static ngx_int_t
ngx_http_dynamic_weight_init_hash(ngx_cycle_t *cycle,
    ngx_dynamic_weight_group_t *group)
{
    ngx_uint_t                  n = group->conf.nslots;
    dynweight::ConsistentHash  *hash;

    hash = ngx_dynamic_weight_own(cycle->pool,
                                       new dynweight::ConsistentHash(n));
    if (hash == NULL) {
        return NGX_ERROR;
    }

    hash->Invalidate();

    /* here nobody waits for it */
    while (!hash->settled()) {
        hash->Advance(n, n, [&](uint32_t slot) {
            return ngx_dynamic_weight_identity(group, slot);
        });
    }

    group->worker.hash = hash;

    return NGX_OK;
}


static void
ngx_http_dynamic_weight_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    ngx_dynamic_weight_stop_watcher();

    dmcf = ngx_http_dynamic_weight_cycle_conf(cycle);

    if (dmcf && dmcf->zone) {
        ngx_dynamic_weight_release_column(dmcf);
    }
}

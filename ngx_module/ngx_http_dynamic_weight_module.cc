// The module: its directives in http, its configuration, its life cycle.

#include "ngx_http_dynamic_weight.h"

#include <memory>


static ngx_int_t ngx_http_dynamic_weight_postconfiguration(ngx_conf_t *cf);
static void *ngx_http_dynamic_weight_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_dynamic_weight_init_main_conf(ngx_conf_t *cf,
    void *conf);
static void *ngx_http_dynamic_weight_create_srv_conf(ngx_conf_t *cf);
static char *ngx_http_dynamic_weight_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_dynamic_weight_base(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_dynamic_weight_coalesce(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_int_t ngx_http_dynamic_weight_init_process(ngx_cycle_t *cycle);
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
      ngx_http_dynamic_weight_cluster,
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
      ngx_http_dynamic_weight_tuning,
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

    { ngx_string("dynamic_weight_keepalive"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1234,
      ngx_http_dynamic_weight_keepalive,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /* nginx's own, which this module stands before: see _stock.cc */

    { ngx_string("keepalive"),
#if (nginx_version >= 1029007)
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
     * itself answers nobody after it, and our former zone would be unmapped
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

    return ngx_http_dynamic_weight_guard(cf->log, NGX_ERROR,
                                         [&]() -> ngx_int_t {
        if (ngx_http_dynamic_weight_resolve(cf, dmcf) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_http_dynamic_weight_resolve_tuning(cf, dmcf);
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
                          sizeof(ngx_http_dynamic_weight_place_t))
            != NGX_OK)
    {
        return NULL;
    }

    return ngx_http_dynamic_weight_guard(cf->log, nullptr, [&]() -> void * {
        dmcf->config = ngx_http_dynamic_weight_own(cf->pool,
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

    return dscf;
}


/* dynamic_weight_zone name:size [state=file] */

static char *
ngx_http_dynamic_weight_zone(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_main_conf_t *dmcf =
        static_cast<ngx_http_dynamic_weight_main_conf_t *>(conf);

    u_char     *p;
    ssize_t     size;
    ngx_str_t  *value, name, s, dir;

    if (dmcf->zone) {
        return const_cast<char *>("is duplicate: one zone serves all "
                                  "upstreams");
    }

    value = static_cast<ngx_str_t *>(cf->args->elts);

    p = static_cast<u_char *>(memchr(value[1].data, ':', value[1].len));

    if (p == NULL || p == value[1].data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\": write "
                           "\"dynamic_weight_zone NAME:SIZE\", "
                           "for example \"main:4m\"", &value[1]);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    name.data = value[1].data;
    name.len = p - name.data;

    s.data = p + 1;
    s.len = value[1].data + value[1].len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\": write a size such as "
                           "\"4m\"", &value[1]);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (size < static_cast<ssize_t>(8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small: at least %uzk is needed",
                           &name, 8 * ngx_pagesize / 1024);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (cf->args->nelts == 3) {

        if (value[2].len <= 6
            || ngx_strncmp(value[2].data, "state=", 6) != 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\": write "
                               "\"state=FILE\"", &value[2]);
            return NGX_HTTP_DW_CONF_ERROR;
        }

        dmcf->state.data = value[2].data + 6;
        dmcf->state.len = value[2].len - 6;

        if (ngx_conf_full_name(cf->cycle, &dmcf->state, 0) != NGX_OK) {
            return NGX_HTTP_DW_CONF_ERROR;
        }

        if (dmcf->state.data[dmcf->state.len - 1] == '/') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "state \"%V\" is a folder: write the name of a "
                               "file in it", &dmcf->state);
            return NGX_HTTP_DW_CONF_ERROR;
        }

        for (p = dmcf->state.data + dmcf->state.len - 1; *p != '/'; p--) {
            /* void: ngx_conf_full_name() made it absolute */
        }

        dir.len = ngx_max(p - dmcf->state.data, 1);
        dir.data = static_cast<u_char *>(ngx_pnalloc(cf->pool, dir.len + 1));
        if (dir.data == NULL) {
            return NGX_HTTP_DW_CONF_ERROR;
        }

        ngx_cpystrn(dir.data, dmcf->state.data, dir.len + 1);

        /*
         * A folder among the cycle's paths is made by the master and given to
         * the workers' user.  One that exists is left alone: it may be a
         * shared one such as /tmp.
         */

        ngx_file_info_t  fi;

        if (ngx_file_info(dir.data, &fi) == NGX_FILE_ERROR) {

            dmcf->state_path = static_cast<ngx_path_t *>(
                ngx_pcalloc(cf->pool, sizeof(ngx_path_t)));
            if (dmcf->state_path == NULL) {
                return NGX_HTTP_DW_CONF_ERROR;
            }

            dmcf->state_path->name = dir;
            dmcf->state_path->conf_file = cf->conf_file->file.name.data;
            dmcf->state_path->line = cf->conf_file->line;

            if (ngx_add_path(cf, &dmcf->state_path) != NGX_OK) {
                return NGX_HTTP_DW_CONF_ERROR;
            }

        } else if (!ngx_is_dir(&fi)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" of state \"%V\" is no folder",
                               &dir, &dmcf->state);
            return NGX_HTTP_DW_CONF_ERROR;
        }
    }

    dmcf->zone = ngx_shared_memory_add(cf, &name, size,
                                       &ngx_http_dynamic_weight_module);
    if (dmcf->zone == NULL) {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    dmcf->zone->init = ngx_http_dynamic_weight_init_zone;
    dmcf->zone->data = dmcf;

    /* each cycle has its own; _fill.cc carries the view over */
    dmcf->zone->noreuse = 1;

    dmcf->zone_place.file = cf->conf_file->file.name.data;
    dmcf->zone_place.line = cf->conf_file->line;

    return NGX_CONF_OK;
}


static char *
ngx_http_dynamic_weight_base(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t    n;
    ngx_str_t   *value;
    ngx_uint_t  *base;

    base = cmd->conf == NGX_HTTP_MAIN_CONF_OFFSET
           ? &static_cast<ngx_http_dynamic_weight_main_conf_t *>(conf)->base
           : &static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf)->base;

    if (*base != NGX_CONF_UNSET_UINT) {
        return const_cast<char *>("is duplicate");
    }

    value = static_cast<ngx_str_t *>(cf->args->elts);

    n = ngx_atoi(value[1].data, value[1].len);

    if (n < 1 || n > static_cast<ngx_int_t>(dynweight::kMaxBase)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid dynamic_weight_base \"%V\": write a whole "
                           "number from 1 to %uD",
                           &value[1], dynweight::kMaxBase);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    *base = n;

    if (cmd->conf == NGX_HTTP_SRV_CONF_OFFSET) {
        auto *dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf);

        dscf->base_place.file = cf->conf_file->file.name.data;
        dscf->base_place.line = cf->conf_file->line;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_dynamic_weight_coalesce(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_main_conf_t *dmcf =
        static_cast<ngx_http_dynamic_weight_main_conf_t *>(conf);

    ngx_str_t   *value;
    ngx_msec_t   ms;

    value = static_cast<ngx_str_t *>(cf->args->elts);

    ms = ngx_parse_time(&value[1], 0);

    if (ms == static_cast<ngx_msec_t>(NGX_ERROR) || ms > 60000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid dynamic_weight_coalesce \"%V\": write a "
                           "time from 0 to 60s, for example \"50ms\"",
                           &value[1]);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (dmcf->coalesce_set) {
        return const_cast<char *>("is duplicate");
    }

    dmcf->coalesce_set = 1;
    dmcf->config->coalesce_ms = ms;

    return NGX_CONF_OK;
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

    ngx_http_dynamic_weight_claim_column(cycle, dmcf);

    if (ngx_http_dynamic_weight_guard(cycle->log, NGX_ERROR, [&] {
            return ngx_http_dynamic_weight_init_worker(cycle, dmcf);
        })
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* the master restarts worker 0 when it dies: no election is needed */

    if (ngx_worker != 0) {
        return NGX_OK;
    }

    /*
     * A watcher that can't start is no reason not to serve: the weights hold,
     * and the log says why.
     */

    (void) ngx_http_dynamic_weight_guard(cycle->log, NGX_ERROR,
                                         [&]() -> ngx_int_t {
        ngx_http_dynamic_weight_start_shares(cycle, dmcf);

        if (dmcf->config->lines.empty()
            && dmcf->config->tuning_file.empty())
        {
            return NGX_OK;
        }

        return ngx_http_dynamic_weight_start_watcher(cycle);
    });

    return NGX_OK;
}


static void
ngx_http_dynamic_weight_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    ngx_http_dynamic_weight_stop_watcher();

    dmcf = ngx_http_dynamic_weight_cycle_conf(cycle);

    if (dmcf && dmcf->zone) {
        ngx_http_dynamic_weight_release_column(dmcf);
    }
}

// nginx's own directives and parameters of an upstream that is ours: each works
// here or is refused by name, with what to write instead.
//
// Of "keepalive" and its kin our pool takes the values. nginx asks its modules
// in order who knows a directive, and this one stands before nginx's own: so
// they come here first, with their place, and go on to the module whose they
// are where an upstream is not ours. There is no other way to see whether they
// are written: their conf is private, and has defaults.

#include "ngx_module/core/ngx_dynamic_weight.h"
#include "ngx_module/core/ngx_dynamic_weight_nginx.h"


static bool
ngx_http_dynamic_weight_is_for_upstreams(const ngx_command_t *cmd)
{
    return (cmd->type & NGX_HTTP_UPS_CONF) != 0;
}


/* to the next module that has the directive, as nginx itself would call it */

static char *
ngx_http_dynamic_weight_pass_on(ngx_conf_t *cf, std::string_view name,
    bool optional)
{
    ngx_uint_t      i;
    ngx_command_t  *cmd;

    ngx_http_conf_ctx_t *ctx = static_cast<ngx_http_conf_ctx_t *>(cf->ctx);

    for (i = 0; cf->cycle->modules[i]; i++) {

        ngx_module_t  *module = cf->cycle->modules[i];

        if (module->type != NGX_HTTP_MODULE
            || module == &ngx_http_dynamic_weight_module)
        {
            continue;
        }

        for (cmd = module->commands; cmd && cmd->name.len; cmd++) {

            if (ngx_http_dynamic_weight_is_for_upstreams(cmd)
                && ngx_dynamic_weight_view(cmd->name) == name)
            {
                return cmd->set(cf, cmd, ctx->srv_conf[module->ctx_index]);
            }
        }
    }

    if (optional) {
        return NGX_CONF_OK;
    }

    return const_cast<char *>("is unknown: this nginx is built without it");
}


/* keepalive N [local], keepalive_requests N, keepalive_time and so on */

char *
ngx_http_dynamic_weight_stock_keepalive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_dynamic_weight_srv_conf_t *dscf =
        static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf);

    char       *rv;
    ngx_int_t   n;
    ngx_str_t  *value;

    if (dscf->keepalive_place.file) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "both \"dynamic_weight_keepalive\" and \"%V\" in an "
                           "upstream: remove one of them; the first has "
                           "\"timeout=\", \"requests=\" and \"time=\"",
                           &cmd->name);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (dscf->stock_place.file == NULL) {
        dscf->stock_place.file = cf->conf_file->file.name.data;
        dscf->stock_place.line = cf->conf_file->line;
    }

    value = static_cast<ngx_str_t *>(cf->args->elts);

    if (cmd->offset) {

        rv = ngx_dynamic_weight_view(cmd->name) == "keepalive_requests"
             ? ngx_conf_set_num_slot(cf, cmd, conf)
             : ngx_conf_set_msec_slot(cf, cmd, conf);

        if (rv != NGX_CONF_OK || dscf->enabled) {
            return rv;
        }

        return ngx_http_dynamic_weight_pass_on(cf,
                   ngx_dynamic_weight_view(cmd->name), false);
    }

    if (!dscf->enabled) {
        dscf->keepalive_before = 1;

        return ngx_http_dynamic_weight_pass_on(cf,
                   ngx_dynamic_weight_view(cmd->name), false);
    }

    if (dscf->keepalive_total) {
        return const_cast<char *>("is duplicate");
    }

    n = ngx_atoi(value[1].data, value[1].len);

    if (n == NGX_ERROR || n > NGX_HTTP_DW_MAX_KEEPALIVE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number \"%V\" of idle connections: write "
                           "how many each worker keeps for all peers of the "
                           "upstream, from 0 (none) to %d", &value[1],
                           NGX_HTTP_DW_MAX_KEEPALIVE);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (cf->args->nelts == 3) {

        if (ngx_dynamic_weight_view(value[2]) != "local") {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\": write \"local\", or "
                               "nothing", &value[2]);
            return NGX_HTTP_DW_CONF_ERROR;
        }

        dscf->keepalive_local = 1;
    }

    dscf->keepalive = n;
    dscf->keepalive_total = 1;

    return NGX_CONF_OK;
}


char *
ngx_http_dynamic_weight_stop_stock_keepalive([[maybe_unused]] ngx_conf_t *cf)
{
#if (NGX_DYNAMIC_WEIGHT_LOCAL_POOLS)

    /* every upstream has one then, which would wrap ours: not with 0 */

    ngx_str_t    args[] = { ngx_string("keepalive"), ngx_string("0") };
    ngx_conf_t   none = *cf;
    ngx_array_t  array = *cf->args;

    array.elts = args;
    array.nelts = 2;
    none.args = &array;

    return ngx_http_dynamic_weight_pass_on(&none, "keepalive", true);

#else

    return NGX_CONF_OK;

#endif
}


std::string
ngx_http_dynamic_weight_foreign(ngx_conf_t *cf, bool methods)
{
    /* those of nginx's own that are a method, or are seen to elsewhere */

    static constexpr std::string_view  method[] = {
        "hash", "ip_hash", "least_conn", "least_time", "random"
    };
    static constexpr std::string_view  other[] = {
        "keepalive", "keepalive_requests", "keepalive_time",
        "keepalive_timeout", "resolver", "resolver_timeout",
        "response_time_factor", "server", "zone"
    };

    ngx_uint_t      i;
    std::string     text;
    ngx_command_t  *cmd;

    auto has = [](const auto &names, std::string_view name) {
        for (std::string_view n : names) {
            if (n == name) {
                return true;
            }
        }

        return false;
    };

    for (i = 0; cf->cycle->modules[i]; i++) {

        ngx_module_t  *module = cf->cycle->modules[i];

        if (module->type != NGX_HTTP_MODULE
            || module == &ngx_http_dynamic_weight_module)
        {
            continue;
        }

        for (cmd = module->commands; cmd && cmd->name.len; cmd++) {

            std::string_view  name = ngx_dynamic_weight_view(cmd->name);

            if (ngx_http_dynamic_weight_is_for_upstreams(cmd)
                && !has(other, name)
                && (methods || !has(method, name)))
            {
                text += text.empty() ? "\"" : ", \"";
                text += name;
                text += '"';
            }
        }
    }

    return text.empty() ? "another module's directive" : text;
}


/* Angie calls it so, too */

#ifdef ANGIE_VERSION
#define NGX_HTTP_DW_ROUTE  "\"sid=\" or \"route=\""
#else
#define NGX_HTTP_DW_ROUTE  "\"route=\""
#endif


/* NULL, or which parameter of a "server" is refused, and what to write */

static const char *
ngx_http_dynamic_weight_refused(const ngx_http_upstream_server_t *server)
{
    const char  *what;

    what = NULL;

    if (server->down > 1) {
        what = "\"drain\" keeps bound sessions, which there are none of "
               "here: write \"down\"";
    }

#if (NGX_DYNAMIC_WEIGHT_RESOLVE)

    if (server->host.len) {
        what = "\"resolve\": names are resolved when the configuration is "
               "read. Remove \"resolve\", write the addresses, or write "
               "\"ingress_nodes\" for nodes that come and go";
    }

    if (server->service.len) {
        what = "\"service=\": SRV records are not followed. Write the "
               "addresses with their ports, or \"ingress_nodes\" for nodes "
               "that come and go";
    }

#endif

#if (NGX_HTTP_UPSTREAM_SID)

    if (server->sid.len) {
        what = NGX_HTTP_DW_ROUTE ": sessions are not bound to servers. Remove it, "
               "or write \"dynamic_weight hash KEY;\" with a key such as "
               "$cookie_NAME";
    }

#endif

#ifdef ANGIE_VERSION

    if (server->slow_start) {
        what = "\"slow_start=\" is for peers that join others: write it in "
               "\"ingress_nodes\" or \"instances\", or remove it";
    }

#endif

#if (T_NGX_HTTP_UPSTREAM_ID)

    if (server->id.len) {
        what = "\"id=\": sessions are not bound to servers. Remove it, or "
               "write \"dynamic_weight hash KEY;\" with a key such as "
               "$cookie_NAME";
    }

#endif

    return what;
}


/* parameters of "server", and what goes with them */

static ngx_int_t
ngx_http_dynamic_weight_check_servers(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                   i;
    const char                  *what;
    ngx_http_upstream_server_t  *server;

    server = static_cast<ngx_http_upstream_server_t *>(us->servers->elts);

    for (i = 0; i < us->servers->nelts; i++) {

        what = ngx_http_dynamic_weight_refused(&server[i]);

        if (what) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "server \"%V\" in upstream \"%V\", which has "
                          "\"dynamic_weight\": %s, in %s:%ui",
                          &server[i].name, &us->host, what, us->file_name,
                          us->line);
            return NGX_ERROR;
        }
    }

    what = NULL;

#if (NGX_DYNAMIC_WEIGHT_RESOLVE)

    if (us->resolver_timeout != NGX_CONF_UNSET_MSEC) {
        what = "resolver_timeout";
    }

    if (us->resolver) {
        what = "resolver";
    }

#endif

#ifdef ANGIE_VERSION

    if (us->rt_factor != NGX_CONF_UNSET_UINT) {
        what = "response_time_factor";
    }

#endif

    if (what) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%s\" in upstream \"%V\" is without effect beside "
                      "\"dynamic_weight\", which resolves names when the "
                      "configuration is read and has response times in its "
                      "status: remove it in %s:%ui",
                      what, &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_dynamic_weight_resolve_stock(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    ngx_http_upstream_srv_conf_t  *us = dscf->upstream;

    /* whoever wraps ours does it for what our peers know nothing of */

    if (us->peer.init != ngx_http_dynamic_weight_init_peer
        || us->peer.data != dscf)
    {
        std::string  names = ngx_http_dynamic_weight_foreign(cf, false);

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s in upstream \"%V\" can't work beside "
                      "\"dynamic_weight\": remove it; what binds clients to a "
                      "peer is \"dynamic_weight hash KEY;\" with a key such as "
                      "$cookie_NAME, in %s:%ui",
                      names.c_str(), &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

    if (ngx_http_dynamic_weight_check_servers(cf, us) != NGX_OK) {
        return NGX_ERROR;
    }

    if (dscf->keepalive == 0
        && (dscf->keepalive_requests != NGX_CONF_UNSET_UINT
            || dscf->keepalive_time != NGX_CONF_UNSET_MSEC
            || dscf->keepalive_timeout != NGX_CONF_UNSET_MSEC))
    {
        return ngx_dynamic_weight_wrong(cf,
                      dscf->stock_place.file ? dscf->stock_place
                                        : dscf->keepalive_place,
                      "no idle connection is kept in upstream \"%V\", and what "
                      "is said of them is without effect: remove it, or write "
                      "another number than 0", &us->host);
    }

    ngx_conf_init_uint_value(dscf->keepalive_requests, 1000);
    ngx_conf_init_msec_value(dscf->keepalive_time, 3600000);
    ngx_conf_init_msec_value(dscf->keepalive_timeout, 60000);

    return NGX_OK;
}

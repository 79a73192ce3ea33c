// dynamic_weight and dynamic_weight_keepalive in an upstream, and what becomes of
// it when the upstream is complete.

#include "ngx_module/core/ngx_dynamic_weight.h"
#include "ngx_module/core/ngx_dynamic_weight_parameter.h"


#define NGX_HTTP_DW_MAX_BALANCE  100000


static ngx_int_t ngx_http_dynamic_weight_read_method(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf);
static ngx_int_t ngx_http_dynamic_weight_read_hash(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf);
static ngx_int_t ngx_http_dynamic_weight_balance(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_dynamic_weight_srv_conf_t *dscf);
static ngx_int_t ngx_http_dynamic_weight_check_order(ngx_conf_t *cf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    const ngx_http_upstream_srv_conf_t *uscf);
static ngx_int_t ngx_http_dynamic_weight_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);


/* dynamic_weight [least_conn | hash key [balance=percent]] */

char *
ngx_http_dynamic_weight(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_srv_conf_t *dscf =
        static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf);

    ngx_http_upstream_srv_conf_t  *uscf;

    if (dscf->enabled) {
        return const_cast<char *>("is duplicate");
    }

    uscf = static_cast<ngx_http_upstream_srv_conf_t *>(
        ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module));

    if (ngx_http_dynamic_weight_read_method(cf, dscf) != NGX_OK
        || ngx_http_dynamic_weight_check_order(cf, dscf, uscf) != NGX_OK)
    {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    dscf->enabled = 1;

    uscf->peer.init_upstream = ngx_http_dynamic_weight_init_upstream;

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE
                  |NGX_HTTP_UPSTREAM_WEIGHT
                  |NGX_HTTP_UPSTREAM_MAX_CONNS
                  |NGX_HTTP_UPSTREAM_MAX_FAILS
                  |NGX_HTTP_UPSTREAM_FAIL_TIMEOUT
                  |NGX_HTTP_UPSTREAM_DOWN
                  |NGX_HTTP_UPSTREAM_BACKUP;

    return ngx_http_dynamic_weight_stop_stock_keepalive(cf);
}


static ngx_int_t
ngx_http_dynamic_weight_read_method(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    ngx_str_t         *value;
    ngx_uint_t         n;
    std::string_view   method;

    n = cf->args->nelts;

    if (n == 1) {
        return NGX_OK;
    }

    value = static_cast<ngx_str_t *>(cf->args->elts);
    method = ngx_dynamic_weight_view(value[1]);

    if (method == "least_conn" && n == 2) {
        dscf->least_conn = 1;
        return NGX_OK;
    }

    if (method == "hash" && n >= 3 && n <= 4) {
        return ngx_http_dynamic_weight_read_hash(cf, dscf);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown method \"%V\": write \"dynamic_weight;\", "
                       "\"dynamic_weight least_conn;\" or "
                       "\"dynamic_weight hash KEY [balance=125];\", for "
                       "example with the key \"$request_uri\"", &value[1]);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_dynamic_weight_read_hash(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    ngx_str_t                         *value;
    ngx_http_compile_complex_value_t   ccv;

    value = static_cast<ngx_str_t *>(cf->args->elts);

    if (cf->args->nelts == 4
        && ngx_http_dynamic_weight_balance(cf, &value[3], dscf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    dscf->hash_key = static_cast<ngx_http_complex_value_t *>(
        ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t)));
    if (dscf->hash_key == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[2];
    ccv.complex_value = dscf->hash_key;

    return ngx_http_compile_complex_value(&ccv);
}


/* balance=125: a peer gets its keys up to 5/4 of its share of what is running */

static ngx_int_t
ngx_http_dynamic_weight_balance(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    ngx_int_t  n;

    n = NGX_ERROR;

    if (ngx_strncmp(value->data, "balance=", 8) == 0) {
        n = ngx_atoi(value->data + 8, value->len - 8);
    }

    if (n <= 100 || n > NGX_HTTP_DW_MAX_BALANCE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" of \"hash\": write "
                           "\"balance=125\", the percent of its share of the "
                           "running requests that a peer may have before keys "
                           "go on to others, from 101 to %d; without it a key "
                           "keeps its peer", value, NGX_HTTP_DW_MAX_BALANCE);
        return NGX_ERROR;
    }

    dscf->balance = n;

    return NGX_OK;
}


/* what has to stand behind "dynamic_weight" */

static ngx_int_t
ngx_http_dynamic_weight_check_order(ngx_conf_t *cf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    const ngx_http_upstream_srv_conf_t *uscf)
{
    if (dscf->keepalive_before) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"keepalive\" must not precede \"dynamic_weight\" "
                           "in upstream \"%V\": write \"keepalive\" after "
                           "\"dynamic_weight\"", &uscf->host);
        return NGX_ERROR;
    }

    if (uscf->peer.init_upstream) {
        std::string  names = ngx_http_dynamic_weight_foreign(cf, true);

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "another balancing method must not precede "
                           "\"dynamic_weight\" in upstream \"%V\": remove one "
                           "of them (it is one of %s)",
                           &uscf->host, names.c_str());
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* how long a connection may be idle, and for how long it may serve */

template <ngx_msec_t ngx_http_dynamic_weight_srv_conf_t::*member>
static ngx_int_t
ngx_http_dynamic_weight_read_msec(ngx_conf_t *,
    ngx_http_dynamic_weight_srv_conf_t *dscf, ngx_str_t *, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n == 0) {
        return NGX_DECLINED;
    }

    dscf->*member = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_dynamic_weight_read_requests(ngx_conf_t *,
    ngx_http_dynamic_weight_srv_conf_t *dscf, ngx_str_t *, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1) {
        return NGX_DECLINED;
    }

    dscf->keepalive_requests = n;

    return NGX_OK;
}


using Upstream = ngx_http_dynamic_weight_srv_conf_t;

static constexpr ngx_dynamic_weight_parameter_t<Upstream>
    ngx_http_dynamic_weight_keepalive_parameters[] =
{
    { "timeout=",
      ngx_http_dynamic_weight_read_msec<&Upstream::keepalive_timeout> },
    { "time=", ngx_http_dynamic_weight_read_msec<&Upstream::keepalive_time> },
    { "requests=", ngx_http_dynamic_weight_read_requests },
};


/* dynamic_weight_keepalive N [timeout=time] [requests=number] [time=time] */

char *
ngx_http_dynamic_weight_keepalive(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_srv_conf_t *dscf =
        static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf);

    ngx_int_t    n;
    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (dscf->keepalive_place.file) {
        return const_cast<char *>("is duplicate");
    }

    if (dscf->stock_place.file) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "both \"dynamic_weight_keepalive\" and a "
                           "\"keepalive\" directive of nginx in an upstream: "
                           "remove one of them");
        return NGX_HTTP_DW_CONF_ERROR;
    }

    value = static_cast<ngx_str_t *>(cf->args->elts);

    n = ngx_atoi(value[1].data, value[1].len);

    if (n == NGX_ERROR || n > NGX_HTTP_DW_MAX_KEEPALIVE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number \"%V\" of idle connections: write "
                           "how many each worker keeps for each peer, from 0 "
                           "(none) to %d", &value[1],
                           NGX_HTTP_DW_MAX_KEEPALIVE);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    dscf->keepalive = n;
    dscf->keepalive_place.file = cf->conf_file->file.name.data;
    dscf->keepalive_place.line = cf->conf_file->line;

    for (i = 2; i < cf->args->nelts; i++) {

        auto *param = ngx_dynamic_weight_find_parameter(
                          ngx_http_dynamic_weight_keepalive_parameters,
                          value[i], &s);

        if (param == NULL
            || param->read(cf, dscf, &value[i], &s) != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\": write "
                               "\"timeout=60s\", how long a connection may be "
                               "idle, \"requests=1000\" or \"time=1h\", how "
                               "many it may serve and for how long",
                               &value[i]);
            return NGX_HTTP_DW_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_dynamic_weight_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_dynamic_weight_srv_conf_t    *dscf, **elt;
    ngx_http_dynamic_weight_main_conf_t   *dmcf;

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t *>(
        ngx_http_conf_upstream_srv_conf(us, ngx_http_dynamic_weight_module));

    dmcf = static_cast<ngx_http_dynamic_weight_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_dynamic_weight_module));

    dscf->upstream = us;

#if (NGX_HTTP_UPSTREAM_ZONE)

    if (us->shm_zone) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"zone\" in upstream \"%V\" isn't needed with "
                      "\"dynamic_weight\": its peers live in the "
                      "dynamic_weight_zone; remove \"zone\" in %s:%ui",
                      &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

#endif

    if (dscf->base == NGX_CONF_UNSET_UINT) {
        /* main's own default is set only after upstream's init_main_conf */
        dscf->base = dmcf->base == NGX_CONF_UNSET_UINT
                     ? static_cast<ngx_uint_t>(dynweight::kDefaultBase)
                     : dmcf->base;
    }

    if (ngx_http_dynamic_weight_init_group(cf, dscf, false) != NGX_OK
        || ngx_http_dynamic_weight_init_group(cf, dscf, true) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (dscf->primary.conf.nslots == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no peer of upstream \"%V\" but backup ones: write a "
                      "\"server\", \"ingress_nodes\" or \"instances\" "
                      "without \"backup\" in "
                      "%s:%ui", &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_dynamic_weight_init_peer;
    us->peer.data = dscf;

    elt = static_cast<ngx_http_dynamic_weight_srv_conf_t **>(
        ngx_array_push(&dmcf->upstreams));
    if (elt == NULL) {
        return NGX_ERROR;
    }

    *elt = dscf;
    dscf->initialized = 1;

    return NGX_OK;
}

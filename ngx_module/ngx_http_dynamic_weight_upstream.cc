// dynamic_weight and ingress_nodes in an upstream.

#include "ngx_http_dynamic_weight.h"

#include "watcher/kubernetes/source.h"


#define NGX_HTTP_DW_MAX_SLOTS    4096
#define NGX_HTTP_DW_MAX_BALANCE  100000


static ngx_int_t ngx_http_dynamic_weight_balance(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_dynamic_weight_srv_conf_t *dscf);
static ngx_int_t ngx_http_dynamic_weight_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);


/* dynamic_weight [least_conn | hash key [balance=percent]] */

char *
ngx_http_dynamic_weight(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_srv_conf_t *dscf =
        static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf);

    ngx_str_t                         *value;
    ngx_http_upstream_srv_conf_t      *uscf;
    ngx_http_compile_complex_value_t   ccv;

    if (dscf->enabled) {
        return const_cast<char *>("is duplicate");
    }

    value = static_cast<ngx_str_t *>(cf->args->elts);

    if (cf->args->nelts == 2
        && ngx_http_dynamic_weight_view(value[1]) == "least_conn")
    {
        dscf->least_conn = 1;

    } else if (cf->args->nelts >= 3 && cf->args->nelts <= 4
               && ngx_http_dynamic_weight_view(value[1]) == "hash")
    {
        if (cf->args->nelts == 4
            && ngx_http_dynamic_weight_balance(cf, &value[3], dscf) != NGX_OK)
        {
            return NGX_HTTP_DW_CONF_ERROR;
        }

        dscf->hash_key = static_cast<ngx_http_complex_value_t *>(
            ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t)));
        if (dscf->hash_key == NULL) {
            return NGX_HTTP_DW_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[2];
        ccv.complex_value = dscf->hash_key;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_HTTP_DW_CONF_ERROR;
        }

    } else if (cf->args->nelts != 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown method \"%V\": write "
                           "\"dynamic_weight;\", "
                           "\"dynamic_weight least_conn;\" or "
                           "\"dynamic_weight hash KEY [balance=125];\", for "
                           "example with the key \"$request_uri\"",
                           &value[1]);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    uscf = static_cast<ngx_http_upstream_srv_conf_t *>(
        ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module));

    if (dscf->keepalive_before) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"keepalive\" stands before \"dynamic_weight\" in "
                           "upstream \"%V\": write \"keepalive\" after "
                           "\"dynamic_weight\"", &uscf->host);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (uscf->peer.init_upstream) {
        std::string  names = ngx_http_dynamic_weight_foreign(cf, true);

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "another balancing method stands before "
                           "\"dynamic_weight\" in upstream \"%V\": remove one "
                           "of them (it is one of %s)",
                           &uscf->host, names.c_str());
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


/* ingress_nodes CLUSTER SOURCE port=N [slots=N] [empty=keep|drain] ... */

char *
ngx_http_dynamic_weight_ingress_nodes(ngx_conf_t *cf, ngx_command_t *,
    void *conf)
{
    ngx_http_dynamic_weight_srv_conf_t *dscf =
        static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf);

    ngx_int_t                        n;
    ngx_str_t                       *value, s;
    ngx_uint_t                       i;
    ngx_http_upstream_server_t      *us;
    ngx_http_upstream_srv_conf_t    *uscf;
    ngx_http_dynamic_weight_line_t  *line;

    uscf = static_cast<ngx_http_upstream_srv_conf_t *>(
        ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module));

    if (dscf->lines.elts == NULL
        && ngx_array_init(&dscf->lines, cf->pool, 4,
                          sizeof(ngx_http_dynamic_weight_line_t)) != NGX_OK)
    {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    line = static_cast<ngx_http_dynamic_weight_line_t *>(
        ngx_array_push(&dscf->lines));
    if (line == NULL) {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    ngx_memzero(line, sizeof(ngx_http_dynamic_weight_line_t));

    value = static_cast<ngx_str_t *>(cf->args->elts);

    line->place.file = cf->conf_file->file.name.data;
    line->place.line = cf->conf_file->line;
    line->cluster = value[1];
    line->slots = 16;
    line->max_fails = 1;
    line->fail_timeout = 10;

    for (i = 2; i < cf->args->nelts; i++) {

        std::string_view  arg = ngx_http_dynamic_weight_view(value[i]);
        size_t            eq = arg.find('=');

        s.data = value[i].data + (eq == arg.npos ? value[i].len : eq + 1);
        s.len = value[i].data + value[i].len - s.data;

        arg = arg.substr(0, eq == arg.npos ? eq : eq + 1);

        if (arg == "service=" || arg == "pods=" || arg == "deployment="
            || arg == "statefulset=" || arg == "rollout=")
        {
            if (line->source.len) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "second source \"%V\": write one source in "
                                   "a line; several lines of a cluster are "
                                   "allowed", &value[i]);
                return NGX_HTTP_DW_CONF_ERROR;
            }

            auto source = dynweight::PodSource::Parse(
                              ngx_http_dynamic_weight_view(value[i]));

            if (!source.ok()) {
                std::string  text(source.status().message());

                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", text.c_str());
                return NGX_HTTP_DW_CONF_ERROR;
            }

            line->source = value[i];
            continue;
        }

        if (arg == "port=") {
            n = ngx_atoi(s.data, s.len);

            if (n < 1 || n > 65535) {
                goto invalid;
            }

            line->port = n;
            continue;
        }

        if (arg == "slots=") {
            n = ngx_atoi(s.data, s.len);

            if (n < 1 || n > NGX_HTTP_DW_MAX_SLOTS) {
                goto invalid;
            }

            line->slots = n;
            continue;
        }

        if (arg == "empty=") {

            if (ngx_http_dynamic_weight_view(s) == "drain") {
                line->drain = 1;

            } else if (ngx_http_dynamic_weight_view(s) != "keep") {
                goto invalid;
            }

            continue;
        }

        if (arg == "max_fails=") {
            n = ngx_atoi(s.data, s.len);

            if (n == NGX_ERROR || n > NGX_MAX_INT32_VALUE) {
                goto invalid;
            }

            line->max_fails = n;
            continue;
        }

        if (arg == "fail_timeout=") {
            line->fail_timeout = ngx_parse_time(&s, 1);

            if (line->fail_timeout == static_cast<time_t>(NGX_ERROR)) {
                goto invalid;
            }

            continue;
        }

        if (arg == "max_conns=") {
            n = ngx_atoi(s.data, s.len);

            if (n == NGX_ERROR || n > NGX_MAX_INT32_VALUE) {
                goto invalid;
            }

            line->max_conns = n;
            continue;
        }

        if (arg == "slow_start=") {
            n = ngx_parse_time(&s, 0);

            if (n == NGX_ERROR) {
                goto invalid;
            }

            line->slow_start = n;
            continue;
        }

        if (arg == "backup") {
            line->backup = 1;
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown parameter \"%V\": write a source such as "
                           "\"service=NAMESPACE/NAME\", port=, slots=, empty=, "
                           "max_fails=, fail_timeout=, max_conns=, slow_start= "
                           "or backup",
                           &value[i]);
        return NGX_HTTP_DW_CONF_ERROR;

    invalid:

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\": port= takes 1 to 65535, "
                           "slots= 1 to %d, empty= \"keep\" or \"drain\", "
                           "max_fails= and max_conns= a number, "
                           "fail_timeout= and slow_start= a time",
                           &value[i], NGX_HTTP_DW_MAX_SLOTS);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (line->source.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no source in \"ingress_nodes %V\": write where its "
                           "pods are counted, for example "
                           "\"service=NAMESPACE/NAME\"", &value[1]);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (line->port == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no port in \"ingress_nodes %V\": write the ingress "
                           "nodes' port, for example \"port=80\"", &value[1]);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    /* nginx refuses an upstream without servers: a server of no address */

    us = static_cast<ngx_http_upstream_server_t *>(
        ngx_array_push(uscf->servers));
    if (us == NULL) {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    ngx_memzero(us, sizeof(ngx_http_upstream_server_t));

    us->name = value[1];
    us->down = 1;
    us->backup = line->backup;

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

    if (dscf->primary.conf.nseats == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no peer of upstream \"%V\" but backup ones: write a "
                      "\"server\" or \"ingress_nodes\" without \"backup\" in "
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

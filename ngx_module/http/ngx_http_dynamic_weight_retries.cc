// How many attempts a request may have, and the retry budget of an upstream,
// which bounds them.

#include "ngx_module/core/ngx_dynamic_weight_parameter.h"
#include "ngx_module/core/ngx_dynamic_weight_request.h"


#define NGX_HTTP_DW_MAX_RETRIES  1000000   /* that always may run */


using Upstream = ngx_http_dynamic_weight_srv_conf_t;


static bool ngx_http_dynamic_weight_may_retry(
    ngx_http_dynamic_weight_request_t *rd);
static bool ngx_http_dynamic_weight_would_retry(ngx_http_request_t *r);


/* 20% */

static ngx_int_t
ngx_http_dynamic_weight_read_budget(ngx_conf_t *, Upstream *dscf, ngx_str_t *,
    ngx_str_t *value)
{
    ngx_int_t  n;

    if (value->len < 2 || value->data[value->len - 1] != '%') {
        return NGX_DECLINED;
    }

    n = ngx_atoi(value->data, value->len - 1);

    if (n == NGX_ERROR || n > 100) {
        return NGX_DECLINED;
    }

    dscf->retries.percent = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_dynamic_weight_read_min(ngx_conf_t *, Upstream *dscf, ngx_str_t *,
    ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n > NGX_HTTP_DW_MAX_RETRIES) {
        return NGX_DECLINED;
    }

    dscf->retries.min = n;

    return NGX_OK;
}


static constexpr ngx_dynamic_weight_parameter_t<Upstream>
    ngx_http_dynamic_weight_retries_parameters[] =
{
    { "budget=", ngx_http_dynamic_weight_read_budget },
    { "min=", ngx_http_dynamic_weight_read_min },
};


/* dynamic_weight_retries budget=percent% [min=number] */

char *
ngx_http_dynamic_weight_retries(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    Upstream *dscf = static_cast<Upstream *>(conf);

    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (dscf->retries_place.file) {
        return const_cast<char *>("is duplicate");
    }

    ngx_dynamic_weight_note_place(cf, &dscf->retries_place);

    value = static_cast<ngx_str_t *>(cf->args->elts);

    for (i = 1; i < cf->args->nelts; i++) {

        auto *param = ngx_dynamic_weight_find_parameter(
                          ngx_http_dynamic_weight_retries_parameters,
                          value[i], &s);

        if (param == NULL
            || param->read(cf, dscf, &value[i], &s) != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\": write "
                               "\"budget=20%%\", from 0%% to 100%% of the "
                               "requests in their first attempt, which so many "
                               "retries may run beside, and \"min=3\", how many "
                               "always may, from 0 to %d", &value[i],
                               NGX_HTTP_DW_MAX_RETRIES);
            return NGX_HTTP_DW_CONF_ERROR;
        }
    }

    if (!dscf->retries.limited()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"dynamic_weight_retries\" without a budget: write "
                           "\"budget=20%%\" beside \"min=\"");
        return NGX_HTTP_DW_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* those that serve or stand by, and one that is probed: not the last try */

static ngx_uint_t
ngx_http_dynamic_weight_tries_of(const ngx_dynamic_weight_group_t *group)
{
    if (group->conf.nslots == 0) {
        return 0;
    }

    return group->worker.index->nonzero()
           + group->worker.serving->standing_by()
           + (group->worker.serving->due() != dynweight::ServingWeights::kNone);
}


ngx_uint_t
ngx_http_dynamic_weight_tries(const Upstream *dscf)
{
    return ngx_http_dynamic_weight_tries_of(&dscf->primary)
           + ngx_http_dynamic_weight_tries_of(&dscf->backup);
}


/*
 * When health begins to be ignored the request that saw to it may come to peers
 * that were out before: not at the cost of those that would answer it. Once, as
 * its attempts are counted.
 */

static void
ngx_http_dynamic_weight_extend_tries(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd)
{
    ngx_uint_t                          tries, most;
    ngx_http_dynamic_weight_attempt_t  *attempt;

    if (rd->extended) {
        return;
    }

    ngx_dynamic_weight_refresh(rd->conf);

    if (!rd->conf->all_out) {
        return;
    }

    rd->extended = 1;

    tries = ngx_http_dynamic_weight_tries(rd->conf);
    most = rd->request->upstream->conf->next_upstream_tries;

    if (most) {
        tries = ngx_min(tries, most);
    }

    for (attempt = rd->attempts; attempt && tries; attempt = attempt->next) {
        tries--;
    }

    pc->tries = ngx_max(pc->tries, tries);
}


void
ngx_http_dynamic_weight_bound_tries(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd)
{
    if (rd->conf->panic) {
        ngx_http_dynamic_weight_extend_tries(pc, rd);
    }

    if (pc->tries && !ngx_http_dynamic_weight_may_retry(rd)) {
        pc->tries = 0;
    }
}


void
ngx_http_dynamic_weight_begin_retry(ngx_http_dynamic_weight_request_t *rd,
    bool again)
{
    dynweight::PeerTable  *table = rd->conf->primary.zone.table;

    if (!again && rd->attempts->next) {
        rd->retry = 1;
        table->retry_counters().retries.fetch_add(1,
                                                  std::memory_order_relaxed);
    }

    if (rd->retry) {
        table->BeginRetry(ngx_dynamic_weight_column);
    }
}


void
ngx_http_dynamic_weight_end_retry(ngx_http_dynamic_weight_request_t *rd)
{
    if (rd->retry) {
        rd->conf->primary.zone.table->EndRetry(ngx_dynamic_weight_column);
    }
}


/*
 * Those of other workers that begin at this moment are not seen: there may be
 * one too many of each.
 */

static bool
ngx_http_dynamic_weight_may_retry(ngx_http_dynamic_weight_request_t *rd)
{
    uint32_t               running, retries;
    Upstream              *dscf = rd->conf;
    dynweight::PeerTable  *table = dscf->primary.zone.table;

    if (!dscf->retries.limited()) {
        return true;
    }

    running = table->ActiveTotal() + 1;

    if (dscf->backup.conf.nslots) {
        running += dscf->backup.zone.table->ActiveTotal();
    }

    retries = table->Retries();

    if (dscf->retries.Allows(running - ngx_min(retries, running), retries)) {
        return true;
    }

    if (ngx_http_dynamic_weight_would_retry(rd->request)) {
        table->retry_counters().refused.fetch_add(1,
                                                  std::memory_order_relaxed);
    }

    return false;
}


/* as ngx_http_upstream_next() decides, but for what the attempt died of */

static bool
ngx_http_dynamic_weight_would_retry(ngx_http_request_t *r)
{
    ngx_msec_t            timeout;
    ngx_http_upstream_t  *u = r->upstream;

    if (u->conf->next_upstream & NGX_HTTP_UPSTREAM_FT_OFF) {
        return false;
    }

    if (u->request_sent
        && (r->request_body_no_buffering
            || (r->method & (NGX_HTTP_POST|NGX_HTTP_LOCK|NGX_HTTP_PATCH)
                && !(u->conf->next_upstream
                     & NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT))))
    {
        return false;
    }

    timeout = u->conf->next_upstream_timeout;

    return timeout == 0 || ngx_current_msec - u->peer.start_time < timeout;
}

// See the header.

#include "ngx_module/http/ngx_http_dynamic_weight_health.h"

#include "ngx_module/core/ngx_dynamic_weight_parameter.h"

#include <algorithm>
#include <set>
#include <vector>


#define NGX_HTTP_DW_MAX_OUTLIER_REQUESTS  1000000

/* windows, and times of an ejection */
#define NGX_HTTP_DW_MIN_WINDOW  1000
#define NGX_HTTP_DW_MAX_WINDOW  3600000
#define NGX_HTTP_DW_MAX_EJECT   86400000

/* percent */
#define NGX_HTTP_DW_MAX_OVERPROVISIONING  1000


using Upstream = ngx_http_dynamic_weight_srv_conf_t;


/* NGX_ERROR: not "percent%" of that range */

static ngx_int_t
ngx_http_dynamic_weight_percent(const ngx_str_t &value, ngx_int_t min)
{
    ngx_int_t  n;

    if (value.len < 2 || value.data[value.len - 1] != '%') {
        return NGX_ERROR;
    }

    n = ngx_atoi(value.data, value.len - 1);

    return n >= min && n <= 100 ? n : NGX_ERROR;
}


/* dynamic_weight_panic percent% */

char *
ngx_http_dynamic_weight_panic(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    Upstream *dscf = static_cast<Upstream *>(conf);

    ngx_int_t   n;
    ngx_str_t  *value;

    if (dscf->panic_place.file) {
        return const_cast<char *>("is duplicate");
    }

    ngx_dynamic_weight_note_place(cf, &dscf->panic_place);

    value = static_cast<ngx_str_t *>(cf->args->elts);

    n = ngx_http_dynamic_weight_percent(value[1], 0);

    if (n == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\": write \"50%%\", the part of "
                           "the weight below which health is ignored, from 0%% "
                           "(when all are out) to 100%%", &value[1]);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    dscf->panic = n;

    return NGX_CONF_OK;
}


template <uint32_t dynweight::OutlierPolicy::*member>
static ngx_int_t
ngx_http_dynamic_weight_read_percent(ngx_conf_t *, Upstream *dscf, ngx_str_t *,
    ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_http_dynamic_weight_percent(*value, 1);

    if (n == NGX_ERROR) {
        return NGX_DECLINED;
    }

    dscf->outlier.*member = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_dynamic_weight_read_outlier_requests(ngx_conf_t *, Upstream *dscf,
    ngx_str_t *, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > NGX_HTTP_DW_MAX_OUTLIER_REQUESTS) {
        return NGX_DECLINED;
    }

    dscf->outlier.requests = n;

    return NGX_OK;
}


template <int64_t dynweight::OutlierPolicy::*member, ngx_int_t max>
static ngx_int_t
ngx_http_dynamic_weight_read_duration(ngx_conf_t *, Upstream *dscf, ngx_str_t *,
    ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n < NGX_HTTP_DW_MIN_WINDOW || n > max) {
        return NGX_DECLINED;
    }

    dscf->outlier.*member = n;

    return NGX_OK;
}


using Policy = dynweight::OutlierPolicy;

static constexpr ngx_dynamic_weight_parameter_t<Upstream>
    ngx_http_dynamic_weight_outlier_parameters[] =
{
    { "errors=",
      ngx_http_dynamic_weight_read_percent<&Policy::errors_percent> },
    { "requests=", ngx_http_dynamic_weight_read_outlier_requests },
    { "window=", ngx_http_dynamic_weight_read_duration<&Policy::window_ms,
                                                   NGX_HTTP_DW_MAX_WINDOW> },
    { "eject=", ngx_http_dynamic_weight_read_duration<&Policy::eject_ms,
                                                      NGX_HTTP_DW_MAX_EJECT> },
    { "most=", ngx_http_dynamic_weight_read_percent<&Policy::most_percent> },
};


/*
 * dynamic_weight_outlier [errors=percent%] [requests=number] [window=time]
 *                        [eject=time] [most=percent%]
 */

char *
ngx_http_dynamic_weight_outlier(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    Upstream *dscf = static_cast<Upstream *>(conf);

    ngx_str_t   *value, s;
    ngx_uint_t   i;

    if (dscf->outlier_place.file) {
        return const_cast<char *>("is duplicate");
    }

    ngx_dynamic_weight_note_place(cf, &dscf->outlier_place);

    value = static_cast<ngx_str_t *>(cf->args->elts);

    for (i = 1; i < cf->args->nelts; i++) {

        auto *param = ngx_dynamic_weight_find_parameter(
                          ngx_http_dynamic_weight_outlier_parameters,
                          value[i], &s);

        if (param == NULL
            || param->read(cf, dscf, &value[i], &s) != NGX_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\": write "
                               "\"errors=50%%\", \"requests=20\" and "
                               "\"window=10s\" (1s to 1h): so many of so many "
                               "attempts within that time fail or are answered "
                               "5xx; \"eject=30s\" (1s to 24h), for how long; "
                               "\"most=30%%\" of the weight together",
                               &value[i]);
            return NGX_HTTP_DW_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* dynamic_weight_failover factor */

char *
ngx_http_dynamic_weight_failover(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    Upstream *dscf = static_cast<Upstream *>(conf);

    ngx_int_t   n;
    ngx_str_t  *value;

    if (dscf->failover_place.file) {
        return const_cast<char *>("is duplicate");
    }

    ngx_dynamic_weight_note_place(cf, &dscf->failover_place);

    value = static_cast<ngx_str_t *>(cf->args->elts);

    n = ngx_atofp(value[1].data, value[1].len, 2);

    if (n < 100 || n > NGX_HTTP_DW_MAX_OVERPROVISIONING) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid factor \"%V\": write \"1.4\", from 1 to "
                           "10: a priority serves alone until its healthy "
                           "weight, times the factor, is less than all of it",
                           &value[1]);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    dscf->overprovisioning = n;

    return NGX_CONF_OK;
}


std::vector<uint32_t>
ngx_http_dynamic_weight_priorities(const Upstream *dscf)
{
    ngx_uint_t                  i;
    std::set<uint32_t>          priorities;
    ngx_dynamic_weight_line_t  *line;

    if (dscf->primary.conf.nslots
        && dscf->primary.conf.slots[0].sockaddr)
    {
        priorities.insert(0);
    }

    line = static_cast<ngx_dynamic_weight_line_t *>(dscf->lines.elts);

    for (i = 0; i < dscf->lines.nelts; i++) {
        if (!line[i].backup) {
            priorities.insert(line[i].priority);
        }
    }

    if (priorities.size() < 2) {
        return {};
    }

    return { priorities.begin(), priorities.end() };
}


static ngx_int_t
ngx_http_dynamic_weight_resolve_priorities(ngx_conf_t *cf, Upstream *dscf)
{
    ngx_uint_t                  i;
    std::vector<uint32_t>       priorities;
    ngx_dynamic_weight_line_t  *line;

    priorities = ngx_http_dynamic_weight_priorities(dscf);

    if (priorities.empty()) {

        if (dscf->failover_place.file) {
            return ngx_dynamic_weight_wrong(cf, dscf->failover_place,
                      "\"dynamic_weight_failover\" in upstream \"%V\" has no "
                      "effect, as all of its peers have one priority: write "
                      "\"priority=1\" in the lines that are to take over, or "
                      "remove it", &dscf->upstream->host);
        }

        return NGX_OK;
    }

    line = static_cast<ngx_dynamic_weight_line_t *>(dscf->lines.elts);

    for (i = 0; i < dscf->lines.nelts; i++) {
        line[i].rank = std::lower_bound(priorities.begin(), priorities.end(),
                                        line[i].priority)
                       - priorities.begin();
    }

    dscf->priorities = priorities.size();

    return NGX_OK;
}


/* of servers alone it is known who is the least */

static ngx_int_t
ngx_http_dynamic_weight_check_most(ngx_conf_t *cf, const Upstream *dscf)
{
    uint64_t                         weight, whole, least;
    ngx_uint_t                       i;
    ngx_dynamic_weight_slot_conf_t  *slots = dscf->primary.conf.slots;

    if (dscf->lines.nelts) {
        return NGX_OK;
    }

    whole = 0;
    least = UINT64_MAX;

    for (i = 0; i < dscf->primary.conf.nslots; i++) {
        weight = slots[i].weight;

        if (weight) {
            whole += weight;
            least = ngx_min(least, weight);
        }
    }

    if (whole == 0 || least * 100 <= whole * dscf->outlier.most_percent) {
        return NGX_OK;
    }

    return ngx_dynamic_weight_wrong(cf, dscf->outlier_place,
              "\"dynamic_weight_outlier\" in upstream \"%V\" can eject nobody, "
              "as each server has more than %uD%% of the weight: write "
              "\"most=%uL%%\" or more",
              &dscf->upstream->host, dscf->outlier.most_percent,
              (least * 100 + whole - 1) / whole);
}


/* the tables of its peers */

static std::vector<uint32_t>
ngx_http_dynamic_weight_tables(const Upstream *dscf)
{
    std::vector<uint32_t>  tables;

    for (const ngx_dynamic_weight_group_t *group
         : { &dscf->primary, &dscf->backup })
    {
        if (group->conf.nslots) {
            tables.push_back(group->conf.id);
        }
    }

    return tables;
}


ngx_int_t
ngx_http_dynamic_weight_resolve_health(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf, Upstream *dscf)
{
    dynweight::OutlierConfig        outlier;
    dynweight::UpstreamProbeConfig  probe;

    if (ngx_http_dynamic_weight_resolve_priorities(cf, dscf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (dscf->probe) {

        if (ngx_http_dynamic_weight_check_probe(cf, dscf) != NGX_OK) {
            return NGX_ERROR;
        }

        probe.upstream = ngx_dynamic_weight_view(dscf->upstream->host);
        probe.tables = ngx_http_dynamic_weight_tables(dscf);
        probe.probe = *dscf->probe;
        probe.via_ingress = dscf->probe_ingress;

        dmcf->config->upstream_probes.push_back(std::move(probe));
    }

    if (dscf->outlier_place.file) {

        if (ngx_http_dynamic_weight_check_most(cf, dscf) != NGX_OK) {
            return NGX_ERROR;
        }

        outlier.upstream = ngx_dynamic_weight_view(dscf->upstream->host);
        outlier.tables = ngx_http_dynamic_weight_tables(dscf);
        outlier.policy = dscf->outlier;

        dmcf->config->outliers.push_back(std::move(outlier));
    }

    return NGX_OK;
}

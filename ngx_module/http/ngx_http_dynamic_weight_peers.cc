// The slots of an upstream's peers, made when the upstream is complete.

#include "ngx_module/core/ngx_dynamic_weight.h"

#include <memory>

#include "weightcalc/hash.h"


static ngx_uint_t ngx_http_dynamic_weight_count_slots(
    const ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup);
static ngx_dynamic_weight_slot_conf_t *ngx_http_dynamic_weight_assign_servers(
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup,
    ngx_dynamic_weight_slot_conf_t *slot_conf, uint64_t *largest);
static void ngx_http_dynamic_weight_assign_nodes(
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup,
    ngx_dynamic_weight_slot_conf_t *slot_conf);


/* slots: first those of the servers, then those of the lines' slots */

ngx_int_t
ngx_http_dynamic_weight_init_group(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup)
{
    uint64_t                          largest;
    ngx_uint_t                        n;
    ngx_dynamic_weight_slot_conf_t   *slot_conf;
    ngx_dynamic_weight_group_t       *group;

    n = ngx_http_dynamic_weight_count_slots(dscf, backup);

    if (n == 0) {
        return NGX_OK;
    }

    if (n > dynweight::PeerTable::kMaxCapacity) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "upstream \"%V\" has %ui peers, more than %uD: reduce "
                      "\"slots\" in %s:%ui", &dscf->upstream->host, n,
                      dynweight::PeerTable::kMaxCapacity,
                      dscf->upstream->file_name, dscf->upstream->line);
        return NGX_ERROR;
    }

    slot_conf = static_cast<ngx_dynamic_weight_slot_conf_t *>(
        ngx_pmemalign(cf->pool, n * sizeof(ngx_dynamic_weight_slot_conf_t),
                      alignof(ngx_dynamic_weight_slot_conf_t)));
    if (slot_conf == NULL) {
        return NGX_ERROR;
    }

    std::uninitialized_value_construct_n(slot_conf, n);

    group = backup ? &dscf->backup : &dscf->primary;

    group->conf.slots = slot_conf;
    group->conf.nslots = n;

    slot_conf = ngx_http_dynamic_weight_assign_servers(dscf, backup, slot_conf, &largest);

    if (largest > dynweight::kMaxWeight) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "upstream \"%V\": a weight of %uL is too large, more "
                      "than %uD: all of its weights are divided by %uL; lower "
                      "\"weight\" or \"dynamic_weight_base\" in %s:%ui",
                      &dscf->upstream->host, largest, dynweight::kMaxWeight,
                      dynweight::WeightScale(largest),
                      dscf->upstream->file_name, dscf->upstream->line);
    }

    ngx_http_dynamic_weight_assign_nodes(dscf, backup, slot_conf);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_dynamic_weight_count_slots(
    const ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup)
{
    ngx_uint_t                       i, n;
    ngx_http_upstream_server_t      *server;
    ngx_dynamic_weight_line_t       *line;

    server = static_cast<ngx_http_upstream_server_t *>(
        dscf->upstream->servers->elts);
    line = static_cast<ngx_dynamic_weight_line_t *>(dscf->lines.elts);

    n = 0;

    for (i = 0; i < dscf->upstream->servers->nelts; i++) {
        if (server[i].backup == backup) {
            n += server[i].naddrs;
        }
    }

    for (i = 0; i < dscf->lines.nelts; i++) {
        if (line[i].backup == backup) {
            n += line[i].slots;
        }
    }

    return n;
}


/* each address of each server; returns the first slot behind them */

static ngx_dynamic_weight_slot_conf_t *
ngx_http_dynamic_weight_assign_servers(ngx_http_dynamic_weight_srv_conf_t *dscf,
    bool backup, ngx_dynamic_weight_slot_conf_t *slot_conf, uint64_t *largest)
{
    ngx_uint_t                   i, j;
    ngx_http_upstream_server_t  *server;

    server = static_cast<ngx_http_upstream_server_t *>(
        dscf->upstream->servers->elts);

    *largest = 0;

    for (i = 0; i < dscf->upstream->servers->nelts; i++) {

        if (server[i].backup != backup) {
            continue;
        }

        for (j = 0; j < server[i].naddrs; j++) {
            slot_conf->sockaddr = server[i].addrs[j].sockaddr;
            slot_conf->socklen = server[i].addrs[j].socklen;
            slot_conf->name = server[i].addrs[j].name;
            slot_conf->server = server[i].name;
            slot_conf->weight = server[i].down ? 0
                           : dynweight::ServerWeight(server[i].weight,
                                                     dscf->base);
            *largest = ngx_max(*largest, slot_conf->weight);
            slot_conf->health.max_fails = server[i].max_fails;
            slot_conf->health.fail_timeout_ms = 1000
                          * static_cast<int64_t>(server[i].fail_timeout);
            slot_conf->max_conns = server[i].max_conns;
            slot_conf->identity = dynweight::HashBytes(
                                 ngx_dynamic_weight_view(slot_conf->name));
            slot_conf++;
        }
    }

    return slot_conf;
}


/* each slot of each line: who occupies it is known later */

static void
ngx_http_dynamic_weight_assign_nodes(ngx_http_dynamic_weight_srv_conf_t *dscf,
    bool backup, ngx_dynamic_weight_slot_conf_t *slot_conf)
{
    uint64_t                         identity;
    ngx_uint_t                       i, j;
    ngx_dynamic_weight_line_t       *line;

    line = static_cast<ngx_dynamic_weight_line_t *>(dscf->lines.elts);

    for (i = 0; i < dscf->lines.nelts; i++) {

        if (line[i].backup != backup) {
            continue;
        }

        /* two lines may share nodes: each gets keys of its own */

        identity = dynweight::HashBytes(
                       ngx_dynamic_weight_view(line[i].source),
                       dynweight::HashBytes(
                           ngx_dynamic_weight_view(line[i].cluster)));

        for (j = 0; j < line[i].slots; j++) {
            slot_conf->cluster = &line[i].cluster;
            slot_conf->server = line[i].cluster;
            slot_conf->health.max_fails = line[i].max_fails;
            slot_conf->health.fail_timeout_ms = 1000
                          * static_cast<int64_t>(line[i].fail_timeout);
            slot_conf->max_conns = line[i].max_conns;
            slot_conf->slow_start = line[i].slow_start;
            slot_conf->identity = identity;
            slot_conf++;
        }
    }
}

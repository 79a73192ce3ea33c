// The seats of an upstream's peers, made when the upstream is complete.

#include "ngx_module/core/ngx_dynamic_weight.h"

#include <memory>

#include "weightcalc/hash.h"


static ngx_uint_t ngx_http_dynamic_weight_count_seats(
    const ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup);
static ngx_http_dynamic_weight_seat_t *ngx_http_dynamic_weight_seat_servers(
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup,
    ngx_http_dynamic_weight_seat_t *seat, uint64_t *largest);
static void ngx_http_dynamic_weight_seat_nodes(
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup,
    ngx_http_dynamic_weight_seat_t *seat);


/* seats: first those of the servers, then those of the lines' slots */

ngx_int_t
ngx_http_dynamic_weight_init_group(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup)
{
    uint64_t                          largest;
    ngx_uint_t                        n;
    ngx_http_dynamic_weight_seat_t   *seat;
    ngx_http_dynamic_weight_group_t  *group;

    n = ngx_http_dynamic_weight_count_seats(dscf, backup);

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

    seat = static_cast<ngx_http_dynamic_weight_seat_t *>(
        ngx_pmemalign(cf->pool, n * sizeof(ngx_http_dynamic_weight_seat_t),
                      alignof(ngx_http_dynamic_weight_seat_t)));
    if (seat == NULL) {
        return NGX_ERROR;
    }

    std::uninitialized_value_construct_n(seat, n);

    group = backup ? &dscf->backup : &dscf->primary;

    group->conf.seats = seat;
    group->conf.nseats = n;

    seat = ngx_http_dynamic_weight_seat_servers(dscf, backup, seat, &largest);

    if (largest > dynweight::kMaxWeight) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "upstream \"%V\": a weight of %uL is too large, more "
                      "than %uD: all of its weights are divided by %uL; lower "
                      "\"weight\" or \"dynamic_weight_base\" in %s:%ui",
                      &dscf->upstream->host, largest, dynweight::kMaxWeight,
                      dynweight::WeightScale(largest),
                      dscf->upstream->file_name, dscf->upstream->line);
    }

    ngx_http_dynamic_weight_seat_nodes(dscf, backup, seat);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_dynamic_weight_count_seats(
    const ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup)
{
    ngx_uint_t                       i, n;
    ngx_http_upstream_server_t      *server;
    ngx_http_dynamic_weight_line_t  *line;

    server = static_cast<ngx_http_upstream_server_t *>(
        dscf->upstream->servers->elts);
    line = static_cast<ngx_http_dynamic_weight_line_t *>(dscf->lines.elts);

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


/* each address of each server; returns the first seat behind them */

static ngx_http_dynamic_weight_seat_t *
ngx_http_dynamic_weight_seat_servers(ngx_http_dynamic_weight_srv_conf_t *dscf,
    bool backup, ngx_http_dynamic_weight_seat_t *seat, uint64_t *largest)
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
            seat->sockaddr = server[i].addrs[j].sockaddr;
            seat->socklen = server[i].addrs[j].socklen;
            seat->name = server[i].addrs[j].name;
            seat->server = server[i].name;
            seat->weight = server[i].down ? 0
                           : dynweight::ServerWeight(server[i].weight,
                                                     dscf->base);
            *largest = ngx_max(*largest, seat->weight);
            seat->health.max_fails = server[i].max_fails;
            seat->health.fail_timeout_ms = 1000
                          * static_cast<int64_t>(server[i].fail_timeout);
            seat->max_conns = server[i].max_conns;
            seat->identity = dynweight::HashBytes(
                                 ngx_http_dynamic_weight_view(seat->name));
            seat++;
        }
    }

    return seat;
}


/* each slot of each line: who sits there is known later */

static void
ngx_http_dynamic_weight_seat_nodes(ngx_http_dynamic_weight_srv_conf_t *dscf,
    bool backup, ngx_http_dynamic_weight_seat_t *seat)
{
    uint64_t                         identity;
    ngx_uint_t                       i, j;
    ngx_http_dynamic_weight_line_t  *line;

    line = static_cast<ngx_http_dynamic_weight_line_t *>(dscf->lines.elts);

    for (i = 0; i < dscf->lines.nelts; i++) {

        if (line[i].backup != backup) {
            continue;
        }

        /* two lines may share nodes: each gets keys of its own */

        identity = dynweight::HashBytes(
                       ngx_http_dynamic_weight_view(line[i].source),
                       dynweight::HashBytes(
                           ngx_http_dynamic_weight_view(line[i].cluster)));

        for (j = 0; j < line[i].slots; j++) {
            seat->cluster = &line[i].cluster;
            seat->server = line[i].cluster;
            seat->health.max_fails = line[i].max_fails;
            seat->health.fail_timeout_ms = 1000
                          * static_cast<int64_t>(line[i].fail_timeout);
            seat->max_conns = line[i].max_conns;
            seat->slow_start = line[i].slow_start;
            seat->identity = identity;
            seat++;
        }
    }
}

// The seats of an upstream's peers, and what only the whole configuration
// tells: which lines there are for the watcher, and whether all fits together.

#include "ngx_http_dynamic_weight.h"

#include <map>
#include <memory>
#include <set>
#include <tuple>

#include "watcher/kubernetes/source.h"
#include "weightcalc/hash.h"


static ngx_int_t ngx_http_dynamic_weight_number_groups(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static ngx_int_t ngx_http_dynamic_weight_resolve_upstream(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_http_dynamic_weight_srv_conf_t *dscf);


/* seats: first those of the servers, then those of the lines' slots */

ngx_int_t
ngx_http_dynamic_weight_init_group(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup)
{
    uint64_t                          identity, largest;
    ngx_uint_t                        i, j, n;
    ngx_http_upstream_server_t       *server;
    ngx_http_dynamic_weight_line_t   *line;
    ngx_http_dynamic_weight_seat_t   *seat;
    ngx_http_dynamic_weight_group_t  *group;

    group = backup ? &dscf->backup : &dscf->primary;

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

    group->conf.seats = static_cast<ngx_http_dynamic_weight_seat_t *>(
        ngx_pmemalign(cf->pool, n * sizeof(ngx_http_dynamic_weight_seat_t),
                      alignof(ngx_http_dynamic_weight_seat_t)));
    if (group->conf.seats == NULL) {
        return NGX_ERROR;
    }

    std::uninitialized_value_construct_n(group->conf.seats, n);

    group->conf.nseats = n;
    seat = group->conf.seats;
    largest = 0;

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
            largest = ngx_max(largest, seat->weight);
            seat->health.max_fails = server[i].max_fails;
            seat->health.fail_timeout_ms = 1000
                          * static_cast<int64_t>(server[i].fail_timeout);
            seat->max_conns = server[i].max_conns;
            seat->identity = dynweight::HashBytes(
                                 ngx_http_dynamic_weight_view(seat->name));
            seat++;
        }
    }

    if (largest > dynweight::kMaxWeight) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "upstream \"%V\": a weight of %uL is too large, more "
                      "than %uD: all of its weights are divided by %uL; lower "
                      "\"weight\" or \"dynamic_weight_base\" in %s:%ui",
                      &dscf->upstream->host, largest, dynweight::kMaxWeight,
                      dynweight::WeightScale(largest),
                      dscf->upstream->file_name, dscf->upstream->line);
    }

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

    return NGX_OK;
}


ngx_int_t
ngx_http_dynamic_weight_resolve(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                            i;
    ngx_http_upstream_srv_conf_t        **uscf;
    ngx_http_upstream_main_conf_t        *umcf;
    ngx_http_dynamic_weight_place_t      *place;
    ngx_http_dynamic_weight_srv_conf_t   *dscf;

    if (ngx_http_dynamic_weight_number_groups(cf, dmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    umcf = static_cast<ngx_http_upstream_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module));

    uscf = static_cast<ngx_http_upstream_srv_conf_t **>(umcf->upstreams.elts);

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (uscf[i]->srv_conf == NULL) {
            continue;    /* an implicit upstream, of a proxy_pass */
        }

        dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t *>(
            ngx_http_conf_upstream_srv_conf(uscf[i],
                                            ngx_http_dynamic_weight_module));

        if (dscf->lines.nelts && !dscf->enabled) {
            auto *line = static_cast<ngx_http_dynamic_weight_line_t *>(
                dscf->lines.elts);

            return ngx_http_dynamic_weight_wrong(cf, line->place,
                      "\"ingress_nodes\" in upstream \"%V\" without its "
                      "method: write \"dynamic_weight;\" before it",
                      &uscf[i]->host);
        }

        if (!dscf->enabled && dscf->base_place.file) {
            return ngx_http_dynamic_weight_wrong(cf, dscf->base_place,
                      "\"dynamic_weight_base\" in upstream \"%V\" without its "
                      "method: write \"dynamic_weight;\" before it",
                      &uscf[i]->host);
        }

        if (!dscf->enabled && dscf->keepalive_place.file) {
            return ngx_http_dynamic_weight_wrong(cf, dscf->keepalive_place,
                      "\"dynamic_weight_keepalive\" in upstream \"%V\" without "
                      "its method: write \"dynamic_weight;\" before it",
                      &uscf[i]->host);
        }

        if (!dscf->enabled) {
            continue;
        }

        if (!dscf->initialized) {
            std::string  names = ngx_http_dynamic_weight_foreign(cf, true);

            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "another balancing method follows "
                          "\"dynamic_weight\" in upstream \"%V\": remove one "
                          "of them (it is one of %s) in %s:%ui",
                          &uscf[i]->host, names.c_str(), uscf[i]->file_name,
                          uscf[i]->line);
            return NGX_ERROR;
        }

        if (dmcf->zone == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "no zone for upstream \"%V\": write "
                          "\"dynamic_weight_zone main:4m;\" in http, for "
                          "%s:%ui",
                          &uscf[i]->host, uscf[i]->file_name, uscf[i]->line);
            return NGX_ERROR;
        }

        if (ngx_http_dynamic_weight_resolve_upstream(cf, dmcf, dscf) != NGX_OK
            || ngx_http_dynamic_weight_resolve_stock(cf, dscf) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    place = static_cast<ngx_http_dynamic_weight_place_t *>(
        dmcf->cluster_places.elts);

    std::set<uint32_t>  used;

    for (const dynweight::LineConfig &line : dmcf->config->lines) {
        used.insert(line.cluster);
    }

    for (i = 0; i < dmcf->config->clusters.size(); i++) {
        if (used.count(i) == 0) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "cluster \"%s\" is never used: write "
                          "\"ingress_nodes %s ...\" in an upstream, or remove "
                          "it, in %s:%ui",
                          dmcf->config->clusters[i].name.c_str(),
                          dmcf->config->clusters[i].name.c_str(),
                          place[i].file, place[i].line);
        }
    }

    if (!dmcf->config->lines.empty() && dmcf->state.len == 0) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "zone \"%V\" has no state file: after a restart or an "
                      "upgrade of the binary no ingress node serves until the "
                      "APIs have answered; write \"dynamic_weight_zone ... "
                      "state=FILE\" in %s:%ui",
                      &dmcf->zone->shm.name,
                      dmcf->zone_place.file, dmcf->zone_place.line);
    }

    dmcf->config->state_file = ngx_http_dynamic_weight_view(dmcf->state);

    return NGX_OK;
}


/* all upstreams of ours have their seats: their groups get their tables */

static ngx_int_t
ngx_http_dynamic_weight_number_groups(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                            i;
    ngx_http_dynamic_weight_srv_conf_t  **dscf;

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t **>(
        dmcf->upstreams.elts);

    dmcf->groups = static_cast<ngx_http_dynamic_weight_group_t **>(
        ngx_pcalloc(cf->pool,
                    (2 * dmcf->upstreams.nelts + 1)
                    * sizeof(ngx_http_dynamic_weight_group_t *)));
    if (dmcf->groups == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < dmcf->upstreams.nelts; i++) {

        for (ngx_http_dynamic_weight_group_t *group
             : { &dscf[i]->primary, &dscf[i]->backup })
        {
            group->conf.srv = dscf[i];

            if (group->conf.nseats) {
                group->conf.id = dmcf->ntables;
                dmcf->groups[dmcf->ntables++] = group;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_dynamic_weight_resolve_upstream(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    ngx_uint_t                        i, c, nclusters;
    ngx_http_dynamic_weight_line_t   *line;
    ngx_http_dynamic_weight_group_t  *group;

    line = static_cast<ngx_http_dynamic_weight_line_t *>(dscf->lines.elts);
    nclusters = dmcf->config->clusters.size();
    dscf->first_line = dmcf->config->lines.size();

    /* where each group's slots begin: behind its servers */

    std::map<ngx_http_dynamic_weight_group_t *, uint32_t>  next;

    for (ngx_http_dynamic_weight_group_t *g : { &dscf->primary, &dscf->backup })
    {
        for (i = 0; i < g->conf.nseats; i++) {

            if (g->conf.seats[i].cluster) {
                break;
            }

            next[g]++;
        }
    }

    std::set<std::tuple<uint32_t, std::string, in_port_t>>  seen;

    for (i = 0; i < dscf->lines.nelts; i++) {

        for (c = 0; c < nclusters; c++) {
            if (dmcf->config->clusters[c].name
                == ngx_http_dynamic_weight_view(line[i].cluster))
            {
                break;
            }
        }

        if (c == nclusters) {
            return ngx_http_dynamic_weight_wrong(cf, line[i].place,
                      "unknown cluster \"%V\" in upstream \"%V\": define it "
                      "with \"dynamic_weight_cluster %V { ... }\" in http, or "
                      "correct the name",
                      &line[i].cluster, &dscf->upstream->host,
                      &line[i].cluster);
        }

        dynweight::LineConfig  config;

        config.upstream = ngx_http_dynamic_weight_view(dscf->upstream->host);
        config.cluster = c;
        config.source = dynweight::PodSource::Parse(
                   ngx_http_dynamic_weight_view(line[i].source)).value().Key();
        config.port = line[i].port;
        config.base = dscf->base;
        config.empty = line[i].drain ? dynweight::EmptyPolicy::kDrain
                                     : dynweight::EmptyPolicy::kKeep;

        if (!seen.emplace(c, config.source, config.port).second) {
            return ngx_http_dynamic_weight_wrong(cf, line[i].place,
                      "duplicate \"ingress_nodes %V %V port=%ud\" in upstream "
                      "\"%V\": remove one",
                      &line[i].cluster, &line[i].source,
                      static_cast<unsigned>(line[i].port),
                      &dscf->upstream->host);
        }

        group = line[i].backup ? &dscf->backup : &dscf->primary;

        config.table = group->conf.id;
        config.range.first = next[group];
        config.range.count = line[i].slots;

        next[group] += line[i].slots;

        dmcf->config->lines.push_back(std::move(config));
    }

    return NGX_OK;
}

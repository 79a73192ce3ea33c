// dynamic_weight and ingress_nodes in an upstream, and the seats they make.

#include "ngx_http_dynamic_weight.h"

#include <map>
#include <set>
#include <tuple>

#include "watcher/source.h"


#define NGX_HTTP_DW_MAX_SLOTS  4096


static ngx_int_t ngx_http_dynamic_weight_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_dynamic_weight_init_group(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup);
static ngx_int_t ngx_http_dynamic_weight_resolve_upstream(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_http_dynamic_weight_srv_conf_t *dscf);


static ngx_http_dynamic_weight_srv_conf_t *
ngx_http_dynamic_weight_upstream_conf(ngx_http_upstream_srv_conf_t *us)
{
    return static_cast<ngx_http_dynamic_weight_srv_conf_t *>(
        ngx_http_conf_upstream_srv_conf(us, ngx_http_dynamic_weight_module));
}


/* an error at a place of the configuration that was read before */

template <typename... Args>
static ngx_int_t
ngx_http_dynamic_weight_wrong(ngx_conf_t *cf,
    const ngx_http_dynamic_weight_place_t &place, const char *format,
    Args... args)
{
    u_char  text[NGX_MAX_CONF_ERRSTR], *last;

    last = ngx_snprintf(text, NGX_MAX_CONF_ERRSTR - 1, format, args...);
    *last = '\0';

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s in %s:%ui",
                  text, place.file, place.line);

    return NGX_ERROR;
}


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

    if (uscf->peer.init_upstream) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "another balancing method, or \"keepalive\", stands "
                           "before \"dynamic_weight\" in upstream \"%V\": "
                           "remove the method, and write \"keepalive\" after "
                           "\"dynamic_weight\"", &uscf->host);
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

    return NGX_CONF_OK;
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

        if (arg == "backup") {
            line->backup = 1;
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown parameter \"%V\": write a source such as "
                           "\"service=NAMESPACE/NAME\", port=, slots=, empty=, "
                           "max_fails=, fail_timeout=, max_conns= or backup",
                           &value[i]);
        return NGX_HTTP_DW_CONF_ERROR;

    invalid:

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\": port= takes 1 to 65535, "
                           "slots= 1 to %d, empty= \"keep\" or \"drain\", "
                           "max_fails= and max_conns= a number, "
                           "fail_timeout= a time",
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

    dscf = ngx_http_dynamic_weight_upstream_conf(us);

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

    if (dscf->primary.nseats == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no peer of upstream \"%V\" but backup ones: write a "
                      "\"server\" or \"ingress_nodes\" without \"backup\" in "
                      "%s:%ui", &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

    dscf->single = dscf->primary.nseats == 1 && dscf->backup.nseats == 0;

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


/* seats: first those of the servers, then those of the lines' slots */

static ngx_int_t
ngx_http_dynamic_weight_init_group(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup)
{
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

    group->seats = static_cast<ngx_http_dynamic_weight_seat_t *>(
        ngx_pcalloc(cf->pool, n * sizeof(ngx_http_dynamic_weight_seat_t)));
    if (group->seats == NULL) {
        return NGX_ERROR;
    }

    group->nseats = n;
    seat = group->seats;

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
            seat->max_fails = server[i].max_fails;
            seat->fail_timeout = server[i].fail_timeout;
            seat->max_conns = server[i].max_conns;
            seat++;
        }
    }

    for (i = 0; i < dscf->lines.nelts; i++) {

        if (line[i].backup != backup) {
            continue;
        }

        for (j = 0; j < line[i].slots; j++) {
            seat->cluster = &line[i].cluster;
            seat->server = line[i].cluster;
            seat->max_fails = line[i].max_fails;
            seat->fail_timeout = line[i].fail_timeout;
            seat->max_conns = line[i].max_conns;
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

    umcf = static_cast<ngx_http_upstream_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module));

    uscf = static_cast<ngx_http_upstream_srv_conf_t **>(umcf->upstreams.elts);

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (uscf[i]->srv_conf == NULL) {
            continue;    /* an implicit upstream, of a proxy_pass */
        }

        dscf = ngx_http_dynamic_weight_upstream_conf(uscf[i]);

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

        if (!dscf->enabled) {
            continue;
        }

        if (!dscf->initialized) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "another balancing method follows "
                          "\"dynamic_weight\" in upstream \"%V\": remove one "
                          "of them in %s:%ui",
                          &uscf[i]->host, uscf[i]->file_name, uscf[i]->line);
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

        if (ngx_http_dynamic_weight_resolve_upstream(cf, dmcf, dscf) != NGX_OK)
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

    dmcf->config->state_file = ngx_http_dynamic_weight_view(dmcf->state);

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

    dscf->primary.id = dmcf->ntables++;

    if (dscf->backup.nseats) {
        dscf->backup.id = dmcf->ntables++;
    }

    line = static_cast<ngx_http_dynamic_weight_line_t *>(dscf->lines.elts);
    nclusters = dmcf->config->clusters.size();

    /* where each group's slots begin: behind its servers */

    std::map<ngx_http_dynamic_weight_group_t *, uint32_t>  next;

    for (ngx_http_dynamic_weight_group_t *g : { &dscf->primary, &dscf->backup })
    {
        for (i = 0; i < g->nseats && g->seats[i].cluster == NULL; i++) {
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
                   ngx_http_dynamic_weight_view(line[i].source)).value();
        config.port = line[i].port;
        config.base = dscf->base;
        config.empty = line[i].drain ? dynweight::EmptyPolicy::kDrain
                                     : dynweight::EmptyPolicy::kKeep;

        if (!seen.emplace(c, config.source.Key(), config.port).second) {
            return ngx_http_dynamic_weight_wrong(cf, line[i].place,
                      "duplicate \"ingress_nodes %V %V port=%ud\" in upstream "
                      "\"%V\": remove one",
                      &line[i].cluster, &line[i].source,
                      static_cast<unsigned>(line[i].port),
                      &dscf->upstream->host);
        }

        group = line[i].backup ? &dscf->backup : &dscf->primary;

        config.table = group->id;
        config.range.first = next[group];
        config.range.count = line[i].slots;

        next[group] += line[i].slots;

        dmcf->config->lines.push_back(std::move(config));
    }

    return NGX_OK;
}

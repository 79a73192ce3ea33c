// What only the whole configuration tells: whether all fits together, which
// table is whose, and which lines there are for the watcher.

#include "ngx_module/core/ngx_dynamic_weight_cluster.h"
#include "ngx_module/http/ngx_http_dynamic_weight_health.h"

#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "watcher/kubernetes/source.h"


static ngx_int_t ngx_http_dynamic_weight_number_groups(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static ngx_int_t ngx_http_dynamic_weight_resolve_upstream(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_http_upstream_srv_conf_t *uscf);
static ngx_int_t ngx_http_dynamic_weight_check_methodless(ngx_conf_t *cf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    ngx_http_upstream_srv_conf_t *uscf);
static ngx_int_t ngx_http_dynamic_weight_resolve_lines(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_http_dynamic_weight_srv_conf_t *dscf);
static absl::StatusOr<std::string> ngx_http_dynamic_weight_resolve_source(
    const ngx_dynamic_weight_line_t &line,
    const dynweight::ClusterConfig &cluster);
static ngx_int_t ngx_http_dynamic_weight_wrong_twice(ngx_conf_t *cf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    const ngx_dynamic_weight_line_t &line);
static dynweight::LineConfig ngx_http_dynamic_weight_resolve_line(
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    const ngx_dynamic_weight_line_t &line, uint32_t cluster,
    const std::string &source);
static ngx_uint_t ngx_http_dynamic_weight_servers_slots(
    const ngx_dynamic_weight_group_t *group);


ngx_int_t
ngx_http_dynamic_weight_resolve(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                       i;
    ngx_http_upstream_srv_conf_t   **uscf;
    ngx_http_upstream_main_conf_t   *umcf;

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

        if (ngx_http_dynamic_weight_resolve_upstream(cf, dmcf, uscf[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_dynamic_weight_check_clusters(cf, dmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!dmcf->config->lines.empty() && dmcf->state.len == 0) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "zone \"%V\" has no state file: after a restart or an "
                      "upgrade of the binary no ingress node and no instance "
                      "serves until the APIs have answered; write "
                      "\"dynamic_weight_zone ... state=FILE\" in %s:%ui",
                      &dmcf->zone->shm.name,
                      dmcf->zone_place.file, dmcf->zone_place.line);
    }

    dmcf->config->state_file = ngx_dynamic_weight_view(dmcf->state);

    return NGX_OK;
}


/* all upstreams of ours have their slots: their groups get their tables */

static ngx_int_t
ngx_http_dynamic_weight_number_groups(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                            i;
    ngx_http_dynamic_weight_srv_conf_t  **dscf;

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t **>(
        dmcf->upstreams.elts);

    dmcf->groups = static_cast<ngx_dynamic_weight_group_t **>(
        ngx_pcalloc(cf->pool,
                    (2 * dmcf->upstreams.nelts + 1)
                    * sizeof(ngx_dynamic_weight_group_t *)));
    if (dmcf->groups == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < dmcf->upstreams.nelts; i++) {

        for (ngx_dynamic_weight_group_t *group
             : { &dscf[i]->primary, &dscf[i]->backup })
        {
            group->conf.srv = dscf[i];

            if (group->conf.nslots) {
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
    ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_http_dynamic_weight_srv_conf_t  *dscf;

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t *>(
        ngx_http_conf_upstream_srv_conf(uscf, ngx_http_dynamic_weight_module));

    if (!dscf->enabled) {
        return ngx_http_dynamic_weight_check_methodless(cf, dscf, uscf);
    }

    if (!dscf->initialized) {
        std::string  names = ngx_http_dynamic_weight_foreign(cf, true);

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "another balancing method follows \"dynamic_weight\" in "
                      "upstream \"%V\": remove one of them (it is one of %s) "
                      "in %s:%ui",
                      &uscf->host, names.c_str(), uscf->file_name, uscf->line);
        return NGX_ERROR;
    }

    if (dmcf->zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no zone for upstream \"%V\": write "
                      "\"dynamic_weight_zone main:4m;\" in http, for %s:%ui",
                      &uscf->host, uscf->file_name, uscf->line);
        return NGX_ERROR;
    }

    if (ngx_http_dynamic_weight_resolve_lines(cf, dmcf, dscf) != NGX_OK
        || ngx_http_dynamic_weight_resolve_health(cf, dmcf, dscf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_dynamic_weight_resolve_stock(cf, dscf);
}


/* an upstream that isn't ours has nothing of ours */

static ngx_int_t
ngx_http_dynamic_weight_check_methodless(ngx_conf_t *cf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    ngx_http_upstream_srv_conf_t *uscf)
{
    auto *line = static_cast<const ngx_dynamic_weight_line_t *>(
        dscf->lines.elts);

    const struct {
        ngx_dynamic_weight_place_t   place;
        const char                  *name;
    }  written[] = {
        { dscf->lines.nelts ? line->place : ngx_dynamic_weight_place_t(),
          dscf->lines.nelts ? ngx_http_dynamic_weight_line_name(line[0]) : "" },
        { dscf->base_place, "dynamic_weight_base" },
        { dscf->keepalive_place, "dynamic_weight_keepalive" },
        { dscf->panic_place, "dynamic_weight_panic" },
        { dscf->probe_place, "dynamic_weight_probe" },
        { dscf->outlier_place, "dynamic_weight_outlier" },
        { dscf->failover_place, "dynamic_weight_failover" },
        { dscf->retries_place, "dynamic_weight_retries" },
    };

    for (const auto &directive : written) {

        if (directive.place.file) {
            return ngx_dynamic_weight_wrong(cf, directive.place,
                      "\"%s\" in upstream \"%V\" without its method: "
                      "write \"dynamic_weight;\" before it",
                      directive.name, &uscf->host);
        }
    }

    return NGX_OK;
}


/* the lines of an upstream, as the watcher wants them */

static ngx_int_t
ngx_http_dynamic_weight_resolve_lines(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    uint32_t                          primary, backup, *next;
    ngx_uint_t                        i, c, nclusters;
    ngx_dynamic_weight_line_t        *line;

    line = static_cast<ngx_dynamic_weight_line_t *>(dscf->lines.elts);
    nclusters = dmcf->config->clusters.size();
    dscf->first_line = dmcf->config->lines.size();

    /* where each group's slots begin: behind its servers */

    primary = ngx_http_dynamic_weight_servers_slots(&dscf->primary);
    backup = ngx_http_dynamic_weight_servers_slots(&dscf->backup);

    std::set<std::tuple<uint32_t, bool, std::string, in_port_t>>  seen;

    for (i = 0; i < dscf->lines.nelts; i++) {

        for (c = 0; c < nclusters; c++) {
            if (dmcf->config->clusters[c].name
                == ngx_dynamic_weight_view(line[i].cluster))
            {
                break;
            }
        }

        if (c == nclusters) {
            return ngx_dynamic_weight_wrong(cf, line[i].place,
                      "unknown cluster \"%V\" in upstream \"%V\": define it "
                      "with \"dynamic_weight_cluster %V { ... }\" in http, or "
                      "correct the name",
                      &line[i].cluster, &dscf->upstream->host,
                      &line[i].cluster);
        }

        auto source = ngx_http_dynamic_weight_resolve_source(line[i],
                          dmcf->config->clusters[c]);

        if (!source.ok()) {
            std::string  why(source.status().message());

            return ngx_dynamic_weight_wrong(cf, line[i].place,
                      "\"%s %V\" in upstream \"%V\": %s",
                      ngx_http_dynamic_weight_line_name(line[i]),
                      &line[i].cluster, &dscf->upstream->host, why.c_str());
        }

        auto config = ngx_http_dynamic_weight_resolve_line(dscf, line[i], c,
                                                           *source);

        if (!seen.emplace(c, config.instances(), config.source, config.port)
                 .second)
        {
            return ngx_http_dynamic_weight_wrong_twice(cf, dscf, line[i]);
        }

        next = line[i].backup ? &backup : &primary;

        config.range.first = *next;
        config.range.count = line[i].slots;

        *next += line[i].slots;

        dmcf->config->lines.push_back(std::move(config));
    }

    return NGX_OK;
}


/* the key of what the line says; of instances as its cluster's type has it */

static absl::StatusOr<std::string>
ngx_http_dynamic_weight_resolve_source(
    const ngx_dynamic_weight_line_t &line,
    const dynweight::ClusterConfig &cluster)
{
    ngx_str_t                      *word;
    ngx_uint_t                      i;
    std::vector<std::string_view>   words;

    if (!line.instances
        && cluster.type == dynweight::ClusterConfig::Type::kNacos)
    {
        return absl::InvalidArgumentError(
                   absl::StrCat("the cluster is a registry, which has no "
                                "ingress nodes: write \"instances ",
                                cluster.name, " service=NAME;\""));
    }

    if (!line.instances
        && cluster.nodes.kind == dynweight::NodeSource::Kind::kNone)
    {
        return absl::InvalidArgumentError(
                   "the cluster does not say where its ingress nodes are: "
                   "write \"ingress_nodes service=NAMESPACE/NAME;\" (or "
                   "nodes=SELECTOR, addresses=A,B) in its block");
    }

    if (!line.instances) {
        auto source = dynweight::PodSource::Parse(
                          ngx_dynamic_weight_view(line.source)).value();

        if (dynweight::IsOfControlPlane(source) && !cluster.via) {
            return absl::InvalidArgumentError(
                       "\"binding=\" counts what a Karmada control plane says "
                       "of a member: write \"via CLUSTER; member NAME;\" in "
                       "the cluster's block, or another source");
        }

        return source.Key();
    }

    word = static_cast<ngx_str_t *>(line.words.elts);

    for (i = 0; i < line.words.nelts; i++) {
        words.push_back(ngx_dynamic_weight_view(word[i]));
    }

    return dynweight::InstanceSourceKey(cluster, words);
}


static ngx_int_t
ngx_http_dynamic_weight_wrong_twice(ngx_conf_t *cf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    const ngx_dynamic_weight_line_t &line)
{
    if (line.instances) {
        return ngx_dynamic_weight_wrong(cf, line.place,
                  "duplicate \"instances %V %V\" in upstream \"%V\": remove "
                  "one", &line.cluster, &line.source, &dscf->upstream->host);
    }

    return ngx_dynamic_weight_wrong(cf, line.place,
              "duplicate \"ingress_nodes %V %V port=%ud\" in upstream "
              "\"%V\": remove one",
              &line.cluster, &line.source, static_cast<unsigned>(line.port),
              &dscf->upstream->host);
}


/* all but the slots, which depend on the lines before it */

static dynweight::LineConfig
ngx_http_dynamic_weight_resolve_line(
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    const ngx_dynamic_weight_line_t &line, uint32_t cluster,
    const std::string &source)
{
    dynweight::LineConfig  config;

    config.kind = line.instances ? dynweight::LineConfig::Kind::kInstances
                                 : dynweight::LineConfig::Kind::kIngressNodes;

    config.upstream = ngx_dynamic_weight_view(dscf->upstream->host);
    config.cluster = cluster;
    config.source = source;
    config.ingress = ngx_dynamic_weight_view(line.ingress);
    config.port = line.port;
    config.base = line.base ? line.base : dscf->base;
    config.empty = line.drain ? dynweight::EmptyPolicy::kDrain
                              : dynweight::EmptyPolicy::kKeep;
    config.slow_start = line.slow_start != 0;
    config.table = line.backup ? dscf->backup.conf.id : dscf->primary.conf.id;

    return config;
}


static ngx_uint_t
ngx_http_dynamic_weight_servers_slots(
    const ngx_dynamic_weight_group_t *group)
{
    ngx_uint_t  n;

    for (n = 0; n < group->conf.nslots; n++) {
        if (group->conf.slots[n].cluster) {
            break;
        }
    }

    return n;
}


bool
ngx_http_dynamic_weight_needs_watcher(
    const ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    const dynweight::WatcherConfig  &config = *dmcf->config;

    return !config.lines.empty()
           || !config.outliers.empty()
           || !config.upstream_probes.empty()
           || !config.tuning_file.empty();
}

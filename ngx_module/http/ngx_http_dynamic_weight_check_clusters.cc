// Whether each cluster is used, and has what its lines need.

#include "ngx_module/core/ngx_dynamic_weight_cluster.h"

#include <set>

#include "ngx_module/core/ngx_dynamic_weight_probe.h"


static ngx_int_t ngx_http_dynamic_weight_check_unused(ngx_conf_t *cf,
    const dynweight::ClusterConfig &cluster, bool plane,
    const ngx_dynamic_weight_place_t &place);


/* what a cluster needs, and whether it is needed, its lines say */

ngx_int_t
ngx_http_dynamic_weight_check_clusters(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                   i;
    ngx_dynamic_weight_place_t  *place;

    place = static_cast<ngx_dynamic_weight_place_t *>(
        dmcf->cluster_places.elts);

    std::set<uint32_t>  used, by_nodes, planes;

    for (const dynweight::ClusterConfig &cluster : dmcf->config->clusters) {
        if (cluster.via) {
            planes.insert(*cluster.via);
        }
    }

    for (const dynweight::LineConfig &line : dmcf->config->lines) {
        used.insert(line.cluster);

        if (!line.instances()) {
            by_nodes.insert(line.cluster);
        }
    }

    for (i = 0; i < dmcf->config->clusters.size(); i++) {
        const auto  &cluster = dmcf->config->clusters[i];
        const char  *name = cluster.name.c_str();

        if (ngx_dynamic_weight_check_probe(cf, *dmcf->config, i, place[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (used.count(i)) {

            if (by_nodes.count(i) == 0
                && cluster.nodes.kind != dynweight::NodeSource::Kind::kNone)
            {
                ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                              "\"ingress_nodes\" of cluster \"%s\" have no "
                              "effect, as all its lines are \"instances\": "
                              "remove them, in %s:%ui",
                              name, place[i].file, place[i].line);
            }

            continue;
        }

        if (ngx_http_dynamic_weight_check_unused(cf, cluster,
                                                 planes.count(i) != 0,
                                                 place[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* no line is of the cluster; plane: others go via it */

static ngx_int_t
ngx_http_dynamic_weight_check_unused(ngx_conf_t *cf,
    const dynweight::ClusterConfig &cluster, bool plane,
    const ngx_dynamic_weight_place_t &place)
{
    const bool   nodes = cluster.nodes.kind
                         != dynweight::NodeSource::Kind::kNone;
    const char  *name = cluster.name.c_str();

    if (plane) {

        if (nodes) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"ingress_nodes\" of cluster \"%s\" have no effect, "
                          "as only its members are used: remove them, in "
                          "%s:%ui", name, place.file, place.line);
        }

        return NGX_OK;
    }

    if (cluster.type == dynweight::ClusterConfig::Type::kKubernetes && !nodes)
    {
        return ngx_dynamic_weight_wrong(cf, place,
                  "cluster \"%s\" does not say where its ingress nodes "
                  "are: write \"ingress_nodes service=NAMESPACE/NAME;\" "
                  "(or nodes=SELECTOR, addresses=A,B) in it, or "
                  "\"instances %s ...\" in an upstream", name, name);
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "cluster \"%s\" is never used: write "
                  "\"ingress_nodes %s ...\" or \"instances %s ...\" "
                  "in an upstream, or remove it, in %s:%ui",
                  name, name, name, place.file, place.line);

    return NGX_OK;
}

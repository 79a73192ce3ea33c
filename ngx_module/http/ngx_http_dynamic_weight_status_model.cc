// The configuration, and where its numbers lie in the zone, as status/ wants
// them.

#include "ngx_module/http/ngx_http_dynamic_weight_status.h"

#include "ngx_module/core/ngx_dynamic_weight_zone.h"
#include "ngx_module/http/ngx_http_dynamic_weight_health.h"


static dynweight::StatusModel *ngx_http_dynamic_weight_status_model(
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static void ngx_http_dynamic_weight_model_clusters(
    const ngx_http_dynamic_weight_main_conf_t *dmcf,
    dynweight::StatusModel *model);
static dynweight::UpstreamModel ngx_http_dynamic_weight_model_upstream(
    const ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf);
static dynweight::LineModel ngx_http_dynamic_weight_model_line(
    const ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf, ngx_uint_t i);
static dynweight::GroupModel ngx_http_dynamic_weight_model_group(
    const ngx_dynamic_weight_group_t *group);


static ngx_http_dynamic_weight_srv_conf_t *
ngx_http_dynamic_weight_nth_upstream(
    const ngx_http_dynamic_weight_main_conf_t *dmcf, ngx_uint_t n)
{
    return static_cast<ngx_http_dynamic_weight_srv_conf_t **>(
               dmcf->upstreams.elts)[n];
}


ngx_int_t
ngx_http_dynamic_weight_init_status(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    if (dmcf->status == NULL) {
        dmcf->status = ngx_http_dynamic_weight_status_model(dmcf);
    }

    return dmcf->status ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_dynamic_weight_init_query(ngx_http_dynamic_weight_main_conf_t *dmcf,
    dynweight::StatusQuery *query)
{
    if (ngx_http_dynamic_weight_init_status(dmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    query->model = dmcf->status;
    query->process.nginx = NGINX_VERSION;
    query->process.pid = ngx_pid;
    query->process.worker = ngx_worker;

    query->process.all_out = [dmcf](size_t upstream) -> bool {
        ngx_http_dynamic_weight_srv_conf_t  *dscf;

        dscf = ngx_http_dynamic_weight_nth_upstream(dmcf, upstream);

        ngx_dynamic_weight_refresh(dscf);

        return dscf->all_out;
    };

    query->process.loads = [dmcf](size_t upstream) {
        return ngx_http_dynamic_weight_nth_upstream(dmcf, upstream)
                   ->primary.worker.serving->loads();
    };

    return NGX_OK;
}


static dynweight::StatusModel *
ngx_http_dynamic_weight_status_model(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t               i;
    dynweight::StatusModel  *model;

    model = ngx_dynamic_weight_own(dmcf->cycle->pool,
                                        new dynweight::StatusModel);
    if (model == NULL) {
        return NULL;
    }

    ngx_http_dynamic_weight_model_clusters(dmcf, model);

    if (dmcf->zone == NULL) {
        return model;    /* there is no upstream either */
    }

    model->zone = ngx_dynamic_weight_view(dmcf->zone->shm.name);
    model->decisions = dmcf->decisions;
    model->tuning = dmcf->tuning.status;
    model->ready = &dmcf->root->ready;

    if (ngx_http_dynamic_weight_needs_watcher(dmcf)) {
        model->watcher_seen_ms = &dmcf->root->watcher_seen_ms;
    }

    model->upstreams.reserve(dmcf->upstreams.nelts);

    for (i = 0; i < dmcf->upstreams.nelts; i++) {
        model->upstreams.push_back(ngx_http_dynamic_weight_model_upstream(dmcf,
                              ngx_http_dynamic_weight_nth_upstream(dmcf, i)));
    }

    return model;
}


static void
ngx_http_dynamic_weight_model_clusters(
    const ngx_http_dynamic_weight_main_conf_t *dmcf,
    dynweight::StatusModel *model)
{
    size_t  c;

    for (c = 0; c < dmcf->config->clusters.size(); c++) {
        dynweight::ClusterModel  cluster;

        cluster.name = dmcf->config->clusters[c].name;

        if (dmcf->documents) {
            cluster.view = dmcf->documents[c].view;
            cluster.status = dmcf->documents[c].status;
            cluster.watcher_seen_ms = &dmcf->root->watcher_seen_ms;
        }

        model->clusters.push_back(cluster);
    }
}


static dynweight::UpstreamModel
ngx_http_dynamic_weight_model_upstream(
    const ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    ngx_uint_t                             i;
    dynweight::UpstreamModel               upstream;
    const ngx_dynamic_weight_root_t       *root = dmcf->root;

    upstream.name = ngx_dynamic_weight_view(dscf->upstream->host);
    upstream.method = dscf->least_conn ? "least_conn"
                      : dscf->hash_key ? "hash" : "round_robin";
    upstream.base = dscf->base;
    upstream.retries = dscf->retries;
    upstream.probe = dscf->probe ? dscf->probe->Text() : "";
    upstream.ejects = dscf->outlier_place.file != NULL;
    upstream.priorities = ngx_http_dynamic_weight_priorities(dscf);
    upstream.overprovisioning = dscf->overprovisioning;
    upstream.ready = &root->areas[1 + root->nviews
                                  + dscf->primary.conf.id].ready;

    for (i = 0; i < dscf->lines.nelts; i++) {
        upstream.lines.push_back(ngx_http_dynamic_weight_model_line(dmcf, dscf,
                                                                    i));
    }

    upstream.groups[0] = ngx_http_dynamic_weight_model_group(&dscf->primary);
    upstream.groups[1] = ngx_http_dynamic_weight_model_group(&dscf->backup);

    return upstream;
}


static dynweight::LineModel
ngx_http_dynamic_weight_model_line(
    const ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_http_dynamic_weight_srv_conf_t *dscf, ngx_uint_t i)
{
    dynweight::LineModel             line;
    const dynweight::LineConfig     *config;
    ngx_dynamic_weight_line_t       *conf;

    conf = &static_cast<ngx_dynamic_weight_line_t *>(dscf->lines.elts)[i];
    config = &dmcf->config->lines[dscf->first_line + i];

    line.cluster = config->cluster;
    line.cluster_name = dmcf->config->clusters[config->cluster].name;
    line.source = ngx_dynamic_weight_view(conf->source);
    line.source_key = config->source;
    line.ingress = ngx_dynamic_weight_view(conf->ingress);
    line.instances = conf->instances;
    line.port = conf->port;
    line.base = config->base;
    line.backup = conf->backup;
    line.priority = conf->priority;
    line.rank = conf->rank;
    line.slots = conf->slots;
    line.health.max_fails = conf->max_fails;
    line.health.fail_timeout_ms = 1000
                                  * static_cast<int64_t>(conf->fail_timeout);
    line.max_conns = conf->max_conns;
    line.record = &(*dmcf->records)[dscf->first_line + i];

    return line;
}


static dynweight::GroupModel
ngx_http_dynamic_weight_model_group(
    const ngx_dynamic_weight_group_t *group)
{
    ngx_uint_t                             i;
    dynweight::GroupModel                  model;
    dynweight::ServerModel                 server;
    const ngx_dynamic_weight_slot_conf_t  *slot_conf;

    model.slots = group->conf.nslots;
    model.table = group->zone.table;
    model.window = group->zone.window;
    model.marks = group->zone.marks;

    for (i = 0; i < group->conf.nslots; i++) {
        slot_conf = &group->conf.slots[i];

        if (slot_conf->cluster) {
            break;    /* ingress nodes follow the servers */
        }

        server.address = ngx_dynamic_weight_view(slot_conf->name);
        server.name = ngx_dynamic_weight_view(slot_conf->server);
        server.health = slot_conf->health;
        server.max_conns = slot_conf->max_conns;
        server.down = slot_conf->weight == 0;

        model.servers.push_back(server);
    }

    return model;
}

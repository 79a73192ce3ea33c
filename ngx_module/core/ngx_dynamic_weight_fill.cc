// What the zone begins with, before there are workers: what the cycle before
// and the state file know, and the weights that follow.

#include "ngx_module/core/ngx_dynamic_weight_outlier.h"
#include "ngx_module/core/ngx_dynamic_weight_probe.h"
#include "ngx_module/core/ngx_dynamic_weight_zone.h"

#include <string>
#include <vector>

#include "watcher/cluster_status.h"
#include "weightcalc/clock.h"


typedef struct {
    ngx_http_dynamic_weight_main_conf_t  *conf;
    ngx_dynamic_weight_previous_t         previous;
    dynweight::TakenOver                  held;     /* to begin with */
    std::vector<std::optional<ngx_dynamic_weight_previous_line_t>>
                                          stand_ins;    /* one a line */
} ngx_dynamic_weight_filling_t;


static void ngx_dynamic_weight_fill_documents(
    ngx_dynamic_weight_filling_t *filling);
static void ngx_dynamic_weight_fill_table(
    ngx_dynamic_weight_filling_t *filling,
    ngx_dynamic_weight_group_t *group);
static void ngx_dynamic_weight_fill_lines(
    ngx_dynamic_weight_filling_t *filling,
    const std::vector<uint64_t> &scales);
static std::vector<uint64_t> ngx_dynamic_weight_scales(
    ngx_dynamic_weight_filling_t *filling);
static void ngx_dynamic_weight_weigh_servers(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const std::vector<uint64_t> &scales);
static void ngx_dynamic_weight_inherit_upstreams(
    ngx_dynamic_weight_filling_t *filling);


void
ngx_dynamic_weight_fill_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                          i;
    ngx_dynamic_weight_filling_t        filling;

    filling.conf = dmcf;
    filling.previous = ngx_dynamic_weight_find_previous(shm_zone);
    filling.held = ngx_dynamic_weight_held_views(shm_zone, dmcf,
                                                 filling.previous);

    filling.stand_ins = ngx_dynamic_weight_stand_ins(dmcf,
                            filling.held.views, filling.previous);

    ngx_dynamic_weight_fill_documents(&filling);

    for (i = 0; i < dmcf->ntables; i++) {
        ngx_dynamic_weight_fill_table(&filling, dmcf->groups[i]);
    }

    /* before the weights: it brings the rules up to the present time */

    ngx_dynamic_weight_fill_tuning(dmcf);

    std::vector<uint64_t>  scales = ngx_dynamic_weight_scales(&filling);

    ngx_dynamic_weight_fill_lines(&filling, scales);
    ngx_dynamic_weight_weigh_servers(dmcf, scales);
    ngx_dynamic_weight_inherit_upstreams(&filling);
    ngx_dynamic_weight_begin_probes(dmcf);
    ngx_dynamic_weight_begin_outliers(dmcf);

    for (i = 0; i < dmcf->ntables; i++) {
        dmcf->groups[i]->zone.table->Publish();
    }
}


/* of each cluster: the view that is held, the status until it is watched */

static void
ngx_dynamic_weight_fill_documents(
    ngx_dynamic_weight_filling_t *filling)
{
    size_t                                c;
    std::string                           text;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;

    /*
     * What is retained is written once: a cycle asks the same for as long as it
     * lives. It fits: what does not is left out.
     */

    (void) dmcf->retained->Write(
        dynweight::EncodeClusterViews(filling->held.retained,
                                      dynweight::ViewRoom::Of(
                                          dynweight::kMaxViewNodes),
                                      dmcf->retained->capacity()));

    text = ngx_dynamic_weight_held_decisions(filling->previous);

    if (!text.empty()) {
        /* it fits: the ring's length is bounded */
        (void) dmcf->decisions->Write(text);
    }

    for (c = 0; c < dmcf->config->clusters.size(); c++) {
        const dynweight::ClusterView  &view = filling->held.views[c];

        (void) dmcf->documents[c].view->Write(
            dynweight::EncodeClusterView(view,
                dynweight::RoomFor(*dmcf->config, c)));

        dynweight::ClusterStatus  status;

        status.complete = dynweight::ViewComplete(*dmcf->config, c, view);

        (void) dmcf->documents[c].status->Write(
            dynweight::PackClusterStatus(status));
    }
}


/* a group's peers: assigned are its servers; those of lines come later */

static void
ngx_dynamic_weight_fill_table(ngx_dynamic_weight_filling_t *filling,
    ngx_dynamic_weight_group_t *group)
{
    u_char                          *last, name[16];
    ngx_uint_t                       i;
    dynweight::PeerTable            *table = group->zone.table;
    ngx_dynamic_weight_slot_conf_t  *slot_conf;

    table->SeedPicks(ngx_dynamic_weight_next_pick(filling->previous,
                         ngx_dynamic_weight_group_hash(group)));

    for (i = 0; i < group->conf.nslots; i++) {
        slot_conf = &group->conf.slots[i];

        if (slot_conf->sockaddr) {
            dynweight::PeerIdentity  identity;

            /* the next cycle knows it by this */

            last = ngx_snprintf(name, sizeof(name), "%016xL", slot_conf->identity);
            identity.set_node({ reinterpret_cast<char *>(name),
                                static_cast<size_t>(last - name) });

            table->SetPeer(i, identity);
        }
    }
}


/* the ingress nodes as the held views have them, and a record of each line */

static void
ngx_dynamic_weight_fill_lines(ngx_dynamic_weight_filling_t *filling,
    const std::vector<uint64_t> &scales)
{
    size_t                                i;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;

    for (i = 0; i < dmcf->config->lines.size(); i++) {
        const dynweight::LineConfig  &line = dmcf->config->lines[i];

        auto weight = ngx_dynamic_weight_seed_line(dmcf, line,
                          filling->held.views[line.cluster],
                          *dmcf->groups[line.table]->zone.table,
                          scales[line.table], filling->stand_ins[i],
                          filling->previous);

        (*dmcf->records)[i].Write(dynweight::MakeLineRecord(line, weight));
    }
}


/* of each table, by the largest weight that it begins with */

static std::vector<uint64_t>
ngx_dynamic_weight_scales(ngx_dynamic_weight_filling_t *filling)
{
    std::vector<uint64_t>                 largest(filling->conf->ntables);
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;

    for (const dynweight::ServerConfig &server : dmcf->config->servers) {
        largest[server.table] = ngx_max(largest[server.table],
            dynweight::TunedWeight(server,
                dmcf->tuning.rules->Select(server.upstream, "")));
    }

    for (size_t i = 0; i < dmcf->config->lines.size(); i++) {
        const dynweight::LineConfig  &line = dmcf->config->lines[i];

        largest[line.table] = ngx_max(largest[line.table],
            ngx_dynamic_weight_largest(dmcf, line,
                filling->held.views[line.cluster], filling->stand_ins[i],
                filling->previous));
    }

    for (uint64_t &scale : largest) {
        scale = dynweight::WeightScale(scale);
    }

    return largest;
}


/* the servers' weights, as rules of the tuning file want them */

static void
ngx_dynamic_weight_weigh_servers(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const std::vector<uint64_t> &scales)
{
    for (const dynweight::ServerConfig &server : dmcf->config->servers) {

        dynweight::PeerTable  *table = dmcf->groups[server.table]->zone.table;

        auto write = dynweight::PlanServer(server,
                         dmcf->tuning.rules->Select(server.upstream, ""),
                         *table, scales[server.table]);
        if (write) {
            dynweight::ApplySlotWrites(*table, { *write });
        }
    }
}


/* what each upstream has learnt of its peers, and whether it was ready */

static void
ngx_dynamic_weight_inherit_upstreams(
    ngx_dynamic_weight_filling_t *filling)
{
    ngx_uint_t                            i;
    ngx_dynamic_weight_group_t           *group;
    ngx_http_dynamic_weight_srv_conf_t   *dscf;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;
    ngx_dynamic_weight_root_t            *root = dmcf->root;

    for (i = 0; i < dmcf->ntables; i++) {
        group = dmcf->groups[i];
        dscf = group->conf.srv;

        auto  name = ngx_dynamic_weight_view(dscf->upstream->host);

        uint64_t  hashes[2] = {
            ngx_dynamic_weight_table_hash(name, false),
            ngx_dynamic_weight_table_hash(name, true)
        };

        ngx_dynamic_weight_inherit_health(filling->previous, hashes,
                                          *group->zone.table);

        auto *a = ngx_dynamic_weight_previous_table(filling->previous,
                                                    hashes[0]);

        if (group == &dscf->primary && a) {
            root->areas[1 + root->nviews + i].ready.store(
                ngx_dynamic_weight_was_ready(filling->previous, hashes),
                std::memory_order_relaxed);
        }
    }

    /* until the worker that is to watch has looked for the first time */

    root->watcher_seen_ms.store(dynweight::SystemClock().MonotonicMs(),
                                std::memory_order_relaxed);

    root->ready.store(filling->previous.root
                      && ngx_dynamic_weight_was_ready(filling->previous,
                                                      NULL),
                      std::memory_order_relaxed);
}

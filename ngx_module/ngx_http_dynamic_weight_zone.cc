// The zone: how much it needs, and what lies in it.
//
//   root            what there is and where, for the next cycle
//   per cluster     two documents: the view, the status
//   per upstream    one or two peer tables, each with its share window
//                   and what tuning says of each peer
//   per line        the record that explains its weight
//   decisions       the last ones of all lines
//   tuning          the file's last good text, and its status
//
// All of it is one slab allocation: nothing is allocated or freed at run time,
// and the slab's lock, which a killed worker could hold, is never taken again.

#include "ngx_http_dynamic_weight_zone.h"

#include <new>
#include <string>
#include <vector>

#include "watcher/cluster_status.h"


typedef struct {
    size_t                               root;
    std::vector<size_t>                  views;    /* capacities */
    size_t                               total;
} ngx_http_dynamic_weight_layout_t;


/* a zone while it is filled, from its start to its end */

typedef struct {
    ngx_shm_zone_t                       *zone;
    ngx_http_dynamic_weight_main_conf_t  *conf;
    ngx_http_dynamic_weight_former_t      former;
    std::vector<dynweight::ClusterView>   views;    /* to begin with */
    ngx_http_dynamic_weight_root_t       *root;
    ngx_http_dynamic_weight_area_t       *area;     /* the next one */
    u_char                               *p;        /* what is still free */
} ngx_http_dynamic_weight_filling_t;


static ngx_http_dynamic_weight_layout_t ngx_http_dynamic_weight_measure(
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static ngx_int_t ngx_http_dynamic_weight_fill_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static u_char *ngx_http_dynamic_weight_allocate(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf, size_t size);
static u_char *ngx_http_dynamic_weight_take(
    ngx_http_dynamic_weight_filling_t *filling, size_t size);
static u_char *ngx_http_dynamic_weight_take_area(
    ngx_http_dynamic_weight_filling_t *filling, size_t size, uint64_t hash);
static void ngx_http_dynamic_weight_make_decisions(
    ngx_http_dynamic_weight_filling_t *filling);
static void ngx_http_dynamic_weight_make_documents(
    ngx_http_dynamic_weight_filling_t *filling,
    const std::vector<size_t> &capacities);
static void ngx_http_dynamic_weight_make_table(
    ngx_http_dynamic_weight_filling_t *filling,
    ngx_http_dynamic_weight_srv_conf_t *dscf,
    ngx_http_dynamic_weight_group_t *group);
static void ngx_http_dynamic_weight_make_lines(
    ngx_http_dynamic_weight_filling_t *filling,
    const std::vector<dynweight::PeerTable *> &tables);
static void ngx_http_dynamic_weight_tune_servers(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const std::vector<dynweight::PeerTable *> &tables);


template <typename F>
static void
ngx_http_dynamic_weight_each_group(ngx_http_dynamic_weight_main_conf_t *dmcf,
    F &&f)
{
    ngx_http_dynamic_weight_srv_conf_t **dscf =
        static_cast<ngx_http_dynamic_weight_srv_conf_t **>(
            dmcf->upstreams.elts);

    for (ngx_uint_t i = 0; i < dmcf->upstreams.nelts; i++) {
        f(dscf[i], &dscf[i]->primary);

        if (dscf[i]->backup.nseats) {
            f(dscf[i], &dscf[i]->backup);
        }
    }
}


ngx_int_t
ngx_http_dynamic_weight_init_zone(ngx_shm_zone_t *shm_zone, void *)
{
    return ngx_http_dynamic_weight_guard(shm_zone->shm.log, NGX_ERROR,
                                         [&]() -> ngx_int_t {

        auto *dmcf = static_cast<ngx_http_dynamic_weight_main_conf_t *>(
            shm_zone->data);

        if (ngx_http_dynamic_weight_fill_zone(shm_zone, dmcf) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_dynamic_weight_check_access(dmcf);

        return NGX_OK;
    });
}


static ngx_http_dynamic_weight_layout_t
ngx_http_dynamic_weight_measure(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_http_dynamic_weight_layout_t  layout;

    layout.root = ngx_align(sizeof(ngx_http_dynamic_weight_root_t)
                            + (1 + dmcf->config->clusters.size()
                               + dmcf->ntables + dmcf->config->lines.size())
                              * sizeof(ngx_http_dynamic_weight_area_t),
                            64);
    layout.total = layout.root;

    for (size_t c = 0; c < dmcf->config->clusters.size(); c++) {
        layout.views.push_back(dynweight::MaxEncodedViewBytes(*dmcf->config,
                                                              c));
        layout.total += dynweight::SharedDocument::Bytes(layout.views.back());
        layout.total += dynweight::SharedDocument::Bytes(
                            dynweight::kMaxStatusBytes);
    }

    ngx_http_dynamic_weight_each_group(dmcf,
        [&](auto *, ngx_http_dynamic_weight_group_t *group) {
            layout.total += dynweight::PeerTable::Bytes(group->nseats,
                                                        dmcf->workers);
            layout.total += dynweight::ShareWindow::Bytes(group->nseats);
            layout.total += ngx_http_dynamic_weight_marks_bytes(dmcf, group);
        });

    layout.total += dmcf->config->lines.size()
                    * dynweight::SharedRecord<dynweight::LineRecord>::Bytes();
    layout.total += dynweight::SharedDocument::Bytes(
                        dynweight::kMaxDecisionBytes);
    layout.total += ngx_http_dynamic_weight_tuning_bytes(dmcf);

    return layout;
}


static ngx_int_t
ngx_http_dynamic_weight_fill_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    u_char                             *memory;
    ngx_core_conf_t                    *ccf;
    ngx_slab_pool_t                    *shpool;
    ngx_http_dynamic_weight_layout_t    layout;
    ngx_http_dynamic_weight_filling_t   filling;

    ccf = reinterpret_cast<ngx_core_conf_t *>(
        ngx_get_conf(dmcf->cycle->conf_ctx, ngx_core_module));

    dmcf->workers = ngx_max(ccf->worker_processes, 1);

    layout = ngx_http_dynamic_weight_measure(dmcf);

    memory = ngx_http_dynamic_weight_allocate(shm_zone, dmcf, layout.total);
    if (memory == NULL) {
        return NGX_ERROR;
    }

    filling.zone = shm_zone;
    filling.conf = dmcf;
    filling.former = ngx_http_dynamic_weight_find_former(shm_zone);
    filling.views = ngx_http_dynamic_weight_held_views(shm_zone, dmcf,
                                                       filling.former);

    filling.root = reinterpret_cast<ngx_http_dynamic_weight_root_t *>(memory);
    filling.root->nviews = dmcf->config->clusters.size();
    filling.root->ntables = dmcf->ntables;
    filling.root->nlines = dmcf->config->lines.size();

    filling.area = filling.root->areas;
    filling.p = memory + layout.root;

    ngx_http_dynamic_weight_make_decisions(&filling);
    ngx_http_dynamic_weight_make_documents(&filling, layout.views);

    std::vector<dynweight::PeerTable *>  tables(dmcf->ntables);

    ngx_http_dynamic_weight_each_group(dmcf,
        [&](ngx_http_dynamic_weight_srv_conf_t *dscf,
            ngx_http_dynamic_weight_group_t *group)
        {
            ngx_http_dynamic_weight_make_table(&filling, dscf, group);
            tables[group->id] = group->table;
        });

    ngx_http_dynamic_weight_init_tuning(dmcf,
        ngx_http_dynamic_weight_take(&filling,
                              ngx_http_dynamic_weight_tuning_bytes(dmcf)));

    ngx_http_dynamic_weight_make_lines(&filling, tables);
    ngx_http_dynamic_weight_tune_servers(dmcf, tables);

    for (dynweight::PeerTable *table : tables) {
        table->Publish();
    }

    /* complete: the next cycle may take over from it */

    filling.root->magic = NGX_HTTP_DW_ZONE_MAGIC;

    shpool = reinterpret_cast<ngx_slab_pool_t *>(shm_zone->shm.addr);
    shpool->data = filling.root;

    return NGX_OK;
}


/* all that the zone will ever hold; NULL, and the log says why, if it can't */

static u_char *
ngx_http_dynamic_weight_allocate(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf, size_t size)
{
    size_t            pages, needed;
    ngx_slab_pool_t  *shpool;

    if (dmcf->workers > dynweight::PeerTable::kMaxWorkers) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "%ui worker processes, more than %uD",
                      dmcf->workers, dynweight::PeerTable::kMaxWorkers);
        return NULL;
    }

    shpool = reinterpret_cast<ngx_slab_pool_t *>(shm_zone->shm.addr);

    pages = (size + ngx_pagesize - 1) / ngx_pagesize;

    if (pages > shpool->pfree) {

        /* the slab's own data: a header, and a word or two a page */

        needed = (pages + 2) * (ngx_pagesize + sizeof(ngx_slab_page_t))
                 + sizeof(ngx_slab_pool_t)
                 + ngx_pagesize_shift * (sizeof(ngx_slab_page_t)
                                         + sizeof(ngx_slab_stat_t));

        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" is too small for the configured peers: "
                      "write \"dynamic_weight_zone %V:%uzk\" or more in %s:%ui",
                      &shm_zone->shm.name, &shm_zone->shm.name,
                      (needed + 1023) / 1024,
                      dmcf->zone_place.file, dmcf->zone_place.line);
        return NULL;
    }

    return static_cast<u_char *>(ngx_slab_alloc(shpool, pages * ngx_pagesize));
}


static u_char *
ngx_http_dynamic_weight_take(ngx_http_dynamic_weight_filling_t *filling,
    size_t size)
{
    u_char  *p = filling->p;

    filling->p += size;

    return p;
}


/* the same, to be found by the next cycle; see ..._root_t for their order */

static u_char *
ngx_http_dynamic_weight_take_area(ngx_http_dynamic_weight_filling_t *filling,
    size_t size, uint64_t hash)
{
    filling->area->offset = filling->p - filling->zone->shm.addr;
    filling->area->size = size;
    filling->area->hash = hash;
    filling->area++;

    return ngx_http_dynamic_weight_take(filling, size);
}


/* for as long as the configuration lives */

template <typename T>
static T *
ngx_http_dynamic_weight_keep(ngx_http_dynamic_weight_filling_t *filling,
    const T &object)
{
    T  *kept;

    kept = ngx_http_dynamic_weight_own(filling->conf->cycle->pool,
                                       new T(object));
    if (kept == NULL) {
        throw std::bad_alloc();
    }

    return kept;
}


static void
ngx_http_dynamic_weight_make_decisions(
    ngx_http_dynamic_weight_filling_t *filling)
{
    size_t                                size;
    std::string                           text;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;

    size = dynweight::SharedDocument::Bytes(dynweight::kMaxDecisionBytes);

    dmcf->decisions = ngx_http_dynamic_weight_keep(filling,
        dynweight::SharedDocument::Create(
            ngx_http_dynamic_weight_take_area(filling, size, 0),
            dynweight::kMaxDecisionBytes));

    text = ngx_http_dynamic_weight_held_decisions(filling->former);

    if (!text.empty()) {
        /* it fits: the ring's length is bounded */
        (void) dmcf->decisions->Write(text);
    }
}


/* of each cluster: the view that is held, the status until it is watched */

static void
ngx_http_dynamic_weight_make_documents(
    ngx_http_dynamic_weight_filling_t *filling,
    const std::vector<size_t> &capacities)
{
    size_t                                c, n, size;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;
    ngx_http_dynamic_weight_documents_t  *documents;

    n = dmcf->config->clusters.size();

    documents = static_cast<ngx_http_dynamic_weight_documents_t *>(
        ngx_pcalloc(dmcf->cycle->pool,
                    (n + 1) * sizeof(ngx_http_dynamic_weight_documents_t)));
    if (documents == NULL) {
        throw std::bad_alloc();
    }

    for (c = 0; c < n; c++) {
        const dynweight::ClusterView  &view = filling->views[c];

        size = dynweight::SharedDocument::Bytes(capacities[c]);

        documents[c].view = ngx_http_dynamic_weight_keep(filling,
            dynweight::SharedDocument::Create(
                ngx_http_dynamic_weight_take_area(filling, size, 0),
                capacities[c]));

        (void) documents[c].view->Write(
            dynweight::EncodeClusterView(view,
                dynweight::MaxUsableNodes(*dmcf->config, c)));

        size = dynweight::SharedDocument::Bytes(dynweight::kMaxStatusBytes);

        documents[c].status = ngx_http_dynamic_weight_keep(filling,
            dynweight::SharedDocument::Create(
                ngx_http_dynamic_weight_take(filling, size),
                dynweight::kMaxStatusBytes));

        dynweight::ClusterStatus  status;

        status.complete = dynweight::ViewComplete(*dmcf->config, c, view);

        (void) documents[c].status->Write(
            dynweight::PackClusterStatus(status));
    }

    dmcf->documents = documents;
}


/* a group's peers: seated are its servers; lines seat their nodes later */

static void
ngx_http_dynamic_weight_make_table(ngx_http_dynamic_weight_filling_t *filling,
    ngx_http_dynamic_weight_srv_conf_t *dscf,
    ngx_http_dynamic_weight_group_t *group)
{
    size_t                                size;
    uint64_t                              hash;
    ngx_uint_t                            i;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;

    hash = std::hash<std::string_view>()(
               ngx_http_dynamic_weight_view(dscf->upstream->host))
           * 2 + (group == &dscf->backup);

    size = dynweight::PeerTable::Bytes(group->nseats, dmcf->workers);

    group->table = ngx_http_dynamic_weight_keep(filling,
        dynweight::PeerTable::Create(
            ngx_http_dynamic_weight_take_area(filling, size, hash),
            group->nseats, dmcf->workers));

    size = dynweight::ShareWindow::Bytes(group->nseats);

    group->window = ngx_http_dynamic_weight_keep(filling,
        dynweight::ShareWindow::Create(
            ngx_http_dynamic_weight_take(filling, size),
            group->nseats, ngx_http_dynamic_weight_unix_msec()));

    size = ngx_http_dynamic_weight_marks_bytes(dmcf, group);

    ngx_http_dynamic_weight_init_marks(dmcf, group,
        ngx_http_dynamic_weight_take(filling, size));

    group->table->SeedPicks(
        ngx_http_dynamic_weight_next_pick(filling->former, hash));

    for (i = 0; i < group->nseats; i++) {

        if (group->seats[i].sockaddr) {
            group->table->SetPeer(i, dynweight::PeerIdentity());
            group->table->SetWeight(i, group->seats[i].weight);
        }
    }
}


/* the ingress nodes as the held views have them, and a record of each line */

static void
ngx_http_dynamic_weight_make_lines(ngx_http_dynamic_weight_filling_t *filling,
    const std::vector<dynweight::PeerTable *> &tables)
{
    using Record = dynweight::SharedRecord<dynweight::LineRecord>;

    uint64_t                              hash;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;

    dmcf->records = ngx_http_dynamic_weight_keep(filling,
                                                 std::vector<Record>());

    for (const dynweight::LineConfig &line : dmcf->config->lines) {

        hash = ngx_http_dynamic_weight_line_hash(dmcf, line);

        filling->area->table = 1 + filling->root->nviews + line.table;
        filling->area->first = line.range.first;
        filling->area->count = line.range.count;

        auto record = Record::Create(
            ngx_http_dynamic_weight_take_area(filling, Record::Bytes(), hash));

        auto weight = ngx_http_dynamic_weight_seed_line(dmcf, line,
                          filling->views[line.cluster], *tables[line.table],
                          filling->former);

        record.Write(dynweight::MakeLineRecord(line, weight));
        dmcf->records->push_back(record);
    }
}


/* rules of the tuning file for servers; those for nodes are in their lines */

static void
ngx_http_dynamic_weight_tune_servers(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const std::vector<dynweight::PeerTable *> &tables)
{
    for (const dynweight::ServerConfig &server : dmcf->config->servers) {

        auto write = dynweight::PlanServer(server,
                         dmcf->tuning.rules->Select(server.upstream, ""),
                         *tables[server.table]);
        if (write) {
            dynweight::ApplySlotWrites(*tables[server.table], { *write });
        }
    }
}

// The zone: how much it needs, and what lies in it.
//
//   root            what there is and where, for the next cycle
//   columns         which process counts its connections in which column of
//                   the peer tables
//   per cluster     two documents: the view, the status
//   per upstream    one or two peer tables, each with its share window
//                   and what tuning says of each peer
//   per line        the record that explains its weight
//   decisions       the last ones of all lines
//   tuning          the file's last good text, and its status
//   retained        what no configuration asks for any more, for a while: in
//                   what the zone has to spare
//
// All of it is one slab allocation: nothing is allocated or freed at run time,
// and the slab's lock, which a killed worker could hold, is never taken again.

#include "ngx_http_dynamic_weight_zone.h"

#include <new>
#include <string>
#include <vector>

#include "watcher/cluster_status.h"


/* of what is retained: room in any zone, and most in one with room to spare */
#define NGX_HTTP_DW_RETAINED_BYTES      static_cast<size_t>(4096)
#define NGX_HTTP_DW_MAX_RETAINED_BYTES  static_cast<size_t>(262144)


typedef struct {
    size_t                               root;
    std::vector<size_t>                  views;    /* capacities */
    size_t                               columns;
    size_t                               retained; /* capacity, at least */
    size_t                               total;
} ngx_http_dynamic_weight_layout_t;


/* a zone while it is filled, from its start to its end */

typedef struct {
    ngx_shm_zone_t                       *zone;
    ngx_http_dynamic_weight_main_conf_t  *conf;
    ngx_http_dynamic_weight_former_t      former;
    dynweight::TakenOver                  held;     /* to begin with */
    std::vector<std::optional<ngx_http_dynamic_weight_former_line_t>>
                                          stand_ins;    /* one a line */
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
static size_t ngx_http_dynamic_weight_spare(ngx_shm_zone_t *shm_zone,
    size_t size);
static void ngx_http_dynamic_weight_make_retained(
    ngx_http_dynamic_weight_filling_t *filling, size_t capacity);
static void ngx_http_dynamic_weight_carry_upstreams(
    ngx_http_dynamic_weight_filling_t *filling);
static void ngx_http_dynamic_weight_make_decisions(
    ngx_http_dynamic_weight_filling_t *filling);
static void ngx_http_dynamic_weight_make_documents(
    ngx_http_dynamic_weight_filling_t *filling,
    const std::vector<size_t> &capacities);
static void ngx_http_dynamic_weight_make_table(
    ngx_http_dynamic_weight_filling_t *filling,
    ngx_http_dynamic_weight_group_t *group);
static void ngx_http_dynamic_weight_make_lines(
    ngx_http_dynamic_weight_filling_t *filling,
    const std::vector<uint64_t> &scales);
static std::vector<uint64_t> ngx_http_dynamic_weight_scales(
    ngx_http_dynamic_weight_filling_t *filling);
static void ngx_http_dynamic_weight_weigh_servers(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const std::vector<uint64_t> &scales);


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
    layout.columns = ngx_align(dmcf->columns * sizeof(std::atomic<uint64_t>),
                               64);
    layout.retained = NGX_HTTP_DW_RETAINED_BYTES;
    layout.total = layout.root + layout.columns
                   + dynweight::SharedDocument::Bytes(layout.retained);

    for (size_t c = 0; c < dmcf->config->clusters.size(); c++) {
        layout.views.push_back(dynweight::MaxEncodedViewBytes(*dmcf->config,
                                                              c));
        layout.total += dynweight::SharedDocument::Bytes(layout.views.back());
        layout.total += dynweight::SharedDocument::Bytes(
                            dynweight::kMaxStatusBytes);
    }

    for (ngx_uint_t i = 0; i < dmcf->ntables; i++) {
        ngx_http_dynamic_weight_group_t  *group = dmcf->groups[i];

        layout.total += dynweight::PeerTable::Bytes(group->conf.nseats,
                                                    dmcf->columns);
        layout.total += dynweight::ShareWindow::Bytes(group->conf.nseats);
        layout.total += ngx_http_dynamic_weight_marks_bytes(dmcf, group);
    }

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
    size_t                              spare;
    u_char                             *memory;
    ngx_uint_t                          i;
    ngx_core_conf_t                    *ccf;
    ngx_slab_pool_t                    *shpool;
    ngx_http_dynamic_weight_layout_t    layout;
    ngx_http_dynamic_weight_filling_t   filling;

    ccf = reinterpret_cast<ngx_core_conf_t *>(
        ngx_get_conf(dmcf->cycle->conf_ctx, ngx_core_module));

    dmcf->workers = ngx_max(ccf->worker_processes, 1);

    /* workers that are to quit may serve on beside those of this cycle */
    dmcf->columns = 2 * dmcf->workers;

    layout = ngx_http_dynamic_weight_measure(dmcf);

    spare = ngx_http_dynamic_weight_spare(shm_zone, layout.total);
    layout.retained += spare;
    layout.total += 2 * spare;

    memory = ngx_http_dynamic_weight_allocate(shm_zone, dmcf, layout.total);
    if (memory == NULL) {
        return NGX_ERROR;
    }

    filling.zone = shm_zone;
    filling.conf = dmcf;
    filling.former = ngx_http_dynamic_weight_find_former(shm_zone);
    filling.held = ngx_http_dynamic_weight_held_views(shm_zone, dmcf,
                                                      filling.former);

    filling.stand_ins = ngx_http_dynamic_weight_stand_ins(dmcf,
                            filling.held.views, filling.former);

    filling.root = reinterpret_cast<ngx_http_dynamic_weight_root_t *>(memory);
    filling.root->nviews = dmcf->config->clusters.size();
    filling.root->ntables = dmcf->ntables;
    filling.root->nlines = dmcf->config->lines.size();

    filling.area = filling.root->areas;
    filling.p = memory + layout.root;

    dmcf->root = filling.root;
    dmcf->owners = reinterpret_cast<std::atomic<uint64_t> *>(
        ngx_http_dynamic_weight_take(&filling, layout.columns));

    ngx_memzero(static_cast<void *>(dmcf->owners), layout.columns);

    ngx_http_dynamic_weight_make_retained(&filling, layout.retained);
    ngx_http_dynamic_weight_make_decisions(&filling);
    ngx_http_dynamic_weight_make_documents(&filling, layout.views);

    for (i = 0; i < dmcf->ntables; i++) {
        ngx_http_dynamic_weight_make_table(&filling, dmcf->groups[i]);
    }

    ngx_http_dynamic_weight_init_tuning(dmcf,
        ngx_http_dynamic_weight_take(&filling,
                              ngx_http_dynamic_weight_tuning_bytes(dmcf)));

    std::vector<uint64_t>  scales = ngx_http_dynamic_weight_scales(&filling);

    ngx_http_dynamic_weight_make_lines(&filling, scales);
    ngx_http_dynamic_weight_weigh_servers(dmcf, scales);
    ngx_http_dynamic_weight_carry_upstreams(&filling);

    for (i = 0; i < dmcf->ntables; i++) {
        dmcf->groups[i]->zone.table->Publish();
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

    if (dmcf->columns > dynweight::PeerTable::kMaxWorkers) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "%ui worker processes, more than %uD",
                      dmcf->workers, dynweight::PeerTable::kMaxWorkers / 2);
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


/* what half of the zone's free rest can retain beyond the least */

static size_t
ngx_http_dynamic_weight_spare(ngx_shm_zone_t *shm_zone, size_t size)
{
    size_t            pages;
    ngx_slab_pool_t  *shpool;

    shpool = reinterpret_cast<ngx_slab_pool_t *>(shm_zone->shm.addr);

    pages = (size + ngx_pagesize - 1) / ngx_pagesize;

    if (pages >= shpool->pfree) {
        return 0;
    }

    /* a document has two halves */

    return ngx_min((shpool->pfree - pages) * ngx_pagesize / 2,
                   NGX_HTTP_DW_MAX_RETAINED_BYTES) / 64 * 64;
}


/* what each upstream has learnt of its peers, and whether it was ready */

static void
ngx_http_dynamic_weight_carry_upstreams(
    ngx_http_dynamic_weight_filling_t *filling)
{
    ngx_uint_t                            i;
    ngx_http_dynamic_weight_root_t       *root = filling->root;
    ngx_http_dynamic_weight_group_t      *group;
    ngx_http_dynamic_weight_srv_conf_t   *dscf;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;

    for (i = 0; i < dmcf->ntables; i++) {
        group = dmcf->groups[i];
        dscf = group->conf.srv;

        auto  name = ngx_http_dynamic_weight_view(dscf->upstream->host);

        uint64_t  hashes[2] = {
            ngx_http_dynamic_weight_table_hash(name, false),
            ngx_http_dynamic_weight_table_hash(name, true)
        };

        ngx_http_dynamic_weight_carry_health(filling->former, hashes,
                                             *group->zone.table);

        auto *a = ngx_http_dynamic_weight_former_table(filling->former,
                                                       hashes[0]);

        if (group == &dscf->primary && a) {
            root->areas[1 + root->nviews + i].ready.store(
                ngx_http_dynamic_weight_was_ready(filling->former, hashes),
                std::memory_order_relaxed);
        }
    }

    root->ready.store(filling->former.root
                      && ngx_http_dynamic_weight_was_ready(filling->former,
                                                           NULL),
                      std::memory_order_relaxed);
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
    filling->area->ready.store(0, std::memory_order_relaxed);
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


/* written once: a cycle asks the same for as long as it lives */

static void
ngx_http_dynamic_weight_make_retained(
    ngx_http_dynamic_weight_filling_t *filling, size_t capacity)
{
    u_char                               *p;
    size_t                                size;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;

    size = dynweight::SharedDocument::Bytes(capacity);
    p = ngx_http_dynamic_weight_take(filling, size);

    filling->root->retained = p - filling->zone->shm.addr;
    filling->root->retained_size = size;

    dmcf->retained = ngx_http_dynamic_weight_keep(filling,
        dynweight::SharedDocument::Create(p, capacity));

    /* it fits: what does not is left out */
    (void) dmcf->retained->Write(
        dynweight::EncodeClusterViews(filling->held.retained,
                                      dynweight::kMaxViewNodes, capacity));
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
        const dynweight::ClusterView  &view = filling->held.views[c];

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
    ngx_http_dynamic_weight_group_t *group)
{
    u_char                               *last, name[16];
    size_t                                size;
    uint64_t                              hash;
    ngx_uint_t                            i;
    ngx_http_dynamic_weight_srv_conf_t   *dscf = group->conf.srv;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = filling->conf;

    hash = ngx_http_dynamic_weight_table_hash(
               ngx_http_dynamic_weight_view(dscf->upstream->host),
               group == &dscf->backup);

    size = dynweight::PeerTable::Bytes(group->conf.nseats, dmcf->columns);

    group->zone.table = ngx_http_dynamic_weight_keep(filling,
        dynweight::PeerTable::Create(
            ngx_http_dynamic_weight_take_area(filling, size, hash),
            group->conf.nseats, dmcf->columns));

    size = dynweight::ShareWindow::Bytes(group->conf.nseats);

    group->zone.window = ngx_http_dynamic_weight_keep(filling,
        dynweight::ShareWindow::Create(
            ngx_http_dynamic_weight_take(filling, size),
            group->conf.nseats, ngx_http_dynamic_weight_unix_msec()));

    size = ngx_http_dynamic_weight_marks_bytes(dmcf, group);

    ngx_http_dynamic_weight_init_marks(dmcf, group,
        ngx_http_dynamic_weight_take(filling, size));

    group->zone.table->SeedPicks(
        ngx_http_dynamic_weight_next_pick(filling->former, hash));

    for (i = 0; i < group->conf.nseats; i++) {

        if (group->conf.seats[i].sockaddr) {
            dynweight::PeerIdentity  identity;

            /* the next cycle knows it by this */

            last = ngx_snprintf(name, sizeof(name), "%016xL",
                                group->conf.seats[i].identity);
            identity.set_node({ reinterpret_cast<char *>(name),
                                static_cast<size_t>(last - name) });

            group->zone.table->SetPeer(i, identity);
        }
    }
}


/* the ingress nodes as the held views have them, and a record of each line */

static void
ngx_http_dynamic_weight_make_lines(ngx_http_dynamic_weight_filling_t *filling,
    const std::vector<uint64_t> &scales)
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
                          filling->held.views[line.cluster],
                          *dmcf->groups[line.table]->zone.table,
                          scales[line.table],
                          filling->stand_ins[dmcf->records->size()],
                          filling->former);

        record.Write(dynweight::MakeLineRecord(line, weight));
        dmcf->records->push_back(record);
    }
}


/* of each table, by the largest weight that it begins with */

static std::vector<uint64_t>
ngx_http_dynamic_weight_scales(ngx_http_dynamic_weight_filling_t *filling)
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
            ngx_http_dynamic_weight_largest(dmcf, line,
                filling->held.views[line.cluster], filling->stand_ins[i],
                filling->former));
    }

    for (uint64_t &scale : largest) {
        scale = dynweight::WeightScale(scale);
    }

    return largest;
}


/* the servers' weights, as rules of the tuning file want them */

static void
ngx_http_dynamic_weight_weigh_servers(
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

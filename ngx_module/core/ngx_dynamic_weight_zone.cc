// The zone: how much it needs, and what lies in it. One walk tells both; see
// the picture in the header.

#include "ngx_module/core/ngx_dynamic_weight_zone.h"

#include <vector>

#include "watcher/cluster_status.h"


/* of what is retained: room in any zone, and most in one with room to spare */
#define NGX_HTTP_DW_RETAINED_BYTES      static_cast<size_t>(4096)
#define NGX_HTTP_DW_MAX_RETAINED_BYTES  static_cast<size_t>(262144)


static ngx_int_t ngx_dynamic_weight_make_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static void ngx_dynamic_weight_prepare_walk(
    ngx_dynamic_weight_walk_t *walk, ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static size_t ngx_dynamic_weight_walk(
    ngx_dynamic_weight_walk_t *walk, u_char *memory);
static void ngx_dynamic_weight_walk_root(
    ngx_dynamic_weight_walk_t *walk);
static void ngx_dynamic_weight_walk_columns(
    ngx_dynamic_weight_walk_t *walk);
static void ngx_dynamic_weight_walk_retained(
    ngx_dynamic_weight_walk_t *walk);
static void ngx_dynamic_weight_walk_decisions(
    ngx_dynamic_weight_walk_t *walk);
static void ngx_dynamic_weight_walk_cluster(
    ngx_dynamic_weight_walk_t *walk, size_t cluster);
static void ngx_dynamic_weight_walk_group(
    ngx_dynamic_weight_walk_t *walk,
    ngx_dynamic_weight_group_t *group);
static void ngx_dynamic_weight_walk_line(
    ngx_dynamic_weight_walk_t *walk, const dynweight::LineConfig &line);
static ngx_dynamic_weight_area_t *ngx_dynamic_weight_add_area(
    ngx_dynamic_weight_walk_t *walk, size_t begin, uint64_t hash);
static u_char *ngx_dynamic_weight_allocate(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf, size_t size);
static size_t ngx_dynamic_weight_spare(ngx_shm_zone_t *shm_zone,
    size_t size);


ngx_int_t
ngx_dynamic_weight_init_zone(ngx_shm_zone_t *shm_zone, void *)
{
    return ngx_dynamic_weight_guard(shm_zone->shm.log, NGX_ERROR,
                                    [&]() -> ngx_int_t {

        auto *dmcf = static_cast<ngx_http_dynamic_weight_main_conf_t *>(
            shm_zone->data);

        if (ngx_dynamic_weight_make_zone(shm_zone, dmcf) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_dynamic_weight_check_access(dmcf);

        return NGX_OK;
    });
}


static ngx_int_t
ngx_dynamic_weight_make_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    size_t                           measured, made;
    u_char                          *memory;
    ngx_core_conf_t                 *ccf;
    ngx_slab_pool_t                 *shpool;
    ngx_dynamic_weight_walk_t        walk;

    ccf = reinterpret_cast<ngx_core_conf_t *>(
        ngx_get_conf(dmcf->cycle->conf_ctx, ngx_core_module));

    dmcf->workers = ngx_max(ccf->worker_processes, 1);

    /* workers that are to quit may serve on beside those of this cycle */
    dmcf->columns = 2 * dmcf->workers;

    ngx_dynamic_weight_prepare_walk(&walk, shm_zone, dmcf);

    measured = ngx_dynamic_weight_walk(&walk, NULL);

    /* again, with what there is room for: only now is that known */

    walk.retained += ngx_dynamic_weight_spare(shm_zone, measured);
    measured = ngx_dynamic_weight_walk(&walk, NULL);

    memory = ngx_dynamic_weight_allocate(shm_zone, dmcf, measured);
    if (memory == NULL) {
        return NGX_ERROR;
    }

    made = ngx_dynamic_weight_walk(&walk, memory);

    if (made != measured) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\": %uz bytes were measured for what takes "
                      "%uz; please report it",
                      &shm_zone->shm.name, measured, made);
        return NGX_ERROR;
    }

    ngx_dynamic_weight_fill_zone(shm_zone, dmcf);

    /* complete: the next cycle may take over from it */

    dmcf->root->magic = NGX_HTTP_DW_ZONE_MAGIC;

    shpool = reinterpret_cast<ngx_slab_pool_t *>(shm_zone->shm.addr);
    shpool->data = dmcf->root;

    return NGX_OK;
}


/* what every run of it takes as it is */

static void
ngx_dynamic_weight_prepare_walk(ngx_dynamic_weight_walk_t *walk,
    ngx_shm_zone_t *shm_zone, ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    size_t  c, n;

    using Record = dynweight::SharedRecord<dynweight::LineRecord>;

    walk->conf = dmcf;
    walk->zone = shm_zone->shm.addr;
    walk->retained = NGX_HTTP_DW_RETAINED_BYTES;
    walk->root = NULL;
    walk->area = NULL;

    n = dmcf->config->clusters.size();

    for (c = 0; c < n; c++) {
        walk->views.push_back(dynweight::MaxEncodedViewBytes(*dmcf->config,
                                                             c));
    }

    dmcf->documents = static_cast<ngx_dynamic_weight_documents_t *>(
        ngx_pcalloc(dmcf->cycle->pool,
                    (n + 1) * sizeof(ngx_dynamic_weight_documents_t)));
    if (dmcf->documents == NULL) {
        throw std::bad_alloc();
    }

    dmcf->records = ngx_dynamic_weight_keep(dmcf, std::vector<Record>());
}


/* the one list of what lies in the zone; returns how much it takes */

static size_t
ngx_dynamic_weight_walk(ngx_dynamic_weight_walk_t *walk,
    u_char *memory)
{
    size_t                                c;
    ngx_uint_t                            i;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = walk->conf;

    walk->memory = memory;
    walk->size = 0;

    ngx_dynamic_weight_walk_root(walk);
    ngx_dynamic_weight_walk_columns(walk);
    ngx_dynamic_weight_walk_retained(walk);
    ngx_dynamic_weight_walk_decisions(walk);

    for (c = 0; c < dmcf->config->clusters.size(); c++) {
        ngx_dynamic_weight_walk_cluster(walk, c);
    }

    for (i = 0; i < dmcf->ntables; i++) {
        ngx_dynamic_weight_walk_group(walk, dmcf->groups[i]);
    }

    ngx_dynamic_weight_walk_tuning(walk);

    for (const dynweight::LineConfig &line : dmcf->config->lines) {
        ngx_dynamic_weight_walk_line(walk, line);
    }

    return walk->size;
}


static void
ngx_dynamic_weight_walk_root(ngx_dynamic_weight_walk_t *walk)
{
    size_t                                nviews, nlines;
    u_char                               *p;
    ngx_dynamic_weight_root_t            *root;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = walk->conf;

    nviews = dmcf->config->clusters.size();
    nlines = dmcf->config->lines.size();

    p = ngx_dynamic_weight_take(walk,
            sizeof(ngx_dynamic_weight_root_t)
            + (1 + nviews + dmcf->ntables + nlines)
              * sizeof(ngx_dynamic_weight_area_t));

    if (p == NULL) {
        return;
    }

    root = reinterpret_cast<ngx_dynamic_weight_root_t *>(p);

    root->nviews = nviews;
    root->ntables = dmcf->ntables;
    root->nlines = nlines;

    walk->root = root;
    walk->area = root->areas;

    dmcf->root = root;
}


static void
ngx_dynamic_weight_walk_columns(ngx_dynamic_weight_walk_t *walk)
{
    size_t                                size;
    u_char                               *p;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = walk->conf;

    size = dmcf->columns * sizeof(std::atomic<uint64_t>);
    p = ngx_dynamic_weight_take(walk, size);

    if (p == NULL) {
        return;
    }

    ngx_memzero(p, size);

    dmcf->owners = reinterpret_cast<std::atomic<uint64_t> *>(p);
}


static void
ngx_dynamic_weight_walk_retained(ngx_dynamic_weight_walk_t *walk)
{
    size_t  begin = walk->size;

    walk->conf->retained = ngx_dynamic_weight_take_document(walk,
                               walk->retained);

    if (walk->memory) {
        walk->root->retained = walk->memory + begin - walk->zone;
        walk->root->retained_size = walk->size - begin;
    }
}


static void
ngx_dynamic_weight_walk_decisions(ngx_dynamic_weight_walk_t *walk)
{
    size_t  begin = walk->size;

    walk->conf->decisions = ngx_dynamic_weight_take_document(walk,
                                dynweight::kMaxDecisionBytes);

    (void) ngx_dynamic_weight_add_area(walk, begin, 0);
}


static void
ngx_dynamic_weight_walk_cluster(ngx_dynamic_weight_walk_t *walk,
    size_t cluster)
{
    size_t                                begin = walk->size;
    ngx_dynamic_weight_documents_t       *documents;

    documents = &walk->conf->documents[cluster];

    documents->view = ngx_dynamic_weight_take_document(walk,
                          walk->views[cluster]);

    (void) ngx_dynamic_weight_add_area(walk, begin, 0);

    documents->status = ngx_dynamic_weight_take_document(walk,
                            dynweight::kMaxStatusBytes);
}


static void
ngx_dynamic_weight_walk_group(ngx_dynamic_weight_walk_t *walk,
    ngx_dynamic_weight_group_t *group)
{
    size_t                                n, begin;
    u_char                               *p;
    ngx_http_dynamic_weight_main_conf_t  *dmcf = walk->conf;

    n = group->conf.nslots;

    begin = walk->size;
    p = ngx_dynamic_weight_take(walk,
            dynweight::PeerTable::Bytes(n, dmcf->columns));

    if (p) {
        group->zone.table = ngx_dynamic_weight_keep(dmcf,
            dynweight::PeerTable::Create(p, n, dmcf->columns));

        (void) ngx_dynamic_weight_add_area(walk, begin,
                   ngx_dynamic_weight_group_hash(group));
    }

    p = ngx_dynamic_weight_take(walk, dynweight::SamplingWindow::Bytes(n));

    if (p) {
        group->zone.window = ngx_dynamic_weight_keep(dmcf,
            dynweight::SamplingWindow::Create(p, n,
                ngx_dynamic_weight_unix_msec()));
    }

    ngx_dynamic_weight_walk_marks(walk, group);
}


static void
ngx_dynamic_weight_walk_line(ngx_dynamic_weight_walk_t *walk,
    const dynweight::LineConfig &line)
{
    size_t                           begin;
    u_char                          *p;
    ngx_dynamic_weight_area_t       *area;

    using Record = dynweight::SharedRecord<dynweight::LineRecord>;

    begin = walk->size;
    p = ngx_dynamic_weight_take(walk, Record::Bytes());

    if (p == NULL) {
        return;
    }

    walk->conf->records->push_back(Record::Create(p));

    area = ngx_dynamic_weight_add_area(walk, begin,
               ngx_dynamic_weight_line_hash(walk->conf, line));

    area->table = 1 + walk->root->nviews + line.table;
    area->first = line.range.first;
    area->count = line.range.count;
}


uint64_t
ngx_dynamic_weight_group_hash(
    const ngx_dynamic_weight_group_t *group)
{
    ngx_http_dynamic_weight_srv_conf_t  *dscf = group->conf.srv;

    return ngx_dynamic_weight_table_hash(
               ngx_dynamic_weight_view(dscf->upstream->host),
               group == &dscf->backup);
}


u_char *
ngx_dynamic_weight_take(ngx_dynamic_weight_walk_t *walk, size_t size)
{
    u_char  *p;

    p = walk->memory ? walk->memory + walk->size : NULL;

    walk->size += ngx_align(size, 64);

    return p;
}


dynweight::SharedDocument *
ngx_dynamic_weight_take_document(ngx_dynamic_weight_walk_t *walk,
    size_t capacity)
{
    u_char  *p;

    p = ngx_dynamic_weight_take(walk,
            dynweight::SharedDocument::Bytes(capacity));

    if (p == NULL) {
        return NULL;
    }

    return ngx_dynamic_weight_keep(walk->conf,
               dynweight::SharedDocument::Create(p, capacity));
}


/*
 * What was taken since `begin` is found by the next cycle; see ..._root_t for
 * the order. NULL: it is only measured.
 */

static ngx_dynamic_weight_area_t *
ngx_dynamic_weight_add_area(ngx_dynamic_weight_walk_t *walk,
    size_t begin, uint64_t hash)
{
    ngx_dynamic_weight_area_t       *area;

    if (walk->memory == NULL) {
        return NULL;
    }

    area = walk->area++;

    area->offset = walk->memory + begin - walk->zone;
    area->size = walk->size - begin;
    area->hash = hash;
    area->ready.store(0, std::memory_order_relaxed);

    return area;
}


/* all that the zone will ever hold; NULL, and the log says why, if it can't */

static u_char *
ngx_dynamic_weight_allocate(ngx_shm_zone_t *shm_zone,
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
ngx_dynamic_weight_spare(ngx_shm_zone_t *shm_zone, size_t size)
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

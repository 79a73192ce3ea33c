// The zone: how much it needs, what lies in it, and how the last good view
// gets into a new cycle before its workers start.
//
//   root            what there is and where, for the next cycle
//   per cluster     two documents: the view, the status
//   per upstream    one or two peer tables
//
// All of it is one slab allocation: nothing is allocated or freed at run time,
// and the slab's lock, which a killed worker could hold, is never taken again.

#include "ngx_http_dynamic_weight.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "watcher/cluster_status.h"
#include "watcher/cluster_view.h"
#include "watcher/state_file.h"
#include "watcher/weighing.h"


/* changes with the layout of anything in the zone */
#define NGX_HTTP_DW_ZONE_MAGIC  0x647769676874'0001ull


typedef struct {
    uint64_t                            offset;   /* in the zone */
    uint64_t                            size;
    uint64_t                            hash;     /* of a table's owner */
} ngx_http_dynamic_weight_area_t;


typedef struct {
    uint64_t                            magic;
    uint64_t                            nviews;
    uint64_t                            ntables;
    ngx_http_dynamic_weight_area_t      areas[1]; /* views, then tables */
} ngx_http_dynamic_weight_root_t;


typedef struct {
    size_t                              root;
    std::vector<size_t>                 views;    /* capacities */
    size_t                              total;
} ngx_http_dynamic_weight_layout_t;


static ngx_http_dynamic_weight_layout_t ngx_http_dynamic_weight_measure(
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static ngx_int_t ngx_http_dynamic_weight_fill_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static ngx_http_dynamic_weight_root_t *ngx_http_dynamic_weight_old_root(
    ngx_shm_zone_t *shm_zone, ngx_shm_zone_t **old_zone);
static std::vector<dynweight::ClusterView> ngx_http_dynamic_weight_held_views(
    ngx_shm_zone_t *shm_zone, ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_http_dynamic_weight_root_t *root, ngx_shm_zone_t *old_zone);
static void ngx_http_dynamic_weight_seat_group(
    ngx_http_dynamic_weight_group_t *group);


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
    ngx_core_conf_t                   *ccf;
    ngx_http_dynamic_weight_layout_t   layout;

    ccf = reinterpret_cast<ngx_core_conf_t *>(
        ngx_get_conf(dmcf->cycle->conf_ctx, ngx_core_module));

    dmcf->workers = ngx_max(ccf->worker_processes, 1);

    layout.root = ngx_align(sizeof(ngx_http_dynamic_weight_root_t)
                            + (dmcf->config->clusters.size() + dmcf->ntables)
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
        });

    return layout;
}


static ngx_int_t
ngx_http_dynamic_weight_fill_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    u_char                            *p, *memory;
    size_t                             pages, needed;
    ngx_pool_t                        *pool;
    ngx_shm_zone_t                    *old_zone;
    ngx_slab_pool_t                   *shpool;
    ngx_http_dynamic_weight_area_t    *area;
    ngx_http_dynamic_weight_root_t    *root, *old;
    ngx_http_dynamic_weight_layout_t   layout;

    layout = ngx_http_dynamic_weight_measure(dmcf);

    if (dmcf->workers > dynweight::PeerTable::kMaxWorkers) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "%ui worker processes, more than %uD",
                      dmcf->workers, dynweight::PeerTable::kMaxWorkers);
        return NGX_ERROR;
    }

    pool = dmcf->cycle->pool;
    shpool = reinterpret_cast<ngx_slab_pool_t *>(shm_zone->shm.addr);

    pages = (layout.total + ngx_pagesize - 1) / ngx_pagesize;

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
        return NGX_ERROR;
    }

    memory = static_cast<u_char *>(ngx_slab_alloc(shpool,
                                                  pages * ngx_pagesize));
    if (memory == NULL) {
        return NGX_ERROR;
    }

    /* before anything is written: the former cycle's zone is another one */
    old = ngx_http_dynamic_weight_old_root(shm_zone, &old_zone);

    std::vector<dynweight::ClusterView>  views =
        ngx_http_dynamic_weight_held_views(shm_zone, dmcf, old, old_zone);

    root = reinterpret_cast<ngx_http_dynamic_weight_root_t *>(memory);
    root->nviews = dmcf->config->clusters.size();
    root->ntables = dmcf->ntables;

    area = root->areas;
    p = memory + layout.root;

    auto place = [&](size_t size, uint64_t hash) {
        u_char  *start = p;

        area->offset = start - shm_zone->shm.addr;
        area->size = size;
        area->hash = hash;

        area++;
        p += size;

        return start;
    };

    dmcf->documents = static_cast<ngx_http_dynamic_weight_documents_t *>(
        ngx_pcalloc(pool, (root->nviews + 1)
                          * sizeof(ngx_http_dynamic_weight_documents_t)));
    if (dmcf->documents == NULL) {
        return NGX_ERROR;
    }

    for (size_t c = 0; c < root->nviews; c++) {
        size_t  size = dynweight::SharedDocument::Bytes(layout.views[c]);

        dmcf->documents[c].view = ngx_http_dynamic_weight_own(pool,
            new dynweight::SharedDocument(dynweight::SharedDocument::Create(
                place(size, 0), layout.views[c])));

        size = dynweight::SharedDocument::Bytes(dynweight::kMaxStatusBytes);

        dmcf->documents[c].status = ngx_http_dynamic_weight_own(pool,
            new dynweight::SharedDocument(dynweight::SharedDocument::Create(
                p, dynweight::kMaxStatusBytes)));

        p += size;

        if (dmcf->documents[c].view == NULL || dmcf->documents[c].status == NULL)
        {
            return NGX_ERROR;
        }

        (void) dmcf->documents[c].view->Write(
            dynweight::EncodeClusterView(views[c],
                dynweight::MaxUsableNodes(*dmcf->config, c)));

        /* until the watcher has more to tell */

        dynweight::ClusterStatus  status;

        status.complete = dynweight::ViewComplete(*dmcf->config, c, views[c]);

        (void) dmcf->documents[c].status->Write(
            dynweight::EncodeClusterStatus(status));
    }

    std::vector<dynweight::PeerTable *>  tables(dmcf->ntables);

    ngx_http_dynamic_weight_each_group(dmcf,
        [&](ngx_http_dynamic_weight_srv_conf_t *dscf,
            ngx_http_dynamic_weight_group_t *group)
        {
            size_t    size = dynweight::PeerTable::Bytes(group->nseats,
                                                         dmcf->workers);
            uint64_t  hash = std::hash<std::string_view>()(
                          ngx_http_dynamic_weight_view(dscf->upstream->host))
                             * 2 + (group == &dscf->backup);

            group->table = ngx_http_dynamic_weight_own(pool,
                new dynweight::PeerTable(dynweight::PeerTable::Create(
                    place(size, hash), group->nseats, dmcf->workers)));

            if (group->table == NULL) {
                throw std::bad_alloc();
            }

            tables[group->id] = group->table;

            /* the sequence goes on; a fresh one starts where chance says */

            uint64_t  picks = static_cast<uint64_t>(ngx_random()) << 31
                              ^ static_cast<uint64_t>(ngx_random());

            for (size_t i = 0; old && i < old->ntables; i++) {
                const auto &a = old->areas[old->nviews + i];

                auto former = dynweight::PeerTable::Attach(
                                  old_zone->shm.addr + a.offset, a.size);

                if (a.hash == hash && former.ok()) {
                    picks = former->picks();
                }
            }

            group->table->SeedPicks(picks);

            ngx_http_dynamic_weight_seat_group(group);
        });

    for (const dynweight::LineConfig &line : dmcf->config->lines) {
        dynweight::ApplySlotWrites(*tables[line.table],
            dynweight::PlanLine(line, views[line.cluster],
                                *tables[line.table]));
    }

    for (dynweight::PeerTable *table : tables) {
        table->Publish();
    }

    /* complete: the next cycle may take over from it */

    root->magic = NGX_HTTP_DW_ZONE_MAGIC;
    shpool->data = root;

    return NGX_OK;
}


static void
ngx_http_dynamic_weight_seat_group(ngx_http_dynamic_weight_group_t *group)
{
    for (ngx_uint_t i = 0; i < group->nseats; i++) {

        if (group->seats[i].sockaddr) {
            group->table->SetPeer(i, dynweight::PeerIdentity());
            group->table->SetWeight(i, group->seats[i].weight);
        }
    }
}


/*
 * While a cycle is being made, ngx_cycle is still the former one; its zones
 * are freed only when the new cycle is complete.
 */

static ngx_http_dynamic_weight_root_t *
ngx_http_dynamic_weight_old_root(ngx_shm_zone_t *shm_zone,
    ngx_shm_zone_t **old_zone)
{
    ngx_uint_t                       i;
    ngx_shm_zone_t                  *zone;
    ngx_list_part_t                 *part;
    ngx_slab_pool_t                 *shpool;
    ngx_http_dynamic_weight_root_t  *root;

    *old_zone = NULL;

    part = const_cast<ngx_list_part_t *>(&ngx_cycle->shared_memory.part);
    zone = static_cast<ngx_shm_zone_t *>(part->elts);

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            zone = static_cast<ngx_shm_zone_t *>(part->elts);
            i = 0;
        }

        /* by its name, or under another one by what fills it */

        if (&zone[i] == shm_zone
            || zone[i].shm.addr == NULL
            || (zone[i].init != ngx_http_dynamic_weight_init_zone
                && (zone[i].shm.name.len != shm_zone->shm.name.len
                    || ngx_strncmp(zone[i].shm.name.data,
                                   shm_zone->shm.name.data,
                                   shm_zone->shm.name.len) != 0)))
        {
            continue;
        }

        shpool = reinterpret_cast<ngx_slab_pool_t *>(zone[i].shm.addr);
        root = static_cast<ngx_http_dynamic_weight_root_t *>(shpool->data);

        if (root == NULL || root->magic != NGX_HTTP_DW_ZONE_MAGIC) {
            continue;
        }

        *old_zone = &zone[i];

        return root;
    }
}


/* one view a cluster: what the configuration says, completed by what is held */

static std::vector<dynweight::ClusterView>
ngx_http_dynamic_weight_held_views(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_http_dynamic_weight_root_t *root, ngx_shm_zone_t *old_zone)
{
    int64_t                              now;
    ngx_time_t                          *tp;
    std::vector<dynweight::ClusterView>  views, held;

    tp = ngx_timeofday();
    now = static_cast<int64_t>(tp->sec) * 1000 + tp->msec;

    if (root) {

        for (size_t i = 0; i < root->nviews; i++) {
            const auto &a = root->areas[i];

            auto document = dynweight::SharedDocument::Attach(
                                old_zone->shm.addr + a.offset, a.size);
            if (!document.ok()) {
                continue;
            }

            std::string  text(document->capacity(), '\0');
            text.resize(document->Read(text.data()));

            auto view = dynweight::DecodeClusterView(text);
            if (!view.ok()) {
                std::string  why(view.status().message());

                ngx_log_error(NGX_LOG_ERR, shm_zone->shm.log, 0,
                              "the last view of a cluster can't be carried "
                              "over: %s", why.c_str());
                continue;
            }

            held.push_back(*std::move(view));
        }

    } else if (!dmcf->config->state_file.empty()) {

        auto file = dynweight::ReadStateFile(dmcf->config->state_file);

        if (file.ok()) {
            held = *std::move(file);

        } else if (file.status().code() != absl::StatusCode::kNotFound) {
            std::string  why(file.status().message());

            ngx_log_error(NGX_LOG_ERR, shm_zone->shm.log, 0,
                          "the state file is passed over: %s", why.c_str());
        }
    }

    for (size_t c = 0; c < dmcf->config->clusters.size(); c++) {

        views.push_back(dynweight::InitialView(dmcf->config->clusters[c], now));

        for (const dynweight::ClusterView &view : held) {
            if (view.cluster == dmcf->config->clusters[c].name) {
                dynweight::AdoptHeldView(*dmcf->config, c, view, &views[c]);
            }
        }
    }

    return views;
}

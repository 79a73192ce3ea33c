// The zone: how much it needs, and what lies in it.
//
//   root            what there is and where, for the next cycle
//   per cluster     two documents: the view, the status
//   per upstream    one or two peer tables, each with its share window
//   per line        the record that explains its weight
//   decisions       the last ones of all lines
//   tuning          the file's last good text, and its status
//
// All of it is one slab allocation: nothing is allocated or freed at run time,
// and the slab's lock, which a killed worker could hold, is never taken again.

#include "ngx_http_dynamic_weight_zone.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "watcher/cluster_status.h"


typedef struct {
    size_t                              root;
    std::vector<size_t>                 views;    /* capacities */
    size_t                              total;
} ngx_http_dynamic_weight_layout_t;


static ngx_http_dynamic_weight_layout_t ngx_http_dynamic_weight_measure(
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static ngx_int_t ngx_http_dynamic_weight_fill_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf);
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
    root->nlines = dmcf->config->lines.size();

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

    dmcf->decisions = ngx_http_dynamic_weight_own(pool,
        new dynweight::SharedDocument(dynweight::SharedDocument::Create(
            place(dynweight::SharedDocument::Bytes(
                      dynweight::kMaxDecisionBytes), 0),
            dynweight::kMaxDecisionBytes)));
    if (dmcf->decisions == NULL) {
        return NGX_ERROR;
    }

    if (old) {
        auto former = dynweight::SharedDocument::Attach(
                          old_zone->shm.addr + old->areas[0].offset,
                          old->areas[0].size);

        if (former.ok()) {
            (void) dmcf->decisions->Write(former->ReadText());
        }
    }

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
            dynweight::PackClusterStatus(status));
    }

    std::vector<dynweight::PeerTable *>  tables(dmcf->ntables);
    int64_t  now = ngx_http_dynamic_weight_unix_msec();

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

            group->window = ngx_http_dynamic_weight_own(pool,
                new dynweight::ShareWindow(dynweight::ShareWindow::Create(
                    p, group->nseats, now)));

            p += dynweight::ShareWindow::Bytes(group->nseats);

            ngx_http_dynamic_weight_init_marks(dmcf, group, p);

            p += ngx_http_dynamic_weight_marks_bytes(dmcf, group);

            if (group->table == NULL || group->window == NULL) {
                throw std::bad_alloc();
            }

            tables[group->id] = group->table;

            /* the sequence goes on; a fresh one starts where chance says */

            uint64_t  picks = static_cast<uint64_t>(ngx_random()) << 31
                              ^ static_cast<uint64_t>(ngx_random());

            for (size_t i = 0; old && i < old->ntables; i++) {
                const auto &a = old->areas[1 + old->nviews + i];

                auto former = dynweight::PeerTable::Attach(
                                  old_zone->shm.addr + a.offset, a.size);

                if (a.hash == hash && former.ok()) {
                    picks = former->picks();
                }
            }

            group->table->SeedPicks(picks);

            ngx_http_dynamic_weight_seat_group(group);
        });

    dmcf->records = ngx_http_dynamic_weight_own(pool,
        new std::vector<dynweight::SharedRecord<dynweight::LineRecord>>);
    if (dmcf->records == NULL) {
        return NGX_ERROR;
    }

    ngx_http_dynamic_weight_init_tuning(dmcf, p);

    p += ngx_http_dynamic_weight_tuning_bytes(dmcf);

    for (const dynweight::LineConfig &line : dmcf->config->lines) {

        uint64_t  hash = ngx_http_dynamic_weight_line_hash(dmcf, line);

        area->table = 1 + root->nviews + line.table;
        area->first = line.range.first;
        area->count = line.range.count;

        auto record = dynweight::SharedRecord<dynweight::LineRecord>::Create(
            place(dynweight::SharedRecord<dynweight::LineRecord>::Bytes(),
                  hash));

        auto weight = ngx_http_dynamic_weight_seed_line(dmcf, line,
                          views[line.cluster], *tables[line.table], old,
                          old_zone);

        record.Write(dynweight::MakeLineRecord(line, weight));
        dmcf->records->push_back(record);
    }

    for (const dynweight::ServerConfig &server : dmcf->config->servers) {

        auto write = dynweight::PlanServer(server,
                         dmcf->tuning.rules->Select(server.upstream, ""),
                         *tables[server.table]);
        if (write) {
            dynweight::ApplySlotWrites(*tables[server.table], { *write });
        }
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

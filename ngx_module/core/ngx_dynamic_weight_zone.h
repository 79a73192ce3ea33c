// What lies in the zone, and what the next cycle takes over from it.
//
//      shm.addr
//    0 +-------------------------------------------------------------+
//      | nginx's own: ngx_slab_pool_t and what it knows of the pages |
//      |   data --------------------------+                          |
//      +----------------------------------|--------------------------+ page
//      | root      64 bytes  <------------+                          |
//      |   areas   56 bytes each, for what the next cycle looks up:  |
//      |             [0]                          decisions          |
//      |             [1 + c]                      a cluster's view   |
//      |             [1 + nviews + id]            a group's table    |
//      |             [1 + nviews + ntables + l]   a line's record    |
//      +-------------------------------------------------------------+ 64
//      | columns   8 bytes each, two a worker: the pid that counts   |
//      |           its connections in this column of each table      |
//      +-------------------------------------------------------------+ 64
//      | retained  document: what no configuration asks for any      |
//      |           more, for a while; two halves of 4k, and up to    |
//      |           256k each of what the zone has to spare           |
//      +-------------------------------------------------------------+ 64
//      | decisions document: the last ones of all lines              |
//      +-------------------------------------------------------------+ 64
//      | view      document: what is known of the cluster            | -.
//      +- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -+  | a
//      | status    document: how it is watched                       |  | clus-
//      +-------------------------------------------------------------+ -' ter
//      | table     PeerTable: who has which slot, its weight,    | -.
//      |           connections, health and counters                  |  |
//      +- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -+  | a
//      | window    SamplingWindow: what observed shares are of          |  | group
//      +- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -+  |
//      | marks     2 bytes a slot: what tuning says of it (*)        |  |
//      +-------------------------------------------------------------+ -'
//      | good      document: the tuning file's last good text (*)    |
//      +- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -+ 64
//      | status    document: how that file is read (*)               |
//      +-------------------------------------------------------------+ 64
//      | record    SharedRecord: what explains the line's weight     | - a line
//      +-------------------------------------------------------------+ page
//      | free pages                                                  |
//      +-------------------------------------------------------------+
//
//      (*) with a tuning file only
//
// A document is a SharedDocument. Everything begins at a multiple of 64 bytes,
// the root at that of a page: no two things share a cache line. Clusters and
// lines follow in the order of the watcher's config, groups in that of the main
// conf's groups. An area's offset counts from shm.addr.
//
// All of it but nginx's own is one slab allocation: nothing is allocated or
// freed at run time, and the slab's lock, which a killed worker could hold, is
// never taken again. `data` is set last: a zone without it is not complete.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_ZONE_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_ZONE_H_

#include "ngx_module/core/ngx_dynamic_weight.h"

#include <atomic>
#include <cstddef>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "watcher/state/cluster_view_json.h"
#include "watcher/state/held_views.h"
#include "weightcalc/weight_computation.h"


/* changes with the layout of anything in the zone */
#define NGX_HTTP_DW_ZONE_MAGIC  0x647769676874'0007ull


typedef struct {
    uint64_t                            offset;   /* in the zone */
    uint64_t                            size;
    uint64_t                            hash;     /* of a table's owner, or
                                                     of a line */
    uint64_t                            table;    /* of a line: its slots */
    uint64_t                            first;
    uint64_t                            count;
    std::atomic<uint64_t>               ready;    /* of a primary table: its
                                                     upstream once was */
} ngx_dynamic_weight_area_t;


typedef struct ngx_dynamic_weight_root_s {
    uint64_t                            magic;
    uint64_t                            nviews;
    uint64_t                            ntables;
    uint64_t                            nlines;
    uint64_t                            retained;   /* where, how large */
    uint64_t                            retained_size;
    std::atomic<uint64_t>               ready;      /* all upstreams once
                                                       were */
    std::atomic<int64_t>                watcher_seen_ms; /* when its thread
                                                     was last at work, as
                                                     worker 0 saw it, on
                                                     CLOCK_MONOTONIC */
    ngx_dynamic_weight_area_t           areas[1]; /* decisions, views,
                                                     tables, lines' records */
} ngx_dynamic_weight_root_t;

static_assert(sizeof(ngx_dynamic_weight_area_t) == 56);
static_assert(offsetof(ngx_dynamic_weight_root_t, areas) == 64);


/*
 * The one walk over what lies in the zone, from its root to its last record.
 * It is run without memory, to measure, and then with it, to make everything
 * there: both ways it passes the same.
 */

typedef struct {
    ngx_http_dynamic_weight_main_conf_t *conf;
    u_char                              *zone;      /* its start */
    std::vector<size_t>                  views;     /* capacities */
    size_t                               retained;  /* capacity */
    u_char                              *memory;    /* NULL: measured only */
    size_t                               size;      /* of what was passed */
    ngx_dynamic_weight_root_t           *root;
    ngx_dynamic_weight_area_t           *area;      /* the next one */
} ngx_dynamic_weight_walk_t;


/* what the cycle before left, and in which zone; no root: it left nothing */

typedef struct {
    ngx_shm_zone_t                      *zone;
    ngx_dynamic_weight_root_t           *root;
} ngx_dynamic_weight_previous_t;


/* a line as the previous cycle has it */

typedef struct {
    dynweight::PeerTable                 table;
    uint32_t                             first;    /* of its slots */
    uint32_t                             count;
    dynweight::SharedRecord<dynweight::LineRecord>
                                         record;
} ngx_dynamic_weight_previous_line_t;


/* _zone.cc */

/* the next `size` bytes, 64-byte aligned; NULL: they are only measured */
u_char *ngx_dynamic_weight_take(ngx_dynamic_weight_walk_t *walk,
    size_t size);

/* the same for a text, which is empty as yet */
dynweight::SharedDocument *ngx_dynamic_weight_take_document(
    ngx_dynamic_weight_walk_t *walk, size_t capacity);

/* what the next cycle knows its table by */
uint64_t ngx_dynamic_weight_group_hash(
    const ngx_dynamic_weight_group_t *group);

/* _tuning.cc: its parts of the walk, and what they begin with */

void ngx_dynamic_weight_walk_marks(ngx_dynamic_weight_walk_t *walk,
    ngx_dynamic_weight_group_t *group);
void ngx_dynamic_weight_walk_tuning(ngx_dynamic_weight_walk_t *walk);
void ngx_dynamic_weight_fill_tuning(
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* _fill.cc: everything was made: it gets what it begins with */

void ngx_dynamic_weight_fill_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* _inherit.cc, _previous_line.cc */

ngx_dynamic_weight_previous_t ngx_dynamic_weight_find_previous(
    ngx_shm_zone_t *shm_zone);

/* what the previous cycle and the state file know, for this configuration */
dynweight::TakenOver ngx_dynamic_weight_held_views(
    ngx_shm_zone_t *shm_zone, ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_dynamic_weight_previous_t &previous);

/* the last decisions, as a text; empty: there are none */
std::string ngx_dynamic_weight_held_decisions(
    const ngx_dynamic_weight_previous_t &previous);

/* the table that has this hash, and where it stands; NULL: there is none */
ngx_dynamic_weight_area_t *ngx_dynamic_weight_previous_table(
    const ngx_dynamic_weight_previous_t &previous, uint64_t hash);

/* the number of the next pick of the table that has this hash */
uint64_t ngx_dynamic_weight_next_pick(
    const ngx_dynamic_weight_previous_t &previous, uint64_t hash);

/* whether all lines of these tables had a weight, or once had; NULL: of all */
bool ngx_dynamic_weight_was_ready(
    const ngx_dynamic_weight_previous_t &previous, const uint64_t hashes[2]);

/* passive health, and since when who is out, by address, of an upstream */
void ngx_dynamic_weight_inherit_health(
    const ngx_dynamic_weight_previous_t &previous, const uint64_t hashes[2],
    dynweight::PeerTable table);

/* the same for a line that asks the same, in whatever configuration */
uint64_t ngx_dynamic_weight_line_hash(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line);

/* of a table */
uint64_t ngx_dynamic_weight_table_hash(std::string_view upstream,
    bool backup);

/*
 * For each line whose weight no view knows the one that it goes on as: itself,
 * or one that its upstream has no longer.  Until the API has answered its slots
 * are those of that line, whichever cluster that was of.
 */
std::vector<std::optional<ngx_dynamic_weight_previous_line_t>>
    ngx_dynamic_weight_stand_ins(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const std::vector<dynweight::ClusterView> &views,
    const ngx_dynamic_weight_previous_t &previous);

/* the slots as the last view and the tuning want them; and the line's weight */
std::optional<dynweight::LineWeight> ngx_dynamic_weight_seed_line(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line, const dynweight::ClusterView &view,
    dynweight::PeerTable table, uint64_t scale,
    const std::optional<ngx_dynamic_weight_previous_line_t> &stand_in,
    const ngx_dynamic_weight_previous_t &previous);

/* the largest weight that the line will have then, unscaled */
uint64_t ngx_dynamic_weight_largest(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line, const dynweight::ClusterView &view,
    const std::optional<ngx_dynamic_weight_previous_line_t> &stand_in,
    const ngx_dynamic_weight_previous_t &previous);


/* for as long as the configuration lives */

template <typename T>
T *
ngx_dynamic_weight_keep(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const T &object)
{
    T  *kept;

    kept = ngx_dynamic_weight_own(dmcf->cycle->pool, new T(object));
    if (kept == NULL) {
        throw std::bad_alloc();
    }

    return kept;
}


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_ZONE_H_

// What lies in the zone, and what the next cycle takes over from it.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_ZONE_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_ZONE_H_

#include "ngx_http_dynamic_weight.h"

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "watcher/state/cluster_view_json.h"
#include "watcher/state/held_views.h"
#include "weightcalc/weighing.h"


/* changes with the layout of anything in the zone */
#define NGX_HTTP_DW_ZONE_MAGIC  0x647769676874'0005ull


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
} ngx_http_dynamic_weight_area_t;


typedef struct ngx_http_dynamic_weight_root_s {
    uint64_t                            magic;
    uint64_t                            nviews;
    uint64_t                            ntables;
    uint64_t                            nlines;
    uint64_t                            retained;   /* where, how large */
    uint64_t                            retained_size;
    std::atomic<uint64_t>               ready;      /* all upstreams once
                                                       were */
    ngx_http_dynamic_weight_area_t      areas[1]; /* decisions, views,
                                                     tables, lines' records */
} ngx_http_dynamic_weight_root_t;


/* what the cycle before left, and in which zone; no root: it left nothing */

typedef struct {
    ngx_shm_zone_t                      *zone;
    ngx_http_dynamic_weight_root_t      *root;
} ngx_http_dynamic_weight_former_t;


/* a line as the former cycle has it */

typedef struct {
    dynweight::PeerTable                 table;
    uint32_t                             first;    /* of its slots */
    uint32_t                             count;
    dynweight::SharedRecord<dynweight::LineRecord>
                                         record;
} ngx_http_dynamic_weight_former_line_t;


/* _carry.cc, _former_line.cc */

ngx_http_dynamic_weight_former_t ngx_http_dynamic_weight_find_former(
    ngx_shm_zone_t *shm_zone);

/* what the former cycle and the state file know, for this configuration */
dynweight::TakenOver ngx_http_dynamic_weight_held_views(
    ngx_shm_zone_t *shm_zone, ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_http_dynamic_weight_former_t &former);

/* the last decisions, as a text; empty: there are none */
std::string ngx_http_dynamic_weight_held_decisions(
    const ngx_http_dynamic_weight_former_t &former);

/* the table that has this hash, and where it stands; NULL: there is none */
ngx_http_dynamic_weight_area_t *ngx_http_dynamic_weight_former_table(
    const ngx_http_dynamic_weight_former_t &former, uint64_t hash);

/* the number of the next pick of the table that has this hash */
uint64_t ngx_http_dynamic_weight_next_pick(
    const ngx_http_dynamic_weight_former_t &former, uint64_t hash);

/* whether all lines of these tables had a weight, or once had; NULL: of all */
bool ngx_http_dynamic_weight_was_ready(
    const ngx_http_dynamic_weight_former_t &former, const uint64_t hashes[2]);

/* passive health, and since when who is out, by address, of an upstream */
void ngx_http_dynamic_weight_carry_health(
    const ngx_http_dynamic_weight_former_t &former, const uint64_t hashes[2],
    dynweight::PeerTable table);

/* the same for a line that asks the same, in whatever configuration */
uint64_t ngx_http_dynamic_weight_line_hash(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line);

/* of a table */
uint64_t ngx_http_dynamic_weight_table_hash(std::string_view upstream,
    bool backup);

/*
 * For each line whose weight no view knows the one that it goes on as: itself,
 * or one that its upstream has no longer.  Until the API has answered its slots
 * are those of that line, whichever cluster that was of.
 */
std::vector<std::optional<ngx_http_dynamic_weight_former_line_t>>
    ngx_http_dynamic_weight_stand_ins(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const std::vector<dynweight::ClusterView> &views,
    const ngx_http_dynamic_weight_former_t &former);

/* the slots as the last view and the tuning want them; and the line's weight */
std::optional<dynweight::LineWeight> ngx_http_dynamic_weight_seed_line(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line, const dynweight::ClusterView &view,
    dynweight::PeerTable table, uint64_t scale,
    const std::optional<ngx_http_dynamic_weight_former_line_t> &stand_in,
    const ngx_http_dynamic_weight_former_t &former);

/* the largest weight that the line will have then, unscaled */
uint64_t ngx_http_dynamic_weight_largest(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line, const dynweight::ClusterView &view,
    const std::optional<ngx_http_dynamic_weight_former_line_t> &stand_in,
    const ngx_http_dynamic_weight_former_t &former);


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_ZONE_H_

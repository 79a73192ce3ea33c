// What lies in the zone, and what the next cycle takes over from it.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_ZONE_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_ZONE_H_

#include "ngx_http_dynamic_weight.h"

#include <optional>
#include <string>
#include <vector>

#include "watcher/cluster_view.h"
#include "watcher/weighing.h"


/* changes with the layout of anything in the zone */
#define NGX_HTTP_DW_ZONE_MAGIC  0x647769676874'0004ull


typedef struct {
    uint64_t                            offset;   /* in the zone */
    uint64_t                            size;
    uint64_t                            hash;     /* of a table's owner, or
                                                     of a line */
    uint64_t                            table;    /* of a line: its slots */
    uint64_t                            first;
    uint64_t                            count;
} ngx_http_dynamic_weight_area_t;


typedef struct {
    uint64_t                            magic;
    uint64_t                            nviews;
    uint64_t                            ntables;
    uint64_t                            nlines;
    ngx_http_dynamic_weight_area_t      areas[1]; /* decisions, views,
                                                     tables, lines' records */
} ngx_http_dynamic_weight_root_t;


/* what the cycle before left, and in which zone; no root: it left nothing */

typedef struct {
    ngx_shm_zone_t                      *zone;
    ngx_http_dynamic_weight_root_t      *root;
} ngx_http_dynamic_weight_former_t;


/* _carry.cc */

ngx_http_dynamic_weight_former_t ngx_http_dynamic_weight_find_former(
    ngx_shm_zone_t *shm_zone);

/* one view a cluster: what the configuration says, completed by what is held */
std::vector<dynweight::ClusterView> ngx_http_dynamic_weight_held_views(
    ngx_shm_zone_t *shm_zone, ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_http_dynamic_weight_former_t &former);

/* the last decisions, as a text; empty: there are none */
std::string ngx_http_dynamic_weight_held_decisions(
    const ngx_http_dynamic_weight_former_t &former);

/* the number of the next pick of the table that has this hash */
uint64_t ngx_http_dynamic_weight_next_pick(
    const ngx_http_dynamic_weight_former_t &former, uint64_t hash);

/* the same for a line that asks the same, in whatever configuration */
uint64_t ngx_http_dynamic_weight_line_hash(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line);

/* the slots as the last view and the tuning want them; and the line's weight */
std::optional<dynweight::LineWeight> ngx_http_dynamic_weight_seed_line(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::LineConfig &line, const dynweight::ClusterView &view,
    dynweight::PeerTable table,
    const ngx_http_dynamic_weight_former_t &former);


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_ZONE_H_

// When draws have failed: the peers that are left, gone through once.
//
// They are few, or full, or tried already. What holds for the draws holds here:
// round robin and a hash share by weight, least_conn by weight as long as the
// peer has no more than its share of what is running, and by load beyond.

#include "ngx_module/core/ngx_dynamic_weight_request.h"

#include "weightcalc/connection_load.h"
#include "weightcalc/hash.h"


/* a peer found fit may be taken by another worker's probe: then once more */
#define NGX_HTTP_DW_REST_ROUNDS  4


/* who is gone through: those that serve, or those of a priority that wait */

#define NGX_HTTP_DW_SERVING  UINT32_MAX

typedef struct {
    dynweight::SlotRange                    range;
    uint32_t                                standby;   /* its rank */
} ngx_dynamic_weight_among_t;


/* what is left of them: all together, and how they may be told */

typedef struct {
    uint64_t                                weight;
    uint64_t                                active;
    ngx_dynamic_weight_usable_e             usable;    /* the least that does */
} ngx_dynamic_weight_rest_t;


static ngx_int_t ngx_dynamic_weight_choose_among(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, const ngx_dynamic_weight_among_t &among,
    uint32_t *chosen, uint64_t *generation);
static ngx_dynamic_weight_rest_t ngx_dynamic_weight_count_rest(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group,
    const ngx_dynamic_weight_among_t &among);
static ngx_int_t ngx_dynamic_weight_find_rest(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, const ngx_dynamic_weight_among_t &among,
    const ngx_dynamic_weight_rest_t *rest, uint64_t point,
    uint32_t *found);


ngx_int_t
ngx_dynamic_weight_choose_rest(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, dynweight::SlotRange range,
    uint32_t *chosen, uint64_t *generation)
{
    return ngx_dynamic_weight_choose_among(rd, group,
               { range, NGX_HTTP_DW_SERVING }, chosen, generation);
}


ngx_int_t
ngx_dynamic_weight_choose_standby(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t *chosen,
    uint64_t *generation)
{
    uint32_t                    rank;
    ngx_int_t                   rc;
    ngx_dynamic_weight_among_t  among;

    among.range = { 0, static_cast<uint32_t>(group->conf.nslots) };

    for (rank = 0; rank < group->worker.serving->loads().size(); rank++) {

        among.standby = rank;

        rc = ngx_dynamic_weight_choose_among(rd, group, among, chosen,
                                             generation);

        if (rc != NGX_BUSY) {
            return rc;
        }
    }

    return NGX_BUSY;
}


static ngx_int_t
ngx_dynamic_weight_choose_among(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, const ngx_dynamic_weight_among_t &among,
    uint32_t *chosen, uint64_t *generation)
{
    uint32_t                        i, slot;
    uint64_t                        number, ramp;
    ngx_dynamic_weight_rest_t       rest;

    for (i = 0; i < NGX_HTTP_DW_REST_ROUNDS; i++) {

        rest = ngx_dynamic_weight_count_rest(rd, group, among);

        if (rest.weight == 0) {
            break;
        }

        /*
         * Multiples of the golden ratio fill [0, 1) evenly, however many there
         * are; a key has a place of its own.
         */

        number = rd->keyed ? dynweight::Mix64(rd->key + rd->ntried)
                           : group->worker.rests++ * 0x9E3779B97F4A7C15u;

        if (ngx_dynamic_weight_find_rest(rd, group, among, &rest, number,
                                         &slot)
            == NGX_OK
            && ngx_dynamic_weight_usable(rd, group, slot, generation,
                                         &ramp)
               <= NGX_HTTP_DW_USABLE_IF_NEEDED
            && ngx_dynamic_weight_admit(rd, group, slot))
        {
            *chosen = slot;
            return NGX_OK;
        }
    }

    return NGX_BUSY;
}


/* 0: it can't be chosen; a peer that rises slowly has a part of its weight */

static uint64_t
ngx_dynamic_weight_rest_weight(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, const ngx_dynamic_weight_among_t &among,
    uint32_t slot, ngx_dynamic_weight_usable_e *usable)
{
    uint64_t  generation, ramp, weight;

    weight = among.standby == NGX_HTTP_DW_SERVING
             ? group->worker.serving->weight(slot)
             : group->worker.serving->StandbyWeight(slot, among.standby);

    if (weight == 0) {
        return 0;
    }

    *usable = ngx_dynamic_weight_usable(rd, group, slot, &generation,
                                             &ramp);

    if (*usable > NGX_HTTP_DW_USABLE_IF_NEEDED) {
        return 0;
    }

    /* at least something: it may be the last one */

    return (weight * ramp >> 20) + 1;
}


static ngx_dynamic_weight_rest_t
ngx_dynamic_weight_count_rest(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group,
    const ngx_dynamic_weight_among_t &among)
{
    uint32_t                          slot, last;
    uint64_t                          weight;
    ngx_dynamic_weight_rest_t         rest;
    ngx_dynamic_weight_usable_e       usable;

    rest = { 0, 0, NGX_HTTP_DW_UNUSABLE };
    last = among.range.first + among.range.count;

    for (slot = among.range.first; slot < last; slot++) {

        weight = ngx_dynamic_weight_rest_weight(rd, group, among, slot,
                                                &usable);

        if (weight == 0 || usable > rest.usable) {
            continue;
        }

        if (usable < rest.usable) {
            /* a better one than all before */
            rest = { 0, 0, usable };
        }

        rest.weight += weight;

        if (rd->conf->least_conn) {
            rest.active += group->zone.table->Active(slot);
        }
    }

    return rest;
}


/* the peer at `point`, in parts of 2^64 of the weight; or the least loaded */

static ngx_int_t
ngx_dynamic_weight_find_rest(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, const ngx_dynamic_weight_among_t &among,
    const ngx_dynamic_weight_rest_t *rest, uint64_t point,
    uint32_t *found)
{
    bool                              reached;
    uint32_t                          slot, last;
    uint64_t                          weight, sum, active, least_active,
                                      least_weight;
    ngx_dynamic_weight_usable_e       usable;

    using Wide = unsigned __int128;

    reached = false;
    sum = least_active = least_weight = 0;
    point = static_cast<uint64_t>(Wide{point} * rest->weight >> 64);

    last = among.range.first + among.range.count;

    for (slot = among.range.first; slot < last; slot++) {

        weight = ngx_dynamic_weight_rest_weight(rd, group, among, slot,
                                                &usable);

        if (weight == 0 || usable != rest->usable) {
            continue;
        }

        sum += weight;

        if (sum > point && !reached) {
            reached = true;

            if (!rd->conf->least_conn
                || !dynweight::PassesShare(group->zone.table->Active(slot),
                                           rest->active, weight, rest->weight))
            {
                *found = slot;
                return NGX_OK;
            }
        }

        if (rd->conf->least_conn) {
            active = group->zone.table->Active(slot) + 1;

            if (least_weight == 0
                || Wide{active} * least_weight < Wide{least_active} * weight)
            {
                *found = slot;
                least_active = active;
                least_weight = weight;
            }
        }
    }

    return least_weight ? NGX_OK : NGX_BUSY;
}

// Which peer a request goes to: the three methods, and what may keep a request
// from the peer that they name.
//
// A peer is drawn, one atomic increment and a look-up or two, from those that
// serve (see _serving.cc); one that may not be used after all is skipped by
// drawing again, and only when a number of draws in a row has failed are the
// peers gone through (see _rest.cc).

#include "ngx_module/core/ngx_dynamic_weight_request.h"

#include "weightcalc/connection_load.h"
#include "weightcalc/hash.h"


#define NGX_HTTP_DW_DRAWS         16

/* the draws of a key come back to the peers that are full because of it */
#define NGX_HTTP_DW_HASH_DRAWS    64

/* of "hash": the slots looked at, and the peers taken in, by one request */
#define NGX_HTTP_DW_HASH_SLOTS    16
#define NGX_HTTP_DW_HASH_CHANGES  2


static ngx_int_t ngx_dynamic_weight_choose_by_weight(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t *chosen,
    uint64_t *generation);
static uint32_t ngx_dynamic_weight_draw(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint64_t number);
static ngx_int_t ngx_dynamic_weight_choose_by_key(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t *chosen,
    uint64_t *generation);
static uint32_t ngx_dynamic_weight_draw_by_key(
    ngx_dynamic_weight_group_t *group, dynweight::Darts *darts,
    dynweight::SlotRange range);
static uint64_t ngx_dynamic_weight_occupant(
    ngx_dynamic_weight_group_t *group, uint32_t slot);
static bool ngx_dynamic_weight_is_tried(
    ngx_http_dynamic_weight_request_t *rd, uint32_t slot);


ngx_int_t
ngx_dynamic_weight_choose(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t *chosen,
    uint64_t *generation)
{
    ngx_int_t  rc;

    /* just now for the first attempt, when the request began */

    if (rd->attempts) {
        ngx_dynamic_weight_refresh(rd->conf);
    }

    rc = rd->keyed
         ? ngx_dynamic_weight_choose_by_key(rd, group, chosen, generation)
         : ngx_dynamic_weight_choose_by_weight(rd, group, chosen, generation);

    if (rc == NGX_BUSY && group->worker.serving->standing_by()) {
        return ngx_dynamic_weight_choose_standby(rd, group, chosen,
                                                 generation);
    }

    return rc;
}


static ngx_int_t
ngx_dynamic_weight_choose_by_weight(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t *chosen,
    uint64_t *generation)
{
    uint32_t  i, slot, dice;
    uint64_t  number, ramp;

    /*
     * A peer that is due is probed by the first request that comes, which goes
     * on to one that serves when that fails: no second probe.
     */

    slot = group->worker.serving->due();

    if (slot != dynweight::ServingWeights::kNone && rd->ntried == 0
        && ngx_dynamic_weight_usable(rd, group, slot, generation, &ramp)
           == NGX_HTTP_DW_USABLE
        && ngx_dynamic_weight_admit(rd, group, slot))
    {
        *chosen = slot;
        return NGX_OK;
    }

    if (group->worker.index->nonzero() == 0) {
        return NGX_BUSY;
    }

    for (i = 0; i < NGX_HTTP_DW_DRAWS; i++) {

        number = group->zone.table->NextPick();
        slot = ngx_dynamic_weight_draw(rd, group, number);

        if (ngx_dynamic_weight_usable(rd, group, slot, generation, &ramp)
            != NGX_HTTP_DW_USABLE)
        {
            continue;
        }

        dice = static_cast<uint32_t>(dynweight::Mix64(~number));

        if (ramp > dice && ngx_dynamic_weight_admit(rd, group, slot)) {
            *chosen = slot;
            return NGX_OK;
        }
    }

    return ngx_dynamic_weight_choose_rest(rd, group,
               { 0, static_cast<uint32_t>(group->conf.nslots) }, chosen,
               generation);
}


static uint32_t
ngx_dynamic_weight_draw(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint64_t number)
{
    if (rd->conf->least_conn) {
        return dynweight::PickLessLoaded(*group->worker.index,
                                         *group->zone.table, number,
            [&](uint32_t i) { return group->worker.serving->weight(i); });
    }

    return group->worker.index->Pick(number);
}


/*
 * The peer of the key's first dart, its home. When that is a node that is out,
 * the key goes on to the nodes beside it: the pods are the same. What overflows
 * a bound goes where the key's next darts fall, not all to one neighbour (Chen
 * et al., "Revisiting Consistent Hashing with Bounded Loads", AAAI 2021).
 */

static ngx_int_t
ngx_dynamic_weight_choose_by_key(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t *chosen,
    uint64_t *generation)
{
    uint32_t                          i, slot, dice;
    uint64_t                          ramp;
    ngx_int_t                         rc;
    dynweight::Darts                  darts(rd->key);
    dynweight::SlotRange              range, successors;
    ngx_dynamic_weight_usable_e       usable;

    /* nodes that came or went are taken in bit by bit */

    group->worker.hash->Advance(NGX_HTTP_DW_HASH_SLOTS,
                                NGX_HTTP_DW_HASH_CHANGES,
                                [&](uint32_t slot) {
        return ngx_dynamic_weight_identity(group, slot);
    });

    range = { 0, static_cast<uint32_t>(group->conf.nslots) };

    if (group->worker.index->nonzero() == 0) {
        return NGX_BUSY;
    }

    for (i = 0; i < NGX_HTTP_DW_HASH_DRAWS; i++) {

        slot = ngx_dynamic_weight_draw_by_key(group, &darts, range);

        if (slot == dynweight::ConsistentHash::kNone) {
            break;
        }

        usable = ngx_dynamic_weight_usable(rd, group, slot, generation,
                                           &ramp);

        if (usable == NGX_HTTP_DW_OUT && range.count == group->conf.nslots) {
            successors = group->worker.serving->Successors(slot);

            if (successors.count) {
                range = successors;
            }

            continue;
        }

        dice = static_cast<uint32_t>(dynweight::Mix64(~(rd->key + i)));

        if (usable == NGX_HTTP_DW_USABLE && ramp > dice
            && ngx_dynamic_weight_admit(rd, group, slot))
        {
            *chosen = slot;
            return NGX_OK;
        }
    }

    rc = ngx_dynamic_weight_choose_rest(rd, group, range, chosen,
                                        generation);

    if (rc == NGX_BUSY && range.count != group->conf.nslots) {
        /* all of the line are tried, or full */
        range = { 0, static_cast<uint32_t>(group->conf.nslots) };
        rc = ngx_dynamic_weight_choose_rest(rd, group, range, chosen,
                                            generation);
    }

    return rc;
}


static uint32_t
ngx_dynamic_weight_draw_by_key(ngx_dynamic_weight_group_t *group,
    dynweight::Darts *darts, dynweight::SlotRange range)
{
    dynweight::PeerTable             *table = group->zone.table;
    const dynweight::ServingWeights  &serving = *group->worker.serving;

    /* a peer that is out is hit only for the sake of those that succeed it */

    return group->worker.hash->Next(darts,
                      dynweight::DartLevels(group->worker.index->largest()),
                      [&](uint32_t i) -> uint32_t {
        if (i - range.first >= range.count) {
            return 0;
        }

        if (serving.weight(i) || serving.Successors(i).count) {
            return serving.Scaled(i, table->weight(i));
        }

        return 0;
    });
}


uint64_t
ngx_dynamic_weight_identity(ngx_dynamic_weight_group_t *group,
    uint32_t slot)
{
    dynweight::Peer                  peer;
    ngx_dynamic_weight_slot_conf_t  *slot_conf;

    if (!group->zone.table->Read(slot, &peer)) {
        return 0;
    }

    slot_conf = &group->conf.slots[slot];

    if (slot_conf->sockaddr) {
        return slot_conf->identity;
    }

    const auto  &bytes = peer.identity.address.bytes;

    return dynweight::HashBytes(
        std::string_view(reinterpret_cast<const char *>(bytes.data()),
                         bytes.size()),
        slot_conf->identity + peer.identity.port);
}


ngx_dynamic_weight_usable_e
ngx_dynamic_weight_usable(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t slot,
    uint64_t *generation, uint64_t *ramp)
{
    dynweight::PeerTable            *table = group->zone.table;
    ngx_dynamic_weight_slot_conf_t  *slot_conf = &group->conf.slots[slot];

    /* the index may be older than the weight */

    if (table->weight(slot) == 0
        || ngx_dynamic_weight_is_tried(rd, slot))
    {
        return NGX_HTTP_DW_UNUSABLE;
    }

    *generation = ngx_dynamic_weight_generation(group, slot);

    if (*generation == 0) {
        return NGX_HTTP_DW_UNUSABLE;
    }

    /* as in nginx the limit may be passed by as many as choose at once */

    if (slot_conf->max_conns && table->Active(slot) >= slot_conf->max_conns) {
        return NGX_HTTP_DW_UNUSABLE;
    }

    if (ngx_dynamic_weight_is_out(rd->conf, group, slot)) {
        return NGX_HTTP_DW_OUT;
    }

    /* where health is ignored nobody is spared */

    *ramp = slot_conf->slow_start && !rd->conf->all_out
            ? table->health(slot).Ramp(ngx_current_msec, slot_conf->slow_start)
            : static_cast<uint64_t>(1) << 32;

    if (rd->keyed && rd->conf->balance
        && dynweight::IsOverloaded(*table, slot,
                                   group->worker.serving->weight(slot),
                                   group->worker.index->total(),
                                   rd->conf->balance))
    {
        return NGX_HTTP_DW_USABLE_IF_NEEDED;
    }

    return NGX_HTTP_DW_USABLE;
}


bool
ngx_dynamic_weight_admit(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t slot)
{
    int64_t                          due, since;
    dynweight::Admission             admission;
    dynweight::PeerTable            *table = group->zone.table;
    ngx_dynamic_weight_slot_conf_t  *slot_conf = &group->conf.slots[slot];

    due = table->health(slot).due_ms(slot_conf->health);
    admission = table->health(slot).Admit(ngx_current_msec, slot_conf->health);

    if (admission == dynweight::Admission::kProbe) {
        dynweight::PeerCounters  &counters = table->counters(slot);

        /* since it was due it was not kept out: nobody asked for it */

        since = counters.down_since_ms.load(std::memory_order_relaxed);

        if (since) {
            counters.downtime_ms.fetch_add(ngx_max(due - since, 0),
                                           std::memory_order_relaxed);
            counters.down_since_ms.store(ngx_current_msec,
                                         std::memory_order_relaxed);
        }

        /* until it is known how that went, it is out for all others */

        table->HealthChanged();
    }

    return rd->conf->all_out || admission != dynweight::Admission::kNo;
}


uint64_t
ngx_dynamic_weight_generation(ngx_dynamic_weight_group_t *group,
    uint32_t slot)
{
    return group->conf.slots[slot].sockaddr
           ? group->zone.table->generation(slot)
           : ngx_dynamic_weight_occupant(group, slot);
}


/* the generation of the ingress node in a slot, 0 when there is none */

static uint64_t
ngx_dynamic_weight_occupant(ngx_dynamic_weight_group_t *group,
    uint32_t slot)
{
    dynweight::Peer                    peer;
    ngx_dynamic_weight_occupant_t     *occupant = &group->worker.occupants[slot];

    if (occupant->generation == group->zone.table->generation(slot)) {
        return occupant->generation;
    }

    if (!group->zone.table->Read(slot, &peer)) {
        return 0;
    }

    const dynweight::IpAddress  &address = peer.identity.address;

#if (NGX_HAVE_INET6)

    if (address.family == dynweight::IpAddress::kIpv6) {
        struct sockaddr_in6  *sin6 = &occupant->sin6;

        ngx_memzero(sin6, sizeof(struct sockaddr_in6));
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(peer.identity.port);
        ngx_memcpy(&sin6->sin6_addr, address.bytes.data(), 16);

        occupant->socklen = sizeof(struct sockaddr_in6);

    } else

#endif
    {
        struct sockaddr_in  *sin = &occupant->sin;

        ngx_memzero(sin, sizeof(struct sockaddr_in));
        sin->sin_family = AF_INET;
        sin->sin_port = htons(peer.identity.port);
        ngx_memcpy(&sin->sin_addr, address.bytes.data(), 4);

        occupant->socklen = sizeof(struct sockaddr_in);
    }

    occupant->len = ngx_sock_ntop(&occupant->sockaddr, occupant->socklen,
                                occupant->text, sizeof(occupant->text), 1);
    occupant->generation = peer.generation;

    return occupant->generation;
}


static bool
ngx_dynamic_weight_is_tried(ngx_http_dynamic_weight_request_t *rd,
    uint32_t slot)
{
    ngx_uint_t  i, n;

    if (rd->bitmap) {
        return rd->bitmap[slot / (8 * sizeof(uintptr_t))]
               >> (slot % (8 * sizeof(uintptr_t))) & 1;
    }

    n = rd->ntried;

    for (i = 0; i < n; i++) {
        if (rd->tried[i] == slot) {
            return true;
        }
    }

    return false;
}


ngx_int_t
ngx_dynamic_weight_set_tried(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t slot)
{
    ngx_uint_t  i, n;

    if (rd->ntried < NGX_HTTP_DW_TRIED) {
        rd->tried[rd->ntried++] = slot;
        return NGX_OK;
    }

    n = 8 * sizeof(uintptr_t);

    if (rd->bitmap == NULL) {

        rd->bitmap = static_cast<uintptr_t *>(
            ngx_pcalloc(rd->request->pool,
                        (group->conf.nslots + n - 1) / n * sizeof(uintptr_t)));
        if (rd->bitmap == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < NGX_HTTP_DW_TRIED; i++) {
            rd->bitmap[rd->tried[i] / n] |= (uintptr_t) 1 << rd->tried[i] % n;
        }
    }

    rd->bitmap[slot / n] |= (uintptr_t) 1 << slot % n;

    return NGX_OK;
}

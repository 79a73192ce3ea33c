// Which peer a request goes to: the three methods, and what may keep a request
// from the peer that they name.
//
// A peer is drawn, one atomic increment and a look-up or two; one that may not
// be used is passed over by drawing again, and only when a number of draws in
// a row has failed are the peers gone through.

#include "ngx_http_dynamic_weight_request.h"

#include "weightcalc/load.h"
#include "weightcalc/mix.h"


#define NGX_HTTP_DW_DRAWS         16

/* the draws of a key come back to the peers that are full because of it */
#define NGX_HTTP_DW_HASH_DRAWS    64

/* of "hash": the slots looked at, and the peers taken in, by one request */
#define NGX_HTTP_DW_HASH_SLOTS    16
#define NGX_HTTP_DW_HASH_CHANGES  2


/* what speaks against a peer; soft: only as long as there are others */

typedef enum {
    NGX_HTTP_DW_USABLE,
    NGX_HTTP_DW_USABLE_IF_NEEDED,
    NGX_HTTP_DW_UNUSABLE
} ngx_http_dynamic_weight_usable_e;


static uint32_t ngx_http_dynamic_weight_draw(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, dynweight::Darts *darts,
    uint64_t number);
static uint32_t ngx_http_dynamic_weight_draw_hash(
    ngx_http_dynamic_weight_group_t *group, dynweight::Darts *darts,
    uint64_t number);
static ngx_http_dynamic_weight_usable_e ngx_http_dynamic_weight_usable(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, uint32_t slot,
    uint64_t *generation, uint64_t number, bool needed);
static uint64_t ngx_http_dynamic_weight_tenant(
    ngx_http_dynamic_weight_group_t *group, uint32_t slot);
static bool ngx_http_dynamic_weight_is_tried(
    ngx_http_dynamic_weight_request_t *rd, uint32_t slot);


dynweight::PickIndex *
ngx_http_dynamic_weight_index(ngx_http_dynamic_weight_group_t *group)
{
    uint64_t  version;

    version = group->table->version();

    if (group->version != version) {
        const dynweight::PeerTable  &table = *group->table;

        group->index->Build(group->nseats,
                            [&](uint32_t i) { return table.weight(i); });

        /* read before the weights: a later change moves it on again */
        group->version = version;

        if (group->hash) {
            group->hash->Invalidate();
        }
    }

    return group->index;
}


ngx_int_t
ngx_http_dynamic_weight_choose(ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, uint64_t *generation)
{
    uint32_t                          i, n, slot, spare;
    uint64_t                          number;
    dynweight::Darts                  darts(rd->key);
    ngx_http_dynamic_weight_usable_e  usable;

    (void) ngx_http_dynamic_weight_index(group);

    slot = 0;
    spare = dynweight::PickIndex::kNone;
    n = group->hash ? NGX_HTTP_DW_HASH_DRAWS : NGX_HTTP_DW_DRAWS;

    for (i = 0; i < n; i++) {

        /* a hash has no sequence that workers would have to share */

        number = group->hash ? dynweight::Mix64(rd->key) + i
                             : group->table->NextPick();

        slot = ngx_http_dynamic_weight_draw(rd, group, &darts, number);

        if (slot == dynweight::PickIndex::kNone) {
            return NGX_BUSY;
        }

        usable = ngx_http_dynamic_weight_usable(rd, group, slot, generation,
                                                number, false);

        if (usable == NGX_HTTP_DW_USABLE) {
            return slot;
        }

        if (usable == NGX_HTTP_DW_USABLE_IF_NEEDED
            && spare == dynweight::PickIndex::kNone)
        {
            spare = slot;
        }
    }

    if (spare != dynweight::PickIndex::kNone) {
        slot = spare;

    } else {
        spare = slot + 1 < group->nseats ? slot + 1 : 0;
        slot = spare;
    }

    do {
        usable = ngx_http_dynamic_weight_usable(rd, group, slot, generation, 0,
                                                true);

        if (usable == NGX_HTTP_DW_USABLE) {
            return slot;
        }

        slot = slot + 1 < group->nseats ? slot + 1 : 0;

    } while (slot != spare);

    return NGX_BUSY;
}


static uint32_t
ngx_http_dynamic_weight_draw(ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, dynweight::Darts *darts,
    uint64_t number)
{
    if (group->hash) {
        return ngx_http_dynamic_weight_draw_hash(group, darts, number);
    }

    if (rd->conf->least_conn) {
        return dynweight::PickLessLoaded(*group->index, *group->table, number);
    }

    return group->index->Pick(number);
}


static uint32_t
ngx_http_dynamic_weight_draw_hash(ngx_http_dynamic_weight_group_t *group,
    dynweight::Darts *darts, uint64_t number)
{
    uint32_t  slot;

    dynweight::PeerTable  *table = group->table;

    /* nodes that came or went are taken in bit by bit */

    group->hash->Advance(NGX_HTTP_DW_HASH_SLOTS, NGX_HTTP_DW_HASH_CHANGES,
                         [&](uint32_t i) {
        return ngx_http_dynamic_weight_identity(group, i);
    });

    slot = group->hash->Next(darts,
                             dynweight::DartLevels(group->index->largest()),
                             [&](uint32_t i) { return table->weight(i); });

    return slot == dynweight::ConsistentHash::kNone
           ? group->index->Pick(number) : slot;
}


uint64_t
ngx_http_dynamic_weight_identity(ngx_http_dynamic_weight_group_t *group,
    uint32_t slot)
{
    dynweight::Peer                  peer;
    ngx_http_dynamic_weight_seat_t  *seat;

    if (!group->table->Read(slot, &peer)) {
        return 0;
    }

    seat = &group->seats[slot];

    if (seat->sockaddr) {
        return seat->identity;
    }

    const auto  &bytes = peer.identity.address.bytes;

    return dynweight::HashBytes(
        std::string_view(reinterpret_cast<const char *>(bytes.data()),
                         bytes.size()),
        seat->identity + peer.identity.port);
}


/* number: of the draw; needed: soft reasons don't count */

static ngx_http_dynamic_weight_usable_e
ngx_http_dynamic_weight_usable(ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, uint32_t slot,
    uint64_t *generation, uint64_t number, bool needed)
{
    uint32_t  dice;

    dynweight::PeerTable            *table = group->table;
    ngx_http_dynamic_weight_seat_t  *seat = &group->seats[slot];

    /* the index may be older than the weight */

    if (table->weight(slot) == 0
        || ngx_http_dynamic_weight_is_tried(rd, slot))
    {
        return NGX_HTTP_DW_UNUSABLE;
    }

    *generation = seat->sockaddr ? table->generation(slot)
                                 : ngx_http_dynamic_weight_tenant(group, slot);

    if (*generation == 0) {
        return NGX_HTTP_DW_UNUSABLE;
    }

    /* as in nginx the limit may be passed by as many as choose at once */

    if (seat->max_conns && table->Active(slot) >= seat->max_conns) {
        return NGX_HTTP_DW_UNUSABLE;
    }

    if (rd->conf->single) {
        return NGX_HTTP_DW_USABLE;
    }

    if (!needed) {

        if (seat->slow_start) {
            dice = static_cast<uint32_t>(dynweight::Mix64(~number));

            if (!table->health(slot).Admits(ngx_current_msec, seat->slow_start,
                                            dice))
            {
                return NGX_HTTP_DW_USABLE_IF_NEEDED;
            }
        }

        /*
         * The overflow goes where the key's next darts fall, not all to one
         * neighbour (Chen et al., "Revisiting Consistent Hashing with Bounded
         * Loads", AAAI 2021).
         */

        if (group->hash
            && dynweight::IsOverloaded(*table, slot, group->index->total()))
        {
            return NGX_HTTP_DW_USABLE_IF_NEEDED;
        }
    }

    /* last, since a peer that failed is let in by the one request it probes */

    if (!table->health(slot).Admit(ngx_time(),
                                   { seat->max_fails, seat->fail_timeout }))
    {
        return NGX_HTTP_DW_UNUSABLE;
    }

    return NGX_HTTP_DW_USABLE;
}


/* the generation of the ingress node in a slot, 0 when there is none */

static uint64_t
ngx_http_dynamic_weight_tenant(ngx_http_dynamic_weight_group_t *group,
    uint32_t slot)
{
    dynweight::Peer                    peer;
    ngx_http_dynamic_weight_tenant_t  *tenant = &group->tenants[slot];

    if (tenant->generation == group->table->generation(slot)) {
        return tenant->generation;
    }

    if (!group->table->Read(slot, &peer)) {
        return 0;
    }

    const dynweight::IpAddress  &address = peer.identity.address;

#if (NGX_HAVE_INET6)

    if (address.family == dynweight::IpAddress::kIpv6) {
        struct sockaddr_in6  *sin6 = &tenant->sin6;

        ngx_memzero(sin6, sizeof(struct sockaddr_in6));
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(peer.identity.port);
        ngx_memcpy(&sin6->sin6_addr, address.bytes.data(), 16);

        tenant->socklen = sizeof(struct sockaddr_in6);

    } else

#endif
    {
        struct sockaddr_in  *sin = &tenant->sin;

        ngx_memzero(sin, sizeof(struct sockaddr_in));
        sin->sin_family = AF_INET;
        sin->sin_port = htons(peer.identity.port);
        ngx_memcpy(&sin->sin_addr, address.bytes.data(), 4);

        tenant->socklen = sizeof(struct sockaddr_in);
    }

    tenant->len = ngx_sock_ntop(&tenant->sockaddr, tenant->socklen,
                                tenant->text, sizeof(tenant->text), 1);
    tenant->generation = peer.generation;

    return tenant->generation;
}


static bool
ngx_http_dynamic_weight_is_tried(ngx_http_dynamic_weight_request_t *rd,
    uint32_t slot)
{
    ngx_uint_t  i, n;

    /* nginx asks a lone peer again only when a kept connection was stale */

    if (rd->conf->single) {
        return false;
    }

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
ngx_http_dynamic_weight_set_tried(ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, uint32_t slot)
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
                        (group->nseats + n - 1) / n * sizeof(uintptr_t)));
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

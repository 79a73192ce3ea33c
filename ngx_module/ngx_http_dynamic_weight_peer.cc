// The balancing method: what a request does with the peer tables.
//
// No lock, no allocation beyond the request's pool, and the same cost for 8
// peers as for 8,000: a pick is one atomic increment and a look-up; a peer
// that may not be used is passed over by drawing again, and only when a
// number of draws in a row has failed are the peers gone through.

#include "ngx_http_dynamic_weight.h"


#define NGX_HTTP_DW_DRAWS  16

/* peers tried that are remembered one by one; beyond them, a bitmap */
#define NGX_HTTP_DW_TRIED  8


/* one attempt; $upstream_addr and $dynamic_weight_cluster name them all */

typedef struct ngx_http_dynamic_weight_attempt_s
    ngx_http_dynamic_weight_attempt_t;

struct ngx_http_dynamic_weight_attempt_s {
    ngx_http_dynamic_weight_attempt_t   *next;
    ngx_str_t                           *cluster;    /* NULL: KVM */
    ngx_str_t                            name;
    ngx_sockaddr_t                       sockaddr;
    u_char                               text[NGX_SOCKADDR_STRLEN];
};


/* a request to one upstream; they are chained from the request's context */

typedef struct ngx_http_dynamic_weight_request_s
    ngx_http_dynamic_weight_request_t;

struct ngx_http_dynamic_weight_request_s {
    ngx_http_dynamic_weight_request_t   *next;
    ngx_http_request_t                  *request;
    ngx_http_dynamic_weight_srv_conf_t  *conf;

    /* the present attempt; group is NULL when there is none */
    ngx_http_dynamic_weight_group_t     *group;
    uint32_t                             slot;
    uint64_t                             generation;

    unsigned                             backup:1;   /* primary peers are done */
    ngx_uint_t                           ntried;     /* in this group */
    uint32_t                             tried[NGX_HTTP_DW_TRIED];
    uintptr_t                           *bitmap;

    ngx_http_dynamic_weight_attempt_t   *attempts;
    ngx_http_dynamic_weight_attempt_t  **last;
    ngx_http_dynamic_weight_attempt_t    first;
};


static ngx_int_t ngx_http_dynamic_weight_get_peer(ngx_peer_connection_t *pc,
    void *data);
static ngx_int_t ngx_http_dynamic_weight_choose(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, dynweight::Peer *peer);
static bool ngx_http_dynamic_weight_usable(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, uint32_t slot,
    dynweight::Peer *peer);
static bool ngx_http_dynamic_weight_is_tried(
    ngx_http_dynamic_weight_request_t *rd, uint32_t slot);
static ngx_int_t ngx_http_dynamic_weight_set_tried(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, uint32_t slot);
static ngx_int_t ngx_http_dynamic_weight_set_address(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd, const dynweight::Peer &peer);
static void ngx_http_dynamic_weight_free_peer(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);
static void ngx_http_dynamic_weight_count(ngx_http_request_t *r,
    dynweight::PeerCounters &counters, ngx_uint_t state);

#if (NGX_HTTP_SSL)
static ngx_int_t ngx_http_dynamic_weight_set_session(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_dynamic_weight_save_session(ngx_peer_connection_t *pc,
    void *data);
#endif


/* the index of this worker, brought up to the table's version */

static ngx_inline dynweight::PickIndex *
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
    }

    return group->index;
}


ngx_int_t
ngx_http_dynamic_weight_init_worker(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_http_dynamic_weight_srv_conf_t  **dscf =
        static_cast<ngx_http_dynamic_weight_srv_conf_t **>(
            dmcf->upstreams.elts);

    for (ngx_uint_t i = 0; i < dmcf->upstreams.nelts; i++) {

        for (ngx_http_dynamic_weight_group_t *group
             : { &dscf[i]->primary, &dscf[i]->backup })
        {
            if (group->nseats == 0) {
                continue;
            }

            group->index = ngx_http_dynamic_weight_own(cycle->pool,
                                   new dynweight::PickIndex(group->nseats));
            if (group->index == NULL) {
                return NGX_ERROR;
            }

            group->sessions = static_cast<ngx_http_dynamic_weight_session_t *>(
                ngx_pcalloc(cycle->pool,
                            group->nseats
                            * sizeof(ngx_http_dynamic_weight_session_t)));
            if (group->sessions == NULL) {
                return NGX_ERROR;
            }

            group->table->ClearWorker(ngx_worker);
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_dynamic_weight_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                            tries;
    ngx_http_upstream_t                  *u;
    ngx_http_dynamic_weight_request_t    *rd;
    ngx_http_dynamic_weight_srv_conf_t   *dscf;

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t *>(us->peer.data);

    rd = static_cast<ngx_http_dynamic_weight_request_t *>(
        ngx_palloc(r->pool, sizeof(ngx_http_dynamic_weight_request_t)));
    if (rd == NULL) {
        return NGX_ERROR;
    }

    rd->next = static_cast<ngx_http_dynamic_weight_request_t *>(
        ngx_http_get_module_ctx(r, ngx_http_dynamic_weight_module));
    rd->request = r;
    rd->conf = dscf;
    rd->group = NULL;
    rd->backup = 0;
    rd->ntried = 0;
    rd->bitmap = NULL;
    rd->attempts = NULL;
    rd->last = &rd->attempts;

    ngx_http_set_ctx(r, rd, ngx_http_dynamic_weight_module);

    tries = ngx_http_dynamic_weight_index(&dscf->primary)->nonzero();

    if (dscf->backup.nseats) {
        tries += ngx_http_dynamic_weight_index(&dscf->backup)->nonzero();
    }

    u = r->upstream;

    u->peer.data = rd;
    u->peer.get = ngx_http_dynamic_weight_get_peer;
    u->peer.free = ngx_http_dynamic_weight_free_peer;
    u->peer.tries = tries;

#if (NGX_HTTP_SSL)
    u->peer.set_session = ngx_http_dynamic_weight_set_session;
    u->peer.save_session = ngx_http_dynamic_weight_save_session;
#endif

    return NGX_OK;
}


static ngx_int_t
ngx_http_dynamic_weight_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_dynamic_weight_request_t *rd =
        static_cast<ngx_http_dynamic_weight_request_t *>(data);

    ngx_int_t                            rc;
    dynweight::Peer                      peer;
    ngx_http_dynamic_weight_group_t     *group;
    ngx_http_dynamic_weight_srv_conf_t  *dscf;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "get dynamic weight peer, try: %ui", pc->tries);

    pc->cached = 0;
    pc->connection = NULL;

    dscf = rd->conf;
    group = rd->backup ? &dscf->backup : &dscf->primary;

    rc = ngx_http_dynamic_weight_choose(rd, group, &peer);

    if (rc == NGX_BUSY && !rd->backup && dscf->backup.nseats) {

        ngx_log_debug0(NGX_LOG_DEBUG_HTTP, pc->log, 0, "backup servers");

        rd->backup = 1;
        rd->ntried = 0;
        rd->bitmap = NULL;

        group = &dscf->backup;
        rc = ngx_http_dynamic_weight_choose(rd, group, &peer);
    }

    if (rc == NGX_BUSY) {
        pc->name = &dscf->upstream->host;
        return NGX_BUSY;
    }

    if (ngx_http_dynamic_weight_set_tried(rd, group, rc) != NGX_OK) {
        return NGX_ERROR;
    }

    rd->group = group;
    rd->slot = rc;
    rd->generation = peer.generation;

    if (ngx_http_dynamic_weight_set_address(pc, rd, peer) != NGX_OK) {
        rd->group = NULL;
        return NGX_ERROR;
    }

    group->table->Acquire(rd->slot, rd->generation, ngx_worker);

    auto &counters = group->table->counters(rd->slot);

    counters.requests.fetch_add(1, std::memory_order_relaxed);
    counters.selected.store(ngx_time(), std::memory_order_relaxed);

    return NGX_OK;
}


/* the slot, with its tenant in *peer, or NGX_BUSY */

static ngx_int_t
ngx_http_dynamic_weight_choose(ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, dynweight::Peer *peer)
{
    uint32_t               i, slot;
    dynweight::PickIndex  *index;

    index = ngx_http_dynamic_weight_index(group);
    slot = 0;

    for (i = 0; i < NGX_HTTP_DW_DRAWS; i++) {

        slot = index->Pick(dynweight::PickPoint(group->table->NextPick()));

        if (slot == dynweight::PickIndex::kNone) {
            return NGX_BUSY;
        }

        if (ngx_http_dynamic_weight_usable(rd, group, slot, peer)) {
            return slot;
        }
    }

    for (i = 0; i < group->nseats; i++) {

        slot = slot + 1 < group->nseats ? slot + 1 : 0;

        if (ngx_http_dynamic_weight_usable(rd, group, slot, peer)) {
            return slot;
        }
    }

    return NGX_BUSY;
}


static bool
ngx_http_dynamic_weight_usable(ngx_http_dynamic_weight_request_t *rd,
    ngx_http_dynamic_weight_group_t *group, uint32_t slot,
    dynweight::Peer *peer)
{
    dynweight::PeerTable            *table = group->table;
    ngx_http_dynamic_weight_seat_t  *seat = &group->seats[slot];

    /* the index may be older than the weight */

    if (table->weight(slot) == 0
        || ngx_http_dynamic_weight_is_tried(rd, slot)
        || !table->Read(slot, peer))
    {
        return false;
    }

    /* as in nginx the limit may be passed by as many as choose at once */

    if (seat->max_conns && table->Active(slot) >= seat->max_conns) {
        return false;
    }

    if (rd->conf->single) {
        return true;
    }

    return table->health(slot).Admit(ngx_time(),
                                     { seat->max_fails, seat->fail_timeout });
}


static bool
ngx_http_dynamic_weight_is_tried(ngx_http_dynamic_weight_request_t *rd,
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


static ngx_int_t
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


/* a copy in the request's pool: the slot may pass to another node any time */

static ngx_int_t
ngx_http_dynamic_weight_set_address(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd, const dynweight::Peer &peer)
{
    ngx_http_dynamic_weight_seat_t     *seat;
    ngx_http_dynamic_weight_attempt_t  *attempt;

    attempt = &rd->first;

    if (rd->attempts) {
        attempt = static_cast<ngx_http_dynamic_weight_attempt_t *>(
            ngx_palloc(rd->request->pool,
                       sizeof(ngx_http_dynamic_weight_attempt_t)));
        if (attempt == NULL) {
            return NGX_ERROR;
        }
    }

    seat = &rd->group->seats[rd->slot];

    attempt->next = NULL;
    attempt->cluster = seat->cluster;

    *rd->last = attempt;
    rd->last = &attempt->next;

    if (seat->sockaddr) {
        pc->sockaddr = seat->sockaddr;
        pc->socklen = seat->socklen;
        pc->name = &seat->name;

        return NGX_OK;
    }

    const dynweight::IpAddress  &address = peer.identity.address;

#if (NGX_HAVE_INET6)

    if (address.family == dynweight::IpAddress::kIpv6) {
        struct sockaddr_in6  *sin6 = &attempt->sockaddr.sockaddr_in6;

        ngx_memzero(sin6, sizeof(struct sockaddr_in6));
        sin6->sin6_family = AF_INET6;
        sin6->sin6_port = htons(peer.identity.port);
        ngx_memcpy(&sin6->sin6_addr, address.bytes.data(), 16);

        pc->socklen = sizeof(struct sockaddr_in6);

    } else

#endif
    {
        struct sockaddr_in  *sin = &attempt->sockaddr.sockaddr_in;

        ngx_memzero(sin, sizeof(struct sockaddr_in));
        sin->sin_family = AF_INET;
        sin->sin_port = htons(peer.identity.port);
        ngx_memcpy(&sin->sin_addr, address.bytes.data(), 4);

        pc->socklen = sizeof(struct sockaddr_in);
    }

    pc->sockaddr = &attempt->sockaddr.sockaddr;

    attempt->name.data = attempt->text;
    attempt->name.len = ngx_sock_ntop(pc->sockaddr, pc->socklen,
                                      attempt->text, NGX_SOCKADDR_STRLEN, 1);
    pc->name = &attempt->name;

    return NGX_OK;
}


static void
ngx_http_dynamic_weight_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_dynamic_weight_request_t *rd =
        static_cast<ngx_http_dynamic_weight_request_t *>(data);

    dynweight::PeerTable             *table;
    dynweight::HealthPolicy           policy;
    ngx_http_dynamic_weight_seat_t   *seat;
    ngx_http_dynamic_weight_group_t  *group;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "free dynamic weight peer %ui %ui", pc->tries, state);

    group = rd->group;

    if (group == NULL) {
        return;
    }

    rd->group = NULL;

    table = group->table;
    seat = &group->seats[rd->slot];

    table->Release(rd->slot, rd->generation, ngx_worker);

    /*
     * Another peer may sit in the slot by now; what this request learned is
     * not about it.
     */

    if (table->generation(rd->slot) == rd->generation) {

        ngx_http_dynamic_weight_count(rd->request, table->counters(rd->slot),
                                      state);

        if (!rd->conf->single) {
            policy.max_fails = seat->max_fails;
            policy.fail_timeout = seat->fail_timeout;

            if (!(state & NGX_PEER_FAILED)) {
                table->health(rd->slot).OnSuccess();

            } else if (table->health(rd->slot).OnFailure(ngx_time(), policy)) {
                table->counters(rd->slot).unavail.fetch_add(1,
                                                  std::memory_order_relaxed);

                ngx_log_error(NGX_LOG_WARN, pc->log, 0,
                              "upstream server temporarily disabled");
            }
        }
    }

    if (rd->conf->single) {
        pc->tries = 0;
        return;
    }

    if (pc->tries) {
        pc->tries--;
    }
}


static void
ngx_http_dynamic_weight_count(ngx_http_request_t *r,
    dynweight::PeerCounters &counters, ngx_uint_t state)
{
    ngx_uint_t            status;
    ngx_http_upstream_t  *u;

    if (state & NGX_PEER_FAILED) {
        counters.fails.fetch_add(1, std::memory_order_relaxed);
    }

    u = r->upstream;

    if (u == NULL || u->state == NULL) {
        return;
    }

    status = u->headers_in.status_n;

    if (status >= 100 && status < 600) {
        counters.responses[status / 100 - 1].fetch_add(1,
                                                  std::memory_order_relaxed);
    }

    counters.sent.fetch_add(u->state->bytes_sent, std::memory_order_relaxed);
    counters.received.fetch_add(u->state->bytes_received,
                                std::memory_order_relaxed);
    counters.response_ms.fetch_add(ngx_current_msec - u->start_time,
                                   std::memory_order_relaxed);
}


#if (NGX_HTTP_SSL)

static ngx_int_t
ngx_http_dynamic_weight_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_dynamic_weight_request_t *rd =
        static_cast<ngx_http_dynamic_weight_request_t *>(data);

    ngx_http_dynamic_weight_session_t  *cached;

    if (rd->group == NULL) {
        return NGX_OK;
    }

    cached = &rd->group->sessions[rd->slot];

    if (cached->session == NULL || cached->generation != rd->generation) {
        return NGX_OK;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "set session: %p", cached->session);

    return ngx_ssl_set_session(pc->connection, cached->session);
}


static void
ngx_http_dynamic_weight_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_dynamic_weight_request_t *rd =
        static_cast<ngx_http_dynamic_weight_request_t *>(data);

    ngx_ssl_session_t                  *session;
    ngx_http_dynamic_weight_session_t  *cached;

    if (rd->group == NULL) {
        return;
    }

    session = ngx_ssl_get_session(pc->connection);

    if (session == NULL) {
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0, "save session: %p", session);

    cached = &rd->group->sessions[rd->slot];

    if (cached->session) {
        ngx_ssl_free_session(cached->session);
    }

    cached->session = session;
    cached->generation = rd->generation;
}

#endif


/* the clusters of all attempts, spelled as $upstream_addr spells addresses */

ngx_int_t
ngx_http_dynamic_weight_cluster_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t)
{
    u_char                             *p;
    size_t                              len;
    ngx_http_dynamic_weight_attempt_t  *attempt;
    ngx_http_dynamic_weight_request_t  *rd, *upstreams;

    rd = static_cast<ngx_http_dynamic_weight_request_t *>(
        ngx_http_get_module_ctx(r, ngx_http_dynamic_weight_module));

    /* the context holds the latest upstream first */

    upstreams = NULL;
    len = 0;

    ngx_http_dynamic_weight_request_t  *chain[16];
    ngx_uint_t                          n = 0;

    for ( /* void */ ; rd && n < 16; rd = rd->next) {

        if (rd->attempts == NULL) {
            continue;
        }

        upstreams = rd;
        chain[n++] = rd;

        for (attempt = rd->attempts; attempt; attempt = attempt->next) {
            len += (attempt->cluster ? attempt->cluster->len : 1)
                   + sizeof(" : ") - 1;
        }
    }

    if (upstreams == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = static_cast<u_char *>(ngx_pnalloc(r->pool, len));
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    while (n--) {

        for (attempt = chain[n]->attempts; attempt; attempt = attempt->next) {

            if (attempt->cluster) {
                p = ngx_cpymem(p, attempt->cluster->data,
                               attempt->cluster->len);

            } else {
                *p++ = '-';
            }

            if (attempt->next) {
                *p++ = ',';
                *p++ = ' ';
            }
        }

        if (n) {
            *p++ = ' ';
            *p++ = ':';
            *p++ = ' ';
        }
    }

    v->len = p - v->data;

    return NGX_OK;
}

// A request's way to a peer and back: the callbacks of the balancing method.
//
// No lock, no allocation beyond the request's pool, and the same cost for 8
// peers as for 8,000.

#include "ngx_module/core/ngx_dynamic_weight_request.h"


static ngx_int_t ngx_http_dynamic_weight_get_peer(ngx_peer_connection_t *pc,
    void *data);
static ngx_int_t ngx_http_dynamic_weight_next_peer(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t **group);
static bool ngx_http_dynamic_weight_may_ask_again(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group);
static ngx_int_t ngx_http_dynamic_weight_set_address(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd);
static void ngx_http_dynamic_weight_free_peer(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);
static bool ngx_http_dynamic_weight_is_stale(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd, ngx_uint_t state);
static void ngx_http_dynamic_weight_note_health(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_srv_conf_t *dscf,
    ngx_dynamic_weight_group_t *group, uint32_t slot, ngx_uint_t state);
static void ngx_http_dynamic_weight_count_up(dynweight::PeerTable *table,
    uint32_t slot, const dynweight::HealthPolicy &policy);
static void ngx_http_dynamic_weight_count(ngx_http_request_t *r,
    dynweight::PeerCounters &counters, ngx_uint_t state);


ngx_int_t
ngx_http_dynamic_weight_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_str_t                             key;
    ngx_http_upstream_t                  *u;
    ngx_http_dynamic_weight_request_t    *rd;
    ngx_http_dynamic_weight_srv_conf_t   *dscf;

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t *>(us->peer.data);

    rd = static_cast<ngx_http_dynamic_weight_request_t *>(
        ngx_palloc(r->pool, sizeof(ngx_http_dynamic_weight_request_t)));
    if (rd == NULL) {
        return NGX_ERROR;
    }

    rd->request = r;
    rd->conf = dscf;
    rd->group = NULL;
    rd->again = 0;
    rd->retry = 0;
    rd->extended = 0;
    rd->backup = 0;
    rd->ntried = 0;
    rd->bitmap = NULL;
    rd->key = 0;
    rd->keyed = 0;
    rd->attempts = NULL;
    rd->last = &rd->attempts;

    if (dscf->hash_key) {

        if (ngx_http_complex_value(r, dscf->hash_key, &key) != NGX_OK) {
            return NGX_ERROR;
        }

        /* as in nginx, who has no key goes round robin */

        if (key.len) {
            rd->key = ngx_murmur_hash2(key.data, key.len);
            rd->keyed = 1;
        }
    }

    ngx_http_dynamic_weight_chain(rd);

    ngx_dynamic_weight_refresh(dscf);

    u = r->upstream;

#ifdef ANGIE_VERSION
    u->peer.ctx = r;    /* where all of it finds the request */
#endif

    u->peer.data = rd;
    u->peer.get = ngx_http_dynamic_weight_get_peer;
    u->peer.free = ngx_http_dynamic_weight_free_peer;
    u->peer.tries = ngx_http_dynamic_weight_tries(dscf);

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

    bool                              again;
    ngx_int_t                         rc;
    ngx_dynamic_weight_group_t       *group;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "get dynamic weight peer, try: %ui", pc->tries);

    pc->cached = 0;
    pc->connection = NULL;

    group = rd->backup ? &rd->conf->backup : &rd->conf->primary;

    again = ngx_http_dynamic_weight_may_ask_again(rd, group);

    if (!again) {

        rc = ngx_http_dynamic_weight_next_peer(pc, rd, &group);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rd->group = group;

    if (ngx_http_dynamic_weight_set_address(pc, rd) != NGX_OK) {
        rd->group = NULL;
        return NGX_ERROR;
    }

    group->zone.table->Acquire(rd->slot, rd->generation,
                               ngx_dynamic_weight_column);

    ngx_http_dynamic_weight_begin_retry(rd, again);

    /* before any variable is evaluated: $upstream_addr has this peer, then */
    rd->request->upstream->state->peer = pc->name;

    ngx_http_dynamic_weight_note_names(rd);

    if (again) {
        return NGX_OK;    /* it counts as one, and takes a new connection */
    }

    auto &counters = group->zone.table->counters(rd->slot);

    counters.requests.fetch_add(1, std::memory_order_relaxed);
    counters.selected.store(ngx_time(), std::memory_order_relaxed);

    return ngx_http_dynamic_weight_take_idle(pc, rd) ? NGX_DONE : NGX_OK;
}


/*
 * Another peer for rd, the backup peers' when no primary one is left; *group is
 * whose it is. NGX_BUSY: there is none at all.
 */

static ngx_int_t
ngx_http_dynamic_weight_next_peer(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t **group)
{
    ngx_int_t                            rc;
    ngx_http_dynamic_weight_srv_conf_t  *dscf = rd->conf;

    rc = ngx_dynamic_weight_choose(rd, *group, &rd->slot,
                                   &rd->generation);

    if (rc == NGX_BUSY && !rd->backup && dscf->backup.conf.nslots) {

        ngx_log_debug0(NGX_LOG_DEBUG_HTTP, pc->log, 0, "backup servers");

        rd->backup = 1;
        rd->ntried = 0;
        rd->bitmap = NULL;

        *group = &dscf->backup;

        rc = ngx_dynamic_weight_choose(rd, *group, &rd->slot,
                                       &rd->generation);
    }

    if (rc == NGX_BUSY) {
        pc->name = &dscf->upstream->host;
        return NGX_BUSY;
    }

    return ngx_dynamic_weight_set_tried(rd, *group, rd->slot);
}


/*
 * After a stale kept connection: the same peer, unless it left or drains. Only
 * a kept one can be stale, so this comes once a peer.
 */

static bool
ngx_http_dynamic_weight_may_ask_again(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group)
{
    if (!rd->again) {
        return false;
    }

    rd->again = 0;

    return group->zone.table->weight(rd->slot) != 0
           && ngx_dynamic_weight_generation(group, rd->slot)
              == rd->generation;
}


/* a node's is copied: another may occupy the slot when it is read again */

static ngx_int_t
ngx_http_dynamic_weight_set_address(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd)
{
    u_char                             *p;
    ngx_str_t                          *name;
    ngx_dynamic_weight_slot_conf_t     *slot_conf;
    ngx_dynamic_weight_occupant_t      *occupant;
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

    slot_conf = &rd->group->conf.slots[rd->slot];

    attempt->next = NULL;
    attempt->cluster = slot_conf->cluster;
    attempt->state = rd->request->upstream_states->nelts - 1;

    *rd->last = attempt;
    rd->last = &attempt->next;

    if (slot_conf->sockaddr) {
        pc->sockaddr = slot_conf->sockaddr;
        pc->socklen = slot_conf->socklen;
        pc->name = &slot_conf->name;

        return NGX_OK;
    }

    occupant = &rd->group->worker.occupants[rd->slot];

    name = static_cast<ngx_str_t *>(
        ngx_palloc(rd->request->pool,
                   sizeof(ngx_str_t) + occupant->socklen + occupant->len));
    if (name == NULL) {
        return NGX_ERROR;
    }

    p = reinterpret_cast<u_char *>(name + 1);

    pc->sockaddr = reinterpret_cast<struct sockaddr *>(p);
    pc->socklen = occupant->socklen;

    p = ngx_cpymem(p, &occupant->sockaddr, occupant->socklen);

    name->len = occupant->len;
    name->data = p;

    ngx_memcpy(p, occupant->text, occupant->len);

    pc->name = name;

    return NGX_OK;
}


static void
ngx_http_dynamic_weight_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_dynamic_weight_request_t *rd =
        static_cast<ngx_http_dynamic_weight_request_t *>(data);

    bool                              stale;
    dynweight::PeerTable             *table;
    ngx_dynamic_weight_group_t       *group;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "free dynamic weight peer %ui %ui", pc->tries, state);

    group = rd->group;

    if (group == NULL) {
        return;
    }

    stale = ngx_http_dynamic_weight_is_stale(pc, rd, state);

    ngx_http_dynamic_weight_keep_idle(pc, rd, state);

    rd->group = NULL;

    table = group->zone.table;

    table->Release(rd->slot, rd->generation,
                   ngx_dynamic_weight_column);

    ngx_http_dynamic_weight_end_retry(rd);

    /*
     * Another peer may occupy the slot by now; what this request learned is
     * not about it.
     */

    if (table->generation(rd->slot) == rd->generation && !stale) {

        ngx_http_dynamic_weight_count(rd->request, table->counters(rd->slot),
                                      state);

        ngx_http_dynamic_weight_note_health(pc, rd->conf, group, rd->slot,
                                            state);
    }

    /* nginx gives back the try that a stale connection took */

    rd->again = stale;

    if (pc->tries) {
        pc->tries--;
    }

    /* an attempt that went well has no state */

    if (state && !stale) {
        ngx_http_dynamic_weight_bound_tries(pc, rd);
    }
}


/* a peer that was taken out serves again: how long it was out */

static void
ngx_http_dynamic_weight_count_up(dynweight::PeerTable *table, uint32_t slot,
    const dynweight::HealthPolicy &policy)
{
    int64_t                       since, now;
    dynweight::PeerCounters      &counters = table->counters(slot);
    const dynweight::PeerHealth  &health = table->health(slot);

    now = ngx_current_msec;

    if (counters.down_since_ms.load(std::memory_order_relaxed) == 0
        || health.Failed(policy)
        || health.ProbedOut()
        || health.Ejected(now))
    {
        return;
    }

    /* of several that see it, one counts it */
    since = counters.down_since_ms.exchange(0, std::memory_order_relaxed);

    if (since) {
        counters.downtime_ms.fetch_add(
            ngx_max(health.OutUntilMs(since, now, policy) - since, 0),
            std::memory_order_relaxed);
    }
}


/*
 * Whether a kept connection failed before it gave an answer: most likely the
 * peer closed it at that moment, which says nothing of the peer.
 */

static bool
ngx_http_dynamic_weight_is_stale(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd, ngx_uint_t state)
{
    ngx_connection_t     *c = pc->connection;
    ngx_http_upstream_t  *u = rd->request->upstream;

    return pc->cached
           && state & NGX_PEER_FAILED
           && c != NULL
           && !c->read->timedout
           && !c->write->timedout
           && u->state
           && u->state->bytes_received == 0;
}


static void
ngx_http_dynamic_weight_note_health(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_srv_conf_t *dscf,
    ngx_dynamic_weight_group_t *group, uint32_t slot, ngx_uint_t state)
{
    bool                            back;
    dynweight::PeerTable           *table = group->zone.table;
    dynweight::PeerHealth          &health = table->health(slot);
    const dynweight::HealthPolicy  &policy = group->conf.slots[slot].health;

    if (!(state & NGX_PEER_FAILED)) {

        back = health.OnSuccess(policy)
               || (dscf->all_out && health.Restore(policy));

        if (back) {
            health.StartSlowly(ngx_max(ngx_current_msec, 1));
            table->HealthChanged();
        }

        ngx_http_dynamic_weight_count_up(table, slot, policy);

        return;
    }

    ngx_dynamic_weight_refresh(dscf);

    /* as nginx's only server: there is nobody to go to instead */

    if (dscf->single && group->worker.serving->weight(slot)) {
        return;
    }

    if (health.OnFailure(ngx_current_msec, policy)) {
        table->counters(slot).unavail.fetch_add(1, std::memory_order_relaxed);
        table->counters(slot).down_since_ms.store(ngx_max(ngx_current_msec, 1),
                                                  std::memory_order_relaxed);

        /* a failed probe changes nothing: it was out for all others already */

        table->HealthChanged();

        ngx_log_error(NGX_LOG_WARN, pc->log, 0,
                      "upstream server temporarily disabled");
    }
}


static void
ngx_http_dynamic_weight_count(ngx_http_request_t *r,
    dynweight::PeerCounters &counters, ngx_uint_t state)
{
    bool                  failed;
    ngx_uint_t            status;
    ngx_http_upstream_t  *u;

    failed = state & NGX_PEER_FAILED;

    if (failed) {
        counters.fails.fetch_add(1, std::memory_order_relaxed);
    }

    u = r->upstream;

    if (u == NULL || u->state == NULL) {
        return;
    }

    /*
     * Of this attempt: headers_in is the previous one's until it sends its
     * request, and after early hints the only one that knows the answer.
     */

    status = u->state->status;

    if (status >= 100 && status < 200) {
        status = u->headers_in.status_n;
    }

    if (status >= 100 && status < 600) {
        counters.responses[status / 100 - 1].fetch_add(1,
                                                  std::memory_order_relaxed);

    } else if (failed) {
        counters.unanswered.fetch_add(1, std::memory_order_relaxed);
    }

    if (failed || (status >= 500 && status < 600)) {
        counters.errors.fetch_add(1, std::memory_order_relaxed);
    }

    counters.sent.fetch_add(u->state->bytes_sent, std::memory_order_relaxed);
    counters.received.fetch_add(u->state->bytes_received,
                                std::memory_order_relaxed);
    counters.response_ms.fetch_add(ngx_current_msec - u->start_time,
                                   std::memory_order_relaxed);
}

// dynamic_weight_keepalive: idle connections by peer.
//
// Each worker keeps N idle connections for each peer, more for a peer of more
// than average weight, in a list that the peer's slot leads to: none is ever
// searched for. All of them together are at most half of what
// worker_connections allows; then the one idle for longest makes room. They are
// nginx's to close when it runs out of connections, as idle clients are. Those
// of a peer that left or drains, or idle for too long, are closed within about a
// second, by a timer that runs only while there are idle connections. A timer
// for each would fill the tree that every request's timers go through.
//
// What may be kept, and how, is as in ngx_http_upstream_keepalive_module.c.

#include "ngx_http_dynamic_weight_request.h"


#define NGX_HTTP_DW_SWEEP_MSEC   1000

/* idle connections looked at without going back to the event loop */
#define NGX_HTTP_DW_SWEEP_PIECE  256


typedef struct {
    ngx_queue_t                           peer;   /* newest first */
    ngx_queue_t                           all;    /* newest first, or free */
    ngx_http_dynamic_weight_group_t      *group;
    uint32_t                              slot;
    uint64_t                              generation;
    ngx_connection_t                     *connection;
    ngx_msec_t                            until;
    ngx_http_dynamic_weight_way_t         way;
} ngx_http_dynamic_weight_idle_t;


struct ngx_http_dynamic_weight_peer_idle_s {
    ngx_queue_t                           queue;
    ngx_uint_t                            n;
};


/* all idle connections of this worker */

static struct {
    ngx_queue_t                           used;
    ngx_queue_t                           free;
    ngx_queue_t                          *next;   /* to be swept */
    ngx_event_t                           sweep;
} ngx_http_dynamic_weight_pool;


static ngx_uint_t ngx_http_dynamic_weight_most_idle(
    ngx_http_dynamic_weight_request_t *rd);
static void ngx_http_dynamic_weight_idle_handler(ngx_event_t *ev);
static void ngx_http_dynamic_weight_dummy_handler(ngx_event_t *ev);
static void ngx_http_dynamic_weight_sweep_handler(ngx_event_t *ev);
static bool ngx_http_dynamic_weight_idle_too_long(
    const ngx_http_dynamic_weight_idle_t *idle);
static void ngx_http_dynamic_weight_release_idle(
    ngx_http_dynamic_weight_idle_t *idle);
static void ngx_http_dynamic_weight_drop_idle(
    ngx_http_dynamic_weight_idle_t *idle);
static void ngx_http_dynamic_weight_close_idle(ngx_connection_t *c);


ngx_int_t
ngx_http_dynamic_weight_init_keepalive(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                            i, j, n;
    ngx_http_dynamic_weight_idle_t       *idle;
    ngx_http_dynamic_weight_group_t      *group;
    ngx_http_dynamic_weight_srv_conf_t   *dscf;
    ngx_http_dynamic_weight_peer_idle_t  *peer;

    auto  &pool = ngx_http_dynamic_weight_pool;

    ngx_queue_init(&pool.used);
    ngx_queue_init(&pool.free);

    n = 0;

    for (i = 0; i < dmcf->ntables; i++) {
        group = dmcf->groups[i];
        dscf = group->conf.srv;

        if (dscf->keepalive == 0) {
            continue;
        }

        peer = static_cast<ngx_http_dynamic_weight_peer_idle_t *>(
            ngx_palloc(cycle->pool,
                       group->conf.nseats
                       * sizeof(ngx_http_dynamic_weight_peer_idle_t)));
        if (peer == NULL) {
            return NGX_ERROR;
        }

        for (j = 0; j < group->conf.nseats; j++) {
            ngx_queue_init(&peer[j].queue);
            peer[j].n = 0;
        }

        group->worker.idle = peer;

        n += dscf->keepalive_total ? dscf->keepalive + group->conf.nseats
                                   : dscf->keepalive * group->conf.nseats;
    }

    n = ngx_min(n, ngx_max(cycle->connection_n / 2, 1));

    idle = static_cast<ngx_http_dynamic_weight_idle_t *>(
        ngx_palloc(cycle->pool,
                   ngx_max(n, 1) * sizeof(ngx_http_dynamic_weight_idle_t)));
    if (idle == NULL) {
        return NGX_ERROR;
    }

    while (n--) {
        ngx_queue_insert_head(&pool.free, &idle[n].all);
    }

    pool.next = &pool.used;

    ngx_memzero(&pool.sweep, sizeof(ngx_event_t));

    pool.sweep.handler = ngx_http_dynamic_weight_sweep_handler;
    pool.sweep.log = cycle->log;
    pool.sweep.data = &pool;
    pool.sweep.cancelable = 1;

    return NGX_OK;
}


bool
ngx_http_dynamic_weight_take_idle(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd)
{
    ngx_queue_t                          *q, *next;
    ngx_connection_t                     *c;
    ngx_http_dynamic_weight_way_t         way;
    ngx_http_dynamic_weight_idle_t       *idle;
    ngx_http_dynamic_weight_peer_idle_t  *peer;

    if (rd->group->worker.idle == NULL) {
        return false;
    }

    peer = &rd->group->worker.idle[rd->slot];

    if (ngx_queue_empty(&peer->queue)
        || !ngx_http_dynamic_weight_way(rd, &way))
    {
        return false;
    }

    for (q = ngx_queue_head(&peer->queue);
         q != ngx_queue_sentinel(&peer->queue);
         q = next)
    {
        next = ngx_queue_next(q);
        idle = ngx_queue_data(q, ngx_http_dynamic_weight_idle_t, peer);

        if (idle->generation != rd->generation
            || ngx_http_dynamic_weight_idle_too_long(idle))
        {
            ngx_http_dynamic_weight_drop_idle(idle);
            continue;
        }

        if (!ngx_http_dynamic_weight_same_way(&idle->way, &way)) {
            continue;
        }

        c = idle->connection;

        ngx_http_dynamic_weight_release_idle(idle);

        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                       "get dynamic weight peer: using connection %p", c);

        c->idle = 0;
        c->sent = 0;
        c->data = NULL;
        c->log = pc->log;
        c->read->log = pc->log;
        c->write->log = pc->log;
        c->pool->log = pc->log;

        pc->connection = c;
        pc->cached = 1;

        return true;
    }

    return false;
}


/*
 * N, or a peer's share by weight of the connections that all peers may have
 * with N each: what it is asked for at once grows with its weight. A stock N is
 * what all of them may have, of which each is left one at least.
 */

static ngx_uint_t
ngx_http_dynamic_weight_most_idle(ngx_http_dynamic_weight_request_t *rd)
{
    uint64_t                    n, share;
    const dynweight::PickIndex  &index = *rd->group->worker.index;

    n = rd->conf->keepalive;

    if (index.total() == 0) {
        return n;
    }

    if (rd->conf->keepalive_total) {
        share = n * rd->group->worker.serving->weight(rd->slot);

        return ngx_max(1, (share + index.total() - 1) / index.total());
    }

    share = n * index.nonzero() * rd->group->worker.serving->weight(rd->slot)
            / index.total();

    return ngx_max(n, share);
}


void
ngx_http_dynamic_weight_keep_idle(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd, ngx_uint_t state)
{
    ngx_queue_t                          *q;
    ngx_connection_t                     *c;
    ngx_http_upstream_t                  *u;
    ngx_http_dynamic_weight_way_t         way;
    ngx_http_dynamic_weight_idle_t       *idle;
    ngx_http_dynamic_weight_srv_conf_t   *dscf;
    ngx_http_dynamic_weight_peer_idle_t  *peer;

    auto  &pool = ngx_http_dynamic_weight_pool;

    c = pc->connection;
    u = rd->request->upstream;
    dscf = rd->conf;

    if (rd->group->worker.idle == NULL
        || state & NGX_PEER_FAILED
        || c == NULL
        || c->read->eof
        || c->read->error
        || c->read->timedout
        || c->write->error
        || c->write->timedout
        || c->requests >= dscf->keepalive_requests
        || ngx_current_msec - c->start_time > dscf->keepalive_time
        || !u->keepalive
        || !u->request_body_sent
        || (u->conf->local && u->conf->local->value)  /* one a request */
        || ngx_terminate
        || ngx_exiting
        || rd->group->zone.table->weight(rd->slot) == 0
        || rd->group->zone.table->generation(rd->slot) != rd->generation)
    {
        return;
    }

    if (!ngx_http_dynamic_weight_way(rd, &way)
        || ngx_handle_read_event(c->read, 0) != NGX_OK)
    {
        return;
    }

    peer = &rd->group->worker.idle[rd->slot];

    if (peer->n >= ngx_http_dynamic_weight_most_idle(rd)) {
        q = ngx_queue_last(&peer->queue);
        ngx_http_dynamic_weight_drop_idle(
            ngx_queue_data(q, ngx_http_dynamic_weight_idle_t, peer));

    } else if (ngx_queue_empty(&pool.free)) {
        q = ngx_queue_last(&pool.used);
        ngx_http_dynamic_weight_drop_idle(
            ngx_queue_data(q, ngx_http_dynamic_weight_idle_t, all));
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "free dynamic weight peer: saving connection %p", c);

    q = ngx_queue_head(&pool.free);
    ngx_queue_remove(q);
    ngx_queue_insert_head(&pool.used, q);

    idle = ngx_queue_data(q, ngx_http_dynamic_weight_idle_t, all);

    ngx_queue_insert_head(&peer->queue, &idle->peer);
    peer->n++;

    idle->group = rd->group;
    idle->slot = rd->slot;
    idle->generation = rd->generation;
    idle->connection = c;
    idle->until = ngx_current_msec + dscf->keepalive_timeout;
    idle->way = way;

    pc->connection = NULL;

    c->read->delayed = 0;

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    c->write->handler = ngx_http_dynamic_weight_dummy_handler;
    c->read->handler = ngx_http_dynamic_weight_idle_handler;

    c->data = idle;
    c->idle = 1;
    ngx_reusable_connection(c, 1);

    c->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;
    c->pool->log = ngx_cycle->log;

    if (!pool.sweep.timer_set && !pool.sweep.posted) {
        ngx_add_timer(&pool.sweep, NGX_HTTP_DW_SWEEP_MSEC);
    }

    if (c->read->ready) {
        ngx_http_dynamic_weight_idle_handler(c->read);
    }
}


static void
ngx_http_dynamic_weight_dummy_handler([[maybe_unused]] ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0,
                   "dynamic weight keepalive dummy handler");
}


/* the peer closes it, or sends what nobody asked for, or the worker ends */

static void
ngx_http_dynamic_weight_idle_handler(ngx_event_t *ev)
{
    int                n;
    char               buf[1];
    ngx_connection_t  *c;

    c = static_cast<ngx_connection_t *>(ev->data);

    if (!c->close) {

        n = recv(c->fd, buf, 1, MSG_PEEK);

        if (n == -1 && ngx_socket_errno == NGX_EAGAIN) {
            ev->ready = 0;

            if (ngx_handle_read_event(c->read, 0) == NGX_OK) {
                return;
            }
        }
    }

    ngx_http_dynamic_weight_drop_idle(
        static_cast<ngx_http_dynamic_weight_idle_t *>(c->data));
}


static bool
ngx_http_dynamic_weight_idle_too_long(
    const ngx_http_dynamic_weight_idle_t *idle)
{
    return static_cast<ngx_msec_int_t>(idle->until - ngx_current_msec) <= 0;
}


/* closes what has been idle too long or whose peer is gone; a piece at a time */

static void
ngx_http_dynamic_weight_sweep_handler(ngx_event_t *ev)
{
    ngx_uint_t                       i;
    ngx_http_dynamic_weight_idle_t  *idle;

    auto  &pool = ngx_http_dynamic_weight_pool;

    if (ngx_queue_empty(&pool.used)) {
        return;
    }

    if (pool.next == ngx_queue_sentinel(&pool.used)) {
        pool.next = ngx_queue_head(&pool.used);
    }

    for (i = 0; i < NGX_HTTP_DW_SWEEP_PIECE; i++) {

        idle = ngx_queue_data(pool.next, ngx_http_dynamic_weight_idle_t, all);
        pool.next = ngx_queue_next(pool.next);

        const dynweight::PeerTable  &table = *idle->group->zone.table;

        if (table.weight(idle->slot) == 0
            || table.generation(idle->slot) != idle->generation
            || ngx_http_dynamic_weight_idle_too_long(idle))
        {
            ngx_http_dynamic_weight_drop_idle(idle);
        }

        if (pool.next == ngx_queue_sentinel(&pool.used)) {
            ngx_add_timer(ev, NGX_HTTP_DW_SWEEP_MSEC);
            return;
        }
    }

    ngx_post_event(ev, &ngx_posted_next_events);
}


/* takes a connection out of the lists */

static void
ngx_http_dynamic_weight_release_idle(ngx_http_dynamic_weight_idle_t *idle)
{
    auto  &pool = ngx_http_dynamic_weight_pool;

    if (pool.next == &idle->all) {
        pool.next = ngx_queue_next(&idle->all);
    }

    ngx_queue_remove(&idle->peer);
    idle->group->worker.idle[idle->slot].n--;

    ngx_queue_remove(&idle->all);
    ngx_queue_insert_head(&pool.free, &idle->all);

    ngx_reusable_connection(idle->connection, 0);
}


static void
ngx_http_dynamic_weight_drop_idle(ngx_http_dynamic_weight_idle_t *idle)
{
    ngx_http_dynamic_weight_release_idle(idle);
    ngx_http_dynamic_weight_close_idle(idle->connection);
}


static void
ngx_http_dynamic_weight_close_idle(ngx_connection_t *c)
{
#if (NGX_HTTP_SSL)

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        if (ngx_ssl_shutdown(c) == NGX_AGAIN) {
            c->ssl->handler = ngx_http_dynamic_weight_close_idle;
            return;
        }
    }

#endif

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);
}

// The life of idle connections between two requests.
//
// Each worker keeps N idle connections for each peer, more for a peer of more
// than average weight, in a list that the peer's slot leads to: none is ever
// searched for. All of them together are at most half of what
// worker_connections allows; then the one idle for longest makes room. They are
// nginx's to close when it runs out of connections, as idle clients are. Those
// of a peer that left or drains, or idle for too long, are closed within about a
// second, by a timer that runs only while there are idle connections. A timer
// for each would fill the tree that every request's timers go through.

#include "ngx_module/http/ngx_http_dynamic_weight_idle.h"


#define NGX_HTTP_DW_SWEEP_MSEC   1000

/* idle connections looked at without going back to the event loop */
#define NGX_HTTP_DW_SWEEP_PIECE  256


/* all idle connections of this worker */

static struct {
    ngx_queue_t                           used;
    ngx_queue_t                           free;
    ngx_queue_t                          *next;   /* to be swept */
    ngx_event_t                           sweep;
} ngx_http_dynamic_weight_pool;


static void ngx_http_dynamic_weight_idle_handler(ngx_event_t *ev);
static void ngx_http_dynamic_weight_dummy_handler(ngx_event_t *ev);
static void ngx_http_dynamic_weight_sweep_handler(ngx_event_t *ev);
static void ngx_http_dynamic_weight_close_idle(ngx_connection_t *c);


ngx_int_t
ngx_http_dynamic_weight_init_keepalive(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                            i, j, n;
    ngx_http_dynamic_weight_idle_t       *idle;
    ngx_dynamic_weight_group_t           *group;
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
                       group->conf.nslots
                       * sizeof(ngx_http_dynamic_weight_peer_idle_t)));
        if (peer == NULL) {
            return NGX_ERROR;
        }

        for (j = 0; j < group->conf.nslots; j++) {
            ngx_queue_init(&peer[j].queue);
            peer[j].n = 0;
        }

        group->worker.idle = peer;

        n += dscf->keepalive_total ? dscf->keepalive + group->conf.nslots
                                   : dscf->keepalive * group->conf.nslots;
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


ngx_http_dynamic_weight_idle_t *
ngx_http_dynamic_weight_list_idle(ngx_http_dynamic_weight_peer_idle_t *peer,
    ngx_uint_t most)
{
    ngx_queue_t                     *q;
    ngx_http_dynamic_weight_idle_t  *idle;

    auto  &pool = ngx_http_dynamic_weight_pool;

    if (peer->n >= most) {
        q = ngx_queue_last(&peer->queue);
        ngx_http_dynamic_weight_drop_idle(
            ngx_queue_data(q, ngx_http_dynamic_weight_idle_t, peer));

    } else if (ngx_queue_empty(&pool.free)) {
        q = ngx_queue_last(&pool.used);
        ngx_http_dynamic_weight_drop_idle(
            ngx_queue_data(q, ngx_http_dynamic_weight_idle_t, all));
    }

    q = ngx_queue_head(&pool.free);
    ngx_queue_remove(q);
    ngx_queue_insert_head(&pool.used, q);

    idle = ngx_queue_data(q, ngx_http_dynamic_weight_idle_t, all);

    ngx_queue_insert_head(&peer->queue, &idle->peer);
    peer->n++;

    return idle;
}


void
ngx_http_dynamic_weight_park_idle(ngx_http_dynamic_weight_idle_t *idle)
{
    ngx_connection_t  *c = idle->connection;

    auto  &pool = ngx_http_dynamic_weight_pool;

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


void
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


void
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

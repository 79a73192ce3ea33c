// dynamic_weight_keepalive: the idle connection that a request takes, and the
// one that it leaves behind. What becomes of those in between is in _idle.cc.
//
// What may be kept, and how, is as in ngx_http_upstream_keepalive_module.c.

#include "ngx_module/http/ngx_http_dynamic_weight_idle.h"

#include "ngx_module/core/ngx_dynamic_weight_nginx.h"


static ngx_uint_t ngx_http_dynamic_weight_most_idle(
    ngx_http_dynamic_weight_request_t *rd);
static bool ngx_http_dynamic_weight_may_keep(const ngx_connection_t *c,
    const ngx_http_dynamic_weight_request_t *rd, ngx_uint_t state);
static bool ngx_http_dynamic_weight_is_quic(const ngx_connection_t *c);


bool
ngx_http_dynamic_weight_take_idle(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd)
{
    ngx_queue_t                          *q, *next;
    ngx_connection_t                     *c;
    ngx_dynamic_weight_connection_key_t   way;
    ngx_http_dynamic_weight_idle_t       *idle;
    ngx_http_dynamic_weight_peer_idle_t  *peer;

    /* a request of HTTP/3 has another kind of connection than what is kept */

    if (rd->group->worker.idle == NULL || pc->type == SOCK_DGRAM) {
        return false;
    }

    peer = &rd->group->worker.idle[rd->slot];

    if (ngx_queue_empty(&peer->queue)
        || !ngx_http_dynamic_weight_connection_key(rd, &way))
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

        if (!ngx_http_dynamic_weight_same_connection_key(&idle->way, &way)) {
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


void
ngx_http_dynamic_weight_keep_idle(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd, ngx_uint_t state)
{
    ngx_connection_t                *c;
    ngx_dynamic_weight_connection_key_t  way;
    ngx_http_dynamic_weight_idle_t  *idle;

    c = pc->connection;

    if (!ngx_http_dynamic_weight_may_keep(c, rd, state)) {
        return;
    }

    if (!ngx_http_dynamic_weight_connection_key(rd, &way)
        || ngx_handle_read_event(c->read, 0) != NGX_OK)
    {
        return;
    }

    idle = ngx_http_dynamic_weight_list_idle(
               &rd->group->worker.idle[rd->slot],
               ngx_http_dynamic_weight_most_idle(rd));

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                   "free dynamic weight peer: saving connection %p", c);

    idle->group = rd->group;
    idle->slot = rd->slot;
    idle->generation = rd->generation;
    idle->connection = c;
    idle->until = ngx_current_msec + rd->conf->keepalive_timeout;
    idle->way = way;

    pc->connection = NULL;

    ngx_http_dynamic_weight_park_idle(idle);
}


/* whether the connection, the request and the peer are as they have to be */

static bool
ngx_http_dynamic_weight_may_keep(const ngx_connection_t *c,
    const ngx_http_dynamic_weight_request_t *rd, ngx_uint_t state)
{
    const ngx_http_upstream_t                 *u = rd->request->upstream;
    const ngx_http_dynamic_weight_srv_conf_t  *dscf = rd->conf;

    if (rd->group->worker.idle == NULL
        || state & NGX_PEER_FAILED
        || c == NULL
        || ngx_http_dynamic_weight_is_quic(c)
        || c->read->eof
        || c->read->error
        || c->read->timedout
        || c->write->error
        || c->write->timedout
        || c->requests >= dscf->keepalive_requests
        || ngx_current_msec - c->start_time > dscf->keepalive_time)
    {
        return false;
    }

    if (!u->keepalive
        || !u->request_body_sent
        || (u->conf->local && u->conf->local->value)  /* one a request */
        || ngx_terminate
        || ngx_exiting)
    {
        return false;
    }

    const dynweight::PeerTable  &table = *rd->group->zone.table;

    return table.weight(rd->slot) != 0
           && table.generation(rd->slot) == rd->generation;
}


/*
 * Of HTTP/3 to upstreams, which Angie has: a stream ends with its request, and
 * the connection that carries streams is no one request's.
 */

static bool
ngx_http_dynamic_weight_is_quic(const ngx_connection_t *c)
{
#if (NGX_DYNAMIC_WEIGHT_QUIC)

    if (c->quic) {
        return true;
    }

#endif

    return c->type == SOCK_DGRAM;
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

// TLS sessions by peer. What a handshake proved, who the peer is and who we
// are, goes on with its session: so one is resumed only where a connection that
// it began would be taken (see _connection_key.cc). Each worker keeps the latest few of a
// peer; a peer that none was made with costs a pointer.

#include "ngx_module/core/ngx_dynamic_weight_request.h"


#if (NGX_HTTP_SSL)

/* of one peer, by their way: locations that differ are few */
#define NGX_HTTP_DW_SESSIONS  4


typedef struct {
    ngx_ssl_session_t                    *session;  /* NULL: none behind it */
    ngx_dynamic_weight_connection_key_t   way;
} ngx_http_dynamic_weight_session_t;


struct ngx_http_dynamic_weight_sessions_s {
    uint64_t                              generation;
    ngx_http_dynamic_weight_session_t     latest[NGX_HTTP_DW_SESSIONS];
};


static void ngx_http_dynamic_weight_forget_sessions(
    ngx_http_dynamic_weight_sessions_t *sessions);


ngx_int_t
ngx_http_dynamic_weight_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_dynamic_weight_request_t *rd =
        static_cast<ngx_http_dynamic_weight_request_t *>(data);

    ngx_uint_t                           i;
    ngx_dynamic_weight_connection_key_t  way;
    ngx_http_dynamic_weight_session_t   *s;
    ngx_http_dynamic_weight_sessions_t  *sessions;

    if (rd->group == NULL) {
        return NGX_OK;
    }

    sessions = rd->group->worker.sessions[rd->slot];

    if (sessions == NULL) {
        return NGX_OK;
    }

    if (sessions->generation != rd->generation) {
        ngx_http_dynamic_weight_forget_sessions(sessions);
        return NGX_OK;
    }

    if (!ngx_http_dynamic_weight_connection_key(rd, &way)) {
        return NGX_OK;
    }

    for (i = 0; i < NGX_HTTP_DW_SESSIONS; i++) {

        s = &sessions->latest[i];

        if (s->session == NULL) {
            break;
        }

        if (ngx_http_dynamic_weight_same_connection_key(&s->way, &way)) {
            ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0,
                           "set session: %p", s->session);

            return ngx_ssl_set_session(pc->connection, s->session);
        }
    }

    return NGX_OK;
}


void
ngx_http_dynamic_weight_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_dynamic_weight_request_t *rd =
        static_cast<ngx_http_dynamic_weight_request_t *>(data);

    ngx_uint_t                            i;
    ngx_ssl_session_t                    *session;
    ngx_dynamic_weight_connection_key_t   way;
    ngx_http_dynamic_weight_session_t    *latest;
    ngx_http_dynamic_weight_sessions_t  **sessions;

    if (rd->group == NULL || !ngx_http_dynamic_weight_connection_key(rd, &way)) {
        return;
    }

    session = ngx_ssl_get_session(pc->connection);

    if (session == NULL) {
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, pc->log, 0, "save session: %p", session);

    sessions = &rd->group->worker.sessions[rd->slot];

    if (*sessions == NULL) {
        *sessions = static_cast<ngx_http_dynamic_weight_sessions_t *>(
            ngx_calloc(sizeof(ngx_http_dynamic_weight_sessions_t), pc->log));
        if (*sessions == NULL) {
            ngx_ssl_free_session(session);
            return;
        }
    }

    if ((*sessions)->generation != rd->generation) {
        ngx_http_dynamic_weight_forget_sessions(*sessions);
        (*sessions)->generation = rd->generation;
    }

    /* the place of this way, or else the oldest: it becomes the first */

    latest = (*sessions)->latest;

    for (i = 0; i < NGX_HTTP_DW_SESSIONS - 1; i++) {
        if (latest[i].session == NULL
            || ngx_http_dynamic_weight_same_connection_key(&latest[i].way, &way))
        {
            break;
        }
    }

    if (latest[i].session) {
        ngx_ssl_free_session(latest[i].session);
    }

    ngx_memmove(&latest[1], &latest[0],
                i * sizeof(ngx_http_dynamic_weight_session_t));

    latest[0].session = session;
    latest[0].way = way;
}


static void
ngx_http_dynamic_weight_forget_sessions(
    ngx_http_dynamic_weight_sessions_t *sessions)
{
    for (ngx_http_dynamic_weight_session_t &s : sessions->latest) {

        if (s.session) {
            ngx_ssl_free_session(s.session);
            s.session = NULL;
        }
    }
}

#endif

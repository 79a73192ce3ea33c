// A document is rendered while it is sent: a piece, and the next one when the
// event loop has been round. So neither its size nor a slow reader holds up
// other requests, and a reader costs the memory of one piece.

#include "ngx_module/http/ngx_http_dynamic_weight_status.h"


/* a document on its way; a cleanup of the request's pool leads to it */

struct ngx_http_dynamic_weight_sending_t {
    ngx_http_request_t                    *request;
    std::unique_ptr<dynweight::Document>   document;
    std::string                            text;
    ngx_buf_t                             *buf;
    ngx_event_t                            next_piece;
};


static void ngx_http_dynamic_weight_write_handler(ngx_http_request_t *r);
static void ngx_http_dynamic_weight_next_piece_handler(ngx_event_t *ev);
static void ngx_http_dynamic_weight_sending_cleanup(void *data);


ngx_int_t
ngx_http_dynamic_weight_add_header(ngx_http_request_t *r, const char *name,
    std::string_view value)
{
    ngx_table_elt_t  *h;

    h = static_cast<ngx_table_elt_t *>(ngx_list_push(&r->headers_out.headers));
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 0;    /* not sent, should what follows fail */

    h->value.data = static_cast<u_char *>(ngx_pnalloc(r->pool, value.size()));
    if (h->value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(h->value.data, value.data(), value.size());
    h->value.len = value.size();
    h->key.data = reinterpret_cast<u_char *>(const_cast<char *>(name));
    h->key.len = ngx_strlen(name);
    h->hash = 1;

#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


static ngx_int_t
ngx_http_dynamic_weight_send_header(ngx_http_request_t *r, ngx_uint_t status,
    const char *type)
{
    r->headers_out.status = status;
    r->headers_out.content_type.data =
                       reinterpret_cast<u_char *>(const_cast<char *>(type));
    r->headers_out.content_type.len = ngx_strlen(type);

    /* without parameters: by it gzip_types and the like know the type */
    r->headers_out.content_type_len = ngx_min(std::string_view(type).find(';'),
                                              r->headers_out.content_type.len);

    if (ngx_http_dynamic_weight_add_header(r, "Cache-Control", "no-store")
            != NGX_OK
        || ngx_http_dynamic_weight_add_header(r, "X-Content-Type-Options",
                                              "nosniff")
            != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_send_header(r);
}


ngx_int_t
ngx_http_dynamic_weight_send(ngx_http_request_t *r, ngx_uint_t status,
    const std::string &text)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    r->headers_out.content_length_n = text.size();

    rc = ngx_http_dynamic_weight_send_header(r, status, "application/json");

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_create_temp_buf(r->pool, text.size());
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, text.data(), text.size());
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_dynamic_weight_send_document(ngx_http_request_t *r, const char *type,
    std::unique_ptr<dynweight::Document> document)
{
    ngx_int_t                           rc;
    ngx_pool_cleanup_t                 *cln;
    ngx_http_dynamic_weight_sending_t  *sending;

    rc = ngx_http_dynamic_weight_send_header(r, NGX_HTTP_OK, type);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    sending = new ngx_http_dynamic_weight_sending_t();

    cln->data = sending;
    cln->handler = ngx_http_dynamic_weight_sending_cleanup;

    sending->request = r;
    sending->document = std::move(document);
    sending->text.reserve(2 * dynweight::Document::kPieceBytes);

    sending->buf = static_cast<ngx_buf_t *>(ngx_calloc_buf(r->pool));
    if (sending->buf == NULL) {
        return NGX_ERROR;
    }

    sending->next_piece.handler = ngx_http_dynamic_weight_next_piece_handler;
    sending->next_piece.data = sending;
    sending->next_piece.log = r->connection->log;

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_dynamic_weight_write_handler;

    ngx_http_dynamic_weight_write_handler(r);

    return NGX_DONE;
}


static void
ngx_http_dynamic_weight_sending_cleanup(void *data)
{
    ngx_http_dynamic_weight_sending_t *sending =
        static_cast<ngx_http_dynamic_weight_sending_t *>(data);

    if (sending->next_piece.posted) {
        ngx_delete_posted_event(&sending->next_piece);
    }

    delete sending;
}


/* the module's context of a request is the balancer's: not used here */

static ngx_http_dynamic_weight_sending_t *
ngx_http_dynamic_weight_find_sending(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_dynamic_weight_sending_cleanup
            && static_cast<ngx_http_dynamic_weight_sending_t *>(cln->data)
               ->request == r)
        {
            return static_cast<ngx_http_dynamic_weight_sending_t *>(cln->data);
        }
    }

    return NULL;
}


/* NGX_DONE: the last piece is on its way; NGX_AGAIN: the reader is slow */

static ngx_int_t
ngx_http_dynamic_weight_send_piece(ngx_http_request_t *r,
    ngx_http_dynamic_weight_sending_t *sending)
{
    bool               last;
    ngx_int_t          rc;
    ngx_buf_t         *b;
    ngx_chain_t        out;
    ngx_connection_t  *c;
    dynweight::Moment  now;

    b = sending->buf;
    c = r->connection;

    if (b->pos != b->last || r->buffered || c->buffered) {

        /* what was rendered last is still on its way */

        rc = ngx_http_output_filter(r, NULL);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (b->pos != b->last || r->buffered || c->buffered) {
            return NGX_AGAIN;
        }
    }

    sending->text.clear();

    now.monotonic_ms = ngx_current_msec;
    now.unix_ms = ngx_dynamic_weight_unix_msec();

    last = sending->document->Piece(now, &sending->text);

    if (sending->text.empty() && !last) {
        return NGX_OK;
    }

    ngx_memzero(b, sizeof(ngx_buf_t));

    b->tag = static_cast<ngx_buf_tag_t>(&ngx_http_dynamic_weight_module);
    b->start = reinterpret_cast<u_char *>(sending->text.data());
    b->pos = b->start;
    b->last = b->pos + sending->text.size();
    b->end = b->last;
    b->temporary = 1;
    b->flush = 1;
    b->last_buf = (last && r == r->main) ? 1 : 0;
    b->last_in_chain = last ? 1 : 0;

    out.buf = b;
    out.next = NULL;

    rc = ngx_http_output_filter(r, &out);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (last) {
        return NGX_DONE;
    }

    return (b->pos != b->last || r->buffered || c->buffered) ? NGX_AGAIN
                                                             : NGX_OK;
}


static void
ngx_http_dynamic_weight_write_handler(ngx_http_request_t *r)
{
    ngx_int_t                           rc;
    ngx_event_t                        *wev;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_dynamic_weight_sending_t  *sending;

    sending = ngx_http_dynamic_weight_find_sending(r);

    wev = r->connection->write;

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "client timed out");
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (sending->next_piece.posted) {
        return;
    }

    rc = ngx_dynamic_weight_guard(r->connection->log, NGX_ERROR,
                                  [&]() -> ngx_int_t {
        return ngx_http_dynamic_weight_send_piece(r, sending);
    });

    if (rc == NGX_ERROR || rc == NGX_DONE) {
        ngx_http_finalize_request(r, rc == NGX_DONE ? NGX_OK : rc);
        return;
    }

    clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));

    /*
     * A timer of limit_rate's ends the delay, and must stay. There is one
     * between two pieces, too: a worker that is to quit waits for timers only,
     * not for posted events.
     */

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (rc == NGX_OK) {
        ngx_post_event(&sending->next_piece, &ngx_posted_next_events);
        return;
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


static void
ngx_http_dynamic_weight_next_piece_handler(ngx_event_t *ev)
{
    ngx_connection_t                   *c;
    ngx_http_request_t                 *r;
    ngx_http_dynamic_weight_sending_t  *sending;

    sending = static_cast<ngx_http_dynamic_weight_sending_t *>(ev->data);

    r = sending->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_dynamic_weight_write_handler(r);

    ngx_http_run_posted_requests(c);
}

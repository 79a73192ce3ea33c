// Idle connections to peers, as they are kept between two requests.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_HTTP_NGX_HTTP_DYNAMIC_WEIGHT_IDLE_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_HTTP_NGX_HTTP_DYNAMIC_WEIGHT_IDLE_H_

#include "ngx_module/core/ngx_dynamic_weight_request.h"


typedef struct {
    ngx_queue_t                           peer;   /* newest first */
    ngx_queue_t                           all;    /* newest first, or free */
    ngx_dynamic_weight_group_t           *group;
    uint32_t                              slot;
    uint64_t                              generation;
    ngx_connection_t                     *connection;
    ngx_msec_t                            until;
    ngx_dynamic_weight_connection_key_t   way;
} ngx_http_dynamic_weight_idle_t;


struct ngx_http_dynamic_weight_peer_idle_s {
    ngx_queue_t                           queue;
    ngx_uint_t                            n;
};


/*
 * A free one, in the lists as the newest, to be filled. A peer that has `most`
 * of them loses its oldest one; when there is none free, the worker does.
 */
ngx_http_dynamic_weight_idle_t *ngx_http_dynamic_weight_list_idle(
    ngx_http_dynamic_weight_peer_idle_t *peer, ngx_uint_t most);

/* its connection is no request's any more; it may be closed at once */
void ngx_http_dynamic_weight_park_idle(ngx_http_dynamic_weight_idle_t *idle);

/* takes its connection out of the lists */
void ngx_http_dynamic_weight_release_idle(
    ngx_http_dynamic_weight_idle_t *idle);

/* the same, and closes it */
void ngx_http_dynamic_weight_drop_idle(ngx_http_dynamic_weight_idle_t *idle);


inline bool
ngx_http_dynamic_weight_idle_too_long(
    const ngx_http_dynamic_weight_idle_t *idle)
{
    return static_cast<ngx_msec_int_t>(idle->until - ngx_current_msec) <= 0;
}


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_HTTP_NGX_HTTP_DYNAMIC_WEIGHT_IDLE_H_

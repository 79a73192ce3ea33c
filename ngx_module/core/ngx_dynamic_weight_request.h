// A request to an upstream of ours, as the parts of the method see it.
//
//   ..._peer.cc       its life: from init to free
//   ..._select.cc     which peer it goes to, and ..._rest.cc when draws fail
//   ..._keepalive.cc  the connection it takes, and leaves behind
//   ..._idle.h        those that nobody uses at the moment
//   ..._session.cc    the TLS session that a new one begins with
//   ..._connection_key.cc        which of them would do
//   ..._retries.cc    how many attempts it may have
//   ..._variable.cc   what it says of its attempts

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_REQUEST_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_REQUEST_H_

#include "ngx_module/core/ngx_dynamic_weight.h"


/* peers tried that are remembered one by one; beyond them, a bitmap */
#define NGX_HTTP_DW_TRIED  5


/* one attempt; $dynamic_weight_cluster names them all */

typedef struct ngx_http_dynamic_weight_attempt_s
    ngx_http_dynamic_weight_attempt_t;

struct ngx_http_dynamic_weight_attempt_s {
    ngx_http_dynamic_weight_attempt_t   *next;
    ngx_str_t                           *cluster;    /* NULL: KVM */
    ngx_uint_t                           state;      /* of the request's
                                                        upstream_states */
};


/*
 * A request to one upstream; see _variable.cc for the chain of them. Small,
 * since it is to fit into what the others leave of the request's first pools:
 * one more of them costs more than the whole pick.
 */

typedef struct ngx_http_dynamic_weight_request_s
    ngx_http_dynamic_weight_request_t;

struct ngx_http_dynamic_weight_request_s {
    ngx_http_dynamic_weight_request_t   *next;
    ngx_http_request_t                  *request;
    ngx_http_dynamic_weight_srv_conf_t  *conf;

    /* the present attempt; group is NULL when there is none */
    ngx_dynamic_weight_group_t          *group;
    uint64_t                             generation;
    uint32_t                             slot;
    u_char                              *names;      /* see _connection_key.cc */

    uint32_t                             key;        /* hashed, of "hash" */

    unsigned                             keyed:1;   /* there is a key */
    unsigned                             again:1;   /* the slot once more, by a
                                                       new connection */
    unsigned                             backup:1;  /* primary ones are done */
    unsigned                             ntried:4;  /* in this group */
    unsigned                             nameless:1;  /* see _connection_key.cc */
    unsigned                             retry:1;   /* not its first attempt */
    unsigned                             extended:1;  /* its tries, by panic */
    uint32_t                             tried[NGX_HTTP_DW_TRIED];
    uintptr_t                           *bitmap;

    ngx_http_dynamic_weight_attempt_t   *attempts;
    ngx_http_dynamic_weight_attempt_t  **last;
    ngx_http_dynamic_weight_attempt_t    first;
};


/* what speaks against a peer */

typedef enum {
    NGX_HTTP_DW_USABLE,
    NGX_HTTP_DW_USABLE_IF_NEEDED,   /* only as long as there are others */
    NGX_HTTP_DW_OUT,                /* by passive health */
    NGX_HTTP_DW_UNUSABLE
} ngx_dynamic_weight_usable_e;


/* _select.cc */

/*
 * NGX_OK: *slot is chosen, and an ingress node's address is among the
 * group's occupants, for as long as the event loop is not gone back to.
 * NGX_BUSY: no peer is left; *slot is as it was, *generation is not to be
 * looked at.
 */
ngx_int_t ngx_dynamic_weight_choose(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t *slot,
    uint64_t *generation);

/*
 * Whether it may be chosen; nothing is changed but the address among the
 * group's occupants. `ramp`, in parts of 2^32, is what a slow start leaves it.
 */
ngx_dynamic_weight_usable_e ngx_dynamic_weight_usable(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t slot,
    uint64_t *generation, uint64_t *ramp);

/* last of all: a peer that failed is let in by the one request it probes */
bool ngx_dynamic_weight_admit(ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t slot);

/* the generation of who occupies a slot, 0: nobody; sets its occupant */
uint64_t ngx_dynamic_weight_generation(
    ngx_dynamic_weight_group_t *group, uint32_t slot);

/* _rest.cc: the same as choose, in O(slots) */

/* among the slots of a range that serve */
ngx_int_t ngx_dynamic_weight_choose_rest(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, dynweight::SlotRange range,
    uint32_t *slot, uint64_t *generation);

/* among those that stand by, of the first priority that has one */
ngx_int_t ngx_dynamic_weight_choose_standby(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t *slot, uint64_t *generation);

/* the slot is not chosen again for as long as rd stays in the group */
ngx_int_t ngx_dynamic_weight_set_tried(
    ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_group_t *group, uint32_t slot);

/* _connection_key.cc */

/* what two requests must have in common to use one connection */

typedef struct {
    ngx_int_t                           (*protocol)(ngx_http_request_t *r);
    ngx_http_upstream_local_t            *local;  /* proxy_bind */
    ngx_http_upstream_conf_t             *conf;   /* location; NULL: any */
    u_char                                names[32];
} ngx_dynamic_weight_connection_key_t;

/*
 * Once an attempt, when its peer is known and as a handshake would: variables
 * may have other values later.
 */
void ngx_http_dynamic_weight_note_names(ngx_http_dynamic_weight_request_t *rd);

/* false: not known, so that nothing may be taken or kept */
bool ngx_http_dynamic_weight_connection_key(const ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_connection_key_t *way);
bool ngx_http_dynamic_weight_same_connection_key(const ngx_dynamic_weight_connection_key_t *one,
    const ngx_dynamic_weight_connection_key_t *two);

/* _keepalive.cc */

/* an idle connection to the peer chosen, in pc; false when there is none */
bool ngx_http_dynamic_weight_take_idle(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd);

/* keeps pc's connection if it may be used again; pc then has none */
void ngx_http_dynamic_weight_keep_idle(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd, ngx_uint_t state);

/* _session.cc: peer.set_session and peer.save_session */

#if (NGX_HTTP_SSL)
ngx_int_t ngx_http_dynamic_weight_set_session(ngx_peer_connection_t *pc,
    void *data);
void ngx_http_dynamic_weight_save_session(ngx_peer_connection_t *pc,
    void *data);
#endif

/* _retries.cc */

/*
 * An attempt begins, is over. `again`: the same one, by another connection.
 */
void ngx_http_dynamic_weight_begin_retry(ngx_http_dynamic_weight_request_t *rd,
    bool again);
void ngx_http_dynamic_weight_end_retry(ngx_http_dynamic_weight_request_t *rd);

/* how many attempts a request may have */
ngx_uint_t ngx_http_dynamic_weight_tries(
    const ngx_http_dynamic_weight_srv_conf_t *dscf);

/* after one that failed, and is over: how many may follow it */
void ngx_http_dynamic_weight_bound_tries(ngx_peer_connection_t *pc,
    ngx_http_dynamic_weight_request_t *rd);

/* _variable.cc: makes rd known to the request's variables */

void ngx_http_dynamic_weight_chain(ngx_http_dynamic_weight_request_t *rd);


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_REQUEST_H_

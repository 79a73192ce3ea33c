// What the module's files share: its configuration and who does what with it.
//
//   core/, what has nothing to do with a request of HTTP:
//   ..._cluster.cc        directives of a cluster, as _cluster_block.cc reads it
//   ..._probe.cc          its nodes' probes, and what they say in shared memory
//   ..._outlier.cc        what outlier detection says there
//   ..._zone.cc           shared memory: what lies where; see ..._zone.h
//   ..._fill.cc           what it begins with
//   ..._inherit.cc        what a new cycle takes over from the one before
//   ..._permissions.cc    what the workers' user may read and write
//   ..._watch.cc          worker 0: the watcher
//   ..._apply.cc          worker 0: what it hands over; see ..._apply.h
//   ..._share_windows.cc  worker 0: the windows that observed shares are of
//   ..._tuning.cc         the tuning file, as read with the configuration
//   ..._serving.cc        which peers serve now, as each worker picks by them
//   ..._select.cc         which of them a request is given; see ..._request.h
//   ..._column.cc         where this process counts its connections
//
//   http/:
//   ..._module.cc         the module: directives, configuration, processes
//   ..._http.cc           directives of http
//   ..._upstream.cc       directives of upstream, and ..._ingress_nodes.cc,
//                         ..._health.cc
//   ..._stock.cc          nginx's own directives of upstream, beside ours
//   ..._peers.cc          the peers that they make
//   ..._resolve.cc        what only the whole configuration tells
//   ..._peer.cc           a request, from its peer's choice to its end, with
//                         _keepalive.cc, _idle.cc, _session.cc,
//                         _connection_key.cc, _retries.cc and _variable.cc
//   ..._status.cc         the status location; see ..._status.h and status/

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_H_

#include "ngx_module/core/nginx.hpp"
#include "ngx_module/core/ngx_dynamic_weight_place.h"

#include <atomic>
#include <string_view>
#include <vector>

#include "ngx_module/status/model.h"
#include "watcher/config/config.h"
#include "watcher/watcher.h"
#include "watcher/weight_change_log.h"
#include "weightcalc/consistent_hash.h"
#include "weightcalc/outlier_window.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/pick_sequence.h"
#include "weightcalc/retry_budget.h"
#include "weightcalc/serving_weights.h"
#include "weightcalc/sampling_window.h"
#include "weightcalc/shared_document.h"
#include "weightcalc/shared_record.h"
#include "weightcalc/tuning.h"


/* an ingress_nodes or instances line of an upstream */

typedef struct {
    ngx_dynamic_weight_place_t            place;
    ngx_str_t                             cluster;
    ngx_str_t                             source;
    ngx_array_t                           words;        /* ngx_str_t: of the
                                                           instances' source */
    ngx_str_t                             ingress;      /* needed; or empty */
    in_port_t                             port;         /* of ingress nodes */
    ngx_uint_t                            base;         /* 0: the upstream's */
    ngx_uint_t                            slots;
    ngx_uint_t                            max_fails;
    time_t                                fail_timeout;
    ngx_uint_t                            max_conns;
    ngx_msec_t                            slow_start;   /* 0: none */
    ngx_uint_t                            priority;     /* the least first */
    ngx_uint_t                            rank;         /* its place among the
                                                           upstream's */
    unsigned                              instances:1;
    unsigned                              drain:1;
    unsigned                              backup:1;
} ngx_dynamic_weight_line_t;


/*
 * What the configuration says of a slot of a peer table. What every request
 * reads comes first, on a cache line of its own.
 */

typedef struct {
    alignas(64) struct sockaddr          *sockaddr;  /* NULL: of a line */
    ngx_str_t                             name;      /* of a server */
    ngx_str_t                            *cluster;   /* NULL: KVM */
    socklen_t                             socklen;
    dynweight::HealthPolicy               health;
    ngx_msec_t                            slow_start;   /* 0: none */
    uint32_t                              max_conns;

    uint64_t                              weight;    /* of a server */
    ngx_str_t                             server;    /* as in "server" */
    uint64_t                              identity;  /* hash: of a server, or
                                                        seed of its nodes' */
} ngx_dynamic_weight_slot_conf_t;


/*
 * The ingress node or instance that occupied a slot when this worker last chose
 * it: its address as connect() and $upstream_addr want it.
 */

typedef struct {
    uint64_t                              generation;  /* 0: nobody as yet */
    uint8_t                               socklen;
    uint8_t                               len;         /* of the text */
    union {
        struct sockaddr                   sockaddr;
        struct sockaddr_in                sin;
#if (NGX_HAVE_INET6)
        struct sockaddr_in6               sin6;
#endif
    };
    u_char                                text[NGX_INET6_ADDRSTRLEN
                                               + sizeof("[]:65535") - 1];
} ngx_dynamic_weight_occupant_t;


/* idle connections to one peer */

typedef struct ngx_http_dynamic_weight_peer_idle_s
    ngx_http_dynamic_weight_peer_idle_t;


/* TLS sessions with one peer */

typedef struct ngx_http_dynamic_weight_sessions_s
    ngx_http_dynamic_weight_sessions_t;


typedef struct ngx_http_dynamic_weight_srv_conf_s
    ngx_http_dynamic_weight_srv_conf_t;


/*
 * What the configuration says of a group. Filled while it is read, by _peers.cc
 * and _resolve.cc; from then on the same in all processes, for as long as the
 * cycle lives.
 */

typedef struct {
    ngx_http_dynamic_weight_srv_conf_t   *srv;       /* whose group it is */
    ngx_uint_t                            id;        /* of its table: its place
                                                        in the main conf's
                                                        groups */
    ngx_uint_t                            nslots;    /* 0: there is no backup */
    ngx_dynamic_weight_slot_conf_t       *slots;
} ngx_dynamic_weight_group_conf_t;


/*
 * What lies in shared memory. Filled by _zone.cc before there are workers,
 * which inherit it; the content is one for all processes of the cycle, and gone
 * with its zone: the next cycle has another one, and takes over by _inherit.cc.
 */

typedef struct {
    std::atomic<uint16_t>                *marks;     /* the tuning's, by slot;
                                                        NULL: no tuning file */
    dynweight::SamplingWindow               *window;
    dynweight::PeerTable                 *table;
} ngx_dynamic_weight_group_zone_t;


/*
 * What this worker alone has. Filled when its process starts, by _module.cc,
 * _serving.cc and _idle.cc; kept up to date by _serving.cc and by the requests;
 * gone with the process. In the master it stays zero.
 */

typedef struct {
    dynweight::ServingWeights            *serving;
    dynweight::PickIndex                 *index;     /* of what they weigh */
    uint64_t                              version;   /* that index shows */
    uint64_t                              health_version;
    int64_t                               next_probe;
    uint64_t                              rests;     /* so many choices among
                                                        what draws left */
    dynweight::ConsistentHash            *hash;      /* NULL: another method */
    ngx_dynamic_weight_occupant_t        *occupants;
    ngx_http_dynamic_weight_sessions_t  **sessions;  /* by slot; NULL: none */
    ngx_http_dynamic_weight_peer_idle_t  *idle;      /* NULL: none are kept */
} ngx_dynamic_weight_group_worker_t;


/* the primary peers of an upstream, or its backup peers */

typedef struct {
    ngx_dynamic_weight_group_conf_t         conf;
    ngx_dynamic_weight_group_zone_t         zone;
    ngx_dynamic_weight_group_worker_t       worker;
} ngx_dynamic_weight_group_t;


struct ngx_http_dynamic_weight_srv_conf_s {
    ngx_http_upstream_srv_conf_t         *upstream;
    ngx_array_t                           lines;
                                         /* ngx_dynamic_weight_line_t */
    ngx_uint_t                            first_line;  /* in the config's */
    ngx_uint_t                            base;
    ngx_dynamic_weight_place_t            base_place;
    ngx_dynamic_weight_group_t            primary;
    ngx_dynamic_weight_group_t            backup;
    ngx_http_complex_value_t             *hash_key;  /* NULL: another method */
    ngx_uint_t                            keepalive; /* idle connections kept
                                                        per peer and worker */
    ngx_uint_t                            keepalive_requests;
    ngx_msec_t                            keepalive_time;
    ngx_msec_t                            keepalive_timeout;
    ngx_dynamic_weight_place_t            keepalive_place;
    ngx_dynamic_weight_place_t            stock_place;  /* of nginx's own */
    dynweight::RetryBudget                retries;
    ngx_dynamic_weight_place_t            retries_place;
    ngx_uint_t                            panic;     /* percent of the weight;
                                                        0: when all are out */
    ngx_dynamic_weight_place_t            panic_place;
    dynweight::ProbeConfig               *probe;     /* NULL: none */
    ngx_dynamic_weight_place_t            probe_place;
    dynweight::OutlierPolicy              outlier;
    ngx_dynamic_weight_place_t            outlier_place;  /* file NULL: nobody
                                                             is ejected */
    ngx_uint_t                            priorities;  /* below 2: none */
    ngx_uint_t                            overprovisioning;  /* percent */
    ngx_dynamic_weight_place_t            failover_place;
    unsigned                              keepalive_total:1;  /* per worker */
    unsigned                              keepalive_local:1;  /* by location */
    unsigned                              keepalive_before:1;  /* the method */
    unsigned                              probe_ingress:1;  /* through the
                                                               nodes */
    unsigned                              least_conn:1;
    unsigned                              enabled:1;      /* dynamic_weight */
    unsigned                              initialized:1;  /* and in force */
    ngx_uint_t                            balance;   /* of a hash: percent of
                                                        its share that a peer
                                                        may have; 0: any */

    /* of this worker alone; see _serving.cc */
    ngx_msec_t                            refreshed;
    unsigned                              all_out:1; /* so that health does not
                                                        count */
    unsigned                              single:1;    /* one peer serves at most:
                                                        it is not taken out */
};


/* a cluster's documents in the zone */

typedef struct {
    dynweight::SharedDocument            *view;
    dynweight::SharedDocument            *status;
} ngx_dynamic_weight_documents_t;


/* the tuning file */

typedef struct {
    ngx_str_t                             file;      /* len 0: there is none */
    ngx_dynamic_weight_place_t            place;

    /* as of when the configuration was read */
    std::string                          *text;
    dynweight::Tuning                    *rules;     /* none, if no file */

    /* in the zone */
    dynweight::SharedDocument            *good;      /* its last good text */
    dynweight::SharedDocument            *status;
} ngx_dynamic_weight_tuning_t;


typedef struct {
    ngx_cycle_t                          *cycle;
    ngx_shm_zone_t                       *zone;
    ngx_dynamic_weight_place_t            zone_place;
    ngx_str_t                             state;
    ngx_path_t                           *state_path;
    ngx_uint_t                            base;
    ngx_array_t                           upstreams;
                                  /* ngx_http_dynamic_weight_srv_conf_t * */
    ngx_array_t                           cluster_places;
                                     /* ngx_dynamic_weight_place_t */
    ngx_dynamic_weight_documents_t       *documents;  /* one a cluster */
    std::vector<dynweight::SharedRecord<dynweight::LineRecord>>
                                         *records;    /* one a line */
    dynweight::SharedDocument            *decisions;
    ngx_dynamic_weight_tuning_t           tuning;
    ngx_dynamic_weight_group_t          **groups;    /* by table, filled when
                                                        the configuration is
                                                        complete: each that has
                                                        peers, the upstreams in
                                                        their order, of each
                                                        the primary one first */
    ngx_uint_t                            ntables;
    ngx_uint_t                            workers;
    ngx_int_t                             chain;     /* variable's index */
    struct ngx_dynamic_weight_root_s
                                         *root;      /* of the zone */
    dynweight::SharedDocument            *retained;
    std::atomic<uint64_t>                *owners;    /* of each column: a pid,
                                                        or 0 */
    ngx_uint_t                            columns;
    dynweight::WatcherConfig             *config;
    dynweight::StatusModel               *status;    /* of this process; NULL:
                                                        not made as yet */
    unsigned                              coalesce_set:1;
    unsigned                              status_asked:1;  /* by a location */
} ngx_http_dynamic_weight_main_conf_t;


extern "C" ngx_module_t  ngx_http_dynamic_weight_module;


/* _http.cc */

char *ngx_http_dynamic_weight_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_dynamic_weight_base(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_dynamic_weight_coalesce(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* _cluster_block.cc */

char *ngx_dynamic_weight_cluster(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* _upstream.cc */

char *ngx_http_dynamic_weight(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_dynamic_weight_keepalive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* _ingress_nodes.cc */

char *ngx_http_dynamic_weight_ingress_nodes(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_dynamic_weight_instances(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* "ingress_nodes" or "instances" */

const char *ngx_http_dynamic_weight_line_name(
    const ngx_dynamic_weight_line_t &line);

/* _peers.cc */

/* makes the slots of the primary peers, or of the backup ones */
ngx_int_t ngx_http_dynamic_weight_init_group(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf, bool backup);

/* _resolve.cc: checks the whole configuration; fills main->config */

ngx_int_t ngx_http_dynamic_weight_resolve(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* _zone.cc */

ngx_int_t ngx_dynamic_weight_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);

/* _permissions.cc: warns of files that are closed to the workers' user */

void ngx_dynamic_weight_check_access(
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* _watch.cc */

ngx_int_t ngx_dynamic_weight_start_watcher(ngx_cycle_t *cycle);
void ngx_dynamic_weight_stop_watcher(void);

/* _tuning.cc */

char *ngx_dynamic_weight_tuning(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* after ..._resolve(): reads the file and checks it whole */
ngx_int_t ngx_dynamic_weight_resolve_tuning(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf);

void ngx_dynamic_weight_write_marks(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::MarkUpdate &update);

/* _share_windows.cc */

/* in worker 0; a worker that is to quit is not held up */
void ngx_dynamic_weight_start_shares(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* after a change of weights: what was served under the previous is forgotten */
void ngx_dynamic_weight_restart_share(ngx_uint_t table);

/* _peer.cc */

ngx_int_t ngx_http_dynamic_weight_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);

/* _serving.cc */

/* after the watcher's config is complete: the ranges of a group's lines */
ngx_int_t ngx_dynamic_weight_init_serving(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_dynamic_weight_group_t *group);

/* brings what this worker picks by up to the tables' versions */
void ngx_dynamic_weight_refresh(ngx_http_dynamic_weight_srv_conf_t *dscf);

/* whether passive health keeps requests away from the peer now */
bool ngx_dynamic_weight_is_out(
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    const ngx_dynamic_weight_group_t *group, uint32_t slot);

/* _column.cc: where this process counts its connections */

#define NGX_HTTP_DW_NO_COLUMN  UINT32_MAX   /* nowhere */

extern ngx_uint_t  ngx_dynamic_weight_column;

/* before the first request, and after the last */
void ngx_dynamic_weight_claim_column(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf);
void ngx_dynamic_weight_release_column(
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* _select.cc: who occupies a slot, as a hash; 0: nobody */

uint64_t ngx_dynamic_weight_identity(
    ngx_dynamic_weight_group_t *group, uint32_t slot);

/* _idle.cc */

#define NGX_HTTP_DW_KEEPALIVE      4      /* by default */
#define NGX_HTTP_DW_MAX_KEEPALIVE  65535

ngx_int_t ngx_http_dynamic_weight_init_keepalive(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* _stock.cc: nginx's own directives in an upstream */

char *ngx_http_dynamic_weight_stock_keepalive(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);

/* in an upstream of ours nginx's own keepalive keeps nothing, written or not */
char *ngx_http_dynamic_weight_stop_stock_keepalive(ngx_conf_t *cf);

/* refuses what would be without effect; sets what was not written */
ngx_int_t ngx_http_dynamic_weight_resolve_stock(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf);

/* directives that other modules have for upstreams: "a", "b" or "c" */
std::string ngx_http_dynamic_weight_foreign(ngx_conf_t *cf, bool methods);

/* _retries.cc */

char *ngx_http_dynamic_weight_retries(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* _variable.cc */

ngx_int_t ngx_http_dynamic_weight_add_variables(ngx_conf_t *cf);

/* _status.cc */

char *ngx_http_dynamic_weight_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* _status_model.cc: before the first request, which would wait for it */

ngx_int_t ngx_http_dynamic_weight_init_status(
    ngx_http_dynamic_weight_main_conf_t *dmcf);


inline int64_t
ngx_dynamic_weight_unix_msec(void)
{
    ngx_time_t  *tp = ngx_timeofday();

    return static_cast<int64_t>(tp->sec) * 1000 + tp->msec;
}


inline ngx_http_dynamic_weight_main_conf_t *
ngx_http_dynamic_weight_cycle_conf(ngx_cycle_t *cycle)
{
    if (ngx_get_conf(cycle->conf_ctx, ngx_http_module) == NULL) {
        return NULL;   /* no http block */
    }

    return static_cast<ngx_http_dynamic_weight_main_conf_t *>(
        ngx_http_cycle_get_module_main_conf(cycle,
                                            ngx_http_dynamic_weight_module));
}


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_H_

// What the module's files share: its configuration and who does what with it.
//
//   ..._module.cc    directives of http, and the module itself
//   ..._cluster.cc   the dynamic_weight_cluster block
//   ..._upstream.cc  directives of upstream, and the peers they make
//   ..._zone.cc      shared memory: its size, content, and the carry-over
//   ..._access.cc    what the workers' user may read and write
//   ..._watch.cc     worker 0: the watcher and what it hands over
//   ..._peer.cc      a request: get, free, TLS sessions
//   ..._status.cc    the status location

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_H_

#include "nginx.hpp"

#include "watcher/config.h"
#include "weightcalc/peer_table.h"
#include "weightcalc/pick_sequence.h"
#include "weightcalc/shared_document.h"


/* where a directive stands, for errors found after it was read */

typedef struct {
    u_char                               *file;
    ngx_uint_t                            line;
} ngx_http_dynamic_weight_place_t;


/* an ingress_nodes line of an upstream */

typedef struct {
    ngx_http_dynamic_weight_place_t       place;
    ngx_str_t                             cluster;
    ngx_str_t                             source;
    in_port_t                             port;
    ngx_uint_t                            slots;
    ngx_uint_t                            max_fails;
    time_t                                fail_timeout;
    ngx_uint_t                            max_conns;
    unsigned                              drain:1;
    unsigned                              backup:1;
} ngx_http_dynamic_weight_line_t;


/* what the configuration says of a slot of a peer table */

typedef struct {
    struct sockaddr                      *sockaddr;  /* NULL: ingress node */
    socklen_t                             socklen;
    ngx_str_t                             name;      /* of a server */
    ngx_str_t                             server;    /* as in "server" */
    ngx_str_t                            *cluster;   /* NULL: KVM */
    uint32_t                              weight;    /* of a server */
    uint32_t                              max_fails;
    time_t                                fail_timeout;
    uint32_t                              max_conns;
} ngx_http_dynamic_weight_seat_t;


typedef struct {
    uint64_t                              generation;
    ngx_ssl_session_t                    *session;
} ngx_http_dynamic_weight_session_t;


/* the primary peers of an upstream, or its backup peers */

typedef struct {
    ngx_http_dynamic_weight_seat_t       *seats;
    ngx_uint_t                            nseats;
    ngx_uint_t                            id;        /* of its table */
    dynweight::PeerTable                 *table;

    /* of this worker alone */
    dynweight::PickIndex                 *index;
    uint64_t                              version;   /* that index shows */
    ngx_http_dynamic_weight_session_t    *sessions;
} ngx_http_dynamic_weight_group_t;


typedef struct {
    ngx_http_upstream_srv_conf_t         *upstream;
    ngx_array_t                           lines;
                                         /* ngx_http_dynamic_weight_line_t */
    ngx_uint_t                            base;
    ngx_http_dynamic_weight_place_t       base_place;
    ngx_http_dynamic_weight_group_t       primary;
    ngx_http_dynamic_weight_group_t       backup;
    unsigned                              enabled:1;      /* dynamic_weight */
    unsigned                              initialized:1;  /* and in force */
    unsigned                              single:1;  /* a lone peer is never
                                                        taken out */
} ngx_http_dynamic_weight_srv_conf_t;


/* a cluster's documents in the zone */

typedef struct {
    dynweight::SharedDocument            *view;
    dynweight::SharedDocument            *status;
} ngx_http_dynamic_weight_documents_t;


typedef struct {
    ngx_cycle_t                          *cycle;
    ngx_shm_zone_t                       *zone;
    ngx_http_dynamic_weight_place_t       zone_place;
    ngx_str_t                             state;
    ngx_path_t                           *state_path;
    ngx_uint_t                            base;
    ngx_array_t                           upstreams;
                                  /* ngx_http_dynamic_weight_srv_conf_t * */
    ngx_array_t                           cluster_places;
                                     /* ngx_http_dynamic_weight_place_t */
    ngx_http_dynamic_weight_documents_t  *documents;  /* one a cluster */
    ngx_uint_t                            ntables;
    ngx_uint_t                            workers;
    dynweight::WatcherConfig             *config;
    unsigned                              coalesce_set:1;
} ngx_http_dynamic_weight_main_conf_t;


extern "C" ngx_module_t  ngx_http_dynamic_weight_module;


/* _cluster.cc */

char *ngx_http_dynamic_weight_cluster(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* reads a time such as "5s" into milliseconds; false when it is none or 0 */
bool ngx_http_dynamic_weight_msec(ngx_str_t *value, int64_t *ms);

/* _upstream.cc */

char *ngx_http_dynamic_weight(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_dynamic_weight_ingress_nodes(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* checks what only the whole configuration tells; fills main->config */
ngx_int_t ngx_http_dynamic_weight_resolve(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* _zone.cc */

ngx_int_t ngx_http_dynamic_weight_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);

/* _access.cc: warns of files that are closed to the workers' user */

void ngx_http_dynamic_weight_check_access(
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* _watch.cc */

ngx_int_t ngx_http_dynamic_weight_start_watcher(ngx_cycle_t *cycle);
void ngx_http_dynamic_weight_stop_watcher(void);

/* _peer.cc */

ngx_int_t ngx_http_dynamic_weight_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
ngx_int_t ngx_http_dynamic_weight_cluster_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

/* makes this worker's pick indexes; forgets what a predecessor held */
ngx_int_t ngx_http_dynamic_weight_init_worker(ngx_cycle_t *cycle,
    ngx_http_dynamic_weight_main_conf_t *dmcf);

/* _status.cc */

char *ngx_http_dynamic_weight_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


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


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_H_

// What the files of the status share: documents that are rendered piece by
// piece, and the facts that they render.
//
//   ..._status.cc         the location: which document
//   ..._ready.cc          /ready
//   ..._status_send.cc    sends it without blocking
//   ..._status_facts.cc   peers and shares as they stand now
//   ..._status_json.cc    /status
//   ..._metrics.cc        /metrics; see ..._metrics.h
//   ..._page.cc           /, the page; its style and script in
//                         ..._page_assets.cc

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_STATUS_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_STATUS_H_

#include "ngx_http_dynamic_weight.h"

#include <memory>
#include <optional>

#include "watcher/cluster_status.h"


/*
 * A piece is about so many bytes and at most so many steps: some 0.3 ms.
 */
#define NGX_HTTP_DW_STATUS_PIECE  49152
#define NGX_HTTP_DW_STATUS_STEPS  64

/* slots that a step may look at */
#define NGX_HTTP_DW_STATUS_SLOTS  64


/* a document that is made while it is sent, and never whole in memory */

class ngx_http_dynamic_weight_document_t {
public:
    virtual ~ngx_http_dynamic_weight_document_t() = default;

    /* appends a bounded piece; true when it was the last */

    bool
    piece(std::string *out)
    {
        for (ngx_uint_t n = 0; n < NGX_HTTP_DW_STATUS_STEPS; n++) {

            if (step(out)) {
                return true;
            }

            if (out->size() >= NGX_HTTP_DW_STATUS_PIECE) {
                break;
            }
        }

        return false;
    }

protected:
    /* appends little: a peer, a line; true when the document is complete */
    virtual bool step(std::string *out) = 0;
};


/* what a request asks for */

typedef struct {
    ngx_http_dynamic_weight_main_conf_t  *conf;
    std::optional<std::string>            upstream;   /* only this one */
    std::string                           filter;     /* part of the name */
    enum { kAll, kNone, kDown }           peers;      /* which one by one */
    std::string                           nonce;      /* of the page */
} ngx_http_dynamic_weight_query_t;


std::unique_ptr<ngx_http_dynamic_weight_document_t>
    ngx_http_dynamic_weight_status_json(
        const ngx_http_dynamic_weight_query_t &query);

std::unique_ptr<ngx_http_dynamic_weight_document_t>
    ngx_http_dynamic_weight_metrics(
        const ngx_http_dynamic_weight_query_t &query);

std::unique_ptr<ngx_http_dynamic_weight_document_t>
    ngx_http_dynamic_weight_page(const ngx_http_dynamic_weight_query_t &query);

/* _ready.cc */

ngx_int_t ngx_http_dynamic_weight_ready(ngx_http_request_t *r,
    const ngx_http_dynamic_weight_query_t &query);

/* whether all upstreams have, or once had, a weight for each line */
bool ngx_http_dynamic_weight_is_ready(
    const ngx_http_dynamic_weight_main_conf_t *dmcf);

/* what the page's style and script elements hold */
extern const char  ngx_http_dynamic_weight_page_style[];
extern const char  ngx_http_dynamic_weight_page_script[];


ngx_int_t ngx_http_dynamic_weight_send_document(ngx_http_request_t *r,
    const char *type,
    std::unique_ptr<ngx_http_dynamic_weight_document_t> document);

/* a short JSON text */
ngx_int_t ngx_http_dynamic_weight_send(ngx_http_request_t *r,
    ngx_uint_t status, const std::string &text);

/* before either; `name` is not copied */
ngx_int_t ngx_http_dynamic_weight_add_header(ngx_http_request_t *r,
    const char *name, std::string_view value);


/* NGINX Plus's numbers of the states, which its exporter uses, too */

typedef enum {
    ngx_http_dynamic_weight_up = 1,
    ngx_http_dynamic_weight_draining = 2,   /* no new request, some running */
    ngx_http_dynamic_weight_down = 3,       /* "down" in the configuration */
    ngx_http_dynamic_weight_unavail = 4,    /* by passive health */
    ngx_http_dynamic_weight_drained = 7     /* no request, none running */
} ngx_http_dynamic_weight_state_e;


/* a peer as it stands now */

typedef struct {
    const ngx_http_dynamic_weight_group_t  *group;
    const ngx_http_dynamic_weight_seat_t   *seat;
    uint32_t                                slot;      /* of the group */
    ngx_uint_t                              backup;    /* 1: a backup peer */
    ngx_uint_t                              id;        /* in the upstream:
                                                          slots are counted
                                                          through, backups
                                                          last */
    dynweight::Peer                         peer;
    uint32_t                                weight;
    uint32_t                                active;
    ngx_http_dynamic_weight_state_e         state;
    uint64_t                                requests;
    uint64_t                                fails;
    uint64_t                                unavail;
    uint64_t                                responses[5];
    uint64_t                                sent;
    uint64_t                                received;
    uint64_t                                response_ms;
    uint64_t                                downtime_ms;
    int64_t                                 selected;
    uint64_t                                recent;    /* of the window */
} ngx_http_dynamic_weight_peer_facts_t;


/*
 * A walk over the peers of an upstream, the primary ones and then the backup
 * ones, in turns that are short however many slots there are: the event loop
 * goes round between them.  A peer that comes or goes meanwhile may be met or
 * not; each of the others is met once.
 */

class ngx_http_dynamic_weight_cursor_t {
public:
    /* before the first peer; may be called again, for another upstream */
    void begin(ngx_http_dynamic_weight_srv_conf_t *dscf);

    /*
     * NGX_OK: the next peer is in *facts.  NGX_DONE: there is none left.
     * NGX_AGAIN: the turn has looked at its last slot; go on in another one.
     * *slots, what the turn may still look at, is counted down.
     */
    ngx_int_t next(ngx_uint_t *slots,
        ngx_http_dynamic_weight_peer_facts_t *facts);

private:
    const ngx_http_dynamic_weight_srv_conf_t   *dscf_;
    ngx_uint_t                                  group_;
    uint32_t                                    slot_;
};


/* address and port */
std::string ngx_http_dynamic_weight_server(
    const ngx_http_dynamic_weight_peer_facts_t &facts);

const char *ngx_http_dynamic_weight_state_name(
    ngx_http_dynamic_weight_state_e state);


/* peers counted together: those of a line, of the servers, of a group */

typedef struct {
    uint64_t                              weight;
    uint64_t                              requests;
    uint64_t                              recent;    /* of the window */
    uint32_t                              peers;
    uint32_t                              serving;   /* state up */
    uint32_t                              failed;    /* state unavail */
    uint32_t                              active;
} ngx_http_dynamic_weight_sum_t;


/* an upstream's sums, gathered step by step */

class ngx_http_dynamic_weight_summary_t {
public:
    /* may be called again, for another upstream */
    void begin(const ngx_http_dynamic_weight_query_t &query,
        ngx_http_dynamic_weight_srv_conf_t *dscf);

    /* true when it is complete */
    bool step(void);

    /* the groups' sums: primary, backup */
    ngx_http_dynamic_weight_sum_t               group[2];
    /* the servers' (KVMs') in each group */
    ngx_http_dynamic_weight_sum_t               servers[2];
    /* of each line, in their order */
    std::vector<ngx_http_dynamic_weight_sum_t>  lines;

private:
    ngx_http_dynamic_weight_sum_t *owner(
        const ngx_http_dynamic_weight_peer_facts_t &facts);

    const dynweight::LineConfig                *line_;   /* the config's */
    ngx_http_dynamic_weight_cursor_t            cursor_;
};


/* a part of a whole, "0.1234"; "null" when there is no whole */
void ngx_http_dynamic_weight_share(std::string *out, uint64_t part,
    uint64_t whole);

void ngx_http_dynamic_weight_number(std::string *out, uint64_t value);

/* the upstreams that the query asks for */
std::vector<ngx_http_dynamic_weight_srv_conf_t *>
    ngx_http_dynamic_weight_asked_upstreams(
        const ngx_http_dynamic_weight_query_t &query);

dynweight::ClusterStatus ngx_http_dynamic_weight_cluster_status(
    const ngx_http_dynamic_weight_main_conf_t *dmcf, size_t cluster);

/* every source was read, and the last answers were good */
bool ngx_http_dynamic_weight_cluster_up(const dynweight::ClusterStatus &status);


inline ngx_http_dynamic_weight_line_t *
ngx_http_dynamic_weight_lines(ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    return static_cast<ngx_http_dynamic_weight_line_t *>(dscf->lines.elts);
}


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_STATUS_H_

// /metrics as a document: the numbers that are gathered first, and printed
// metric by metric then.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_METRICS_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_METRICS_H_

#include "ngx_http_dynamic_weight_status.h"


#define NGX_HTTP_DW_METRIC  "nginx_dynamic_weight_"


/* the numbers of a peer that are kept */

typedef enum {
    kWeight, kState, kActive, kLimit, kRequests, kResponses1xx, kResponses2xx,
    kResponses3xx, kResponses4xx, kResponses5xx, kSent, kReceived, kFails,
    kUnavail, kDowntime, kResponseTime, kServerValues
} ngx_http_dynamic_weight_server_value_e;


/* how it is printed; see _metrics.cc */
struct ngx_http_dynamic_weight_server_family_t;


/* a line of ingress nodes, or the servers of a group */

struct ngx_http_dynamic_weight_line_sample_t {
    std::string                          labels;
    std::optional<dynweight::LineRecord> record;
    uint64_t                             weight;
    uint64_t                             whole_weight;
    uint64_t                             recent;
    uint64_t                             whole_recent;
};


typedef struct {
    size_t                               labels;    /* in the snapshot's */
    size_t                               labels_end;
    uint64_t                             values[kServerValues];
} ngx_http_dynamic_weight_server_sample_t;


typedef struct {
    size_t                               server;    /* whose node it is */
    char                                 name[sizeof(
                                             dynweight::PeerIdentity::node)];
} ngx_http_dynamic_weight_node_sample_t;


/* some 200 bytes a peer */

struct ngx_http_dynamic_weight_snapshot_t {
    std::string                                           labels;
    std::vector<ngx_http_dynamic_weight_server_sample_t>  servers;
    std::vector<ngx_http_dynamic_weight_node_sample_t>    nodes;
    std::vector<ngx_http_dynamic_weight_line_sample_t>    lines;
};


class ngx_http_dynamic_weight_metrics_t
    : public ngx_http_dynamic_weight_document_t
{
public:
    explicit ngx_http_dynamic_weight_metrics_t(
        const ngx_http_dynamic_weight_query_t &query);
    ~ngx_http_dynamic_weight_metrics_t() override;

protected:
    bool step(std::string *out) override;

private:
    /* _metrics_snapshot.cc */
    void reserve(void);
    bool snapshot(void);
    void snapshot_lines(void);
    void snapshot_peer(const ngx_http_dynamic_weight_peer_facts_t &facts);

    void head(const char *name, const char *type, const char *help);
    void clusters(void);
    bool servers(void);
    void server_family(const ngx_http_dynamic_weight_server_family_t &family,
        const ngx_http_dynamic_weight_server_sample_t &sample);
    bool nodes(void);
    bool lines(void);

    const ngx_http_dynamic_weight_query_t               query_;
    std::vector<ngx_http_dynamic_weight_srv_conf_t *>   upstreams_;
    ngx_http_dynamic_weight_summary_t                   summary_;
    std::unique_ptr<ngx_http_dynamic_weight_snapshot_t> snapshot_;
    std::string                                        *out_ = nullptr;

    /* where it stands */
    enum Phase { kBegin, kSummary, kSnapshot, kLines, kServers, kNodes };
    Phase                                               phase_ = kBegin;
    size_t                                              i_ = 0;
    ngx_http_dynamic_weight_cursor_t                    cursor_;
    size_t                                              sample_ = 0;
    std::string                                         name_;
};


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_NGX_HTTP_DYNAMIC_WEIGHT_METRICS_H_

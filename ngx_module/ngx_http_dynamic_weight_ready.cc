// /ready: 200 when every line has a weight, and from then on, also across
// reloads: an edge that serves is not taken out because one source that is new
// does not answer. A provisional weight is one: it serves. Whatever is waited
// for is named.

#include "ngx_http_dynamic_weight_status.h"

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ngx_http_dynamic_weight_zone.h"
#include "watcher/text/json_text.h"


/* lines that are named one by one */
#define NGX_HTTP_DW_READY_LINES  100


/* how far each line is; a cluster's status is read once, not for each line */

class ngx_http_dynamic_weight_readiness_t {
public:
    explicit ngx_http_dynamic_weight_readiness_t(
        const ngx_http_dynamic_weight_main_conf_t *dmcf)
        : conf_(dmcf), statuses_(dmcf->config->clusters.size()) {}

    std::optional<dynweight::LineRecord> record(size_t line) const {
        return conf_->records ? (*conf_->records)[line].Read() : std::nullopt;
    }

    /*
     * A line without a weight waits for nothing when its cluster has answered
     * all: it has no ingress node.
     */

    bool answered(size_t line,
        const std::optional<dynweight::LineRecord> &record)
    {
        return (record && record->known)
               || (conf_->documents && status(line).complete);
    }

    /*
     * An edge does not wait for what an API refuses to tell: it would for
     * ever. The line is named, and its upstream is not ready.
     */

    bool refused(size_t line) {
        return conf_->documents && status(line).rest_refused;
    }

private:
    const dynweight::ClusterStatus &status(size_t line) {
        uint32_t  cluster = conf_->config->lines[line].cluster;

        if (!statuses_[cluster]) {
            statuses_[cluster] = ngx_http_dynamic_weight_cluster_status(conf_,
                                                                    cluster);
        }

        return *statuses_[cluster];
    }

    const ngx_http_dynamic_weight_main_conf_t            *conf_;
    std::vector<std::optional<dynweight::ClusterStatus>>  statuses_;
};


bool
ngx_http_dynamic_weight_is_ready(
    const ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    if (dmcf->root && dmcf->root->ready.load(std::memory_order_relaxed)) {
        return true;
    }

    ngx_http_dynamic_weight_readiness_t  readiness(dmcf);

    for (size_t i = 0; i < dmcf->config->lines.size(); i++) {

        if (!readiness.answered(i, readiness.record(i))
            && !readiness.refused(i))
        {
            return false;
        }
    }

    return true;
}


ngx_int_t
ngx_http_dynamic_weight_ready(ngx_http_request_t *r,
    const ngx_http_dynamic_weight_query_t &query)
{
    bool                                        known, ready;
    ngx_uint_t                                  n, first, last;
    std::string                                 text, names, lines;
    std::set<uint32_t>                          clusters;
    const ngx_http_dynamic_weight_main_conf_t  *dmcf = query.conf;

    first = 0;
    last = dmcf->config->lines.size();

    if (query.upstream) {
        auto  *dscf = ngx_http_dynamic_weight_asked_upstreams(query)[0];

        first = dscf->first_line;
        last = first + dscf->lines.nelts;

        ready = dmcf->root && dmcf->root->areas[1 + dmcf->root->nviews
                                                + dscf->primary.conf.id]
                              .ready.load(std::memory_order_relaxed);

    } else {
        ready = dmcf->root
                && dmcf->root->ready.load(std::memory_order_relaxed);
    }

    known = true;
    n = 0;

    ngx_http_dynamic_weight_readiness_t  readiness(dmcf);

    for (ngx_uint_t i = first; i < last; i++) {

        const dynweight::LineConfig  &line = dmcf->config->lines[i];

        auto record = readiness.record(i);

        if (record && record->known ? !record->provisional
                                    : readiness.answered(i, record))
        {
            continue;
        }

        known = known
                && ((record && record->known)
                    || (!query.upstream && readiness.refused(i)));
        clusters.insert(line.cluster);

        if (n++ >= NGX_HTTP_DW_READY_LINES) {
            continue;
        }

        lines += lines.empty() ? "{\"upstream\":" : ",{\"upstream\":";
        lines += dynweight::JsonString(line.upstream, 1024);
        lines += ",\"cluster\":";
        lines += dynweight::JsonString(
                     dmcf->config->clusters[line.cluster].name, 1024);
        lines += ",\"source\":";
        lines += dynweight::JsonString(line.source, 1024);
        lines += ",\"provisional\":";
        lines += record && record->known ? "true}" : "false}";
    }

    for (uint32_t cluster : clusters) {
        names += names.empty() ? "" : ",";
        names += dynweight::JsonString(dmcf->config->clusters[cluster].name,
                                       1024);
    }

    ready = ready || known;

    /* once ready it stays so, also where the next cycle finds no weights */

    if (ready && dmcf->root && !query.upstream) {
        dmcf->root->ready.store(1, std::memory_order_relaxed);
    }

    text = ready ? "{\"ready\":true" : "{\"ready\":false";

    if (n) {
        text += ",\"waiting_for\":[" + names + "],\"lines\":[" + lines + "]";

        if (n > NGX_HTTP_DW_READY_LINES) {
            text += ",\"more\":";
            ngx_http_dynamic_weight_number(&text, n - NGX_HTTP_DW_READY_LINES);
        }
    }

    return ngx_http_dynamic_weight_send(r, ready ? NGX_HTTP_OK
                                                 : NGX_HTTP_SERVICE_UNAVAILABLE,
                                        text + "}\n");
}

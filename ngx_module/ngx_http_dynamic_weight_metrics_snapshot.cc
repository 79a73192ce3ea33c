// What /metrics gathers of the upstreams before it prints anything.

#include "ngx_http_dynamic_weight_metrics.h"

#include "watcher/text/text_escape.h"


/* slots of a step: their numbers are kept, which costs more than a look */
#define NGX_HTTP_DW_METRICS_SLOTS  12

/* length of a peer's labels, about */
#define NGX_HTTP_DW_LABELS         96


/*
 * That of the last answer, emptied: to give megabytes back to the kernel, and
 * get them again, would hold the event loop longer than all the rest.
 */

static ngx_http_dynamic_weight_snapshot_t  *ngx_http_dynamic_weight_spare;


ngx_http_dynamic_weight_metrics_t::ngx_http_dynamic_weight_metrics_t(
    const ngx_http_dynamic_weight_query_t &query)
    : query_(query),
      upstreams_(ngx_http_dynamic_weight_asked_upstreams(query)),
      snapshot_(std::exchange(ngx_http_dynamic_weight_spare, nullptr))
{
    if (query_.conf->records == NULL) {
        upstreams_.clear();    /* no zone: there is none either */
    }

    if (snapshot_ == nullptr) {
        snapshot_ = std::make_unique<ngx_http_dynamic_weight_snapshot_t>();
    }

    reserve();
}


ngx_http_dynamic_weight_metrics_t::~ngx_http_dynamic_weight_metrics_t()
{
    if (ngx_http_dynamic_weight_spare) {
        return;
    }

    snapshot_->labels.clear();
    snapshot_->servers.clear();
    snapshot_->nodes.clear();
    snapshot_->lines.clear();

    ngx_http_dynamic_weight_spare = snapshot_.release();
}


/* what stays unused of it is never touched; growing would copy it all */

void
ngx_http_dynamic_weight_metrics_t::reserve(void)
{
    size_t  servers = 0, lines = 0;

    for (ngx_http_dynamic_weight_srv_conf_t *dscf : upstreams_) {

        if (query_.peers == query_.kAll) {
            servers += dscf->primary.conf.nseats + dscf->backup.conf.nseats;
        }

        lines += dscf->lines.nelts + 2;
    }

    snapshot_->labels.reserve(servers * NGX_HTTP_DW_LABELS);
    snapshot_->servers.reserve(servers);
    snapshot_->nodes.reserve(servers);
    snapshot_->lines.reserve(lines);
}


/* the present upstream's peers; true when all are there */

bool
ngx_http_dynamic_weight_metrics_t::snapshot(void)
{
    ngx_int_t                              rc;
    ngx_uint_t                             n;
    ngx_http_dynamic_weight_peer_facts_t   facts;

    if (query_.peers == query_.kNone) {
        return true;
    }

    n = NGX_HTTP_DW_METRICS_SLOTS;

    while ((rc = cursor_.next(&n, &facts)) == NGX_OK) {

        if (query_.peers == query_.kAll
            || facts.state != ngx_http_dynamic_weight_up)
        {
            snapshot_peer(facts);
        }
    }

    return rc == NGX_DONE;
}


void
ngx_http_dynamic_weight_metrics_t::snapshot_peer(
    const ngx_http_dynamic_weight_peer_facts_t &facts)
{
    std::string                             &labels = snapshot_->labels;
    ngx_http_dynamic_weight_server_sample_t  sample;
    const ngx_http_dynamic_weight_seat_t  *seat = facts.seat;
    ngx_http_dynamic_weight_srv_conf_t    *dscf = upstreams_[i_];

    sample.labels = labels.size();

    labels += "upstream=\"";
    dynweight::AppendLabelValue(
        ngx_http_dynamic_weight_view(dscf->upstream->host), &labels);
    labels += "\",cluster=\"";
    dynweight::AppendLabelValue(
        seat->cluster ? ngx_http_dynamic_weight_view(*seat->cluster) : "-",
        &labels);
    labels += "\",server=\"";
    dynweight::AppendLabelValue(ngx_http_dynamic_weight_server(facts),
                                &labels);

    /* an address may stand in an upstream several times */

    labels += "\",id=\"";
    ngx_http_dynamic_weight_number(&labels, facts.id);
    labels += '"';

    sample.labels_end = labels.size();

    sample.values[kWeight] = facts.weight;
    sample.values[kState] = facts.state;
    sample.values[kActive] = facts.active;
    sample.values[kLimit] = seat->max_conns;
    sample.values[kRequests] = facts.requests;

    for (ngx_uint_t i = 0; i < 5; i++) {
        sample.values[kResponses1xx + i] = facts.responses[i];
    }

    sample.values[kSent] = facts.sent;
    sample.values[kReceived] = facts.received;
    sample.values[kFails] = facts.fails;
    sample.values[kUnavail] = facts.unavail;
    sample.values[kDowntime] = facts.downtime_ms;
    sample.values[kResponseTime] = facts.response_ms;

    if (seat->cluster && facts.peer.identity.node[0]) {
        ngx_http_dynamic_weight_node_sample_t  node;

        node.server = snapshot_->servers.size();
        ngx_memcpy(node.name, facts.peer.identity.node.data(),
                   sizeof(node.name));
        snapshot_->nodes.push_back(node);
    }

    snapshot_->servers.push_back(sample);
}


void
ngx_http_dynamic_weight_metrics_t::snapshot_lines(void)
{
    ngx_uint_t                           i, backup;
    std::string                          upstream;
    ngx_http_dynamic_weight_line_t      *line;
    ngx_http_dynamic_weight_srv_conf_t  *dscf = upstreams_[i_];

    upstream = "upstream=\"";
    dynweight::AppendLabelValue(
        ngx_http_dynamic_weight_view(dscf->upstream->host), &upstream);
    upstream += "\",cluster=\"";

    auto add = [&](const ngx_http_dynamic_weight_sum_t &sum)
        -> ngx_http_dynamic_weight_line_sample_t &
    {
        ngx_http_dynamic_weight_line_sample_t  sample;

        sample.labels = upstream;
        sample.weight = sum.weight;
        sample.recent = sum.recent;
        sample.whole_weight = summary_.group[backup].weight;
        sample.whole_recent = summary_.group[backup].recent;
        snapshot_->lines.push_back(std::move(sample));

        return snapshot_->lines.back();
    };

    for (i = 0; i < dscf->lines.nelts; i++) {
        line = &ngx_http_dynamic_weight_lines(dscf)[i];
        backup = line->backup;

        auto  &sample = add(summary_.lines[i]);

        sample.record = (*query_.conf->records)[dscf->first_line + i].Read();

        dynweight::AppendLabelValue(
            ngx_http_dynamic_weight_view(line->cluster), &sample.labels);
        sample.labels += "\",source=\"";
        dynweight::AppendLabelValue(
            ngx_http_dynamic_weight_view(line->source), &sample.labels);
        sample.labels += "\",port=\"";
        ngx_http_dynamic_weight_number(&sample.labels, line->port);
        sample.labels += backup ? "\",backup=\"true\"" : "\",backup=\"false\"";
    }

    for (backup = 0; backup < 2; backup++) {

        if (summary_.servers[backup].peers) {
            add(summary_.servers[backup]).labels +=
                backup ? "-\",source=\"\",port=\"\",backup=\"true\""
                       : "-\",source=\"\",port=\"\",backup=\"false\"";
        }
    }
}

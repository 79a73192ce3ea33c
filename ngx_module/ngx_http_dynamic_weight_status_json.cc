// /status: NGINX Plus's names for what a peer has, and the arithmetic behind
// each weight. conf.d/status.schema.json describes it.

#include "ngx_http_dynamic_weight_status.h"

#include "watcher/text/json_text.h"


/* a name or text; what comes from clusters is cut long before */
#define NGX_HTTP_DW_JSON_TEXT  4096


namespace {


/*
 * {"version": ..., "tuning": {...}, "clusters": {...}, "upstreams": {...},
 * "decisions": [...]},
 * in this order, a step each for a cluster, an upstream's head and a peer.
 */

class StatusJson : public ngx_http_dynamic_weight_document_t {
public:
    explicit StatusJson(const ngx_http_dynamic_weight_query_t &query);

protected:
    bool step(std::string *out) override;

private:
    enum Phase { kHead, kClusters, kUpstream, kSummary, kPeers, kDecisions };

    void head(void);
    void cluster(void);
    void upstream_head(void);
    void line(ngx_uint_t i);
    void servers(ngx_uint_t group);
    void peers(void);
    void peer(const ngx_http_dynamic_weight_peer_facts_t &facts);
    void tuning(const ngx_http_dynamic_weight_peer_facts_t &facts);
    void decisions(void);

    void key(const char *name);
    void number(const char *name, uint64_t value);
    void text(const char *name, std::string_view value);
    void flag(const char *name, bool value);
    void share(const char *name, uint64_t part, uint64_t whole);
    void quote(std::string_view value);

    const ngx_http_dynamic_weight_query_t               query_;
    std::vector<ngx_http_dynamic_weight_srv_conf_t *>   upstreams_;
    ngx_http_dynamic_weight_summary_t                   summary_;
    std::string                                        *out_;
    Phase                                               phase_;
    size_t                                              i_;
    ngx_http_dynamic_weight_cursor_t                    cursor_;
    bool                                                first_;  /* peer */
    int64_t                                             now_;
    std::string                                         tuning_;
    std::vector<std::string_view>                       rules_;  /* of it */
};


StatusJson::StatusJson(const ngx_http_dynamic_weight_query_t &query)
    : query_(query),
      upstreams_(ngx_http_dynamic_weight_asked_upstreams(query)),
      out_(nullptr), phase_(kHead), i_(0), first_(true),
      now_(ngx_http_dynamic_weight_unix_msec())
{
    if (query_.conf->records == NULL) {
        upstreams_.clear();    /* no zone: there is none either */
    }

    if (query_.conf->tuning.status) {
        tuning_ = query_.conf->tuning.status->ReadText();
        rules_ = ngx_http_dynamic_weight_tuning_rules(tuning_);
    }
}


bool
StatusJson::step(std::string *out)
{
    out_ = out;

    switch (phase_) {

    case kHead:
        head();
        *out += ",\"clusters\":{";
        phase_ = kClusters;
        break;

    case kClusters:
        if (i_ < query_.conf->config->clusters.size()) {
            cluster();
            i_++;
            break;
        }

        *out += "},\"upstreams\":{";
        phase_ = kUpstream;
        i_ = 0;
        break;

    case kUpstream:
        if (i_ < upstreams_.size()) {
            summary_.begin(query_, upstreams_[i_]);
            phase_ = kSummary;
            break;
        }

        *out += "},\"decisions\":[";
        phase_ = kDecisions;
        break;

    case kSummary:
        if (summary_.step()) {
            upstream_head();
            cursor_.begin(upstreams_[i_]);
            first_ = true;
            phase_ = kPeers;
        }
        break;

    case kPeers:
        peers();
        break;

    case kDecisions:
        decisions();
        *out += "]}\n";
        return true;
    }

    return false;
}


void
StatusJson::head(void)
{
    *out_ += "{\"version\":1";
    text("nginx", NGINX_VERSION);
    number("pid", ngx_pid);
    number("worker", ngx_worker);
    number("time", now_);

    key("tuning");
    *out_ += tuning_.empty() ? "null" : tuning_;
}


void
StatusJson::cluster(void)
{
    const dynweight::ClusterConfig  &config = query_.conf->config->clusters[i_];

    if (i_) {
        *out_ += ',';
    }

    quote(config.name);

    if (query_.conf->documents == NULL) {
        *out_ += ":null";
        return;
    }

    dynweight::ClusterStatus  status =
        ngx_http_dynamic_weight_cluster_status(query_.conf, i_);

    *out_ += ":{\"up\":";
    *out_ += ngx_http_dynamic_weight_cluster_up(status) ? "true" : "false";

    key("age");

    /* before the first answer it is what a former run was told */

    if (status.last_success_ms || status.observed_ms) {
        ngx_http_dynamic_weight_number(out_,
            ngx_max(now_ - (status.last_success_ms ? status.last_success_ms
                                                   : status.observed_ms), 0));
    } else {
        *out_ += "null";
    }

    key("watch");
    *out_ += dynweight::EncodeClusterStatus(status);

    if (!query_.upstream && query_.peers == query_.kAll) {
        std::string  view = query_.conf->documents[i_].view->ReadText();

        key("view");
        *out_ += view.empty() ? "null" : view;
    }

    *out_ += '}';
}


void
StatusJson::upstream_head(void)
{
    ngx_uint_t                           i;
    ngx_http_dynamic_weight_srv_conf_t  *dscf = upstreams_[i_];

    if (i_) {
        *out_ += ',';
    }

    quote(ngx_http_dynamic_weight_view(dscf->upstream->host));

    *out_ += ":{\"zone\":";
    quote(ngx_http_dynamic_weight_view(query_.conf->zone->shm.name));

    text("method", dscf->least_conn ? "least_conn"
                   : dscf->hash_key ? "hash" : "round_robin");
    number("base", dscf->base);
    number("generation", dscf->primary.zone.table->version());
    number("window", ngx_max(now_ - dscf->primary.zone.window->began_ms(), 0));
    number("recent", summary_.group[0].recent + summary_.group[1].recent);

    *out_ += ",\"clusters\":[";

    for (i = 0; i < dscf->lines.nelts; i++) {

        if (i) {
            *out_ += ',';
        }

        line(i);
    }

    *out_ += "],\"servers\":[";

    for (i = 0; i < 2; i++) {

        if (summary_.servers[i].peers) {

            if (out_->back() == '}') {
                *out_ += ',';
            }

            servers(i);
        }
    }

    *out_ += query_.peers == query_.kNone ? "]}" : "],\"peers\":[";
}


void
StatusJson::line(ngx_uint_t i)
{
    u_char                              *last, raw[64];
    ngx_uint_t                           backup;
    ngx_http_dynamic_weight_sum_t       *sum;
    ngx_http_dynamic_weight_line_t      *line;
    ngx_http_dynamic_weight_srv_conf_t  *dscf = upstreams_[i_];

    line = &ngx_http_dynamic_weight_lines(dscf)[i];
    backup = line->backup ? 1 : 0;
    sum = &summary_.lines[i];

    auto record = (*query_.conf->records)[dscf->first_line + i].Read();
    bool known = record && record->known;

    *out_ += "{\"cluster\":";
    quote(ngx_http_dynamic_weight_view(line->cluster));
    text("source", ngx_http_dynamic_weight_view(line->source));
    number("port", line->port);
    flag("backup", backup);
    number("slots", line->slots);
    number("base", dscf->base);
    number("peers", sum->peers);
    number("serving", sum->serving);
    number("failed", sum->failed);
    number("active", sum->active);
    number("requests", sum->requests);

    if (known) {
        number("pods", record->pods);
        number("ingress_nodes", record->ingress_nodes);
        number("used_nodes", record->used_nodes);
        number("drained_nodes", record->drained_nodes);

        double  exact = static_cast<double>(record->pods) * dscf->base
                        / static_cast<double>(ngx_max(record->used_nodes, 1u));

        last = ngx_snprintf(raw, sizeof(raw), "%.3f", exact);

        key("raw");
        out_->append(reinterpret_cast<char *>(raw), last - raw);
        number("weight", record->weight);
        number("scale", record->scale);
        flag("clamped", record->weight != static_cast<uint64_t>(exact));

    } else {
        *out_ += ",\"pods\":null,\"ingress_nodes\":null,\"used_nodes\":null,"
                 "\"drained_nodes\":null,"
                 "\"raw\":null,\"weight\":null,\"scale\":1,\"clamped\":false";
    }

    flag("frozen", known && record->frozen);
    flag("provisional", known && record->provisional);
    share("target_share", sum->weight, summary_.group[backup].weight);
    share("observed_share", sum->recent, summary_.group[backup].recent);
    number("generation", record ? record->generation : 0);
    number("changed", record ? record->changed_ms : 0);
    text("reason", record ? record->reason.view() : std::string_view());
    *out_ += '}';
}


/* the KVMs of a group */

void
StatusJson::servers(ngx_uint_t group)
{
    const ngx_http_dynamic_weight_sum_t  &sum = summary_.servers[group];

    *out_ += "{\"backup\":";
    *out_ += group ? "true" : "false";
    number("peers", sum.peers);
    number("serving", sum.serving);
    number("failed", sum.failed);
    number("active", sum.active);
    number("requests", sum.requests);
    number("weight", sum.weight);
    share("target_share", sum.weight, summary_.group[group].weight);
    share("observed_share", sum.recent, summary_.group[group].recent);
    *out_ += '}';
}


/* the next peer that is asked for; or the end of the upstream */

void
StatusJson::peers(void)
{
    ngx_int_t                              rc;
    ngx_uint_t                             n;
    ngx_http_dynamic_weight_peer_facts_t   facts;

    if (query_.peers != query_.kNone) {

        n = NGX_HTTP_DW_STATUS_SLOTS;

        do {
            rc = cursor_.next(&n, &facts);
        } while (rc == NGX_OK && query_.peers == query_.kDown
                 && facts.state == ngx_http_dynamic_weight_up);

        if (rc == NGX_AGAIN) {
            return;
        }

        if (rc == NGX_OK) {

            if (!first_) {
                *out_ += ',';
            }

            first_ = false;
            peer(facts);
            return;
        }

        *out_ += "]}";
    }

    i_++;
    phase_ = kUpstream;
}


void
StatusJson::peer(const ngx_http_dynamic_weight_peer_facts_t &facts)
{
    uint64_t                               total;
    ngx_uint_t                             i;
    const ngx_http_dynamic_weight_seat_t  *seat = facts.seat;

    *out_ += "{\"id\":";
    ngx_http_dynamic_weight_number(out_, facts.id);
    text("server", ngx_http_dynamic_weight_server(facts));
    text("name", ngx_http_dynamic_weight_view(seat->server));

    if (seat->cluster) {
        text("cluster", ngx_http_dynamic_weight_view(*seat->cluster));
        text("node", facts.peer.identity.node.data());
    }

    flag("backup", facts.backup);
    number("weight", facts.weight);
    text("state", ngx_http_dynamic_weight_state_name(facts.state));
    number("active", facts.active);
    number("max_conns", seat->max_conns);
    number("requests", facts.requests);

    *out_ += ",\"responses\":{";
    total = 0;

    for (i = 0; i < 5; i++) {
        static const char *const  names[] = {
            "\"1xx\":", ",\"2xx\":", ",\"3xx\":", ",\"4xx\":", ",\"5xx\":"
        };

        *out_ += names[i];
        ngx_http_dynamic_weight_number(out_, facts.responses[i]);
        total += facts.responses[i];
    }

    number("total", total);
    *out_ += '}';

    number("sent", facts.sent);
    number("received", facts.received);
    number("fails", facts.fails);
    number("unavail", facts.unavail);
    number("downtime", facts.downtime_ms);
    number("selected", facts.selected * 1000);
    number("response_time", total ? facts.response_ms / total : 0);
    share("target_share", facts.weight, summary_.group[facts.backup].weight);
    share("observed_share", facts.recent, summary_.group[facts.backup].recent);
    tuning(facts);
    *out_ += '}';
}


/* the rule that decides over the peer, if one does */

void
StatusJson::tuning(const ngx_http_dynamic_weight_peer_facts_t &facts)
{
    uint16_t  mark;

    if (facts.group->zone.marks == NULL) {
        return;
    }

    mark = facts.group->zone.marks[facts.slot].load(std::memory_order_relaxed);

    if (mark && mark <= rules_.size()) {
        key("tuning");
        *out_ += rules_[mark - 1];
    }
}


/* oldest first; as long as a piece, about, whatever the upstreams are */

void
StatusJson::decisions(void)
{
    bool  first = true;

    if (query_.conf->decisions == NULL) {
        return;
    }

    for (const dynweight::Decision &decision
         : dynweight::DecodeDecisions(query_.conf->decisions->ReadText()))
    {
        if (query_.upstream && decision.upstream.view()
                               != query_.upstream->substr(0, 63))
        {
            continue;
        }

        *out_ += first ? "{\"time\":" : ",{\"time\":";
        first = false;

        ngx_http_dynamic_weight_number(out_, decision.time_ms);
        text("upstream", decision.upstream.view());
        text("cluster", decision.cluster.view());

        key("old");

        if (decision.first) {
            *out_ += "null";

        } else {
            ngx_http_dynamic_weight_number(out_, decision.old_weight);
        }

        number("new", decision.new_weight);
        text("why", decision.why.view());
        *out_ += '}';
    }
}


void
StatusJson::key(const char *name)
{
    *out_ += ",\"";
    *out_ += name;
    *out_ += "\":";
}


void
StatusJson::number(const char *name, uint64_t value)
{
    key(name);
    ngx_http_dynamic_weight_number(out_,
                             ngx_min(value, dynweight::kMaxJsonInteger));
}


void
StatusJson::text(const char *name, std::string_view value)
{
    key(name);
    quote(value);
}


void
StatusJson::flag(const char *name, bool value)
{
    key(name);
    *out_ += value ? "true" : "false";
}


void
StatusJson::share(const char *name, uint64_t part, uint64_t whole)
{
    key(name);
    ngx_http_dynamic_weight_share(out_, part, whole);
}


/* names come from clusters: escaped for JSON and HTML, and mended as UTF-8 */

void
StatusJson::quote(std::string_view value)
{
    dynweight::AppendJsonString(value, NGX_HTTP_DW_JSON_TEXT, out_);
}


}  // namespace


std::unique_ptr<ngx_http_dynamic_weight_document_t>
ngx_http_dynamic_weight_status_json(
    const ngx_http_dynamic_weight_query_t &query)
{
    return std::make_unique<StatusJson>(query);
}

// Peers and shares as they stand now. Everything is read from shared memory
// without a lock; numbers of one peer may be a few requests apart.

#include "ngx_http_dynamic_weight_status.h"

#include <charconv>


static uint64_t
ngx_http_dynamic_weight_load(const std::atomic<uint64_t> &counter)
{
    return counter.load(std::memory_order_relaxed);
}


/* false when nobody sits in the slot */

static bool
ngx_http_dynamic_weight_peer_facts(
    const ngx_http_dynamic_weight_srv_conf_t *dscf,
    const ngx_http_dynamic_weight_group_t *group, uint32_t slot,
    ngx_http_dynamic_weight_peer_facts_t *facts)
{
    ngx_uint_t                             i;
    const dynweight::PeerTable            *table = group->zone.table;
    const ngx_http_dynamic_weight_seat_t  *seat = &group->conf.seats[slot];

    if (!table->Read(slot, &facts->peer)) {
        return false;
    }

    facts->group = group;
    facts->slot = slot;

    const dynweight::PeerCounters  &counters = table->counters(slot);

    facts->seat = seat;
    facts->weight = table->weight(slot);
    facts->active = table->Active(slot);
    facts->requests = ngx_http_dynamic_weight_load(counters.requests);
    facts->fails = ngx_http_dynamic_weight_load(counters.fails);
    facts->unavail = ngx_http_dynamic_weight_load(counters.unavail);

    for (i = 0; i < 5; i++) {
        facts->responses[i] =
                      ngx_http_dynamic_weight_load(counters.responses[i]);
    }

    facts->sent = ngx_http_dynamic_weight_load(counters.sent);
    facts->received = ngx_http_dynamic_weight_load(counters.received);
    facts->response_ms = ngx_http_dynamic_weight_load(counters.response_ms);
    facts->selected = counters.selected.load(std::memory_order_relaxed);
    facts->recent = group->zone.window->Since(slot, facts->requests);

    int64_t  since = counters.down_since_ms.load(std::memory_order_relaxed);

    facts->downtime_ms = ngx_http_dynamic_weight_load(counters.downtime_ms);

    if (since) {
        /* it is kept out until it is due for a probe, and no longer */
        facts->downtime_ms += ngx_max(
            ngx_min(static_cast<int64_t>(ngx_current_msec),
                    table->health(slot).due_ms(seat->health))
            - since, 0);
    }

    if (facts->weight == 0) {
        facts->state = seat->sockaddr && seat->weight == 0
                       ? ngx_http_dynamic_weight_down
                       : facts->active ? ngx_http_dynamic_weight_draining
                       : ngx_http_dynamic_weight_drained;

    } else {
        /* what a request would find */
        facts->state = ngx_http_dynamic_weight_is_out(dscf, group, slot)
                       ? ngx_http_dynamic_weight_unavail
                       : ngx_http_dynamic_weight_up;
    }

    return true;
}


void
ngx_http_dynamic_weight_cursor_t::begin(
    ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    ngx_http_dynamic_weight_refresh(dscf);

    dscf_ = dscf;
    group_ = 0;
    slot_ = 0;
}


ngx_int_t
ngx_http_dynamic_weight_cursor_t::next(ngx_uint_t *slots,
    ngx_http_dynamic_weight_peer_facts_t *facts)
{
    uint32_t                                slot;
    const ngx_http_dynamic_weight_group_t  *group;

    for ( ;; ) {

        group = group_ ? &dscf_->backup : &dscf_->primary;

        if (slot_ == group->conf.nseats) {

            if (group_ == 1) {
                return NGX_DONE;
            }

            group_ = 1;
            slot_ = 0;
            continue;
        }

        if (*slots == 0) {
            return NGX_AGAIN;
        }

        (*slots)--;
        slot = slot_++;

        if (ngx_http_dynamic_weight_peer_facts(dscf_, group, slot, facts)) {
            facts->backup = group_;
            facts->id = slot + (group_ ? dscf_->primary.conf.nseats : 0);

            return NGX_OK;
        }
    }
}


std::string
ngx_http_dynamic_weight_server(
    const ngx_http_dynamic_weight_peer_facts_t &facts)
{
    std::string                  text;
    const dynweight::IpAddress  &address = facts.peer.identity.address;

    if (facts.seat->sockaddr) {
        return std::string(ngx_http_dynamic_weight_view(facts.seat->name));
    }

    text = address.ToString();

    if (address.family == dynweight::IpAddress::kIpv6) {
        text = "[" + text + "]";
    }

    text += ':';
    ngx_http_dynamic_weight_number(&text, facts.peer.identity.port);

    return text;
}


const char *
ngx_http_dynamic_weight_state_name(ngx_http_dynamic_weight_state_e state)
{
    switch (state) {
    case ngx_http_dynamic_weight_up:
        return "up";
    case ngx_http_dynamic_weight_draining:
        return "draining";
    case ngx_http_dynamic_weight_down:
        return "down";
    case ngx_http_dynamic_weight_unavail:
        return "unavail";
    case ngx_http_dynamic_weight_drained:
        return "drained";
    }

    return "unknown";
}


void
ngx_http_dynamic_weight_summary_t::begin(
    const ngx_http_dynamic_weight_query_t &query,
    ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    for (ngx_uint_t i = 0; i < 2; i++) {
        group[i] = {};
        servers[i] = {};
    }

    lines.assign(dscf->lines.nelts, {});

    line_ = query.conf->config->lines.data() + dscf->first_line;
    cursor_.begin(dscf);
}


bool
ngx_http_dynamic_weight_summary_t::step(void)
{
    ngx_int_t                              rc;
    ngx_uint_t                             n;
    ngx_http_dynamic_weight_peer_facts_t   facts;

    n = NGX_HTTP_DW_STATUS_SLOTS;

    while ((rc = cursor_.next(&n, &facts)) == NGX_OK) {

        for (ngx_http_dynamic_weight_sum_t *s
             : { owner(facts), &group[facts.backup] })
        {
            s->weight += facts.weight;
            s->requests += facts.requests;
            s->recent += facts.recent;
            s->active += facts.active;
            s->peers++;
            s->serving += facts.state == ngx_http_dynamic_weight_up;
            s->failed += facts.state == ngx_http_dynamic_weight_unavail;
        }
    }

    return rc == NGX_DONE;
}


/* whose peer it is; lines of a group follow its servers, in their order */

ngx_http_dynamic_weight_sum_t *
ngx_http_dynamic_weight_summary_t::owner(
    const ngx_http_dynamic_weight_peer_facts_t &facts)
{
    ngx_uint_t  i;

    for (i = 0; i < lines.size(); i++) {
        const dynweight::SlotRange  &range = line_[i].range;

        if (line_[i].table == facts.group->conf.id && facts.slot >= range.first
            && facts.slot - range.first < range.count)
        {
            return &lines[i];
        }
    }

    return &servers[facts.backup];
}


void
ngx_http_dynamic_weight_number(std::string *out, uint64_t value)
{
    char  text[20];

    out->append(text, std::to_chars(text, text + sizeof(text), value).ptr
                      - text);
}


void
ngx_http_dynamic_weight_share(std::string *out, uint64_t part, uint64_t whole)
{
    u_char    text[24], *last;

    if (whole == 0) {
        out->append("null");
        return;
    }

    last = ngx_snprintf(text, sizeof(text), "%.6f",
                        static_cast<double>(part)
                        / static_cast<double>(whole));

    out->append(reinterpret_cast<char *>(text), last - text);
}


std::vector<ngx_http_dynamic_weight_srv_conf_t *>
ngx_http_dynamic_weight_asked_upstreams(
    const ngx_http_dynamic_weight_query_t &query)
{
    ngx_http_dynamic_weight_srv_conf_t               **dscf;
    std::vector<ngx_http_dynamic_weight_srv_conf_t *>  asked;

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t **>(
        query.conf->upstreams.elts);

    for (ngx_uint_t i = 0; i < query.conf->upstreams.nelts; i++) {

        std::string_view  name =
                   ngx_http_dynamic_weight_view(dscf[i]->upstream->host);

        if (query.upstream ? name == *query.upstream
                           : name.find(query.filter) != name.npos)
        {
            asked.push_back(dscf[i]);
        }
    }

    return asked;
}


dynweight::ClusterStatus
ngx_http_dynamic_weight_cluster_status(
    const ngx_http_dynamic_weight_main_conf_t *dmcf, size_t cluster)
{
    return dynweight::UnpackClusterStatus(
               dmcf->documents[cluster].status->ReadText());
}


bool
ngx_http_dynamic_weight_cluster_up(const dynweight::ClusterStatus &status)
{
    return status.synced && status.failing_since_ms == 0;
}

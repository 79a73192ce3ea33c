// /: the page, whole and readable as it is sent; its script, where there is
// one, then keeps it up to date from /status.

#include "ngx_http_dynamic_weight_status.h"

#include <ctime>

#include "watcher/text/text_escape.h"


/* of the peers that do not serve, so many are listed */
#define NGX_HTTP_DW_PAGE_DOWN  200


namespace {


class Page : public ngx_http_dynamic_weight_document_t {
public:
    explicit Page(const ngx_http_dynamic_weight_query_t &query)
        : query_(query),
          upstreams_(ngx_http_dynamic_weight_asked_upstreams(query))
    {
        if (query_.conf->records == NULL) {
            upstreams_.clear();    /* no zone: there is none either */
        }
    }

protected:
    bool step(std::string *out) override;

private:
    void head(void);
    void clusters(void);
    void upstreams(void);
    void parts(void);
    void line(ngx_uint_t i);
    void servers(ngx_uint_t group);
    void shares(const ngx_http_dynamic_weight_sum_t &sum,
        const ngx_http_dynamic_weight_sum_t &whole);
    void counts(const ngx_http_dynamic_weight_sum_t &sum);
    bool peers(void);
    void peer(std::string *out,
        const ngx_http_dynamic_weight_peer_facts_t &facts);
    void down(void);
    void decisions(void);

    void add(std::string_view text) { *out_ += text; }
    void text(std::string_view value) { dynweight::AppendHtml(value, out_); }
    void number(uint64_t n) { ngx_http_dynamic_weight_number(out_, n); }
    void percent(uint64_t part, uint64_t whole);
    void time(int64_t ms);

    const ngx_http_dynamic_weight_query_t               query_;
    std::vector<ngx_http_dynamic_weight_srv_conf_t *>   upstreams_;
    ngx_http_dynamic_weight_summary_t                   summary_;
    std::string                                        *out_ = nullptr;

    /* where it stands */
    enum Phase { kHead, kUpstream, kSummary, kPeers, kTail };
    Phase                                               phase_ = kHead;
    size_t                                              i_ = 0;
    ngx_http_dynamic_weight_cursor_t                    cursor_;

    std::string                                         peers_;
    std::string                                         down_;
    ngx_uint_t                                          ndown_ = 0;
};


bool
Page::step(std::string *out)
{
    out_ = out;

    switch (phase_) {

    case kHead:
        head();
        clusters();
        upstreams();
        phase_ = kUpstream;
        break;

    case kUpstream:

        if (i_ == upstreams_.size()) {
            add("</table></div>\n</section>\n");
            phase_ = kTail;
            break;
        }

        summary_.begin(query_, upstreams_[i_]);
        phase_ = kSummary;
        break;

    case kSummary:

        if (summary_.step()) {
            parts();
            cursor_.begin(upstreams_[i_]);
            phase_ = kPeers;
        }

        break;

    case kPeers:

        if (peers()) {
            i_++;
            phase_ = kUpstream;
        }

        break;

    case kTail:
        down();
        decisions();
        add("<script nonce=\"");
        add(query_.nonce);
        add("\">");
        add(ngx_http_dynamic_weight_page_script);
        add("</script>\n</body>\n</html>\n");
        return true;
    }

    return false;
}


void
Page::head(void)
{
    add("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
        "<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width, initial-scale=1\">\n<title>");

    if (query_.upstream) {
        text(*query_.upstream);
        add(" · ");
    }

    add("dynamic weight</title>\n<link rel=\"icon\" href=\"data:,\">\n"
        "<style nonce=\"");
    add(query_.nonce);
    add("\">");
    add(ngx_http_dynamic_weight_page_style);
    add("</style>\n</head>\n<body>\n<header>\n<h1><a href=\"./\">Dynamic "
        "weight</a>");

    if (query_.upstream) {
        add(" <span>/ ");
        text(*query_.upstream);
        add("</span>");
    }

    add("</h1>\n<p id=\"verdict\" role=\"status\"></p>\n<p id=\"time\">");
    time(ngx_http_dynamic_weight_unix_msec());
    add("</p>\n</header>\n");
}


void
Page::clusters(void)
{
    int64_t  now = ngx_http_dynamic_weight_unix_msec();

    add("<section>\n<h2>Clusters</h2>\n<div class=\"wide\"><table "
        "id=\"clusters\">\n<thead><tr><th>Cluster<th>State<th>Last success"
        "<th>API<th class=\"n\">Events<th class=\"n\">Relists"
        "<th class=\"n\">Failures<th class=\"n\">Rejected</thead>\n");

    for (size_t c = 0;
         query_.conf->documents && c < query_.conf->config->clusters.size();
         c++)
    {
        dynweight::ClusterStatus  status =
            ngx_http_dynamic_weight_cluster_status(query_.conf, c);
        bool  up = ngx_http_dynamic_weight_cluster_up(status);

        add("<tr><th scope=\"row\">");
        text(query_.conf->config->clusters[c].name);
        add(up ? "<td><b class=\"ok\">up</b>"
               : "<td><b class=\"bad\">stale</b>");

        if (!status.last_error.empty()) {
            add("<div class=\"error\">");
            text(status.last_error);
            add("</div>");
        }

        for (const std::string &warning : status.warnings) {
            add("<div class=\"error\">");
            text(warning);
            add("</div>");
        }

        add("<td>");

        if (status.last_success_ms) {
            number(ngx_max(now - status.last_success_ms, 0) / 1000);
            add(" s ago");

        } else {
            add("never");

            if (status.observed_ms) {
                add(", by a former run ");
                number(ngx_max(now - status.observed_ms, 0) / 1000);
                add(" s ago");
            }
        }

        add("<td>");
        text(status.mode);
        add(" ");
        text(status.api);

        for (uint64_t n : { status.events, status.relists, status.failures,
                            status.rejected })
        {
            add("<td class=\"n\">");
            number(n);
        }

        add("\n");
    }

    add("</table></div>\n</section>\n");
}


void
Page::upstreams(void)
{
    add("<section>\n<h2>Upstreams</h2>\n");

    if (!query_.upstream) {
        add("<form method=\"get\"><input type=\"search\" name=\"filter\" "
            "id=\"filter\" placeholder=\"Filter by name\" "
            "aria-label=\"Filter by name\" value=\"");
        text(query_.filter);
        add("\"> <label hidden><input type=\"checkbox\" id=\"troubled\"> only "
            "with trouble</label> <span id=\"shown\"></span></form>\n");

    } else if (upstreams_.empty()) {
        add("<p>No upstream of this name has dynamic_weight.</p>\n");
    }

    add("<p class=\"legend\"><i class=\"t\"></i> target share "
        "<i class=\"o\"></i> observed share, of the last one to two "
        "minutes</p>\n<div class=\"wide\"><table id=\"upstreams\">\n"
        "<thead><tr><th>Upstream<th>To<th class=\"n\">Weight"
        "<th>Computed from<th>Share<th class=\"n\">Servers up"
        "<th class=\"h\">Last minutes</thead>\n");
}


/* the present upstream: a row for each line, and one for the servers */

void
Page::parts(void)
{
    ngx_uint_t                           i, rows;
    std::string_view                     name;
    ngx_http_dynamic_weight_srv_conf_t  *dscf = upstreams_[i_];

    name = ngx_http_dynamic_weight_view(dscf->upstream->host);
    rows = dscf->lines.nelts + (summary_.servers[0].peers != 0)
           + (summary_.servers[1].peers != 0);

    add("<tbody><tr><th scope=\"rowgroup\" rowspan=\"");
    number(rows);
    add("\"><a href=\"?upstream=");

    u_char  escaped[3 * 256];

    if (name.size() <= 256) {
        u_char  *data = reinterpret_cast<u_char *>(
                            const_cast<char *>(name.data()));
        u_char  *last = reinterpret_cast<u_char *>(
            ngx_escape_uri(escaped, data, name.size(),
                           NGX_ESCAPE_URI_COMPONENT));

        text({ reinterpret_cast<char *>(escaped),
               static_cast<size_t>(last - escaped) });
    }

    add("\">");
    text(name);
    add("</a>");

    for (i = 0; i < dscf->lines.nelts; i++) {
        line(i);
    }

    for (i = 0; i < 2; i++) {

        if (summary_.servers[i].peers) {
            servers(i);
        }
    }

    add("</tbody>\n");
}


void
Page::line(ngx_uint_t i)
{
    ngx_http_dynamic_weight_srv_conf_t  *dscf = upstreams_[i_];
    ngx_http_dynamic_weight_line_t      *line;

    line = &ngx_http_dynamic_weight_lines(dscf)[i];

    auto record = (*query_.conf->records)[dscf->first_line + i].Read();

    add(i ? "<tr><td class=\"to\">" : "<td class=\"to\">");
    text(ngx_http_dynamic_weight_view(line->cluster));
    add(line->backup ? " <small>backup</small><td class=\"n w\">"
                     : "<td class=\"n w\">");

    if (record && record->known) {
        number(record->weight);
        add("<td class=\"why\" title=\"");
        text(record->reason.view());
        add("\">");
        number(record->pods);
        add(record->pods == 1 ? " pod × " : " pods × ");
        number(dscf->base);
        add(" ÷ ");
        number(record->used_nodes);
        add(record->used_nodes == 1 ? " node" : " nodes");

        if (record->provisional) {
            add(" <small>provisional</small>");
        }

    } else {
        add("?<td class=\"why\">");
        text(record ? record->reason.view() : std::string_view());
    }

    shares(summary_.lines[i], summary_.group[line->backup ? 1 : 0]);
    counts(summary_.lines[i]);
}


void
Page::servers(ngx_uint_t group)
{
    const ngx_http_dynamic_weight_sum_t  &sum = summary_.servers[group];

    add(upstreams_[i_]->lines.nelts || (group && summary_.servers[0].peers)
        ? "<tr><td class=\"to\">KVMs" : "<td class=\"to\">KVMs");
    add(group ? " <small>backup</small><td class=\"n w\">"
              : "<td class=\"n w\">");
    number(sum.weight / ngx_max(sum.peers, 1u));
    add("<td class=\"why\">");
    number(sum.peers);
    add(sum.peers == 1 ? " server, weight " : " servers, weights ");
    number(sum.weight);
    add(sum.peers == 1 ? "" : " in all");
    shares(sum, summary_.group[group]);
    counts(sum);
}


void
Page::shares(const ngx_http_dynamic_weight_sum_t &sum,
    const ngx_http_dynamic_weight_sum_t &whole)
{
    add("<td class=\"share\"><svg class=\"bars\" viewBox=\"0 0 1 12\" "
        "preserveAspectRatio=\"none\"><rect class=\"t\" height=\"5\" "
        "width=\"");
    ngx_http_dynamic_weight_share(out_, whole.weight ? sum.weight : 0,
                                  ngx_max(whole.weight, 1u));
    add("\"/><rect class=\"o\" y=\"7\" height=\"5\" width=\"");
    ngx_http_dynamic_weight_share(out_, whole.recent ? sum.recent : 0,
                                  ngx_max(whole.recent, 1u));
    add("\"/></svg><span class=\"pct\">");
    percent(sum.weight, whole.weight);
    add(" <b>");
    percent(sum.recent, whole.recent);
    add("</b></span>");
}


void
Page::counts(const ngx_http_dynamic_weight_sum_t &sum)
{
    add(sum.failed ? "<td class=\"n up bad\">" : "<td class=\"n up\">");
    number(sum.serving);
    add(" / ");
    number(sum.peers);
    add("<td class=\"h\">");
}


/* true when the present upstream's are complete */

bool
Page::peers(void)
{
    ngx_int_t                              rc;
    ngx_uint_t                             n;
    ngx_http_dynamic_weight_peer_facts_t   facts;

    n = NGX_HTTP_DW_STATUS_SLOTS;

    while ((rc = cursor_.next(&n, &facts)) == NGX_OK) {

        if (facts.state != ngx_http_dynamic_weight_up
            && ndown_++ < NGX_HTTP_DW_PAGE_DOWN)
        {
            peer(&down_, facts);
        }

        if (query_.upstream) {
            peer(&peers_, facts);
        }
    }

    return rc == NGX_DONE;
}


void
Page::peer(std::string *out, const ngx_http_dynamic_weight_peer_facts_t &facts)
{
    std::string                           *former = out_;
    const ngx_http_dynamic_weight_seat_t  *seat = facts.seat;

    out_ = out;

    add("<tr><td>");
    text(ngx_http_dynamic_weight_view(upstreams_[i_]->upstream->host));
    add("<td>");
    text(seat->cluster ? ngx_http_dynamic_weight_view(*seat->cluster)
                       : std::string_view("KVM"));
    add(facts.backup ? " <small>backup</small><td>" : "<td>");
    text(ngx_http_dynamic_weight_server(facts));
    add("<td>");
    text(facts.peer.identity.node.data());
    add("<td><b class=\"");
    add(facts.state == ngx_http_dynamic_weight_up ? "ok"
        : facts.state == ngx_http_dynamic_weight_unavail ? "bad" : "off");
    add("\">");
    add(ngx_http_dynamic_weight_state_name(facts.state));
    add("</b>");

    for (uint64_t value : { static_cast<uint64_t>(facts.weight),
                            static_cast<uint64_t>(facts.active),
                            facts.requests, facts.responses[4], facts.fails })
    {
        add("<td class=\"n\">");
        number(value);
    }

    add("<td>");
    time(facts.selected * 1000);
    add("\n");

    out_ = former;
}


void
Page::down(void)
{
    static const char  columns[] =
        "<thead><tr><th>Upstream<th>Cluster<th>Server<th>Node<th>State"
        "<th class=\"n\">Weight<th class=\"n\">Active<th class=\"n\">Requests"
        "<th class=\"n\">5xx<th class=\"n\">Fails<th>Last chosen</thead>"
        "<tbody>\n";

    if (query_.upstream) {
        add("<section>\n<h2>Servers</h2>\n<div class=\"wide\">"
            "<table id=\"peers\">\n");
        add(columns);
        add(peers_);
        add("</table></div>\n</section>\n");
    }

    add("<section>\n<h2>Drained and failing</h2>\n<div class=\"wide\">"
        "<table id=\"down\">\n");
    add(columns);
    add(down_);
    add("</table></div>\n<p id=\"more\">");

    if (ndown_ > NGX_HTTP_DW_PAGE_DOWN) {
        add("and ");
        number(ndown_ - NGX_HTTP_DW_PAGE_DOWN);
        add(" more");

    } else if (ndown_ == 0) {
        add("None.");
    }

    add("</p>\n</section>\n");
}


/* newest first */

void
Page::decisions(void)
{
    std::vector<dynweight::Decision>  decisions;

    if (query_.conf->decisions) {
        decisions = dynweight::DecodeDecisions(
                        query_.conf->decisions->ReadText());
    }

    add("<section>\n<h2>Decisions</h2>\n<div class=\"wide\"><table "
        "id=\"decisions\">\n<thead><tr><th>Time<th>Upstream<th>Cluster"
        "<th class=\"n\">Weight<th>Why</thead><tbody>\n");

    for (auto d = decisions.rbegin(); d != decisions.rend(); ++d) {

        if (query_.upstream
            && d->upstream.view() != query_.upstream->substr(0, 63))
        {
            continue;
        }

        add("<tr><td>");
        time(d->time_ms);
        add("<td>");
        text(d->upstream.view());
        add("<td>");
        text(d->cluster.view());
        add("<td class=\"n\">");

        if (d->first) {
            add("?");

        } else {
            number(d->old_weight);
        }

        add(" → ");
        number(d->new_weight);
        add("<td>");
        text(d->why.view());
        add("\n");
    }

    add("</table></div>\n</section>\n");
}


void
Page::percent(uint64_t part, uint64_t whole)
{
    u_char  text[16], *last;

    if (whole == 0) {
        add("–");
        return;
    }

    last = ngx_snprintf(text, sizeof(text), "%.1f%%",
                        100 * static_cast<double>(part)
                        / static_cast<double>(whole));

    out_->append(reinterpret_cast<char *>(text), last - text);
}


/* in UTC, so that edges in several places agree */

void
Page::time(int64_t ms)
{
    char       text[32];
    struct tm  tm;
    time_t     seconds = ms / 1000;

    if (ms == 0) {
        add("never");
        return;
    }

    (void) gmtime_r(&seconds, &tm);

    add({ text, std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ",
                              &tm) });
}


}  // namespace


std::unique_ptr<ngx_http_dynamic_weight_document_t>
ngx_http_dynamic_weight_page(const ngx_http_dynamic_weight_query_t &query)
{
    return std::make_unique<Page>(query);
}

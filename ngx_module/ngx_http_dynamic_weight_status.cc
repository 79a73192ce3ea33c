// The status location: /status JSON, /ready 200 or 503. Read-only.

#include "ngx_http_dynamic_weight.h"

#include <string>

#include "watcher/json_text.h"


static ngx_int_t ngx_http_dynamic_weight_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_dynamic_weight_send(ngx_http_request_t *r,
    ngx_uint_t status, const std::string &text);
static std::string ngx_http_dynamic_weight_status_json(
    ngx_http_dynamic_weight_main_conf_t *dmcf);
static void ngx_http_dynamic_weight_status_group(std::string *out,
    ngx_http_dynamic_weight_group_t *group, bool backup);
static std::string ngx_http_dynamic_weight_missing(
    ngx_http_dynamic_weight_main_conf_t *dmcf);


char *
ngx_http_dynamic_weight_status(ngx_conf_t *cf, ngx_command_t *, void *)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));

    if (clcf->handler == ngx_http_dynamic_weight_status_handler) {
        return const_cast<char *>("is duplicate");
    }

    clcf->handler = ngx_http_dynamic_weight_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_dynamic_weight_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                             rc;
    std::string_view                      uri;
    ngx_http_core_loc_conf_t             *clcf;
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    dmcf = static_cast<ngx_http_dynamic_weight_main_conf_t *>(
        ngx_http_get_module_main_conf(r, ngx_http_dynamic_weight_module));

    clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));

    /* what follows the location, with one slash between them */

    uri = ngx_http_dynamic_weight_view(r->uri);

    if (!clcf->noname && uri.size() >= clcf->name.len) {
        uri.remove_prefix(clcf->name.len);
    }

    if (!uri.empty() && uri[0] == '/') {
        uri.remove_prefix(1);
    }

    return ngx_http_dynamic_weight_guard(r->connection->log,
                                         NGX_HTTP_INTERNAL_SERVER_ERROR,
                                         [&]() -> ngx_int_t {
        if (uri == "status") {
            return ngx_http_dynamic_weight_send(r, NGX_HTTP_OK,
                       ngx_http_dynamic_weight_status_json(dmcf));
        }

        if (uri == "ready") {
            std::string  missing = ngx_http_dynamic_weight_missing(dmcf);

            if (missing.empty()) {
                return ngx_http_dynamic_weight_send(r, NGX_HTTP_OK,
                                                    "{\"ready\":true}\n");
            }

            return ngx_http_dynamic_weight_send(r,
                       NGX_HTTP_SERVICE_UNAVAILABLE,
                       "{\"ready\":false,\"waiting_for\":[" + missing + "]}\n");
        }

        return NGX_HTTP_NOT_FOUND;
    });
}


static ngx_int_t
ngx_http_dynamic_weight_send(ngx_http_request_t *r, ngx_uint_t status,
    const std::string &text)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    r->headers_out.status = status;
    r->headers_out.content_length_n = text.size();

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_create_temp_buf(r->pool, text.size());
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->last = ngx_cpymem(b->last, text.data(), text.size());
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* names come from clusters: escaped for JSON and HTML, and mended as UTF-8 */

static void
ngx_http_dynamic_weight_quote(std::string *out, std::string_view text)
{
    dynweight::AppendJsonString(text, 4096, out);
}


static void
ngx_http_dynamic_weight_number(std::string *out, const char *name,
    uint64_t value)
{
    out->append(",\"");
    out->append(name);
    out->append("\":");
    out->append(std::to_string(value));
}


static std::string
ngx_http_dynamic_weight_document(dynweight::SharedDocument *document)
{
    std::string  text(document->capacity(), '\0');

    text.resize(document->Read(text.data()));

    return text.empty() ? "null" : text;
}


static std::string
ngx_http_dynamic_weight_status_json(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    std::string                            out;
    ngx_time_t                            *tp;
    ngx_uint_t                             i;
    ngx_http_dynamic_weight_srv_conf_t   **dscf;

    tp = ngx_timeofday();

    out = "{\"version\":1,\"nginx\":\"" NGINX_VERSION "\"";

    ngx_http_dynamic_weight_number(&out, "pid", ngx_pid);
    ngx_http_dynamic_weight_number(&out, "worker", ngx_worker);
    ngx_http_dynamic_weight_number(&out, "time",
                     static_cast<uint64_t>(tp->sec) * 1000 + tp->msec);

    out += ",\"clusters\":{";

    for (i = 0; i < dmcf->config->clusters.size(); i++) {

        if (i) {
            out += ",";
        }

        ngx_http_dynamic_weight_quote(&out, dmcf->config->clusters[i].name);

        if (dmcf->documents == NULL) {
            out += ":null";
            continue;
        }

        out += ":{\"view\":";
        out += ngx_http_dynamic_weight_document(dmcf->documents[i].view);
        out += ",\"watch\":";
        out += ngx_http_dynamic_weight_document(dmcf->documents[i].status);
        out += "}";
    }

    out += "},\"upstreams\":{";

    dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t **>(
        dmcf->upstreams.elts);

    for (i = 0; i < dmcf->upstreams.nelts; i++) {

        if (i) {
            out += ",";
        }

        ngx_http_dynamic_weight_quote(&out,
                   ngx_http_dynamic_weight_view(dscf[i]->upstream->host));

        out += ":{\"base\":" + std::to_string(dscf[i]->base)
               + ",\"peers\":[";

        ngx_http_dynamic_weight_status_group(&out, &dscf[i]->primary, false);
        ngx_http_dynamic_weight_status_group(&out, &dscf[i]->backup, true);

        if (out.back() == ',') {
            out.pop_back();
        }

        out += "]}";
    }

    out += "}}\n";

    return out;
}


/* NGINX Plus's names for what a peer has; each element ends in a comma */

static void
ngx_http_dynamic_weight_status_group(std::string *out,
    ngx_http_dynamic_weight_group_t *group, bool backup)
{
    uint64_t                          total, total_responses, n;
    ngx_uint_t                        i, k;
    dynweight::Peer                   peer;
    ngx_http_dynamic_weight_seat_t   *seat;

    total = 0;

    for (i = 0; i < group->nseats; i++) {
        total += group->table->weight(i);
    }

    for (i = 0; i < group->nseats; i++) {

        seat = &group->seats[i];

        if (!group->table->Read(i, &peer)) {
            continue;
        }

        uint32_t     weight = group->table->weight(i);
        const auto  &counters = group->table->counters(i);
        std::string  server;

        if (seat->sockaddr) {
            server = ngx_http_dynamic_weight_view(seat->name);

        } else {
            server = peer.identity.address.ToString();

            if (peer.identity.address.family == dynweight::IpAddress::kIpv6) {
                server = "[" + server + "]";
            }

            server += ":" + std::to_string(peer.identity.port);
        }

        *out += "{\"id\":" + std::to_string(i) + ",\"server\":";
        ngx_http_dynamic_weight_quote(out, server);

        *out += ",\"name\":";
        ngx_http_dynamic_weight_quote(out,
                               ngx_http_dynamic_weight_view(seat->server));

        if (seat->cluster) {
            *out += ",\"cluster\":";
            ngx_http_dynamic_weight_quote(out,
                               ngx_http_dynamic_weight_view(*seat->cluster));
            *out += ",\"node\":";
            ngx_http_dynamic_weight_quote(out, peer.identity.node.data());
        }

        *out += backup ? ",\"backup\":true" : ",\"backup\":false";

        ngx_http_dynamic_weight_number(out, "weight", weight);
        ngx_http_dynamic_weight_number(out, "total_weight", total);

        *out += ",\"state\":\"";

        if (weight == 0) {
            *out += seat->sockaddr ? "down"
                    : group->table->Active(i) ? "draining" : "drained";

        } else if (group->table->health(i).Failed({ seat->max_fails,
                                                    seat->fail_timeout }))
        {
            *out += "unavail";

        } else {
            *out += "up";
        }

        *out += "\"";

        ngx_http_dynamic_weight_number(out, "active", group->table->Active(i));
        ngx_http_dynamic_weight_number(out, "max_conns", seat->max_conns);
        ngx_http_dynamic_weight_number(out, "requests",
                     counters.requests.load(std::memory_order_relaxed));

        *out += ",\"responses\":{";
        total_responses = 0;

        for (k = 0; k < 5; k++) {
            n = counters.responses[k].load(std::memory_order_relaxed);
            total_responses += n;
            *out += "\"" + std::to_string(k + 1) + "xx\":" + std::to_string(n)
                    + ",";
        }

        *out += "\"total\":" + std::to_string(total_responses) + "}";

        ngx_http_dynamic_weight_number(out, "sent",
                     counters.sent.load(std::memory_order_relaxed));
        ngx_http_dynamic_weight_number(out, "received",
                     counters.received.load(std::memory_order_relaxed));
        ngx_http_dynamic_weight_number(out, "fails",
                     counters.fails.load(std::memory_order_relaxed));
        ngx_http_dynamic_weight_number(out, "unavail",
                     counters.unavail.load(std::memory_order_relaxed));
        ngx_http_dynamic_weight_number(out, "selected",
                     counters.selected.load(std::memory_order_relaxed));

        *out += "},";
    }
}


/* the clusters that a weight still waits for, as JSON strings */

static std::string
ngx_http_dynamic_weight_missing(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    std::string  missing;

    for (size_t i = 0; i < dmcf->config->clusters.size(); i++) {

        /* quotes inside of JSON strings are escaped: this is the member */

        if (dmcf->documents
            && ngx_http_dynamic_weight_document(dmcf->documents[i].status)
                   .find("\"complete\":true") != std::string::npos)
        {
            continue;
        }

        if (!missing.empty()) {
            missing += ",";
        }

        ngx_http_dynamic_weight_quote(&missing,
                                      dmcf->config->clusters[i].name);
    }

    return missing;
}

// The status location: / the page, /status JSON, /metrics for Prometheus,
// /ready 200 or 503. Read-only.

#include "ngx_module/http/ngx_http_dynamic_weight_status.h"

#include <sys/random.h>

#include <algorithm>

#include "ngx_module/status/metrics.h"
#include "ngx_module/status/page.h"
#include "ngx_module/status/readiness.h"
#include "ngx_module/status/status_json.h"
#include "watcher/text/json_text.h"


static ngx_int_t ngx_http_dynamic_weight_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_dynamic_weight_answer(ngx_http_request_t *r,
    std::string_view rest);
static std::string_view ngx_http_dynamic_weight_rest(ngx_http_request_t *r);
static std::string ngx_http_dynamic_weight_read_query(ngx_http_request_t *r,
    dynweight::StatusQuery *query);
static ngx_int_t ngx_http_dynamic_weight_send_page(ngx_http_request_t *r,
    dynweight::StatusQuery *query);


char *
ngx_http_dynamic_weight_status(ngx_conf_t *cf, ngx_command_t *, void *)
{
    ngx_http_core_loc_conf_t             *clcf;
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));

    if (clcf->handler == ngx_http_dynamic_weight_status_handler) {
        return const_cast<char *>("is duplicate");
    }

    /* documents are told apart by what follows the location's name */

    if (clcf->named
#if (NGX_PCRE)
        || clcf->regex
#endif
        )
    {
        return const_cast<char *>("needs a location that is neither named nor "
                                  "a regular expression");
    }

    clcf->handler = ngx_http_dynamic_weight_status_handler;

    dmcf = static_cast<ngx_http_dynamic_weight_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_dynamic_weight_module));
    dmcf->status_asked = 1;

    /* the page's links are relative: "/dw" goes to "/dw/" */

    if (clcf->name.len && clcf->name.data[clcf->name.len - 1] == '/') {
        clcf->auto_redirect = 1;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_dynamic_weight_status_handler(ngx_http_request_t *r)
{
    ngx_int_t         rc;
    std::string_view  rest;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        if (ngx_http_dynamic_weight_add_header(r, "Allow", "GET, HEAD")
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rest = ngx_http_dynamic_weight_rest(r);

    return ngx_dynamic_weight_guard(r->connection->log,
                                    NGX_HTTP_INTERNAL_SERVER_ERROR,
                                    [&]() -> ngx_int_t {
        return ngx_http_dynamic_weight_answer(r, rest);
    });
}


static ngx_int_t
ngx_http_dynamic_weight_answer(ngx_http_request_t *r, std::string_view rest)
{
    std::string              wrong;
    dynweight::StatusQuery   query;
    dynweight::ReadyAnswer   ready;

    if (!rest.empty() && rest != "status" && rest != "metrics"
        && rest != "ready")
    {
        return NGX_HTTP_NOT_FOUND;
    }

    wrong = ngx_http_dynamic_weight_read_query(r, &query);

    if (!wrong.empty()) {
        return ngx_http_dynamic_weight_send(r, NGX_HTTP_BAD_REQUEST,
                   "{\"error\":" + dynweight::JsonString(wrong, 1024) + "}\n");
    }

    if (ngx_http_dynamic_weight_init_query(
            static_cast<ngx_http_dynamic_weight_main_conf_t *>(
                ngx_http_get_module_main_conf(r,
                                              ngx_http_dynamic_weight_module)),
            &query)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rest.empty()) {
        return ngx_http_dynamic_weight_send_page(r, &query);
    }

    if (query.upstream && dynweight::AskedUpstreams(query).empty()) {
        return ngx_http_dynamic_weight_send(r, NGX_HTTP_NOT_FOUND,
                   "{\"error\":\"no upstream "
                   "of this name has dynamic_weight\",\"upstream\":"
                   + dynweight::JsonString(*query.upstream, 1024) + "}\n");
    }

    if (rest == "ready") {
        ready = dynweight::AnswerReady(query);

        return ngx_http_dynamic_weight_send(r,
                   ready.ready ? NGX_HTTP_OK : NGX_HTTP_SERVICE_UNAVAILABLE,
                   ready.body);
    }

    if (rest == "metrics") {
        return ngx_http_dynamic_weight_send_document(r,
                   "text/plain; version=0.0.4; charset=utf-8",
                   dynweight::MakeMetrics(query));
    }

    return ngx_http_dynamic_weight_send_document(r, "application/json",
               dynweight::MakeStatusJson(query));
}


/* what follows the location, with one slash between them */

static std::string_view
ngx_http_dynamic_weight_rest(ngx_http_request_t *r)
{
    std::string_view           uri;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));

    uri = ngx_dynamic_weight_view(r->uri);

    if (!clcf->noname && uri.size() >= clcf->name.len) {
        uri.remove_prefix(clcf->name.len);
    }

    if (!uri.empty() && uri[0] == '/') {
        uri.remove_prefix(1);
    }

    return uri;
}


/* an argument, unescaped; false when it is not there */

static bool
ngx_http_dynamic_weight_arg(ngx_http_request_t *r, std::string_view name,
    std::string *value)
{
    u_char     *dst, *src;
    ngx_str_t   raw;

    if (ngx_http_arg(r, reinterpret_cast<u_char *>(
                            const_cast<char *>(name.data())),
                     name.size(), &raw)
        != NGX_OK)
    {
        return false;
    }

    value->assign(ngx_dynamic_weight_view(raw));

    /* as a form sends a space; nginx leaves it alone */
    std::replace(value->begin(), value->end(), '+', ' ');

    dst = src = reinterpret_cast<u_char *>(value->data());
    ngx_unescape_uri(&dst, &src, value->size(), 0);
    value->resize(dst - reinterpret_cast<u_char *>(value->data()));

    return true;
}


/*
 * ?upstream=NAME, ?filter=PART, ?peers=no|down|all.  What is wrong with it, or
 * "": a misspelt argument would give 46 MB instead of some kB.
 */

static std::string
ngx_http_dynamic_weight_read_query(ngx_http_request_t *r,
    dynweight::StatusQuery *query)
{
    size_t            end;
    std::string       value;
    std::string_view  args, name;

    args = ngx_dynamic_weight_view(r->args);

    while (!args.empty()) {
        end = ngx_min(args.find('&'), args.size());
        name = args.substr(0, end);
        name = name.substr(0, name.find('='));

        if (!name.empty() && name != "upstream" && name != "filter"
            && name != "peers")
        {
            return "unknown argument \"" + std::string(name.substr(0, 64))
                   + "\": there are upstream=NAME, filter=PART and "
                     "peers=no|down|all";
        }

        args.remove_prefix(ngx_min(end + 1, args.size()));
    }

    if (ngx_http_dynamic_weight_arg(r, "upstream", &value)) {
        query->upstream = value;
    }

    (void) ngx_http_dynamic_weight_arg(r, "filter", &query->filter);

    value.clear();
    query->peers = dynweight::AskedPeers::kAll;

    if (!ngx_http_dynamic_weight_arg(r, "peers", &value) || value == "all") {
        return "";
    }

    if (value != "no" && value != "down") {
        return "unknown \"peers\": write peers=no, peers=down or peers=all";
    }

    query->peers = value == "no" ? dynweight::AskedPeers::kNone
                                 : dynweight::AskedPeers::kDown;

    return "";
}


/* nothing may run or be fetched but what the page itself brings */

static ngx_int_t
ngx_http_dynamic_weight_send_page(ngx_http_request_t *r,
    dynweight::StatusQuery *query)
{
    u_char  random[16], hex[2 * sizeof(random)];

    if (getrandom(random, sizeof(random), GRND_NONBLOCK)
        != static_cast<ssize_t>(sizeof(random)))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, ngx_errno,
                      "getrandom() failed, the page needs it");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_hex_dump(hex, random, sizeof(random));

    query->nonce.assign(reinterpret_cast<char *>(hex), sizeof(hex));

    if (ngx_http_dynamic_weight_add_header(r, "Content-Security-Policy",
            "default-src 'none'; script-src 'nonce-" + query->nonce
            + "'; style-src 'nonce-" + query->nonce
            + "'; connect-src 'self'; img-src data:; form-action 'self'; "
              "base-uri 'none'; frame-ancestors 'none'")
            != NGX_OK
        || ngx_http_dynamic_weight_add_header(r, "Referrer-Policy",
                                              "no-referrer")
            != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_dynamic_weight_send_document(r, "text/html; charset=utf-8",
               dynweight::MakePage(*query));
}

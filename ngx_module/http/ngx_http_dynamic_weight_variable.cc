// $dynamic_weight_cluster and $dynamic_weight_peer_cluster.
//
// A request's upstreams are chained, the latest first. The chain begins in the
// value of a variable that no configuration can name: a module's context is
// cleared by internal redirects, which lead to another upstream (error_page,
// X-Accel-Redirect). Subrequests share the variables with their parents, and so
// the chain.

#include "ngx_module/core/ngx_dynamic_weight_request.h"


static ngx_int_t ngx_http_dynamic_weight_chain_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_dynamic_weight_cluster_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_dynamic_weight_peer_cluster_variable(
    ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data);


static ngx_str_t  ngx_http_dynamic_weight_chain_name =
    ngx_string("dynamic_weight chain");

static ngx_str_t  ngx_http_dynamic_weight_no_cluster = ngx_string("-");


static ngx_http_variable_t  ngx_http_dynamic_weight_variables[] = {

    { ngx_string("dynamic_weight chain"), NULL,
      ngx_http_dynamic_weight_chain_variable, 0, 0, 0 },

    { ngx_string("dynamic_weight_cluster"), NULL,
      ngx_http_dynamic_weight_cluster_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("dynamic_weight_peer_cluster"), NULL,
      ngx_http_dynamic_weight_peer_cluster_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 }
};


ngx_int_t
ngx_http_dynamic_weight_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t                  *var;
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    for (ngx_http_variable_t &v : ngx_http_dynamic_weight_variables) {

        var = ngx_http_add_variable(cf, &v.name, v.flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v.get_handler;
    }

    dmcf = static_cast<ngx_http_dynamic_weight_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_dynamic_weight_module));

    dmcf->chain = ngx_http_get_variable_index(cf,
                                        &ngx_http_dynamic_weight_chain_name);

    return dmcf->chain == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


static u_char **
ngx_http_dynamic_weight_chain_head(ngx_http_request_t *r)
{
    ngx_http_dynamic_weight_main_conf_t  *dmcf;

    dmcf = static_cast<ngx_http_dynamic_weight_main_conf_t *>(
        ngx_http_get_module_main_conf(r, ngx_http_dynamic_weight_module));

    return &r->variables[dmcf->chain].data;
}


void
ngx_http_dynamic_weight_chain(ngx_http_dynamic_weight_request_t *rd)
{
    u_char  **head = ngx_http_dynamic_weight_chain_head(rd->request);

    rd->next = reinterpret_cast<ngx_http_dynamic_weight_request_t *>(*head);
    *head = reinterpret_cast<u_char *>(rd);
}


/* nobody asks for it: its value's address alone is used */

static ngx_int_t
ngx_http_dynamic_weight_chain_variable([[maybe_unused]] ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t)
{
    v->not_found = 1;

    return NGX_OK;
}


/*
 * The cluster of each of the request's attempts, by its place among
 * upstream_states: "-" for a peer of no cluster, whoever's.
 */

static ngx_int_t
ngx_http_dynamic_weight_attempts(ngx_http_request_t *r, ngx_str_t ***clusters)
{
    ngx_uint_t                          i, n;
    ngx_http_dynamic_weight_attempt_t  *attempt;
    ngx_http_dynamic_weight_request_t  *rd;

    n = r->upstream_states->nelts;

    *clusters = static_cast<ngx_str_t **>(
        ngx_palloc(r->pool, n * sizeof(ngx_str_t *)));
    if (*clusters == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        (*clusters)[i] = &ngx_http_dynamic_weight_no_cluster;
    }

    rd = reinterpret_cast<ngx_http_dynamic_weight_request_t *>(
        *ngx_http_dynamic_weight_chain_head(r));

    for ( /* void */ ; rd; rd = rd->next) {

        if (rd->request != r) {
            continue;
        }

        for (attempt = rd->attempts; attempt; attempt = attempt->next) {
            if (attempt->cluster && attempt->state < n) {
                (*clusters)[attempt->state] = attempt->cluster;
            }
        }
    }

    return NGX_OK;
}


/* the clusters of all attempts, where $upstream_addr has their addresses */

static ngx_int_t
ngx_http_dynamic_weight_cluster_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t)
{
    u_char                     *p;
    size_t                      len;
    ngx_str_t                 **cluster;
    ngx_uint_t                  i, n;
    ngx_http_upstream_state_t  *state;

    if (r->upstream_states == NULL || r->upstream_states->nelts == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (ngx_http_dynamic_weight_attempts(r, &cluster) != NGX_OK) {
        return NGX_ERROR;
    }

    n = r->upstream_states->nelts;
    state = static_cast<ngx_http_upstream_state_t *>(
        r->upstream_states->elts);
    len = 0;

    for (i = 0; i < n; i++) {
        len += cluster[i]->len + sizeof(" : ") - 1;
    }

    p = static_cast<u_char *>(ngx_pnalloc(r->pool, len));
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    /* step by step as ngx_http_upstream_addr_variable() */

    for (i = 0; i < n; /* void */ ) {

        if (state[i].peer) {
            p = ngx_cpymem(p, cluster[i]->data, cluster[i]->len);
        }

        if (++i == n) {
            break;
        }

        if (state[i].peer) {
            *p++ = ',';
            *p++ = ' ';

        } else {
            *p++ = ' ';
            *p++ = ':';
            *p++ = ' ';

            i++;
        }
    }

    v->len = p - v->data;

    return NGX_OK;
}


/* the cluster of the latest attempt, as soon as its peer is chosen */

static ngx_int_t
ngx_http_dynamic_weight_peer_cluster_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t)
{
    ngx_str_t  **cluster, *last;

    if (r->upstream_states == NULL || r->upstream_states->nelts == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    if (ngx_http_dynamic_weight_attempts(r, &cluster) != NGX_OK) {
        return NGX_ERROR;
    }

    last = cluster[r->upstream_states->nelts - 1];

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = last->data;
    v->len = last->len;

    return NGX_OK;
}

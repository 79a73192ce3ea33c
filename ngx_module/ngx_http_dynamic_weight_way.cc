// What two requests must have in common to use one connection to a peer.

#include "ngx_http_dynamic_weight_request.h"

#if (NGX_HTTP_SSL)
#include <openssl/sha.h>
#endif


#if (NGX_HTTP_SSL)

/*
 * A digest of what else a handshake depends on, where that varies with the
 * request: the name that the certificate is verified for (proxy_ssl_name), and
 * our own certificate. The stock module takes a connection for another name.
 */

static ngx_int_t
ngx_http_dynamic_weight_tls_names(ngx_http_request_t *r, u_char *names)
{
    u_char                    *p;
    ngx_str_t                  value[3];
    ngx_uint_t                 i;
    ngx_http_upstream_conf_t  *conf = r->upstream->conf;

    ngx_http_complex_value_t *const  values[] = {
        conf->ssl_name, conf->ssl_certificate, conf->ssl_certificate_key
    };

    bool    varies = false;
    size_t  len = 0;

    for (i = 0; i < 3; i++) {
        ngx_str_null(&value[i]);

        if (values[i] == NULL || values[i]->lengths == NULL) {
            continue;
        }

        if (ngx_http_complex_value(r, values[i], &value[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        varies = true;
        len += value[i].len;
    }

    if (!varies) {
        return NGX_OK;
    }

    /* their lengths before them: no two triples give the same text */

    u_char *const  text = static_cast<u_char *>(
        ngx_pnalloc(r->pool, 3 * sizeof(size_t) + len));

    if (text == NULL) {
        return NGX_ERROR;
    }

    p = text;

    for (i = 0; i < 3; i++) {
        p = ngx_cpymem(p, &value[i].len, sizeof(size_t));

        if (value[i].len) {
            p = ngx_cpymem(p, value[i].data, value[i].len);
        }
    }

    SHA256(text, p - text, names);

    return NGX_OK;
}

#endif


ngx_int_t
ngx_http_dynamic_weight_way(ngx_http_request_t *r,
    ngx_http_dynamic_weight_way_t *way)
{
    ngx_http_upstream_t  *u = r->upstream;

    ngx_memzero(way, sizeof(ngx_http_dynamic_weight_way_t));

    way->protocol = u->create_request;
    way->local = u->conf->local;

#if (NGX_HTTP_SSL)

    /* what a location demands of a certificate was seen to by its handshake */

    if (u->ssl) {
        way->tls = u->conf;

        return ngx_http_dynamic_weight_tls_names(r, way->names);
    }

#endif

    return NGX_OK;
}


bool
ngx_http_dynamic_weight_same_way(const ngx_http_dynamic_weight_way_t *one,
    const ngx_http_dynamic_weight_way_t *two)
{
    return one->protocol == two->protocol
           && one->local == two->local
           && one->tls == two->tls
           && ngx_memcmp(one->names, two->names, sizeof(one->names)) == 0;
}

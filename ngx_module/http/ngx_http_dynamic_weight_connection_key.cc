// What two requests must have in common to use one connection to a peer.

#include "ngx_module/core/ngx_dynamic_weight_request.h"

#if (NGX_HTTP_SSL)
#include <openssl/sha.h>
#endif


#if (NGX_HTTP_SSL)

/*
 * A digest of what else a handshake depends on, where that varies with the
 * request: the name that the certificate is verified for (proxy_ssl_name), and
 * our own certificate. NULL where nothing does. The stock module takes a
 * connection for another name.
 */

static ngx_int_t
ngx_http_dynamic_weight_tls_names(ngx_http_request_t *r, u_char **names)
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
        ngx_pnalloc(r->pool, SHA256_DIGEST_LENGTH + 3 * sizeof(size_t) + len));

    if (text == NULL) {
        return NGX_ERROR;
    }

    p = text + SHA256_DIGEST_LENGTH;

    for (i = 0; i < 3; i++) {
        p = ngx_cpymem(p, &value[i].len, sizeof(size_t));

        if (value[i].len) {
            p = ngx_cpymem(p, value[i].data, value[i].len);
        }
    }

    *names = SHA256(text + SHA256_DIGEST_LENGTH,
                    p - text - SHA256_DIGEST_LENGTH, text);

    return NGX_OK;
}

#endif


void
ngx_http_dynamic_weight_note_names(ngx_http_dynamic_weight_request_t *rd)
{
    rd->names = NULL;
    rd->nameless = 0;

#if (NGX_HTTP_SSL)

    ngx_http_upstream_t  *u = rd->request->upstream;

    if (u->ssl
        && ngx_http_dynamic_weight_tls_names(rd->request, &rd->names)
           != NGX_OK)
    {
        rd->nameless = 1;
    }

#endif
}


bool
ngx_http_dynamic_weight_connection_key(const ngx_http_dynamic_weight_request_t *rd,
    ngx_dynamic_weight_connection_key_t *way)
{
    ngx_http_upstream_t  *u = rd->request->upstream;

    if (rd->nameless) {
        return false;
    }

    ngx_memzero(way, sizeof(ngx_dynamic_weight_connection_key_t));

    way->protocol = u->create_request;
    way->local = u->conf->local;

    if (rd->conf->keepalive_local) {
        way->conf = u->conf;
    }

#if (NGX_HTTP_SSL)

    /* what a location demands of a certificate was seen to by its handshake */

    if (u->ssl) {
        way->conf = u->conf;
    }

#endif

    if (rd->names) {
        ngx_memcpy(way->names, rd->names, sizeof(way->names));
    }

    return true;
}


bool
ngx_http_dynamic_weight_same_connection_key(const ngx_dynamic_weight_connection_key_t *one,
    const ngx_dynamic_weight_connection_key_t *two)
{
    return one->protocol == two->protocol
           && one->local == two->local
           && one->conf == two->conf
           && ngx_memcmp(one->names, two->names, sizeof(one->names)) == 0;
}

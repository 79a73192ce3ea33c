// What one nginx has and another lacks, where its version alone does not tell: a
// fork has the number of the nginx that it follows, and not all that this has.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_NGINX_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_NGINX_H_

extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
}


/*
 * Each upstream has a pool of idle connections unless it says "keepalive 0;",
 * and "keepalive N local;" is taken. Angie of the same numbers has neither.
 */

#if (nginx_version >= 1029007 && !defined ANGIE_VERSION)
#define NGX_DYNAMIC_WEIGHT_LOCAL_POOLS  1
#endif


/*
 * A connection may be a stream of QUIC: ngx_connection_t has "quic". Tengine has
 * another QUIC, and the number.
 */

#if (!defined TENGINE_VERSION                                                \
     && (NGX_QUIC || (NGX_COMPAT && nginx_version >= 1025000)))
#define NGX_DYNAMIC_WEIGHT_QUIC  1
#endif


/* "server" takes "resolve" and "service=", an upstream "resolver" */

#if (NGX_HTTP_UPSTREAM_ZONE                                                  \
     && (nginx_version >= 1027003 || defined ANGIE_VERSION))
#define NGX_DYNAMIC_WEIGHT_RESOLVE  1
#endif


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_NGINX_H_

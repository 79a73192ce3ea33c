// nginx's headers, as C, and the few bridges between nginx and C++. Nothing
// else includes <ngx_*.h>.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGINX_HPP_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGINX_HPP_

extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
}

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>


/* nginx's macro is a C cast that C++ string literals warn about */
#define NGX_HTTP_DW_CONF_ERROR  (static_cast<char *>(NGX_CONF_ERROR))


inline std::string_view
ngx_dynamic_weight_view(const ngx_str_t &s)
{
    return std::string_view(reinterpret_cast<const char *>(s.data), s.len);
}


/* no exception may cross into nginx: what escapes becomes one log line */

template <typename F>
auto
ngx_dynamic_weight_guard(ngx_log_t *log,
    decltype(std::declval<F>()()) failure, F &&f) noexcept
{
    try {
        return f();

    } catch (const std::exception &e) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "dynamic_weight: %s", e.what());

    } catch (...) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "dynamic_weight: unknown error");
    }

    return failure;
}


/* runs the destructor of an object when the pool is destroyed */

template <typename T>
T *
ngx_dynamic_weight_own(ngx_pool_t *pool, T *object)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        delete object;
        return NULL;
    }

    cln->handler = [](void *data) { delete static_cast<T *>(data); };
    cln->data = object;

    return object;
}


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGINX_HPP_

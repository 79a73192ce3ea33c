// Parameters of a directive, "name=value" or "name", as a table of who reads
// which.
//
//   static constexpr ngx_dynamic_weight_parameter_t<conf_t>  table[] = {
//       { "port=", read_port },
//       { "backup", read_backup },
//   };
//
//   param = ngx_dynamic_weight_find_parameter(table, arg, &value);
//   rc = param ? param->read(cf, conf, &arg, &value) : NGX_DECLINED;

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_PARAMETER_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_PARAMETER_H_

#include "ngx_module/core/nginx.hpp"


template <typename T>
struct ngx_dynamic_weight_parameter_t {
    std::string_view                      name;   /* with its "=" */

    /*
     * Of the argument as it is written, and of what follows its "=". NGX_OK;
     * NGX_DECLINED: not such a value; NGX_ERROR: refused, and the log says why.
     */
    ngx_int_t                           (*read)(ngx_conf_t *cf, T *conf,
                                                ngx_str_t *arg,
                                                ngx_str_t *value);
};


/* NULL: there is none of that name; *value is set in either case */

template <typename T, size_t n>
const ngx_dynamic_weight_parameter_t<T> *
ngx_dynamic_weight_find_parameter(
    const ngx_dynamic_weight_parameter_t<T> (&table)[n],
    const ngx_str_t &arg, ngx_str_t *value)
{
    size_t            eq;
    std::string_view  name;

    name = ngx_dynamic_weight_view(arg);
    eq = name.find('=');

    if (eq != name.npos) {
        name = name.substr(0, eq + 1);
    }

    value->data = arg.data + name.size();
    value->len = arg.len - name.size();

    for (const ngx_dynamic_weight_parameter_t<T> &param : table) {
        if (param.name == name) {
            return &param;
        }
    }

    return NULL;
}


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_PARAMETER_H_

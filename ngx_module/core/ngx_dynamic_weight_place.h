// Where a directive stands, for errors that are found after it was read.

#ifndef DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_PLACE_H_
#define DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_PLACE_H_

#include "ngx_module/core/nginx.hpp"


typedef struct {
    u_char                               *file;      /* NULL: it was not
                                                        written */
    ngx_uint_t                            line;
} ngx_dynamic_weight_place_t;


inline void
ngx_dynamic_weight_note_place(ngx_conf_t *cf, ngx_dynamic_weight_place_t *place)
{
    place->file = cf->conf_file->file.name.data;
    place->line = cf->conf_file->line;
}


/* an error there */

template <typename... Args>
ngx_int_t
ngx_dynamic_weight_wrong(ngx_conf_t *cf,
    const ngx_dynamic_weight_place_t &place, const char *format,
    Args... args)
{
    u_char  text[NGX_MAX_CONF_ERRSTR], *last;

    last = ngx_snprintf(text, NGX_MAX_CONF_ERRSTR - 1, format, args...);
    *last = '\0';

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%s in %s:%ui",
                  text, place.file, place.line);

    return NGX_ERROR;
}


#endif  // DYNAMIC_WEIGHT_NGX_MODULE_CORE_NGX_DYNAMIC_WEIGHT_PLACE_H_

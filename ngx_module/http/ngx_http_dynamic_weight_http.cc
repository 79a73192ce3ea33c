// Directives of http: dynamic_weight_zone with its state file,
// dynamic_weight_base, which an upstream may have too, dynamic_weight_coalesce.

#include "ngx_module/core/ngx_dynamic_weight.h"


static ngx_int_t ngx_http_dynamic_weight_zone_size(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *name, ssize_t *size);
static ngx_int_t ngx_http_dynamic_weight_state(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_dynamic_weight_main_conf_t *dmcf);
static ngx_int_t ngx_http_dynamic_weight_state_folder(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf);


/* dynamic_weight_zone name:size [state=file] */

char *
ngx_http_dynamic_weight_zone(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_main_conf_t *dmcf =
        static_cast<ngx_http_dynamic_weight_main_conf_t *>(conf);

    ssize_t     size;
    ngx_str_t  *value, name;

    if (dmcf->zone) {
        return const_cast<char *>("is duplicate: one zone serves all "
                                  "upstreams");
    }

    value = static_cast<ngx_str_t *>(cf->args->elts);

    if (ngx_http_dynamic_weight_zone_size(cf, &value[1], &name, &size)
        != NGX_OK)
    {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (cf->args->nelts == 3
        && ngx_http_dynamic_weight_state(cf, &value[2], dmcf) != NGX_OK)
    {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    dmcf->zone = ngx_shared_memory_add(cf, &name, size,
                                       &ngx_http_dynamic_weight_module);
    if (dmcf->zone == NULL) {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    dmcf->zone->init = ngx_dynamic_weight_init_zone;
    dmcf->zone->data = dmcf;

    /* each cycle has its own; _fill.cc carries the view over */
    dmcf->zone->noreuse = 1;

    dmcf->zone_place.file = cf->conf_file->file.name.data;
    dmcf->zone_place.line = cf->conf_file->line;

    return NGX_CONF_OK;
}


/* NAME:SIZE */

static ngx_int_t
ngx_http_dynamic_weight_zone_size(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *name, ssize_t *size)
{
    u_char     *p;
    ngx_str_t   s;

    p = static_cast<u_char *>(memchr(value->data, ':', value->len));

    if (p == NULL || p == value->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\": write "
                           "\"dynamic_weight_zone NAME:SIZE\", "
                           "for example \"main:4m\"", value);
        return NGX_ERROR;
    }

    name->data = value->data;
    name->len = p - name->data;

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    *size = ngx_parse_size(&s);

    if (*size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\": write a size such as "
                           "\"4m\"", value);
        return NGX_ERROR;
    }

    if (*size < static_cast<ssize_t>(8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small: at least %uzk is needed",
                           name, 8 * ngx_pagesize / 1024);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* state=FILE */

static ngx_int_t
ngx_http_dynamic_weight_state(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    if (value->len <= 6 || ngx_strncmp(value->data, "state=", 6) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\": write \"state=FILE\"",
                           value);
        return NGX_ERROR;
    }

    dmcf->state.data = value->data + 6;
    dmcf->state.len = value->len - 6;

    if (ngx_conf_full_name(cf->cycle, &dmcf->state, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    if (dmcf->state.data[dmcf->state.len - 1] == '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "state \"%V\" is a directory: write the name of a "
                           "file in it", &dmcf->state);
        return NGX_ERROR;
    }

    return ngx_http_dynamic_weight_state_folder(cf, dmcf);
}


/*
 * A directory among the cycle's paths is made by the master and given to the
 * workers' user.  One that exists is left alone: it may be a shared one such as
 * /tmp.
 */

static ngx_int_t
ngx_http_dynamic_weight_state_folder(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    u_char           *p;
    ngx_str_t         dir;
    ngx_file_info_t   fi;

    for (p = dmcf->state.data + dmcf->state.len - 1; *p != '/'; p--) {
        /* void: ngx_conf_full_name() made it absolute */
    }

    dir.len = ngx_max(p - dmcf->state.data, 1);
    dir.data = static_cast<u_char *>(ngx_pnalloc(cf->pool, dir.len + 1));
    if (dir.data == NULL) {
        return NGX_ERROR;
    }

    ngx_cpystrn(dir.data, dmcf->state.data, dir.len + 1);

    if (ngx_file_info(dir.data, &fi) != NGX_FILE_ERROR) {

        if (ngx_is_dir(&fi)) {
            return NGX_OK;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of state \"%V\" is not a directory",
                           &dir, &dmcf->state);
        return NGX_ERROR;
    }

    dmcf->state_path = static_cast<ngx_path_t *>(
        ngx_pcalloc(cf->pool, sizeof(ngx_path_t)));
    if (dmcf->state_path == NULL) {
        return NGX_ERROR;
    }

    dmcf->state_path->name = dir;
    dmcf->state_path->conf_file = cf->conf_file->file.name.data;
    dmcf->state_path->line = cf->conf_file->line;

    return ngx_add_path(cf, &dmcf->state_path);
}


char *
ngx_http_dynamic_weight_base(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t    n;
    ngx_str_t   *value;
    ngx_uint_t  *base;

    base = cmd->conf == NGX_HTTP_MAIN_CONF_OFFSET
           ? &static_cast<ngx_http_dynamic_weight_main_conf_t *>(conf)->base
           : &static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf)->base;

    if (*base != NGX_CONF_UNSET_UINT) {
        return const_cast<char *>("is duplicate");
    }

    value = static_cast<ngx_str_t *>(cf->args->elts);

    n = ngx_atoi(value[1].data, value[1].len);

    if (n < 1 || n > static_cast<ngx_int_t>(dynweight::kMaxBase)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid dynamic_weight_base \"%V\": write a whole "
                           "number from 1 to %uD",
                           &value[1], dynweight::kMaxBase);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    *base = n;

    if (cmd->conf == NGX_HTTP_SRV_CONF_OFFSET) {
        auto *dscf = static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf);

        dscf->base_place.file = cf->conf_file->file.name.data;
        dscf->base_place.line = cf->conf_file->line;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_dynamic_weight_coalesce(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_main_conf_t *dmcf =
        static_cast<ngx_http_dynamic_weight_main_conf_t *>(conf);

    ngx_str_t   *value;
    ngx_msec_t   ms;

    value = static_cast<ngx_str_t *>(cf->args->elts);

    ms = ngx_parse_time(&value[1], 0);

    if (ms == static_cast<ngx_msec_t>(NGX_ERROR) || ms > 60000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid dynamic_weight_coalesce \"%V\": write a "
                           "time from 0 to 60s, for example \"50ms\"",
                           &value[1]);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    if (dmcf->coalesce_set) {
        return const_cast<char *>("is duplicate");
    }

    dmcf->coalesce_set = 1;
    dmcf->config->coalesce_ms = ms;

    return NGX_CONF_OK;
}

// ingress_nodes and instances in an upstream: a line of a cluster's nodes, or of
// an application's instances, and its parameters.

#include "ngx_module/core/ngx_dynamic_weight.h"
#include "ngx_module/core/ngx_dynamic_weight_parameter.h"

#include "watcher/kubernetes/source.h"


#define NGX_HTTP_DW_MAX_SLOTS     4096
#define NGX_HTTP_DW_MAX_PRIORITY  127


/* of an instances line that says nothing else */
#define NGX_HTTP_DW_INSTANCE_SLOTS  64


static ngx_dynamic_weight_line_t *ngx_http_dynamic_weight_add_line(
    ngx_conf_t *cf, ngx_http_dynamic_weight_srv_conf_t *dscf);
static ngx_int_t ngx_http_dynamic_weight_read_parameters(ngx_conf_t *cf,
    ngx_dynamic_weight_line_t *line);
static ngx_int_t ngx_http_dynamic_weight_check_line(ngx_conf_t *cf,
    const ngx_dynamic_weight_line_t *line);
static ngx_int_t ngx_http_dynamic_weight_join_words(ngx_conf_t *cf,
    ngx_dynamic_weight_line_t *line);
static ngx_int_t ngx_http_dynamic_weight_add_no_address(ngx_conf_t *cf,
    const ngx_dynamic_weight_line_t *line);


/* ingress_nodes CLUSTER SOURCE port=N [ingress=NS/NAME] [slots=N] ... */

char *
ngx_http_dynamic_weight_ingress_nodes(ngx_conf_t *cf, ngx_command_t *,
    void *conf)
{
    ngx_http_dynamic_weight_srv_conf_t *dscf =
        static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf);

    ngx_dynamic_weight_line_t  *line;

    line = ngx_http_dynamic_weight_add_line(cf, dscf);

    if (line == NULL
        || ngx_http_dynamic_weight_read_parameters(cf, line) != NGX_OK
        || ngx_http_dynamic_weight_check_line(cf, line) != NGX_OK
        || ngx_http_dynamic_weight_add_no_address(cf, line) != NGX_OK)
    {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * instances CLUSTER SOURCE [slots=N] [base=N] ...: how a source is written is
 * for its cluster's type, which may be known only later.
 */

char *
ngx_http_dynamic_weight_instances(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_srv_conf_t *dscf =
        static_cast<ngx_http_dynamic_weight_srv_conf_t *>(conf);

    ngx_dynamic_weight_line_t  *line;

    line = ngx_http_dynamic_weight_add_line(cf, dscf);

    if (line == NULL
        || ngx_array_init(&line->words, cf->pool, 4, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    line->instances = 1;
    line->slots = NGX_HTTP_DW_INSTANCE_SLOTS;

    if (ngx_http_dynamic_weight_read_parameters(cf, line) != NGX_OK
        || ngx_http_dynamic_weight_join_words(cf, line) != NGX_OK
        || ngx_http_dynamic_weight_add_no_address(cf, line) != NGX_OK)
    {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


const char *
ngx_http_dynamic_weight_line_name(const ngx_dynamic_weight_line_t &line)
{
    return line.instances ? "instances" : "ingress_nodes";
}


static ngx_dynamic_weight_line_t *
ngx_http_dynamic_weight_add_line(ngx_conf_t *cf,
    ngx_http_dynamic_weight_srv_conf_t *dscf)
{
    ngx_str_t                       *value;
    ngx_dynamic_weight_line_t       *line;

    if (dscf->lines.elts == NULL
        && ngx_array_init(&dscf->lines, cf->pool, 4,
                          sizeof(ngx_dynamic_weight_line_t)) != NGX_OK)
    {
        return NULL;
    }

    line = static_cast<ngx_dynamic_weight_line_t *>(
        ngx_array_push(&dscf->lines));
    if (line == NULL) {
        return NULL;
    }

    ngx_memzero(line, sizeof(ngx_dynamic_weight_line_t));

    value = static_cast<ngx_str_t *>(cf->args->elts);

    line->place.file = cf->conf_file->file.name.data;
    line->place.line = cf->conf_file->line;
    line->cluster = value[1];
    line->slots = 16;
    line->max_fails = 1;
    line->fail_timeout = 10;

    return line;
}


/* WORD=NAMESPACE/NAME, once in a line; `second` says so */

static ngx_int_t
ngx_http_dynamic_weight_read_object(ngx_conf_t *cf, ngx_str_t *arg,
    absl::StatusOr<dynweight::PodSource> object, const char *second,
    ngx_str_t *to)
{
    if (to->len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, second, arg);
        return NGX_ERROR;
    }

    if (!object.ok()) {
        std::string  text(object.status().message());

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", text.c_str());
        return NGX_ERROR;
    }

    *to = *arg;

    return NGX_OK;
}


/* service=NAMESPACE/NAME and the like: what counts the pods of each node */

static ngx_int_t
ngx_http_dynamic_weight_read_source(ngx_conf_t *cf,
    ngx_dynamic_weight_line_t *line, ngx_str_t *arg)
{
    return ngx_http_dynamic_weight_read_object(cf, arg,
               dynweight::PodSource::Parse(ngx_dynamic_weight_view(*arg)),
               "second source \"%V\": write one source in a line; several "
               "lines of a cluster are allowed", &line->source);
}


template <auto member, ngx_int_t min, ngx_int_t max>
static ngx_int_t
ngx_http_dynamic_weight_read_number(ngx_conf_t *,
    ngx_dynamic_weight_line_t *line, ngx_str_t *, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n < min || n > max) {
        return NGX_DECLINED;
    }

    line->*member = n;

    return NGX_OK;
}


template <auto member, bool seconds>
static ngx_int_t
ngx_http_dynamic_weight_read_time(ngx_conf_t *,
    ngx_dynamic_weight_line_t *line, ngx_str_t *, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, seconds);

    if (n == NGX_ERROR) {
        return NGX_DECLINED;
    }

    line->*member = n;

    return NGX_OK;
}


/* ingress=NAMESPACE/NAME: without it the line's pods don't count */

static ngx_int_t
ngx_http_dynamic_weight_read_ingress(ngx_conf_t *cf,
    ngx_dynamic_weight_line_t *line, ngx_str_t *arg, ngx_str_t *)
{
    return ngx_http_dynamic_weight_read_object(cf, arg,
               dynweight::PodSource::ParseIngress(
                   ngx_dynamic_weight_view(*arg)),
               "second ingress \"%V\": write one in a line", &line->ingress);
}


static ngx_int_t
ngx_http_dynamic_weight_read_empty(ngx_conf_t *,
    ngx_dynamic_weight_line_t *line, ngx_str_t *, ngx_str_t *value)
{
    if (ngx_dynamic_weight_view(*value) == "drain") {
        line->drain = 1;
        return NGX_OK;
    }

    return ngx_dynamic_weight_view(*value) == "keep" ? NGX_OK
                                                          : NGX_DECLINED;
}


static ngx_int_t
ngx_http_dynamic_weight_read_backup(ngx_conf_t *,
    ngx_dynamic_weight_line_t *line, ngx_str_t *, ngx_str_t *)
{
    line->backup = 1;

    return NGX_OK;
}


using Line = ngx_dynamic_weight_line_t;

static constexpr ngx_dynamic_weight_parameter_t<Line>
    ngx_http_dynamic_weight_line_parameters[] =
{
    { "slots=", ngx_http_dynamic_weight_read_number<&Line::slots, 1,
                                                    NGX_HTTP_DW_MAX_SLOTS> },
    { "empty=", ngx_http_dynamic_weight_read_empty },
    { "max_fails=", ngx_http_dynamic_weight_read_number<&Line::max_fails, 0,
                                                        NGX_MAX_INT32_VALUE> },
    { "fail_timeout=",
      ngx_http_dynamic_weight_read_time<&Line::fail_timeout, true> },
    { "max_conns=", ngx_http_dynamic_weight_read_number<&Line::max_conns, 0,
                                                        NGX_MAX_INT32_VALUE> },
    { "slow_start=",
      ngx_http_dynamic_weight_read_time<&Line::slow_start, false> },
    { "backup", ngx_http_dynamic_weight_read_backup },
    { "priority=",
      ngx_http_dynamic_weight_read_number<&Line::priority, 0,
                                          NGX_HTTP_DW_MAX_PRIORITY> },
};


/* what either kind of line has alone: its source, and more */

static constexpr ngx_dynamic_weight_parameter_t<Line>
    ngx_http_dynamic_weight_nodes_parameters[] =
{
    { "port=", ngx_http_dynamic_weight_read_number<&Line::port, 1, 65535> },
    { "ingress=", ngx_http_dynamic_weight_read_ingress },
};


static constexpr ngx_dynamic_weight_parameter_t<Line>
    ngx_http_dynamic_weight_instances_parameters[] =
{
    { "base=", ngx_http_dynamic_weight_read_number<&Line::base, 1,
                                                   dynweight::kMaxBase> },
};


/* NGX_DONE: it is a word of the source */

static ngx_int_t
ngx_http_dynamic_weight_read_parameter(ngx_conf_t *cf,
    ngx_dynamic_weight_line_t *line, ngx_str_t *arg)
{
    ngx_str_t  value;

    auto *param = ngx_dynamic_weight_find_parameter(
                      ngx_http_dynamic_weight_line_parameters, *arg, &value);

    if (param == NULL) {
        param = line->instances
                ? ngx_dynamic_weight_find_parameter(
                      ngx_http_dynamic_weight_instances_parameters, *arg,
                      &value)
                : ngx_dynamic_weight_find_parameter(
                      ngx_http_dynamic_weight_nodes_parameters, *arg, &value);
    }

    return param ? param->read(cf, line, arg, &value) : NGX_DONE;
}


/* a word of the source, by which kind of line it is */

static ngx_int_t
ngx_http_dynamic_weight_read_word(ngx_conf_t *cf,
    ngx_dynamic_weight_line_t *line, ngx_str_t *arg)
{
    ngx_str_t  *word;

    if (line->instances) {
        word = static_cast<ngx_str_t *>(ngx_array_push(&line->words));
        if (word == NULL) {
            return NGX_ERROR;
        }

        *word = *arg;

        return NGX_OK;
    }

    if (dynweight::PodSource::Begins(ngx_dynamic_weight_view(*arg))) {
        return ngx_http_dynamic_weight_read_source(cf, line, arg);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown parameter \"%V\": write a source such "
                       "as \"service=NAMESPACE/NAME\", port=, ingress=, "
                       "slots=, empty=, max_fails=, fail_timeout=, max_conns=, "
                       "slow_start=, priority= or backup", arg);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_dynamic_weight_read_parameters(ngx_conf_t *cf,
    ngx_dynamic_weight_line_t *line)
{
    ngx_int_t   rc;
    ngx_str_t  *arg;
    ngx_uint_t  i;

    arg = static_cast<ngx_str_t *>(cf->args->elts);

    for (i = 2; i < cf->args->nelts; i++) {

        rc = ngx_http_dynamic_weight_read_parameter(cf, line, &arg[i]);

        if (rc == NGX_DONE) {
            rc = ngx_http_dynamic_weight_read_word(cf, line, &arg[i]);
        }

        if (rc == NGX_DECLINED) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\": %sslots= takes 1 "
                               "to %d, empty= \"keep\" or \"drain\", "
                               "max_fails= and max_conns= a number, "
                               "fail_timeout= and slow_start= a time, "
                               "priority= 0 to %d",
                               &arg[i],
                               line->instances
                               ? "base= takes 1 to 1000000, "
                               : "port= takes 1 to 65535, ",
                               NGX_HTTP_DW_MAX_SLOTS,
                               NGX_HTTP_DW_MAX_PRIORITY);
            return NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (line->backup && line->priority) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "both \"backup\" and \"priority=%ui\": backup peers "
                           "serve when those of all priorities are out; remove "
                           "one of them", line->priority);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* what no line may be without */

static ngx_int_t
ngx_http_dynamic_weight_check_line(ngx_conf_t *cf,
    const ngx_dynamic_weight_line_t *line)
{
    if (line->source.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no source in \"ingress_nodes %V\": write where its "
                           "pods are counted, for example "
                           "\"service=NAMESPACE/NAME\"", &line->cluster);
        return NGX_ERROR;
    }

    if (line->port == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no port in \"ingress_nodes %V\": write the ingress "
                           "nodes' port, for example \"port=80\"",
                           &line->cluster);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the source as one text, as the status shows it */

static ngx_int_t
ngx_http_dynamic_weight_join_words(ngx_conf_t *cf,
    ngx_dynamic_weight_line_t *line)
{
    u_char      *p;
    size_t       len;
    ngx_str_t   *word;
    ngx_uint_t   i;

    word = static_cast<ngx_str_t *>(line->words.elts);
    len = 0;

    for (i = 0; i < line->words.nelts; i++) {
        len += word[i].len + 1;
    }

    if (len == 0) {
        return NGX_OK;    /* refused when the cluster's type is known */
    }

    p = static_cast<u_char *>(ngx_pnalloc(cf->pool, len));
    if (p == NULL) {
        return NGX_ERROR;
    }

    line->source.data = p;
    line->source.len = len - 1;

    for (i = 0; i < line->words.nelts; i++) {
        p = ngx_cpymem(p, word[i].data, word[i].len);
        *p++ = ' ';
    }

    return NGX_OK;
}


/* nginx refuses an upstream without servers: a server of no address */

static ngx_int_t
ngx_http_dynamic_weight_add_no_address(ngx_conf_t *cf,
    const ngx_dynamic_weight_line_t *line)
{
    ngx_http_upstream_server_t    *us;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = static_cast<ngx_http_upstream_srv_conf_t *>(
        ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module));

    us = static_cast<ngx_http_upstream_server_t *>(
        ngx_array_push(uscf->servers));
    if (us == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(us, sizeof(ngx_http_upstream_server_t));

    us->name = line->cluster;
    us->down = 1;
    us->backup = line->backup;

    return NGX_OK;
}

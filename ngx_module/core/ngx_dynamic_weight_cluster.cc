// Directives of a dynamic_weight_cluster block: a cluster and how to reach it.

#include "ngx_module/core/ngx_dynamic_weight_cluster.h"

#include <algorithm>
#include <string>
#include <vector>

#include "watcher/kubernetes/member_proxy.h"
#include "watcher/nacos/nacos_source.h"
#include "watcher/transport/api_url.h"
#include "watcher/transport/kubeconfig.h"


template <std::string dynweight::Credentials::*member>
static char *
ngx_dynamic_weight_file(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    ngx_fd_t   fd;
    ngx_str_t  file = value[1];

    if (ngx_conf_full_name(cf->cycle, &file, 1) != NGX_OK) {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    fd = ngx_open_file(file.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"%V\" \"%V\" of cluster \"%V\" can't be read: "
                           "correct the name or make the file readable",
                           &value[0], &file, &block->name);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    ngx_close_file(fd);

    block->cluster->credentials.*member = ngx_dynamic_weight_view(file);

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_refuse(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value,
    const absl::Status &status)
{
    std::string  text(status.message());

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid \"%V\" of cluster \"%V\": %s",
                       &value[0], &block->name, text.c_str());

    return NGX_HTTP_DW_CONF_ERROR;
}


/* reads a time such as "5s"; false when it is none, or 0 */

static bool
ngx_dynamic_weight_msec(ngx_str_t *value, int64_t *ms)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n == 0) {
        return false;
    }

    *ms = n;

    return true;
}


template <int64_t dynweight::ClusterConfig::*member>
static char *
ngx_dynamic_weight_time(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    int64_t  ms;

    if (!ngx_dynamic_weight_msec(&value[1], &ms)
        || ms < 100 || ms > 3600 * 1000)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid \"%V\" \"%V\" of cluster \"%V\": write a "
                           "time from 100ms to 1h, for example \"5s\"",
                           &value[0], &value[1], &block->name);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    block->cluster->*member = ms;

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_api(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    auto &api = block->cluster->api;

    auto url = dynweight::ParseApiUrl(ngx_dynamic_weight_view(value[1]));
    if (!url.ok()) {
        return ngx_dynamic_weight_refuse(cf, block, value, url.status());
    }

    absl::Status  status = dynweight::CheckKarmadaPath(*url);
    if (!status.ok()) {
        return ngx_dynamic_weight_refuse(cf, block, value, status);
    }

    if (std::find(api.begin(), api.end(), *url) != api.end()) {
        return ngx_dynamic_weight_refuse(cf, block, value,
                  absl::InvalidArgumentError("the URL is duplicate"));
    }

    api.push_back(*std::move(url));

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_server_name(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    std::string_view  name = ngx_dynamic_weight_view(value[1]);

    if (name.empty() || name.size() > 253
        || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:")
           != name.npos)
    {
        return ngx_dynamic_weight_refuse(cf, block, value,
                  absl::InvalidArgumentError("write the DNS name that the API "
                                             "server's certificate bears"));
    }

    block->cluster->credentials.tls_server_name = name;

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_verify(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    std::string_view  flag = ngx_dynamic_weight_view(value[1]);

    if (flag != "on" && flag != "off") {
        return ngx_dynamic_weight_refuse(cf, block, value,
                  absl::InvalidArgumentError("write \"on\" or \"off\""));
    }

    block->cluster->credentials.tls_verify = flag == "on";

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_kubeconfig(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    ngx_str_t    file = value[1];
    std::string  context;

    if (cf->args->nelts == 3) {
        std::string_view  s = ngx_dynamic_weight_view(value[2]);

        if (s.substr(0, 8) != "context=" || s.size() == 8) {
            return ngx_dynamic_weight_refuse(cf, block, value,
                      absl::InvalidArgumentError("write \"kubeconfig FILE "
                                                 "context=NAME\""));
        }

        context = s.substr(8);
    }

    if (ngx_conf_full_name(cf->cycle, &file, 1) != NGX_OK) {
        return NGX_HTTP_DW_CONF_ERROR;
    }

    auto config = dynweight::ReadKubeconfig(
                      std::string(ngx_dynamic_weight_view(file)), context);
    if (!config.ok()) {
        return ngx_dynamic_weight_refuse(cf, block, value,
                                         config.status());
    }

    auto url = dynweight::ParseApiUrl(config->server);
    if (!url.ok()) {
        return ngx_dynamic_weight_refuse(cf, block, value, url.status());
    }

    absl::Status  status = dynweight::CheckKarmadaPath(*url);
    if (!status.ok()) {
        return ngx_dynamic_weight_refuse(cf, block, value, status);
    }

    block->kubeconfig = value[1];
    block->cluster->api.push_back(*std::move(url));
    block->cluster->credentials = std::move(config->credentials);
    block->cluster->credentials.kubeconfig = ngx_dynamic_weight_view(file);
    block->cluster->credentials.kubeconfig_context = context;
    block->cluster->credentials.kubeconfig_server = config->server;

    return NGX_CONF_OK;
}


/* whose member it is may be looked up only when the block is read */

static char *
ngx_dynamic_weight_via(ngx_conf_t *, ngx_dynamic_weight_block_t *block,
    ngx_str_t *value)
{
    block->via = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_member(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    std::string_view  name = ngx_dynamic_weight_view(value[1]);

    absl::Status  status = dynweight::CheckMemberName(name);

    if (!status.ok()) {
        return ngx_dynamic_weight_refuse(cf, block, value, status);
    }

    block->cluster->member = name;

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_nodes(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    std::vector<std::string_view>  args;

    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        args.push_back(ngx_dynamic_weight_view(value[i]));
    }

    auto source = dynweight::NodeSource::Parse(args);
    if (!source.ok()) {
        return ngx_dynamic_weight_refuse(cf, block, value,
                                         source.status());
    }

    block->cluster->nodes = *std::move(source);

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_mode(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    std::string_view  mode = ngx_dynamic_weight_view(value[1]);

    if (mode == "watch") {
        block->cluster->mode = dynweight::ClusterConfig::Mode::kWatch;

    } else if (mode == "poll") {
        block->cluster->mode = dynweight::ClusterConfig::Mode::kPoll;

    } else {
        return ngx_dynamic_weight_refuse(cf, block, value,
                  absl::InvalidArgumentError("write \"watch\" or \"poll\""));
    }

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_type(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    std::string_view  type = ngx_dynamic_weight_view(value[1]);

    if (type == "kubernetes") {
        block->cluster->type = dynweight::ClusterConfig::Type::kKubernetes;

    } else if (type == "nacos") {
        block->cluster->type = dynweight::ClusterConfig::Type::kNacos;

    } else {
        return ngx_dynamic_weight_refuse(cf, block, value,
                  absl::InvalidArgumentError("write \"kubernetes\" or "
                                             "\"nacos\""));
    }

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_namespace(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    std::string_view  ns = ngx_dynamic_weight_view(value[1]);

    absl::Status  status = dynweight::CheckNacosNamespace(ns);

    if (!status.ok()) {
        return ngx_dynamic_weight_refuse(cf, block, value, status);
    }

    block->cluster->ns = ns;

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_user(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    std::string_view  user = ngx_dynamic_weight_view(value[1]);

    if (user.empty() || user.size() > 256) {
        return ngx_dynamic_weight_refuse(cf, block, value,
                  absl::InvalidArgumentError("write a name of 1 to 256 bytes"));
    }

    block->cluster->credentials.user = user;

    return NGX_CONF_OK;
}


static char *
ngx_dynamic_weight_access_key(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    std::string_view  key = ngx_dynamic_weight_view(value[1]);

    if (key.empty() || key.size() > 256
        || std::any_of(key.begin(), key.end(),
                       [](char c) { return c <= ' ' || c > '~'; }))
    {
        return ngx_dynamic_weight_refuse(cf, block, value,
                  absl::InvalidArgumentError("write the key's name, one word "
                                             "of 1 to 256 bytes of ASCII; its "
                                             "secret goes to secret_file"));
    }

    block->cluster->credentials.access_key = key;

    return NGX_CONF_OK;
}


/* guard drop=50% confirm=5s | off */

static char *
ngx_dynamic_weight_drop_guard(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block, ngx_str_t *value)
{
    int64_t                  ms;
    ngx_int_t                percent;
    ngx_str_t                s;
    dynweight::GuardPolicy  *guard = &block->cluster->guard;

    if (cf->args->nelts == 2
        && ngx_dynamic_weight_view(value[1]) == "off")
    {
        guard->on = false;
        return NGX_CONF_OK;
    }

    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "drop=", 5) == 0
            && value[i].data[value[i].len - 1] == '%')
        {
            percent = ngx_atoi(value[i].data + 5, value[i].len - 6);

            if (percent >= 1 && percent <= 100) {
                guard->drop_percent = percent;
                continue;
            }
        }

        if (ngx_strncmp(value[i].data, "confirm=", 8) == 0) {
            s.data = value[i].data + 8;
            s.len = value[i].len - 8;

            if (ngx_dynamic_weight_msec(&s, &ms) && ms <= 600 * 1000) {
                guard->confirm_ms = ms;
                continue;
            }
        }

        return ngx_dynamic_weight_refuse(cf, block, value,
                  absl::InvalidArgumentError("write \"guard drop=50% "
                                             "confirm=5s\" (1% to 100%, up to "
                                             "10m) or \"guard off\""));
    }

    return NGX_CONF_OK;
}


using dynweight::ClusterConfig;
using dynweight::Credentials;

static constexpr ngx_dynamic_weight_setter_t
    ngx_dynamic_weight_setters[] =
{
    { "type", 1, 1, false, ngx_dynamic_weight_type },
    { "api", 1, 1, true, ngx_dynamic_weight_api },
    { "via", 1, 1, false, ngx_dynamic_weight_via },
    { "member", 1, 1, false, ngx_dynamic_weight_member },
    { "namespace", 1, 1, false, ngx_dynamic_weight_namespace },
    { "user", 1, 1, false, ngx_dynamic_weight_user },
    { "password_file", 1, 1, false,
      ngx_dynamic_weight_file<&Credentials::password_file> },
    { "access_key", 1, 1, false, ngx_dynamic_weight_access_key },
    { "secret_file", 1, 1, false,
      ngx_dynamic_weight_file<&Credentials::secret_file> },
    { "token_file", 1, 1, false,
      ngx_dynamic_weight_file<&Credentials::token_file> },
    { "ca_file", 1, 1, false,
      ngx_dynamic_weight_file<&Credentials::ca_file> },
    { "client_certificate", 1, 1, false,
      ngx_dynamic_weight_file<&Credentials::client_certificate> },
    { "client_certificate_key", 1, 1, false,
      ngx_dynamic_weight_file<&Credentials::client_certificate_key> },
    { "tls_server_name", 1, 1, false, ngx_dynamic_weight_server_name },
    { "tls_verify", 1, 1, false, ngx_dynamic_weight_verify },
    { "kubeconfig", 1, 2, false, ngx_dynamic_weight_kubeconfig },
    { "ingress_nodes", 1, 2, false, ngx_dynamic_weight_nodes },
    { "mode", 1, 1, false, ngx_dynamic_weight_mode },
    { "interval", 1, 1, false,
      ngx_dynamic_weight_time<&ClusterConfig::interval_ms> },
    { "timeout", 1, 1, false,
      ngx_dynamic_weight_time<&ClusterConfig::timeout_ms> },
    { "guard", 1, 2, false, ngx_dynamic_weight_drop_guard },
    { "probe", 1, 16, false, ngx_dynamic_weight_probe },
};


const ngx_dynamic_weight_setter_t *
ngx_dynamic_weight_find_setter(std::string_view name)
{
    for (const auto &setter : ngx_dynamic_weight_setters) {
        if (setter.name == name) {
            return &setter;
        }
    }

    return NULL;
}

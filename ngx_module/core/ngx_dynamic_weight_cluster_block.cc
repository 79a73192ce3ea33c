// dynamic_weight_cluster name { ... }: the block, and what its directives say
// together.

#include "ngx_module/core/ngx_dynamic_weight_cluster.h"

#include <string>

#include "watcher/transport/credentials_look.h"


static char *ngx_dynamic_weight_directive(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);
static char *ngx_dynamic_weight_finish_block(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block);


char *
ngx_dynamic_weight_cluster(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_main_conf_t *dmcf =
        static_cast<ngx_http_dynamic_weight_main_conf_t *>(conf);

    return ngx_dynamic_weight_guard(cf->log, NGX_HTTP_DW_CONF_ERROR,
                                    [&]() -> char * {
        char                             *rv;
        ngx_str_t                        *value;
        ngx_conf_t                        save;
        dynweight::ClusterConfig          cluster;
        ngx_dynamic_weight_block_t        block{};
        ngx_dynamic_weight_place_t       *place;

        value = static_cast<ngx_str_t *>(cf->args->elts);

        block.name = value[1];
        block.cluster = &cluster;
        cluster.name = ngx_dynamic_weight_view(value[1]);

        if (cluster.name.empty() || cluster.name.size() > 63
            || cluster.name.find_first_not_of(
                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "0123456789_.-") != std::string::npos)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid cluster name \"%V\": use up to 63 "
                               "letters, digits, \"_\", \".\" and \"-\"",
                               &value[1]);
            return NGX_HTTP_DW_CONF_ERROR;
        }

        for (const auto &other : dmcf->config->clusters) {
            if (other.name == cluster.name) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "duplicate cluster \"%V\": give each "
                                   "dynamic_weight_cluster its own name",
                                   &value[1]);
                return NGX_HTTP_DW_CONF_ERROR;
            }
        }

        place = static_cast<ngx_dynamic_weight_place_t *>(
                    ngx_array_push(&dmcf->cluster_places));
        if (place == NULL) {
            return NGX_HTTP_DW_CONF_ERROR;
        }

        place->file = cf->conf_file->file.name.data;
        place->line = cf->conf_file->line;

        save = *cf;
        cf->handler = ngx_dynamic_weight_directive;
        cf->handler_conf = reinterpret_cast<char *>(&block);

        rv = ngx_conf_parse(cf, NULL);

        *cf = save;

        if (rv != NGX_CONF_OK) {
            return rv;
        }

        rv = ngx_dynamic_weight_go_via(cf, &block, dmcf->config->clusters);

        if (rv == NGX_CONF_OK) {
            rv = ngx_dynamic_weight_finish_block(cf, &block);
        }

        if (rv == NGX_CONF_OK) {
            dmcf->config->clusters.push_back(std::move(cluster));
        }

        return rv;
    });
}


static char *
ngx_dynamic_weight_directive(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_dynamic_weight_block_t *block =
        static_cast<ngx_dynamic_weight_block_t *>(conf);

    return ngx_dynamic_weight_guard(cf->log, NGX_HTTP_DW_CONF_ERROR,
                                    [&]() -> char * {
        ngx_str_t         *value;
        ngx_uint_t         nargs;
        std::string_view   name;

        nargs = cf->args->nelts - 1;
        value = static_cast<ngx_str_t *>(cf->args->elts);
        name = ngx_dynamic_weight_view(value[0]);

        if (name == "include" && nargs == 1) {
            return ngx_conf_include(cf, NULL, conf);
        }

        auto *setter = ngx_dynamic_weight_find_setter(name);

        if (setter == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown directive \"%V\" in cluster \"%V\"",
                               &value[0], &block->name);
            return NGX_HTTP_DW_CONF_ERROR;
        }

        if (nargs < setter->min || nargs > setter->max) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid number of arguments in \"%V\" of "
                               "cluster \"%V\"", &value[0], &block->name);
            return NGX_HTTP_DW_CONF_ERROR;
        }

        if (!block->seen.insert(setter->name).second && !setter->several) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" of cluster \"%V\" is duplicate: write "
                               "it once", &value[0], &block->name);
            return NGX_HTTP_DW_CONF_ERROR;
        }

        return setter->set(cf, block, value);
    });
}


static const char *
ngx_dynamic_weight_wrong_kubernetes(
    const ngx_dynamic_weight_block_t *block)
{
    bool  own_cred = false;

    for (const char *name : { "api", "token_file", "ca_file",
                              "client_certificate", "client_certificate_key",
                              "tls_server_name", "tls_verify" })
    {
        own_cred = own_cred || block->seen.count(name);
    }

    if (block->kubeconfig.len && own_cred) {
        return "takes its API and credentials from kubeconfig: remove "
               "\"api\", \"token_file\", \"ca_file\", \"client_certificate\", "
               "\"tls_server_name\" and \"tls_verify\"";
    }

    for (const char *name : { "namespace", "user", "password_file",
                              "access_key", "secret_file" })
    {
        if (block->seen.count(name)) {
            return "is of Kubernetes, and \"namespace\", \"user\", "
                   "\"password_file\", \"access_key\" and \"secret_file\" are "
                   "of a registry: remove them, or write \"type nacos;\" in it";
        }
    }

    if (block->cluster->api.empty()) {
        return "has no API: write \"api https://HOST:PORT;\" in it";
    }

    /* whether it needs ingress_nodes its lines say: see _resolve.cc */

    return NULL;
}


static const char *
ngx_dynamic_weight_wrong_nacos(
    const ngx_dynamic_weight_block_t *block)
{
    const dynweight::Credentials  &cred = block->cluster->credentials;

    if (block->kubeconfig.len || block->seen.count("token_file")) {
        return "is a registry, which has no \"kubeconfig\" and no "
               "\"token_file\": write \"api\", and \"user\" and "
               "\"password_file\" where it wants a login, or \"access_key\" "
               "and \"secret_file\" where it wants signatures";
    }

    if (block->seen.count("ingress_nodes")) {
        return "is a registry, which has no \"ingress_nodes\": remove them; an "
               "upstream's \"instances\" name its services";
    }

    if (block->cluster->api.empty()) {
        return "has no API: write \"api http://HOST:8848/nacos;\" in it";
    }

    if (cred.user.empty() != cred.password_file.empty()) {
        return "needs both \"user\" and \"password_file\"";
    }

    if (cred.access_key.empty() != cred.secret_file.empty()) {
        return "needs both \"access_key\" and \"secret_file\"";
    }

    if (!cred.user.empty() && !cred.access_key.empty()) {
        return "has both \"user\" and \"access_key\": remove one of the two, "
               "with its file";
    }

    return NULL;
}


/* what the directives of a block say together */

static char *
ngx_dynamic_weight_finish_block(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block)
{
    const char                    *wrong;
    const dynweight::Credentials  &cred = block->cluster->credentials;

    wrong = block->cluster->type == dynweight::ClusterConfig::Type::kNacos
            ? ngx_dynamic_weight_wrong_nacos(block)
            : ngx_dynamic_weight_wrong_kubernetes(block);

    if (wrong == NULL && cred.client_certificate.empty()
                         != cred.client_certificate_key.empty())
    {
        wrong = "needs both \"client_certificate\" and "
                "\"client_certificate_key\"";
    }

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "cluster \"%V\" %s",
                           &block->name, wrong);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    absl::Status  status = dynweight::CheckCredentials(cred);

    if (!status.ok()) {
        std::string  text(status.message());

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "credentials of cluster \"%V\": %s",
                           &block->name, text.c_str());
        return NGX_HTTP_DW_CONF_ERROR;
    }

    ngx_dynamic_weight_await_proxy(cf, block);

    for (const std::string &url : block->cluster->api) {

        if (block->cluster->via) {
            break;    /* told of its control plane */
        }

        if (url.compare(0, 5, "http:") == 0
            && (!cred.token_file.empty() || !cred.token.empty()
                || !cred.user.empty()))
        {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                               "cluster \"%V\" sends its %s unencrypted to "
                               "\"%s\": use https", &block->name,
                               cred.user.empty() ? "token" : "password",
                               url.c_str());
        }
    }

    return NGX_CONF_OK;
}

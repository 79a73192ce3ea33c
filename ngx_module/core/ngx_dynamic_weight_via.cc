// via and member in a dynamic_weight_cluster block: a member of a Karmada control
// plane, which another block is.

#include "ngx_module/core/ngx_dynamic_weight_cluster.h"

#include <algorithm>
#include <string>
#include <vector>

#include "watcher/kubernetes/member_proxy.h"


/* what is wrong with a block that has "via"; NULL: nothing */

static const char *
ngx_dynamic_weight_wrong_member(const ngx_dynamic_weight_block_t *block)
{
    if (block->cluster->type != dynweight::ClusterConfig::Type::kKubernetes) {
        return "is a registry, which is no member of Karmada: remove \"via\" "
               "and \"member\"";
    }

    if (!block->seen.count("member")) {
        return "has \"via\" without \"member\": write \"member NAME;\", the "
               "name that Karmada has for it";
    }

    for (const char *name : { "api", "kubeconfig", "token_file", "ca_file",
                              "client_certificate", "client_certificate_key",
                              "tls_server_name", "tls_verify", "mode",
                              "interval", "timeout", "namespace", "user",
                              "password_file", "access_key", "secret_file" })
    {
        if (block->seen.count(name)) {
            return "is asked for as its control plane is: beside \"via\" and "
                   "\"member\" remove \"api\", \"kubeconfig\", what "
                   "authenticates, \"tls_*\", \"mode\", \"interval\" and "
                   "\"timeout\"; they are in the block that \"via\" names";
        }
    }

    return NULL;
}


/* what is wrong with the cluster that "via" names; NULL: nothing */

static const char *
ngx_dynamic_weight_wrong_via(const dynweight::ClusterConfig &plane)
{
    if (plane.type != dynweight::ClusterConfig::Type::kKubernetes) {
        return "is a registry: name the block of a Karmada control plane";
    }

    if (plane.via) {
        return "goes via another one itself: name the block of the Karmada "
               "control plane, which has the \"api\"";
    }

    for (const std::string &url : plane.api) {
        if (!dynweight::MemberOfProxy(url).empty()) {
            return "has the proxy of a member as its \"api\": name the block "
                   "of the Karmada control plane itself";
        }
    }

    return NULL;
}


/*
 * A member of a control plane that an earlier block has: it is asked by the
 * control plane's proxy, with its credentials.
 */

char *
ngx_dynamic_weight_go_via(ngx_conf_t *cf, ngx_dynamic_weight_block_t *block,
    const std::vector<dynweight::ClusterConfig> &clusters)
{
    size_t                     i;
    const char                *wrong;
    dynweight::ClusterConfig  *cluster = block->cluster;

    if (block->via.len == 0 && !block->seen.count("via")) {

        if (block->seen.count("member")) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "cluster \"%V\" has \"member\" without "
                               "\"via\": write \"via CLUSTER;\", the block of "
                               "its Karmada control plane", &block->name);
            return NGX_HTTP_DW_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    wrong = ngx_dynamic_weight_wrong_member(block);

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "cluster \"%V\" %s",
                           &block->name, wrong);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    for (i = 0; i < clusters.size(); i++) {
        if (clusters[i].name == ngx_dynamic_weight_view(block->via)) {
            break;
        }
    }

    if (i == clusters.size()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown cluster \"%V\" in \"via\" of cluster "
                           "\"%V\": define the Karmada control plane with "
                           "\"dynamic_weight_cluster %V { ... }\", a block "
                           "before this one, or correct the name",
                           &block->via, &block->name, &block->via);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    wrong = ngx_dynamic_weight_wrong_via(clusters[i]);

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "cluster \"%V\" in \"via\" of cluster \"%V\" %s",
                           &block->via, &block->name, wrong);
        return NGX_HTTP_DW_CONF_ERROR;
    }

    cluster->via = i;
    cluster->credentials = clusters[i].credentials;
    cluster->mode = clusters[i].mode;
    cluster->interval_ms = clusters[i].interval_ms;
    cluster->timeout_ms = std::max(clusters[i].timeout_ms,
                                   dynweight::kMemberProxyTimeoutMs);

    for (const std::string &url : clusters[i].api) {
        cluster->api.push_back(dynweight::MemberProxyUrl(url,
                                                         cluster->member));
    }

    return NGX_CONF_OK;
}


/* a proxy of Karmada may answer later than an API server should */

void
ngx_dynamic_weight_await_proxy(ngx_conf_t *cf,
    ngx_dynamic_weight_block_t *block)
{
    dynweight::ClusterConfig  *cluster = block->cluster;

    for (const std::string &url : cluster->api) {

        if (dynweight::MemberOfProxy(url).empty()) {
            continue;
        }

        if (!block->seen.count("timeout")) {
            cluster->timeout_ms = std::max(cluster->timeout_ms,
                                           dynweight::kMemberProxyTimeoutMs);

        } else if (cluster->timeout_ms <= dynweight::kMemberProxyHangMs) {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                               "\"timeout\" of cluster \"%V\" is shorter than "
                               "the 10s after which Karmada's proxy tells that "
                               "a member hangs: write \"timeout 15s;\" or "
                               "nothing", &block->name);
        }

        break;
    }
}

// Whether the workers, who run as an unprivileged user, will be able to read
// the credentials and write the state file. The master that reads the
// configuration is root and sees no obstacle; this says it beforehand.

#include "ngx_http_dynamic_weight.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <string>
#include <vector>


typedef struct {
    uid_t                user;
    std::vector<gid_t>   groups;
    std::string          name;
} ngx_http_dynamic_weight_user_t;


/* `want`: a sum of 4 (read), 2 (write), 1 (search), as in a mode */

static bool
ngx_http_dynamic_weight_allowed(const ngx_http_dynamic_weight_user_t &user,
    const std::string &path, mode_t want)
{
    struct stat  st;

    if (stat(path.c_str(), &st) == -1) {
        return true;   /* told elsewhere */
    }

    if (st.st_uid == user.user) {
        return ((st.st_mode >> 6) & want) == want;
    }

    for (gid_t group : user.groups) {
        if (st.st_gid == group) {
            return ((st.st_mode >> 3) & want) == want;
        }
    }

    return (st.st_mode & want) == want;
}


/* the first part of the path that is closed to the user, or "" */

static std::string
ngx_http_dynamic_weight_obstacle(const ngx_http_dynamic_weight_user_t &user,
    const std::string &path, mode_t want)
{
    for (size_t slash = path.find('/', 1);
         slash != path.npos;
         slash = path.find('/', slash + 1))
    {
        std::string  folder = path.substr(0, slash);

        if (!ngx_http_dynamic_weight_allowed(user, folder, 1)) {
            return folder;
        }
    }

    return ngx_http_dynamic_weight_allowed(user, path, want) ? "" : path;
}


void
ngx_http_dynamic_weight_check_access(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    int                               n, rc;
    ngx_uint_t                        i;
    std::string                       closed;
    struct passwd                    *pwd;
    ngx_core_conf_t                  *ccf;
    ngx_http_dynamic_weight_user_t    user;
    ngx_http_dynamic_weight_place_t  *place;

    ccf = reinterpret_cast<ngx_core_conf_t *>(
        ngx_get_conf(dmcf->cycle->conf_ctx, ngx_core_module));

    if (geteuid() != 0
        || ccf->user == static_cast<ngx_uid_t>(NGX_CONF_UNSET_UINT)
        || ccf->user == 0)
    {
        return;
    }

    pwd = getpwuid(ccf->user);

    user.user = ccf->user;
    user.name = pwd ? pwd->pw_name : std::to_string(ccf->user);

    n = 64;
    user.groups.resize(n);

    rc = getgrouplist(user.name.c_str(), ccf->group, user.groups.data(), &n);

    if (rc == -1 && n > 64) {
        user.groups.resize(n);

        rc = getgrouplist(user.name.c_str(), ccf->group, user.groups.data(),
                          &n);
    }

    if (rc == -1) {
        n = 1;
        user.groups[0] = ccf->group;
    }

    user.groups.resize(n);

    place = static_cast<ngx_http_dynamic_weight_place_t *>(
        dmcf->cluster_places.elts);

    for (i = 0; i < dmcf->config->clusters.size(); i++) {

        const auto &cluster = dmcf->config->clusters[i];

        for (const std::string *file : { &cluster.credentials.kubeconfig,
                                 &cluster.credentials.token_file,
                                 &cluster.credentials.ca_file,
                                 &cluster.credentials.client_certificate,
                                 &cluster.credentials.client_certificate_key })
        {
            if (file->empty()) {
                continue;
            }

            closed = ngx_http_dynamic_weight_obstacle(user, *file, 4);

            if (!closed.empty()) {
                ngx_log_error(NGX_LOG_WARN, dmcf->cycle->log, 0,
                              "\"%s\" of cluster \"%s\" can't be read by the "
                              "workers' user \"%s\": correct owner or mode of "
                              "\"%s\", for %s:%ui",
                              file->c_str(), cluster.name.c_str(),
                              user.name.c_str(), closed.c_str(),
                              place[i].file, place[i].line);
            }
        }
    }

    closed = ngx_http_dynamic_weight_obstacle(user,
                                              dmcf->config->tuning_file, 4);

    if (!dmcf->config->tuning_file.empty() && !closed.empty()) {
        ngx_log_error(NGX_LOG_WARN, dmcf->cycle->log, 0,
                      "tuning file \"%V\" can't be read by the workers' user "
                      "\"%s\", so no change of it will count: correct owner or "
                      "mode of \"%s\", for %s:%ui",
                      &dmcf->tuning.file, user.name.c_str(), closed.c_str(),
                      dmcf->tuning.place.file, dmcf->tuning.place.line);
    }

    if (!dmcf->state.len || dmcf->state_path) {
        return;   /* none, or in a folder that the master makes for them */
    }

    std::string  folder(ngx_http_dynamic_weight_view(dmcf->state));

    folder.resize(ngx_max(folder.rfind('/'), 1u));
    closed = ngx_http_dynamic_weight_obstacle(user, folder, 7);

    if (!closed.empty()) {
        ngx_log_error(NGX_LOG_WARN, dmcf->cycle->log, 0,
                      "state \"%V\" can't be written by the workers' user "
                      "\"%s\": give \"%s\" to that user, or name a folder "
                      "that does not exist yet, in %s:%ui",
                      &dmcf->state, user.name.c_str(), closed.c_str(),
                      dmcf->zone_place.file, dmcf->zone_place.line);
    }
}

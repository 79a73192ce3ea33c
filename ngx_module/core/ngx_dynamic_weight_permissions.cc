// Whether the workers, who run as an unprivileged user, will be able to read
// the credentials and write the state file. The master that reads the
// configuration is root and sees no obstacle; this says it beforehand.

#include "ngx_module/core/ngx_dynamic_weight.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <string>
#include <vector>


typedef struct {
    uid_t                user;
    std::vector<gid_t>   groups;
    std::string          name;
} ngx_dynamic_weight_user_t;


/*
 * Who runs `nginx -t` is told, too, where the error log that the configuration
 * asks for has no warnings.
 */

template <typename... Args>
static void
ngx_dynamic_weight_warn(ngx_log_t *log, const char *format, Args... args)
{
    u_char  text[NGX_MAX_ERROR_STR], *last;

    last = ngx_snprintf(text, NGX_MAX_ERROR_STR - 1, format, args...);
    *last = '\0';

    if (ngx_test_config && log->log_level < NGX_LOG_WARN) {
        ngx_log_stderr(0, "[warn] %s", text);
        return;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0, "%s", text);
}


/* `want`: a sum of 4 (read), 2 (write), 1 (search), as in a mode */

static bool
ngx_dynamic_weight_allowed(const ngx_dynamic_weight_user_t &user,
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
ngx_dynamic_weight_obstacle(const ngx_dynamic_weight_user_t &user,
    const std::string &path, mode_t want)
{
    for (size_t slash = path.find('/', 1);
         slash != path.npos;
         slash = path.find('/', slash + 1))
    {
        std::string  directory = path.substr(0, slash);

        if (!ngx_dynamic_weight_allowed(user, directory, 1)) {
            return directory;
        }
    }

    return ngx_dynamic_weight_allowed(user, path, want) ? "" : path;
}


/* false: the workers are who reads the configuration, and nothing is to tell */

static bool
ngx_dynamic_weight_workers_user(
    const ngx_http_dynamic_weight_main_conf_t *dmcf,
    ngx_dynamic_weight_user_t *user)
{
    int               n, rc;
    struct passwd    *pwd;
    ngx_core_conf_t  *ccf;

    ccf = reinterpret_cast<ngx_core_conf_t *>(
        ngx_get_conf(dmcf->cycle->conf_ctx, ngx_core_module));

    if (geteuid() != 0
        || ccf->user == static_cast<ngx_uid_t>(NGX_CONF_UNSET_UINT)
        || ccf->user == 0)
    {
        return false;
    }

    pwd = getpwuid(ccf->user);

    user->user = ccf->user;
    user->name = pwd ? pwd->pw_name : std::to_string(ccf->user);

    n = 64;
    user->groups.resize(n);

    rc = getgrouplist(user->name.c_str(), ccf->group, user->groups.data(), &n);

    if (rc == -1 && n > 64) {
        user->groups.resize(n);

        rc = getgrouplist(user->name.c_str(), ccf->group, user->groups.data(),
                          &n);
    }

    if (rc == -1) {
        n = 1;
        user->groups[0] = ccf->group;
    }

    user->groups.resize(n);

    return true;
}


static void
ngx_dynamic_weight_check_cluster(ngx_log_t *log,
    const ngx_dynamic_weight_user_t &user,
    const dynweight::ClusterConfig &cluster,
    const ngx_dynamic_weight_place_t &place)
{
    std::string                    closed;
    const dynweight::Credentials  &cred = cluster.credentials;

    for (const std::string *file : { &cred.kubeconfig,
                                     &cred.token_file,
                                     &cred.password_file,
                                     &cred.secret_file,
                                     &cred.ca_file,
                                     &cred.client_certificate,
                                     &cred.client_certificate_key })
    {
        if (file->empty()) {
            continue;
        }

        closed = ngx_dynamic_weight_obstacle(user, *file, 4);

        if (!closed.empty()) {
            ngx_dynamic_weight_warn(log,
                          "\"%s\" of cluster \"%s\" can't be read by the "
                          "workers' user \"%s\": correct owner or mode of "
                          "\"%s\", for %s:%ui",
                          file->c_str(), cluster.name.c_str(),
                          user.name.c_str(), closed.c_str(),
                          place.file, place.line);
        }
    }
}


static void
ngx_dynamic_weight_check_tuning(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_dynamic_weight_user_t &user)
{
    std::string  closed;

    if (dmcf->config->tuning_file.empty()) {
        return;
    }

    closed = ngx_dynamic_weight_obstacle(user,
                                         dmcf->config->tuning_file, 4);

    if (!closed.empty()) {
        ngx_dynamic_weight_warn(dmcf->cycle->log,
                      "tuning file \"%V\" can't be read by the workers' user "
                      "\"%s\", so no change of it will count: correct owner or "
                      "mode of \"%s\", for %s:%ui",
                      &dmcf->tuning.file, user.name.c_str(), closed.c_str(),
                      dmcf->tuning.place.file, dmcf->tuning.place.line);
    }
}


static void
ngx_dynamic_weight_check_state(
    ngx_http_dynamic_weight_main_conf_t *dmcf,
    const ngx_dynamic_weight_user_t &user)
{
    std::string  closed, directory;

    if (!dmcf->state.len || dmcf->state_path) {
        return;   /* none, or in a directory that the master makes for them */
    }

    directory = ngx_dynamic_weight_view(dmcf->state);
    directory.resize(ngx_max(directory.rfind('/'), 1u));

    closed = ngx_dynamic_weight_obstacle(user, directory, 7);

    if (!closed.empty()) {
        ngx_dynamic_weight_warn(dmcf->cycle->log,
                      "state \"%V\" can't be written by the workers' user "
                      "\"%s\": give \"%s\" to that user, or name a directory "
                      "that does not exist yet, in %s:%ui",
                      &dmcf->state, user.name.c_str(), closed.c_str(),
                      dmcf->zone_place.file, dmcf->zone_place.line);
    }
}


void
ngx_dynamic_weight_check_access(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                        i;
    ngx_dynamic_weight_user_t         user;
    ngx_dynamic_weight_place_t       *place;

    if (!ngx_dynamic_weight_workers_user(dmcf, &user)) {
        return;
    }

    place = static_cast<ngx_dynamic_weight_place_t *>(
        dmcf->cluster_places.elts);

    for (i = 0; i < dmcf->config->clusters.size(); i++) {
        if (dmcf->config->clusters[i].via) {
            continue;    /* they are its control plane's */
        }

        ngx_dynamic_weight_check_cluster(dmcf->cycle->log, user,
                                         dmcf->config->clusters[i],
                                         place[i]);
    }

    ngx_dynamic_weight_check_tuning(dmcf, user);
    ngx_dynamic_weight_check_state(dmcf, user);
}

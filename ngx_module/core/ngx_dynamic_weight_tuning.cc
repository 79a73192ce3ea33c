// The tuning file: dynamic_weight_tuning, what nginx -t checks of it, and its
// place in the zone. While nginx runs the watcher reads it, see
// watcher/tuning/tuning_file.h.

#include "ngx_module/core/ngx_dynamic_weight_zone.h"

#include <new>
#include <string>

#include "watcher/tuning/tuning_file.h"
#include "watcher/tuning/tuning_reader.h"


char *
ngx_dynamic_weight_tuning(ngx_conf_t *cf, ngx_command_t *, void *conf)
{
    ngx_http_dynamic_weight_main_conf_t *dmcf =
        static_cast<ngx_http_dynamic_weight_main_conf_t *>(conf);

    ngx_str_t  *value;

    if (dmcf->tuning.file.len) {
        return const_cast<char *>("is duplicate");
    }

    value = static_cast<ngx_str_t *>(cf->args->elts);

    dmcf->tuning.file = value[1];

    /* as of "include": beside nginx.conf */

    if (value[1].len == 0
        || ngx_conf_full_name(cf->cycle, &dmcf->tuning.file, 1) != NGX_OK)
    {
        return const_cast<char *>("needs the name of a file");
    }

    dmcf->tuning.place.file = cf->conf_file->file.name.data;
    dmcf->tuning.place.line = cf->conf_file->line;

    return NGX_CONF_OK;
}


static void
ngx_dynamic_weight_add_servers(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    ngx_uint_t                             i, n;
    ngx_http_upstream_srv_conf_t          *uscf;
    ngx_dynamic_weight_slot_conf_t        *slot_conf;
    ngx_dynamic_weight_group_conf_t       *group;

    for (i = 0; i < dmcf->ntables; i++) {
        group = &dmcf->groups[i]->conf;
        uscf = group->srv->upstream;

        for (n = 0; n < group->nslots; n++) {
            slot_conf = &group->slots[n];

            if (slot_conf->sockaddr == NULL) {
                continue;
            }

            dynweight::ServerConfig  server;

            server.upstream = ngx_dynamic_weight_view(uscf->host);
            server.name = ngx_dynamic_weight_view(slot_conf->server);
            server.address = ngx_dynamic_weight_view(slot_conf->name);
            server.table = group->id;
            server.slot = n;
            server.weight = slot_conf->weight;

            dmcf->config->servers.push_back(std::move(server));
        }
    }
}


ngx_int_t
ngx_dynamic_weight_resolve_tuning(ngx_conf_t *cf,
    ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    dmcf->tuning.rules = ngx_dynamic_weight_own(cf->pool,
                                                     new dynweight::Tuning);
    dmcf->tuning.text = ngx_dynamic_weight_own(cf->pool, new std::string);

    if (dmcf->tuning.rules == NULL || dmcf->tuning.text == NULL) {
        return NGX_ERROR;
    }

    ngx_dynamic_weight_add_servers(dmcf);

    if (dmcf->tuning.file.len == 0) {
        return NGX_OK;
    }

    std::string  file(ngx_dynamic_weight_view(dmcf->tuning.file));

    auto text = dynweight::ReadTuningFile(file);

    if (!text.ok()) {
        std::string  why(text.status().message());

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "tuning file %s; write {} to it for no rules, or remove "
                      "\"dynamic_weight_tuning\" in %s:%ui",
                      why.c_str(), dmcf->tuning.place.file,
                      dmcf->tuning.place.line);
        return NGX_ERROR;
    }

    auto rules = dynweight::ReadTuning(*text, *dmcf->config);

    if (!rules.ok()) {
        std::string  why(rules.status().message());

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "tuning file \"%s\":%s; it is configured in %s:%ui",
                      file.c_str(), why.c_str(), dmcf->tuning.place.file,
                      dmcf->tuning.place.line);
        return NGX_ERROR;
    }

    *dmcf->tuning.rules = *std::move(rules);
    *dmcf->tuning.text = *std::move(text);
    dmcf->config->tuning_file = std::move(file);

    return NGX_OK;
}


void
ngx_dynamic_weight_walk_marks(ngx_dynamic_weight_walk_t *walk,
    ngx_dynamic_weight_group_t *group)
{
    u_char                 *p;
    ngx_uint_t              i, n;
    std::atomic<uint16_t>  *marks;

    if (walk->conf->tuning.file.len == 0) {
        return;
    }

    n = group->conf.nslots;
    p = ngx_dynamic_weight_take(walk, n * sizeof(std::atomic<uint16_t>));

    if (p == NULL) {
        return;
    }

    marks = reinterpret_cast<std::atomic<uint16_t> *>(p);

    for (i = 0; i < n; i++) {
        new (&marks[i]) std::atomic<uint16_t>(0);
    }

    group->zone.marks = marks;
}


void
ngx_dynamic_weight_walk_tuning(ngx_dynamic_weight_walk_t *walk)
{
    ngx_dynamic_weight_tuning_t       *tuning = &walk->conf->tuning;

    if (tuning->file.len == 0) {
        return;
    }

    tuning->good = ngx_dynamic_weight_take_document(walk,
                       dynweight::kMaxTuningBytes);
    tuning->status = ngx_dynamic_weight_take_document(walk,
                         dynweight::kMaxTuningStatusBytes);
}


void
ngx_dynamic_weight_fill_tuning(ngx_http_dynamic_weight_main_conf_t *dmcf)
{
    dmcf->tuning.rules->Advance(ngx_dynamic_weight_unix_msec());

    if (dmcf->tuning.good) {
        /* it fits: that was made sure of when it was read */
        (void) dmcf->tuning.good->Write(*dmcf->tuning.text);
    }
}


void
ngx_dynamic_weight_write_marks(ngx_http_dynamic_weight_main_conf_t *dmcf,
    const dynweight::MarkUpdate &update)
{
    ngx_uint_t                        n;
    ngx_dynamic_weight_group_t       *group = dmcf->groups[update.table];

    for (n = 0; n < group->conf.nslots; n++) {
        group->zone.marks[n].store(update.marks[n], std::memory_order_relaxed);
    }
}
